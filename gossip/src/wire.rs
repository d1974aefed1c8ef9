//! Reading and writing msgpack arrays by hand.
//!
//! Everything that this crate puts on the wire or the disk is an array whose fields are only ever appended. A reader
//! takes the fields that it knows and keeps the rest as raw bytes ([`Surplus`]), so that a node of an older version
//! passes on what a newer one wrote. Lengths are checked against the bytes at hand before anything is allocated.

use bytes::BufMut;

use crate::limits;

/// Bytes that are not what they should be. Nothing was kept of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of a value.
    #[error("the bytes end in the middle of a value")]
    Truncated,
    /// A value has another type than this field.
    #[error("a field has the wrong type")]
    Type,
    /// A value is out of its range.
    #[error("a field is out of its range")]
    Range,
    /// A field without a default is missing.
    #[error("a required field is missing")]
    Missing,
    /// Unknown fields nest deeper than [`limits::MAX_DEPTH`].
    #[error("nested deeper than {max}", max = limits::MAX_DEPTH)]
    Depth,
    /// Bytes follow the end.
    #[error("bytes follow the end")]
    Trailing,
    /// A message of a kind that this version does not know.
    #[error("unknown message kind {0}")]
    UnknownKind(u64),
}

/// Fields that a newer version appended, kept as they came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Surplus {
    count: u32,
    bytes: Vec<u8>,
}

impl Surplus {
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
    }

    /// Bytes that the fields take.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A cursor over encoded bytes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Begins an array and gives its fields one by one.
    pub(crate) fn array(&mut self) -> Result<Fields<'_, 'a>, DecodeError> {
        let left = self.array_len()?;
        Ok(Fields { reader: self, left })
    }

    pub(crate) fn array_len(&mut self) -> Result<u32, DecodeError> {
        rmp::decode::read_array_len(&mut self.rest).map_err(value_error)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, DecodeError> {
        rmp::decode::read_int(&mut self.rest).map_err(|error| match error {
            rmp::decode::NumValueReadError::TypeMismatch(_) => DecodeError::Type,
            rmp::decode::NumValueReadError::OutOfRange => DecodeError::Range,
            _ => DecodeError::Truncated,
        })
    }

    pub(crate) fn bin(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = rmp::decode::read_bin_len(&mut self.rest).map_err(value_error)?;
        self.take(length as usize)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = rmp::decode::read_str_len(&mut self.rest).map_err(value_error)?;
        std::str::from_utf8(self.take(length as usize)?).map_err(|_| DecodeError::Type)
    }

    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Steps over one value of any type.
    fn skip(&mut self) -> Result<(), DecodeError> {
        // How many values are still open at each level; a stack of our own, because the bytes choose the depth.
        let mut open = [0u64; limits::MAX_DEPTH];
        let mut depth = 0;
        open[0] = 1;
        loop {
            while open[depth] == 0 {
                if depth == 0 {
                    return Ok(());
                }
                depth -= 1;
            }
            open[depth] -= 1;
            let children = self.skip_head()?;
            if children > 0 {
                depth += 1;
                *open.get_mut(depth).ok_or(DecodeError::Depth)? = children;
            }
        }
    }

    /// Steps over one marker and its own bytes; says how many values lie inside it.
    fn skip_head(&mut self) -> Result<u64, DecodeError> {
        use rmp::Marker;
        let marker =
            rmp::decode::read_marker(&mut self.rest).map_err(|_| DecodeError::Truncated)?;
        let (own, children) = match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
                (0, 0)
            }
            Marker::U8 | Marker::I8 => (1, 0),
            Marker::U16 | Marker::I16 => (2, 0),
            Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
            Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
            Marker::FixStr(length) => (length as usize, 0),
            Marker::Str8 | Marker::Bin8 => (self.length(1)?, 0),
            Marker::Str16 | Marker::Bin16 => (self.length(2)?, 0),
            Marker::Str32 | Marker::Bin32 => (self.length(4)?, 0),
            Marker::FixArray(count) => (0, u64::from(count)),
            Marker::Array16 => (0, self.length(2)? as u64),
            Marker::Array32 => (0, self.length(4)? as u64),
            Marker::FixMap(count) => (0, 2 * u64::from(count)),
            Marker::Map16 => (0, 2 * self.length(2)? as u64),
            Marker::Map32 => (0, 2 * self.length(4)? as u64),
            Marker::FixExt1 => (2, 0),
            Marker::FixExt2 => (3, 0),
            Marker::FixExt4 => (5, 0),
            Marker::FixExt8 => (9, 0),
            Marker::FixExt16 => (17, 0),
            Marker::Ext8 => (self.length(1)? + 1, 0),
            Marker::Ext16 => (self.length(2)? + 1, 0),
            Marker::Ext32 => (self.length(4)? + 1, 0),
            Marker::Reserved => return Err(DecodeError::Type),
        };
        self.take(own)?;
        Ok(children)
    }

    fn length(&mut self, bytes: usize) -> Result<usize, DecodeError> {
        Ok(self.take(bytes)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }
}

