//! The durable form of all facts: one file, written whole. Writing it atomically is the caller's business.
//!
//! `KVORUMFACTS`, a format byte, a msgpack array of facts, and BLAKE3 over all before it.

use crate::facts::fact::Fact;
use crate::facts::set::{FactSet, Merged};
use crate::limits;
use crate::wire::{self, DecodeError, Reader};

const MAGIC: &[u8; 11] = b"KVORUMFACTS";
const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 32;

/// A facts file that cannot be read. Nothing was taken from it; the facts can be had from any other node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not a facts file.
    #[error("not a facts file")]
    Magic,
    /// Written by a later version.
    #[error("facts file of format {0}; this version reads up to {FORMAT}")]
    Format(u8),
    /// The checksum does not match.
    #[error("the facts file is damaged")]
    Damaged,
    /// The checksum matches and the content makes no sense.
    #[error("the facts file does not decode: {0}")]
    Content(#[from] DecodeError),
}

/// Encodes all facts.
pub fn encode_file(facts: &FactSet) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(FORMAT);
    wire::write_array_len(
        &mut out,
        u32::try_from(facts.len()).expect("a set holds at most MAX_FACTS facts"),
    );
    for fact in facts.iter() {
        fact.encode(&mut out);
    }
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}

/// Decodes what [`encode_file`] wrote.
///
/// # Errors
/// [`FileError`] when the bytes are not an intact facts file of a known format.
pub fn decode_file(bytes: &[u8]) -> Result<FactSet, FileError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(FileError::Magic)?;
    let format = *rest.first().ok_or(FileError::Damaged)?;
    if format != FORMAT {
        return Err(FileError::Format(format));
    }
    let end = bytes
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .filter(|end| *end > MAGIC.len())
        .ok_or(FileError::Damaged)?;
    if blake3::hash(&bytes[..end]).as_bytes() != &bytes[end..] {
        return Err(FileError::Damaged);
    }
    let mut reader = Reader::new(&bytes[MAGIC.len() + 1..end]);
    let mut facts = FactSet::default();
    for _ in 0..reader.array_len()? {
        if facts.merge(Fact::decode(&mut reader)?) == Merged::Full {
            return Err(FileError::Content(DecodeError::Range));
        }
    }
    reader.finish()?;
    debug_assert!(facts.len() <= limits::MAX_FACTS);
    Ok(facts)
}
