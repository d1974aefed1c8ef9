//! Reads encoded values out of one received frame.

use bytes::Bytes;
use rmp::Marker;
use rmp::decode::{self, RmpReadErr, ValueReadError};

use super::error::DecodeError;
use super::surplus::Surplus;
use super::wire::Wire;
use crate::limits;

/// A position in a frame. Byte strings come out as slices that share the frame's memory.
///
/// After an error the position is anywhere: drop the reader.
#[derive(Debug)]
pub struct Reader {
    frame: Bytes,
    at: usize,
    depth: usize,
}

/// The fields of an array that have not been read yet. Opened by [`Reader::open`], closed by [`Reader::close`] or
/// [`Reader::close_keeping`].
#[derive(Debug)]
#[must_use = "an array that is not closed leaves its surplus fields unread"]
pub struct Fields {
    left: u32,
}

impl Fields {
    /// How many are left.
    pub fn left(&self) -> u32 {
        self.left
    }
}

impl Reader {
    /// A reader at the start of `frame`.
    pub fn new(frame: Bytes) -> Reader {
        Reader { frame, at: 0, depth: 0 }
    }

    /// Where the reader stands, in bytes from the start.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes from `start` to where the reader stands, sharing the frame's memory.
    pub fn slice_from(&self, start: usize) -> Bytes {
        self.frame.slice(start..self.at)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`] when anything is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.at == self.frame.len() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    /// An unsigned number.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        self.step(|rest| decode::read_int(rest).map_err(number_error))
    }

    /// A truth value.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.step(|rest| decode::read_bool(rest).map_err(value_error))
    }

    /// A byte string, sharing the frame's memory.
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.step(|rest| decode::read_bin_len(rest).map_err(value_error))?;
        self.cut(length)
    }

    /// A byte string of exactly sixteen bytes, as the big-endian number that 128-bit names are.
    pub fn sixteen(&mut self) -> Result<u128, DecodeError> {
        let bytes = self.bytes()?;
        let sixteen = <[u8; 16]>::try_from(&bytes[..]).map_err(|_| DecodeError::OutOfRange)?;
        Ok(u128::from_be_bytes(sixteen))
    }

    /// A text of at most `limit` bytes.
    pub fn text(&mut self, limit: usize) -> Result<String, DecodeError> {
        let length = self.step(|rest| decode::read_str_len(rest).map_err(value_error))?;
        let bytes = self.cut(length)?;
        if bytes.len() > limit {
            return Err(DecodeError::TooMany { limit });
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| DecodeError::NotUtf8)?;
        Ok(text.to_owned())
    }

    /// Whether the next value is nil; if so it is consumed.
    pub fn nil(&mut self) -> Result<bool, DecodeError> {
        let nil = self.marker()? == Marker::Null;
        if nil {
            self.at += 1;
        }
        Ok(nil)
    }

    /// Enters an array.
    ///
    /// # Errors
    /// When the next value is no array, has more elements than the frame has bytes, or nests too deep.
    pub fn open(&mut self) -> Result<Fields, DecodeError> {
        let left = self.step(|rest| decode::read_array_len(rest).map_err(value_error))?;
        if left as usize > self.rest().len() {
            return Err(DecodeError::BeyondFrame);
        }
        self.depth += 1;
        if self.depth > limits::DEPTH {
            return Err(DecodeError::TooDeep);
        }
        Ok(Fields { left })
    }

    /// The next field, which was there from the first version on.
    pub fn field<T: Wire>(&mut self, fields: &mut Fields) -> Result<T, DecodeError> {
        self.field_with(fields, T::read)
    }

    /// The next field, which was there from the first version on, in an encoding that is not its type's own.
    pub fn field_with<T>(
        &mut self,
        fields: &mut Fields,
        read: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        fields.left = fields.left.checked_sub(1).ok_or(DecodeError::MissingField)?;
        read(self)
    }

    /// The next field, or its default when the writer did not know it yet.
    pub fn field_or<T: Wire>(
        &mut self,
        fields: &mut Fields,
        default: impl FnOnce() -> T,
    ) -> Result<T, DecodeError> {
        match fields.left.checked_sub(1) {
            Some(left) => {
                fields.left = left;
                T::read(self)
            }
            None => Ok(default()),
        }
    }

    /// Leaves an array, skipping the fields that this version does not know.
    pub fn close(&mut self, fields: Fields) -> Result<(), DecodeError> {
        for _ in 0..fields.left {
            self.skip()?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Leaves an array that never grows, because something stored for good contains it and would lose the field.
    ///
    /// # Errors
    /// [`DecodeError::SurplusField`] when a field is left.
    pub fn close_exactly(&mut self, fields: Fields) -> Result<(), DecodeError> {
        self.depth -= 1;
        if fields.left == 0 { Ok(()) } else { Err(DecodeError::SurplusField) }
    }

    /// Leaves an array, keeping the fields that this version does not know.
    pub fn close_keeping(&mut self, fields: Fields) -> Result<Surplus, DecodeError> {
        let (count, start) = (fields.left, self.at);
        self.close(fields)?;
        if count == 0 {
            return Ok(Surplus::NONE);
        }
        Ok(Surplus::new(count, self.slice_from(start)))
    }

    /// A list of at most `limit` elements, each handed to `push`. The caller allocates as elements arrive, never by the
    /// announced number alone.
    pub fn each(
        &mut self,
        limit: usize,
        mut push: impl FnMut(&mut Reader) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let fields = self.open()?;
        if fields.left as usize > limit {
            return Err(DecodeError::TooMany { limit });
        }
        for _ in 0..fields.left {
            push(self)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Passes over one value of any type.
    ///
    /// # Errors
    /// When there is none, or it nests too deep.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        // The number of values still to pass, per level that was entered.
        let mut levels = [0u64; limits::DEPTH];
        let mut level = 0;
        levels[0] = 1;
        loop {
            while levels[level] == 0 {
                if level == 0 {
                    return Ok(());
                }
                level -= 1;
            }
            levels[level] -= 1;
            let children = self.skip_head()?;
            if children > 0 {
                level += 1;
                if self.depth + level > limits::DEPTH || level == limits::DEPTH {
                    return Err(DecodeError::TooDeep);
                }
                levels[level] = children;
            }
        }
    }

    /// Passes over one value's head and bytes; returns how many values it contains.
    fn skip_head(&mut self) -> Result<u64, DecodeError> {
        let marker = self.marker()?;
        let (head, body, children) = match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
                (1, 0, 0)
            }
            Marker::U8 | Marker::I8 => (2, 0, 0),
            Marker::U16 | Marker::I16 => (3, 0, 0),
            Marker::U32 | Marker::I32 | Marker::F32 => (5, 0, 0),
            Marker::U64 | Marker::I64 | Marker::F64 => (9, 0, 0),
            Marker::FixStr(length) => (1, u64::from(length), 0),
            Marker::Str8 | Marker::Bin8 => (2, self.length_at(1)?, 0),
            Marker::Str16 | Marker::Bin16 => (3, self.length_at(2)?, 0),
            Marker::Str32 | Marker::Bin32 => (5, self.length_at(4)?, 0),
            Marker::FixArray(count) => (1, 0, u64::from(count)),
            Marker::Array16 => (3, 0, self.length_at(2)?),
            Marker::Array32 => (5, 0, self.length_at(4)?),
            Marker::FixMap(pairs) => (1, 0, 2 * u64::from(pairs)),
            Marker::Map16 => (3, 0, 2 * self.length_at(2)?),
            Marker::Map32 => (5, 0, 2 * self.length_at(4)?),
            Marker::FixExt1 => (2, 1, 0),
            Marker::FixExt2 => (2, 2, 0),
            Marker::FixExt4 => (2, 4, 0),
            Marker::FixExt8 => (2, 8, 0),
            Marker::FixExt16 => (2, 16, 0),
            Marker::Ext8 => (3, self.length_at(1)?, 0),
            Marker::Ext16 => (4, self.length_at(2)?, 0),
            Marker::Ext32 => (6, self.length_at(4)?, 0),
            Marker::Reserved => return Err(DecodeError::WrongType),
        };
        let left = self.rest().len() as u64;
        if head > left {
            return Err(DecodeError::Truncated);
        }
        // Each contained value is one byte at least.
        if body > left - head || children > left - head {
            return Err(DecodeError::BeyondFrame);
        }
        self.at += (head + body) as usize;
        Ok(children)
    }

    /// The big-endian length of `width` bytes behind the marker.
    fn length_at(&self, width: usize) -> Result<u64, DecodeError> {
        let bytes = self.rest().get(1..1 + width).ok_or(DecodeError::Truncated)?;
        Ok(bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)))
    }

    fn marker(&self) -> Result<Marker, DecodeError> {
        self.rest().first().map(|byte| Marker::from_u8(*byte)).ok_or(DecodeError::Truncated)
    }

    fn cut(&mut self, length: u32) -> Result<Bytes, DecodeError> {
        let length = length as usize;
        if length > self.rest().len() {
            return Err(DecodeError::BeyondFrame);
        }
        let start = self.at;
        self.at += length;
        Ok(self.frame.slice(start..self.at))
    }

    fn rest(&self) -> &[u8] {
        &self.frame[self.at..]
    }

    fn step<T>(
        &mut self,
        read: impl FnOnce(&mut &[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut rest = &self.frame[self.at..];
        let value = read(&mut rest)?;
        self.at = self.frame.len() - rest.len();
        Ok(value)
    }
}

fn value_error<E: RmpReadErr>(error: ValueReadError<E>) -> DecodeError {
    match error {
        ValueReadError::InvalidMarkerRead(_) | ValueReadError::InvalidDataRead(_) => {
            DecodeError::Truncated
        }
        ValueReadError::TypeMismatch(_) => DecodeError::WrongType,
    }
}

fn number_error<E: RmpReadErr>(error: decode::NumValueReadError<E>) -> DecodeError {
    match error {
        decode::NumValueReadError::InvalidMarkerRead(_)
        | decode::NumValueReadError::InvalidDataRead(_) => DecodeError::Truncated,
        decode::NumValueReadError::TypeMismatch(_) => DecodeError::WrongType,
        decode::NumValueReadError::OutOfRange => DecodeError::OutOfRange,
    }
}
