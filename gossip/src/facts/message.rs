//! What two nodes say to each other to hold the same facts. Carried on the requests connection.

use crate::facts::fact::{Fact, FactDigest, FactKey};
use crate::facts::summary::FactSummary;
use crate::limits;
use crate::wire::{self, DecodeError, Reader};

/// One step of an exchange. Each can be lost without harm: the next exchange begins anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FactsMessage {
    /// "All that I hold has this digest." Whoever differs answers with its summaries.
    Digest(FactDigest),
    /// "I hold these states." The receiver pulls what it lacks and pushes what the sender lacks.
    Summaries(Vec<FactSummary>),
    /// "Send me these." Unknown names are passed over.
    Pull(Vec<FactKey>),
    /// Whole facts.
    Bodies(Vec<Fact>),
}

const DIGEST: u64 = 1;
const SUMMARIES: u64 = 2;
const PULL: u64 = 3;
const BODIES: u64 = 4;

impl FactsMessage {
    /// Appends `[kind, content]`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::write_array_len(out, 2);
        match self {
            FactsMessage::Digest(digest) => {
                wire::write_uint(out, DIGEST);
                wire::write_bin(out, &digest.0);
            }
            FactsMessage::Summaries(summaries) => {
                wire::write_uint(out, SUMMARIES);
                write_list(out, summaries, FactSummary::encode);
            }
            FactsMessage::Pull(keys) => {
                wire::write_uint(out, PULL);
                write_list(out, keys, |key, out| {
                    wire::write_array_len(out, 2);
                    wire::write_uint(out, u64::from(key.kind.0));
                    wire::write_bin(out, &key.name);
                });
            }
            FactsMessage::Bodies(facts) => {
                wire::write_uint(out, BODIES);
                write_list(out, facts, Fact::encode);
            }
        }
    }

    /// Decodes one whole message.
    ///
    /// # Errors
    /// [`DecodeError::UnknownKind`] for a message of a later version, which the caller passes over; any other when the
    /// bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<FactsMessage, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut fields = reader.array()?;
        let message = match fields.uint()? {
            DIGEST => FactsMessage::Digest(FactDigest(fields.fixed()?)),
            SUMMARIES => FactsMessage::Summaries(read_list(fields.next()?, FactSummary::decode)?),
            PULL => FactsMessage::Pull(read_list(fields.next()?, |reader| {
                let mut fields = reader.array()?;
                let key = FactKey::decode(fields.uint()?, fields.bin()?)?;
                fields.skip_rest()?;
                Ok(key)
            })?),
            BODIES => FactsMessage::Bodies(read_list(fields.next()?, Fact::decode)?),
            unknown => return Err(DecodeError::UnknownKind(unknown)),
        };
        fields.skip_rest()?;
        reader.finish()?;
        Ok(message)
    }
}

fn write_list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
    let count = u32::try_from(items.len()).expect("a node holds at most MAX_FACTS facts");
    wire::write_array_len(out, count);
    for item in items {
        write(item, out);
    }
}

fn read_list<T>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.array_len()? as usize;
    if count > limits::MAX_FACTS {
        return Err(DecodeError::Range);
    }
    // Grown as items arrive: the count is the sender's claim, and memory is given only for bytes that are there.
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(read(reader)?);
    }
    Ok(items)
}
