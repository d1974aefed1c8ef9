//! Which state of a fact somebody holds, without its body: what digests are compared by, and what piggybacks on
//! membership datagrams as news. Whoever lacks the body pulls it.

use crate::facts::fact::{FactDigest, FactKey, FactVersion};
use crate::wire::{self, DecodeError, Reader};

/// A fact's name, version and digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactSummary {
    /// The fact.
    pub key: FactKey,
    /// The version held.
    pub version: FactVersion,
    /// The digest of the whole state.
    pub digest: FactDigest,
}

impl FactSummary {
    /// Appends `[kind, name, lamport, node, digest]`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        wire::write_array_len(out, 5);
        wire::write_uint(out, u64::from(self.key.kind.0));
        wire::write_bin(out, &self.key.name);
        wire::write_uint(out, self.version.lamport);
        wire::write_bin(out, &self.version.node.to_bytes());
        wire::write_bin(out, &self.digest.0);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<FactSummary, DecodeError> {
        let mut fields = reader.array()?;
        let key = FactKey::decode(fields.uint()?, fields.bin()?)?;
        let version = FactVersion::decode(fields.uint()?, fields.fixed()?)?;
        let digest = FactDigest(fields.fixed()?);
        fields.skip_rest()?;
        Ok(FactSummary { key, version, digest })
    }
}
