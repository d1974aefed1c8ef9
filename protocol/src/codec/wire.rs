//! How each type is written and read.

use bytes::Bytes;
use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionId};

use super::error::DecodeError;
use super::reader::{Fields, Reader};
use super::writer::Writer;
use crate::limits;

/// A type with an encoding. Reading what was written gives an equal value.
pub trait Wire: Sized {
    /// Appends the value.
    fn write(&self, writer: &mut Writer<'_>);

    /// Reads a value.
    ///
    /// # Errors
    /// When the bytes at the reader's position are none.
    fn read(reader: &mut Reader) -> Result<Self, DecodeError>;
}

/// A type that is written as a number of fields in a row, so that a tag or a request id can stand in front of them in the
/// same array.
pub trait WireFields: Sized {
    /// How many fields this version writes.
    const COUNT: u32;

    /// Appends the fields.
    fn write_fields(&self, writer: &mut Writer<'_>);

    /// Reads the fields of an opened array; the caller closes it.
    ///
    /// # Errors
    /// When a field is wrong or a required one is missing.
    fn read_fields(reader: &mut Reader, fields: &mut Fields) -> Result<Self, DecodeError>;
}

/// A choice between several kinds, each with a pinned tag: `[tag, field, ...]`, or `[tag, request id, field, ...]`.
pub trait Tagged: Sized {
    /// The kind's tag.
    fn tag(&self) -> u32;

    /// Appends the value, with a request id behind its tag if there is one.
    fn write_tagged(&self, request_id: Option<u64>, writer: &mut Writer<'_>);

    /// Reads the fields of the kind `tag`; the caller read the tag and the request id, and closes the array.
    ///
    /// # Errors
    /// [`DecodeError::UnknownTag`], or what is wrong with a field.
    fn read_tagged(tag: u32, reader: &mut Reader, fields: &mut Fields)
    -> Result<Self, DecodeError>;
}

/// The encoding of a value, in bytes of its own.
pub fn encode<T: Wire>(value: &T) -> Bytes {
    let mut out = Vec::new();
    value.write(&mut Writer::new(&mut out));
    Bytes::from(out)
}

/// Decodes bytes that hold one value and nothing else.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode<T: Wire>(bytes: Bytes) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = T::read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn write(&self, writer: &mut Writer<'_>) {
                writer.uint(u64::from(*self));
            }
            fn read(reader: &mut Reader) -> Result<$type, DecodeError> {
                <$type>::try_from(reader.uint()?).map_err(|_| DecodeError::OutOfRange)
            }
        }
    )*};
}
number!(u8, u16, u32, u64);

impl Wire for bool {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bool(*self);
    }
    fn read(reader: &mut Reader) -> Result<bool, DecodeError> {
        reader.bool()
    }
}

impl Wire for Bytes {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(self);
    }
    fn read(reader: &mut Reader) -> Result<Bytes, DecodeError> {
        reader.bytes()
    }
}

impl Wire for String {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(self);
    }
    fn read(reader: &mut Reader) -> Result<String, DecodeError> {
        reader.text(limits::TEXT_BYTES)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Some(value) => value.write(writer),
            None => writer.nil(),
        }
    }
    fn read(reader: &mut Reader) -> Result<Option<T>, DecodeError> {
        if reader.nil()? { Ok(None) } else { T::read(reader).map(Some) }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn write(&self, writer: &mut Writer<'_>) {
        T::write(self, writer);
    }

    fn read(reader: &mut Reader) -> Result<Box<T>, DecodeError> {
        T::read(reader).map(Box::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(self.len() as u32);
        for element in self {
            element.write(writer);
        }
    }
    fn read(reader: &mut Reader) -> Result<Vec<T>, DecodeError> {
        let mut elements = Vec::new();
        reader.each(limits::LIST_ITEMS, |reader| {
            elements.push(T::read(reader)?);
            Ok(())
        })?;
        Ok(elements)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(2);
        self.0.write(writer);
        self.1.write(writer);
    }
    fn read(reader: &mut Reader) -> Result<(A, B), DecodeError> {
        let mut fields = reader.open()?;
        let pair = (reader.field(&mut fields)?, reader.field(&mut fields)?);
        reader.close(fields)?;
        Ok(pair)
    }
}

impl Wire for NodeId {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.to_bytes());
    }
    fn read(reader: &mut Reader) -> Result<NodeId, DecodeError> {
        reader.sixteen().map(NodeId)
    }
}

impl Wire for KeyHash {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.to_bytes());
    }
    fn read(reader: &mut Reader) -> Result<KeyHash, DecodeError> {
        reader.sixteen().map(KeyHash)
    }
}

impl Wire for PartitionId {
    fn write(&self, writer: &mut Writer<'_>) {
        self.0.write(writer);
    }
    fn read(reader: &mut Reader) -> Result<PartitionId, DecodeError> {
        u32::read(reader).map(PartitionId)
    }
}

impl Wire for ClassId {
    fn write(&self, writer: &mut Writer<'_>) {
        self.0.write(writer);
    }
    fn read(reader: &mut Reader) -> Result<ClassId, DecodeError> {
        u8::read(reader).map(ClassId)
    }
}
