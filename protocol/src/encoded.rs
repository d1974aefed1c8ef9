//! A version set beside its encoding, made once.
//!
//! The same bytes go to every replica, into the log and into a repair. They are made when a set is minted, or kept as they
//! arrived; nobody encodes again.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::codec::{DecodeError, Reader, Wire, Writer, decode};
use crate::limits;
use crate::version::VersionSet;

/// A version set and its encoding. Cheap to clone; dereferences to the set.
///
/// A small set that is read out of a frame gets memory of its own at once, because it is likely to stay: in a log or a table
/// it must not hold the whole frame, and decoding it a second time costs more than the copy.
#[derive(Clone, Debug)]
pub struct EncodedSet(Arc<Whole>);

#[derive(Debug)]
struct Whole {
    set: VersionSet,
    encoded: Bytes,
    /// The bytes are a part of the frame that they came in.
    is_in_frame: bool,
    /// Made when it is first asked for.
    digest: OnceLock<SetDigest>,
}

/// BLAKE3-128 of a set's encoding, by which two owners find out whether they hold the very same. Sets with equal digests are
/// equal; equal sets whose bytes differ, which no writer of this version makes, only look different.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SetDigest(pub [u8; 16]);

impl Wire for SetDigest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0);
    }

    fn read(reader: &mut Reader) -> Result<SetDigest, DecodeError> {
        reader.sixteen().map(|number| SetDigest(number.to_be_bytes()))
    }
}

impl EncodedSet {
    /// Encodes a set that is known to be within the limits, as one that was just read is.
    ///
    /// # Panics
    /// On a set that no reader takes. What was merged or minted goes through [`EncodedSet::bounded`].
    pub fn new(set: &VersionSet) -> EncodedSet {
        EncodedSet::bounded(set).expect("a set within the limits")
    }

    /// Encodes a set. The result shares no memory with the set's values, so it holds no received frame in memory.
    ///
    /// # Errors
    /// The limit that the set is over: one that was merged or minted may have more clock entries or versions than any reader
    /// takes. No correct node brings a key there, but a node cannot choose what it is sent.
    pub fn bounded(set: &VersionSet) -> Result<EncodedSet, DecodeError> {
        let mut out = Vec::with_capacity(size_estimate(set));
        set.write(&mut Writer::new(&mut out));
        EncodedSet::decode(out.into())
    }

    /// Decodes a set and keeps the bytes; its values are slices of them.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(encoded: Bytes) -> Result<EncodedSet, DecodeError> {
        let set = decode(encoded.clone())?;
        Ok(EncodedSet::of(set, encoded, false))
    }

    fn of(set: VersionSet, encoded: Bytes, is_in_frame: bool) -> EncodedSet {
        EncodedSet(Arc::new(Whole { set, encoded, is_in_frame, digest: OnceLock::new() }))
    }

    /// The same set in memory of its own: for one that outlives the frame it came in.
    pub fn detached(&self) -> EncodedSet {
        if !self.0.is_in_frame {
            return self.clone();
        }
        EncodedSet::decode(Bytes::copy_from_slice(&self.0.encoded))
            .expect("a copy decodes as its original did")
    }

    /// The set.
    pub fn set(&self) -> &VersionSet {
        &self.0.set
    }

    /// The encoding's digest.
    pub fn digest(&self) -> SetDigest {
        *self.0.digest.get_or_init(|| {
            let hash = blake3::hash(&self.0.encoded);
            let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
            SetDigest(*first)
        })
    }

    /// The encoding.
    pub fn encoded(&self) -> &Bytes {
        &self.0.encoded
    }
}

/// About how long the encoding becomes, a little more rather than less: growing on the way would copy the values again.
fn size_estimate(set: &VersionSet) -> usize {
    let versions = set
        .versions()
        .iter()
        .map(|(_, version)| version.value.len() + 16 * version.superseded.len());
    let deletions = set.deletions().iter().map(|(_, deletion)| 16 * deletion.superseded.len());
    let heads = 56 * (set.versions().len() + set.deletions().len()) + 18 * set.clock().len() + 16;
    versions.sum::<usize>() + deletions.sum::<usize>() + heads
}

impl Deref for EncodedSet {
    type Target = VersionSet;

    fn deref(&self) -> &VersionSet {
        &self.0.set
    }
}

/// Equal sets are equal, whatever bytes they arrived in.
impl PartialEq for EncodedSet {
    fn eq(&self, other: &EncodedSet) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.set == other.0.set
    }
}

impl Eq for EncodedSet {}

impl Wire for EncodedSet {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.encoded(&self.0.encoded);
    }

    fn read(reader: &mut Reader) -> Result<EncodedSet, DecodeError> {
        let start = reader.position();
        reader.skip()?;
        let in_frame = reader.slice_from(start);
        if in_frame.len() <= limits::COPIED_SET_BYTES {
            return EncodedSet::decode(Bytes::copy_from_slice(&in_frame));
        }
        let set = decode(in_frame.clone())?;
        Ok(EncodedSet::of(set, in_frame, true))
    }
}