fn value_error(error: rmp::decode::ValueReadError) -> DecodeError {
    match error {
        rmp::decode::ValueReadError::TypeMismatch(_) => DecodeError::Type,
        _ => DecodeError::Truncated,
    }
}

/// The fields of one array, in order.
pub(crate) struct Fields<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: u32,
}

impl<'a> Fields<'_, 'a> {
    /// The reader, standing at the next field, which counts as read.
    pub(crate) fn next(&mut self) -> Result<&mut Reader<'a>, DecodeError> {
        self.left = self.left.checked_sub(1).ok_or(DecodeError::Missing)?;
        Ok(self.reader)
    }

    pub(crate) fn uint<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.next()?.uint()?).map_err(|_| DecodeError::Range)
    }

    pub(crate) fn bin(&mut self) -> Result<&'a [u8], DecodeError> {
        self.next()?.bin()
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.bin()?.try_into().map_err(|_| DecodeError::Range)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        self.next()?.text()
    }

    /// Steps over what this version does not know.
    pub(crate) fn skip_rest(self) -> Result<(), DecodeError> {
        for _ in 0..self.left {
            self.reader.skip()?;
        }
        Ok(())
    }

    /// Keeps what this version does not know.
    pub(crate) fn surplus(self) -> Result<Surplus, DecodeError> {
        let (count, before) = (self.left, self.reader.rest);
        for _ in 0..count {
            self.reader.skip()?;
        }
        let length = before.len() - self.reader.rest.len();
        Ok(Surplus { count, bytes: before[..length].to_vec() })
    }
}

/// Writing goes to memory, which cannot fail.
const TO_MEMORY: &str = "writing to memory does not fail";

pub(crate) fn write_array_len(out: &mut Vec<u8>, count: u32) {
    rmp::encode::write_array_len(out, count).expect(TO_MEMORY);
}

pub(crate) fn write_uint(out: &mut Vec<u8>, value: u64) {
    rmp::encode::write_uint(out, value).expect(TO_MEMORY);
}

pub(crate) fn write_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    rmp::encode::write_bin(out, bytes).expect(TO_MEMORY);
}

pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    rmp::encode::write_str(out, text).expect(TO_MEMORY);
}

/// Puts all of `encoded` into `buf`, or nothing when it does not fit.
pub(crate) fn put_whole(encoded: &[u8], mut buf: impl BufMut) -> bool {
    let fits = buf.remaining_mut() >= encoded.len();
    if fits {
        buf.put_slice(encoded);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, Reader, write_array_len, write_bin, write_text, write_uint};

    #[test]
    fn unknown_fields_are_kept_byte_for_byte() {
        let mut newer = Vec::new();
        write_array_len(&mut newer, 4);
        write_uint(&mut newer, 7);
        let known = newer.len();
        write_array_len(&mut newer, 2);
        write_text(&mut newer, "new");
        write_bin(&mut newer, &[1, 2, 3]);
        newer.extend_from_slice(&[0x82, 1, 0xc3, 2, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0]);
        newer.extend_from_slice(&[0xc7, 2, 9, 8, 7]);

        let mut reader = Reader::new(&newer);
        let mut fields = reader.array().unwrap();
        assert_eq!(fields.uint::<u8>(), Ok(7));
        let surplus = fields.surplus().unwrap();
        reader.finish().unwrap();

        let mut again = Vec::new();
        write_array_len(&mut again, 1 + surplus.count());
        write_uint(&mut again, 7);
        surplus.write(&mut again);
        assert_eq!(again, newer);
        assert_eq!(surplus.len(), newer.len() - known);
    }

    #[test]
    fn every_truncation_and_any_depth_is_an_error_and_never_a_panic() {
        let mut bytes = Vec::new();
        write_array_len(&mut bytes, 2);
        write_array_len(&mut bytes, 1);
        write_bin(&mut bytes, &[0; 300]);
        write_text(&mut bytes, "text");
        for end in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..end]);
            assert!(reader.array().and_then(|fields| fields.skip_rest()).is_err(), "cut at {end}");
        }
        let deep = [0x91; 64];
        let mut reader = Reader::new(&deep);
        assert_eq!(reader.array().and_then(|fields| fields.skip_rest()), Err(DecodeError::Depth));
        // A length far beyond the bytes at hand allocates nothing.
        let mut reader = Reader::new(&[0xdd, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(
            reader.array().and_then(|fields| fields.surplus().map(|_| ())),
            Err(DecodeError::Truncated)
        );
    }
}
