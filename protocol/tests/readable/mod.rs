//! The readable form of a message: JSON from which its bytes follow without knowing any type.
//!
//! An object is an array of its values, in their order; a string says what it stands for (`bytes:`, `hex:`, `text:`, and
//! `uint:` for numbers beyond 2^53, which JavaScript's numbers cannot hold). A program in any language can encode it
//! with a msgpack library alone, and its names explain the bytes to a person.

use std::fmt;

use kvorum_protocol::codec::Writer;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value in its readable form.
#[derive(Clone, Debug)]
pub(crate) enum Readable {
    Nil,
    Bool(bool),
    Uint(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Readable>),
    /// A struct, or a tag with its fields: grows in later versions.
    Fields(Vec<Readable>),
}

impl Readable {
    /// The encoding. With `surplus` every struct has a field more, `[0, "later"]`, as a later version might write it.
    pub(crate) fn write(&self, surplus: bool, writer: &mut Writer<'_>) {
        match self {
            Readable::Nil => writer.nil(),
            Readable::Bool(truth) => writer.bool(*truth),
            Readable::Uint(number) => writer.uint(*number),
            Readable::Text(text) => writer.text(text),
            Readable::Bytes(bytes) => writer.bytes(bytes),
            Readable::List(elements) => {
                writer.array(elements.len() as u32);
                elements.iter().for_each(|element| element.write(surplus, writer));
            }
            Readable::Fields(fields) => {
                writer.array(fields.len() as u32 + u32::from(surplus));
                fields.iter().for_each(|field| field.write(surplus, writer));
                if surplus {
                    writer.array(2);
                    writer.uint(0);
                    writer.text("later");
                }
            }
        }
    }
}

/// The bytes in hex digits.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Readable, D::Error> {
        deserializer.deserialize_any(ReadableVisitor)
    }
}

/// By hand, because the order of an object's values matters here and JSON libraries forget it.
struct ReadableVisitor;

impl<'de> Visitor<'de> for ReadableVisitor {
    type Value = Readable;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the readable form of a message")
    }

    fn visit_unit<E: Error>(self) -> Result<Readable, E> {
        Ok(Readable::Nil)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Readable, E> {
        Ok(Readable::Bool(truth))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Readable, E> {
        Ok(Readable::Uint(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Readable, E> {
        let unknown = || E::custom("a string begins with bytes:, hex:, text: or uint:");
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        match kind {
            "bytes" => Ok(Readable::Bytes(rest.as_bytes().to_vec())),
            "hex" => Ok(Readable::Bytes(unhex(rest))),
            "text" => Ok(Readable::Text(rest.to_owned())),
            "uint" => rest.parse().map(Readable::Uint).map_err(E::custom),
            _ => Err(unknown()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Readable, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Readable::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Readable, A::Error> {
        let mut fields = Vec::new();
        while let Some((_, field)) = map.next_entry::<String, Readable>()? {
            fields.push(field);
        }
        Ok(Readable::Fields(fields))
    }
}
