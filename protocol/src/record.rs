//! What a store keeps for one key.

use bytes::Bytes;
use kvorum_ring::NodeId;

use crate::codec::{DecodeError, Reader, Surplus, Wire, Writer};
use crate::encoded::EncodedSet;
use crate::key::RecordKey;
use crate::limits;
use crate::version::Actor;

/// The number of one run of a node's process: drawn at random when the store is opened, and again when it lost records, so
/// that no run has the number of an earlier one. Runs have no order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Run(pub u64);

/// The actor that this node minted under, and the run that did. Local to the node: it never travels, and nothing that
/// arrives sets it. Never grows a field. See [`actor_rule`](crate::actor_rule).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The actor.
    pub actor: Actor,
    /// The run in which this node minted under it.
    pub run: Run,
}

/// One key's record. Its sequence number stands in the log's frame around it.
///
/// Encoded as one byte of format version and then an array `[key, set, mark or nil, hinted for, spare]`. The last is left
/// out while it is false and nothing follows it; fields of later versions are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Which key, in which space.
    pub key: RecordKey,
    /// What the key holds.
    pub set: EncodedSet,
    /// The actor to go on minting under, if any.
    pub mark: Option<Mark>,
    /// The owners that a fallback keeps the record for; empty in the space of owners.
    pub hinted_for: Vec<NodeId>,
    /// Of a fallback's record: enough owners have all that it holds, so that its loss would lose nothing.
    pub spare: bool,
    /// Fields of a later version of this format.
    pub surplus: Surplus,
}

/// The format that this version writes. A reader refuses a higher one: appended fields need no new number, so a new one
/// means that the old reader would misunderstand.
pub const RECORD_FORMAT: u8 = 1;

impl Record {
    /// A record without mark and hints.
    pub fn new(key: RecordKey, set: EncodedSet) -> Record {
        let (hinted_for, surplus) = (Vec::new(), Surplus::NONE);
        Record { key, set, mark: None, hinted_for, spare: false, surplus }
    }

    /// Appends the encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(RECORD_FORMAT);
        let mut writer = Writer::new(out);
        let names_spare = self.spare || self.surplus.count() > 0;
        writer.array(4 + u32::from(names_spare) + self.surplus.count());
        self.key.write(&mut writer);
        self.set.write(&mut writer);
        self.mark.write(&mut writer);
        self.hinted_for.write(&mut writer);
        if names_spare {
            self.spare.write(&mut writer);
        }
        writer.encoded(self.surplus.encoded());
    }

    /// Decodes bytes that hold one record and nothing else. Values are slices of them.
    ///
    /// # Errors
    /// What is wrong with the bytes: the record is damaged, or of a later format.
    pub fn decode(mut bytes: Bytes) -> Result<Record, DecodeError> {
        let format = *bytes.first().ok_or(DecodeError::Truncated)?;
        if format != RECORD_FORMAT {
            return Err(DecodeError::UnknownFormat(format));
        }
        let mut reader = Reader::new(bytes.split_off(1));
        let mut fields = reader.open()?;
        let key = reader.field(&mut fields)?;
        let set = reader.field(&mut fields)?;
        let mark = reader.field(&mut fields)?;
        let hinted_for: Vec<NodeId> = reader.field(&mut fields)?;
        if hinted_for.len() > limits::HINTED_FOR {
            return Err(DecodeError::TooMany { limit: limits::HINTED_FOR });
        }
        let spare = reader.field_or(&mut fields, || false)?;
        let surplus = reader.close_keeping(fields)?;
        reader.finish()?;
        Ok(Record { key, set, mark, hinted_for, spare, surplus })
    }
}

impl Wire for Run {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.uint(self.0);
    }

    fn read(reader: &mut Reader) -> Result<Run, DecodeError> {
        reader.uint().map(Run)
    }
}

impl Wire for Mark {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(2);
        self.actor.write(writer);
        self.run.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Mark, DecodeError> {
        let mut fields = reader.open()?;
        let mark = Mark { actor: reader.field(&mut fields)?, run: reader.field(&mut fields)? };
        reader.close_exactly(fields)?;
        Ok(mark)
    }
}
