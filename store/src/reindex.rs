//! From log entries to index entries: the summary that an entry carries, and putting what a segment holds into the index.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_protocol::VersionSet;

use crate::index::{
    EntryState, EntrySum, Index, IndexBatch, IndexEntry, IndexError, IndexKey, Sentinel,
};
use crate::limits;
use crate::location::{Location, SegmentId};
use crate::log::entry::Logged;
use crate::log::walk::Found;

/// The index entry of a record.
pub(crate) fn record_entry(set: &VersionSet, sequence: u64, location: Location) -> IndexEntry {
    digested_entry(set, set.live_digest().0, sequence, location)
}

/// The index entry of a record whose live versions have this digest.
pub(crate) fn digested_entry(
    set: &VersionSet,
    digest: u128,
    sequence: u64,
    location: Location,
) -> IndexEntry {
    let (values, value_bytes) = summary(set);
    IndexEntry { sequence, location, state: EntryState::Record, values, value_bytes, digest }
}

/// The index entry of a removal marker.
pub(crate) fn removal_entry(
    covers_through: SegmentId,
    sequence: u64,
    location: Location,
) -> IndexEntry {
    let state = EntryState::Removed { covers_through };
    IndexEntry { sequence, location, state, values: 0, value_bytes: 0, digest: 0 }
}

/// The values that a reader sees and their bytes, saturating.
pub(crate) fn summary(set: &VersionSet) -> (u16, u32) {
    let bytes: usize = set.values().map(|(_, version)| version.value.len()).sum();
    let values = u16::try_from(set.values().count()).unwrap_or(u16::MAX);
    (values, u32::try_from(bytes).unwrap_or(u32::MAX))
}

fn index_entry(found: &Found) -> IndexEntry {
    match &found.logged {
        Logged::Record(record) => record_entry(&record.set, found.sequence, found.location),
        Logged::Removal { covers_through, .. } => {
            removal_entry(*covers_through, found.sequence, found.location)
        }
    }
}

/// Puts what segments hold into the index: the highest sequence of each key wins, in whatever order segments come.
#[derive(Debug)]
pub(crate) struct Reindex<'a, I> {
    index: &'a I,
    /// The segments that exist. An entry that names another one is replaced by an equal one that does not.
    existing: &'a BTreeSet<SegmentId>,
    sentinel: Sentinel,
    newest: BTreeMap<IndexKey, IndexEntry>,
    changed: u64,
    /// Nothing is in the index yet, so nothing needs to be looked up.
    is_empty: bool,
}

/// Whether an index entry is not to be replaced by one of this sequence: it is newer, or the same and in a segment that
/// exists.
pub(crate) fn stands(existing: &BTreeSet<SegmentId>, old: &IndexEntry, sequence: u64) -> bool {
    old.sequence > sequence || old.sequence == sequence && existing.contains(&old.location.segment)
}

/// Entries gathered before they are compared with the index: bounds memory, and sorts them well enough.
const GATHERED: usize = 256 * 1024;

impl<'a, I: Index> Reindex<'a, I> {
    pub(crate) fn new(
        index: &'a I,
        existing: &'a BTreeSet<SegmentId>,
        sentinel: Sentinel,
    ) -> Reindex<'a, I> {
        let is_empty = sentinel.sum == EntrySum::default();
        Reindex { index, existing, sentinel, newest: BTreeMap::new(), changed: 0, is_empty }
    }

    /// Takes in an entry of the log.
    pub(crate) fn add(&mut self, found: &Found) -> Result<(), IndexError> {
        let key = found.logged.key().to_index_bytes();
        match self.newest.get_mut(&*key) {
            Some(known) if known.sequence > found.sequence => {}
            // Of two copies of one marker the main one is named: bulk segments are read after it, and do not replace it.
            Some(known) if known.sequence == found.sequence && known.is_removed() => {}
            Some(known) => *known = index_entry(found),
            None => drop(self.newest.insert(key.into(), index_entry(found))),
        }
        if self.newest.len() >= GATHERED { self.flush() } else { Ok(()) }
    }

    /// Takes in what is known to be the newest of its key.
    pub(crate) fn put(&mut self, key: IndexKey, entry: IndexEntry) {
        self.newest.insert(key, entry);
    }

    /// What the index says of itself now.
    pub(crate) fn sentinel(&self) -> Sentinel {
        self.sentinel
    }

    /// Brings the index up to what was taken in.
    pub(crate) fn flush(&mut self) -> Result<(), IndexError> {
        let mut changes = Vec::new();
        for (key, new) in std::mem::take(&mut self.newest) {
            let old = if self.is_empty { None } else { self.index.get(&key)? };
            if old.is_some_and(|old| stands(self.existing, &old, new.sequence)) {
                continue;
            }
            if let Some(old) = old {
                self.sentinel.sum.subtract(&key, old.sequence);
            }
            self.sentinel.sum.add(&key, new.sequence);
            changes.push((key, Some(new)));
            if changes.len() >= limits::INDEX_BATCH {
                self.apply(std::mem::take(&mut changes))?;
            }
        }
        self.is_empty &= self.changed == 0 && changes.is_empty();
        self.apply(changes)
    }

    fn apply(&mut self, changes: Vec<(IndexKey, Option<IndexEntry>)>) -> Result<(), IndexError> {
        self.changed += changes.len() as u64;
        match changes.is_empty() {
            true => Ok(()),
            false => self.index.apply(&IndexBatch { changes, sentinel: self.sentinel }),
        }
    }

    /// Writes a sentinel that says that every batch up to `batch` is reflected.
    pub(crate) fn finish(mut self, batch: u64) -> Result<(EntrySum, u64), IndexError> {
        self.flush()?;
        self.sentinel.batch = batch;
        self.index.apply(&IndexBatch { changes: Vec::new(), sentinel: self.sentinel })?;
        Ok((self.sentinel.sum, self.changed))
    }
}
