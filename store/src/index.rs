//! The seam to the ordered index: from a record's key to its place in the log.
//!
//! The index is derived. Everything in it can be computed again from the segments, so it may be lost, but it must never
//! be *silently* wrong. Two habits see to that. Every batch carries a [`Sentinel`], which says how far the index is and
//! what its entries add up to, and takes effect together with the batch's changes. And absence is never taken for death:
//! a record that the log holds and the index does not name is damage.
//!
//! Implementations: [`crate::memory_index`] for simulations, and the one file that knows sled. One suite,
//! `conformance`, runs over both.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::location::{Location, SegmentId};
use crate::random::mix;

/// A record's key as the index orders it: class, partition, bucket, key (see `RecordKey`'s index bytes).
pub type IndexKey = Arc<[u8]>;

/// What the index says of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// The sequence of the newest record (or removal marker) of the key.
    pub sequence: u64,
    /// Where it is.
    pub location: Location,
    /// What it is.
    pub state: EntryState,
    /// Live values; 0 for a tombstone or a marker.
    pub values: u16,
    /// Bytes of all live values together, saturating.
    pub value_bytes: u32,
    /// Digest of the live versions: equal for replicas that would answer a read alike.
    pub digest: u128,
}

/// What an index entry stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryState {
    /// A record; a tombstone, too, is one.
    Record,
    /// A removal marker: the key is gone, but older records of it may still lie in segments up to `covers_through`, and
    /// must not come back.
    Removed {
        /// The highest segment that can hold what the marker covers.
        covers_through: SegmentId,
    },
}

impl IndexEntry {
    /// Whether this is a removal marker.
    pub fn is_removed(&self) -> bool {
        matches!(self.state, EntryState::Removed { .. })
    }
}

/// How far the index is and what its entries add up to. The whole index agrees with it or is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sentinel {
    /// The store that the index belongs to.
    pub store_id: u128,
    /// Every batch of the log up to this one is reflected in the index.
    pub batch: u64,
    /// The sum of all entries.
    pub sum: EntrySum,
}

/// A count and a checksum over a set of entries that follow every change without looking at the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EntrySum {
    /// Entries, markers included.
    pub entries: u64,
    /// Sum of a hash of (key, sequence) over all entries, modulo 2^64.
    pub hash: u64,
}

impl EntrySum {
    /// Adds the entry of a key at a sequence.
    pub fn add(&mut self, key: &[u8], sequence: u64) {
        self.entries = self.entries.wrapping_add(1);
        self.hash = self.hash.wrapping_add(entry_hash(key, sequence));
    }

    /// Takes away what [`EntrySum::add`] added.
    pub fn subtract(&mut self, key: &[u8], sequence: u64) {
        self.entries = self.entries.wrapping_sub(1);
        self.hash = self.hash.wrapping_sub(entry_hash(key, sequence));
    }
}

/// Guards against loss, not against an adversary: FNV over the key, scrambled with the sequence.
fn entry_hash(key: &[u8], sequence: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in key.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash =
            (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }
    mix(hash ^ mix(sequence) ^ key.len() as u64)
}

/// Changes that take effect together, with the sentinel that holds after them.
#[derive(Clone, Debug, Default)]
pub struct IndexBatch {
    /// Changes in ascending key order, at most one for a key; `None` removes the entry.
    pub changes: Vec<(IndexKey, Option<IndexEntry>)>,
    /// What the index says of itself afterwards.
    pub sentinel: Sentinel,
}

/// Why an index could not do what it was asked. The index is derived: whoever sees one of these may delete it and build
/// it anew from the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IndexError {
    /// It could not be opened, or it panicked while opening.
    #[error("the index cannot be opened")]
    Unopenable,
    /// An entry does not decode.
    #[error("an index entry is damaged")]
    Damaged,
    /// Reading, writing or syncing failed; the state on disk is unknown.
    #[error("the index failed to read or write")]
    Io,
    /// The disk is full.
    #[error("the index has no space left")]
    NoSpace,
}

/// An ordered map from keys to entries. Shared between the shard's workers; one of them alone applies and flushes.
pub trait Index: Send + Sync + 'static {
    /// The entry of a key.
    ///
    /// # Errors
    /// What the index says.
    fn get(&self, key: &[u8]) -> Result<Option<IndexEntry>, IndexError>;

    /// Applies a batch. Either all of it or nothing survives a crash, and batches survive in order: a later one never
    /// without an earlier one.
    ///
    /// # Errors
    /// What the index says; then the index is in doubt.
    fn apply(&self, batch: &IndexBatch) -> Result<(), IndexError>;

    /// Visits entries in ascending key order, from the first key at or after `start`, until the visitor breaks. The
    /// sentinel is not among them.
    ///
    /// # Errors
    /// What the index says.
    fn scan(
        &self,
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &IndexEntry) -> ControlFlow<()>,
    ) -> Result<(), IndexError>;

    /// What the last batch said of the index; `None` when it is empty.
    ///
    /// # Errors
    /// What the index says.
    fn sentinel(&self) -> Result<Option<Sentinel>, IndexError>;

    /// Makes everything applied so far durable: after this, a power cut loses nothing of it.
    ///
    /// # Errors
    /// What the index says; then the index is in doubt.
    fn flush(&self) -> Result<(), IndexError>;

    /// Bytes on disk, as far as known.
    ///
    /// # Errors
    /// What the index says.
    fn size_on_disk(&self) -> Result<u64, IndexError>;
}

/// Opens the index of one shard, or gets it out of the way. Opening may fail or panic; both count as unopenable.
pub trait IndexOpener: Send + 'static {
    /// What it opens.
    type Index: Index;

    /// Opens the index, making an empty one when there is none.
    ///
    /// # Errors
    /// Whatever is wrong with it. The caller then destroys it and opens again.
    fn open(&mut self) -> Result<Self::Index, IndexError>;

    /// Deletes the index. The next `open` makes an empty one.
    ///
    /// # Errors
    /// [`IndexError::Io`] when the files cannot be deleted; then the shard cannot be opened.
    fn destroy(&mut self) -> Result<(), IndexError>;
}

/// Visits all entries of an index, ascending by key.
///
/// # Errors
/// What the index says while it is scanned.
pub fn visit_all<I: Index>(
    index: &I,
    mut visit: impl FnMut(&[u8], &IndexEntry),
) -> Result<(), IndexError> {
    index.scan(&[], &mut |key, entry| {
        visit(key, entry);
        ControlFlow::Continue(())
    })
}

/// Whether the whole index adds up to what it says of itself.
///
/// # Errors
/// What the index says while it is scanned.
pub fn verify<I: Index>(
    index: &I,
    mut visit: impl FnMut(&[u8], &IndexEntry),
) -> Result<bool, IndexError> {
    let Some(sentinel) = index.sentinel()? else { return Ok(false) };
    let mut sum = EntrySum::default();
    visit_all(index, |key, entry| {
        sum.add(key, entry.sequence);
        visit(key, entry);
    })?;
    Ok(sum == sentinel.sum)
}
