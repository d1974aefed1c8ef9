//! What the log holds and the index does not name: it joins the shard's backlog, and is served and fed from there.
//!
//! Entries gather by key as they are read, the newest version of each. A lookup in the index for each of them would take
//! longer than anything else in a start, and an entry put into it twice as long again, so nobody asks the index about one
//! key: when it is visited as a whole, what it names and what waits go by in the same order. Only what is more than the
//! backlog may hold is compared, and put in, at once.

use std::collections::BTreeSet;

use kvorum_protocol::{RecordKey, Space};

use crate::index::{Index, IndexEntry, IndexError};
use crate::location::SegmentId;
use crate::log::entry::Logged;
use crate::log::walk::Found;
use crate::options::ShardOptions;
use crate::reindex::{Reindex, record_entry, removal_entry, stands};
use crate::saved_trees::Counted;
use crate::shard::table::{Body, Entry, Placed, Seeded, Slot, Table};

/// The newest versions that were found, by key.
pub(super) struct Waiting {
    table: Table,
    /// Partitions of the space of owners in which anything was found, waiting or not.
    touched: BTreeSet<Counted>,
    most_keys: usize,
    most_bytes: usize,
}

/// What waits, in the order of the index.
type Sorted = Vec<(Box<[u8]>, Slot)>;

impl Waiting {
    /// Nothing yet. What waited when the process died fits, with what the index had been told since the checkpoint: while the
    /// shard runs, an eighth more than the table's budget makes it feed the index, and at twice the budget it refuses.
    pub(super) fn new(options: &ShardOptions, seed: u64) -> Waiting {
        Waiting {
            table: Table::new(options.table_bytes, Seeded::from_seed(seed)),
            touched: BTreeSet::new(),
            most_keys: options.unindexed_records - options.unindexed_records / 8,
            most_bytes: options.table_bytes + options.table_bytes / 2,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Keys that the index does not know at all.
    pub(super) fn unknown(&self) -> u64 {
        let unknown = |slot: &Slot| self.table.entry(*slot).indexed.is_none();
        self.table.occupied().filter(unknown).count() as u64
    }

    /// Takes in an entry of the log.
    pub(super) fn add(&mut self, found: &Found) {
        let key = found.logged.key();
        if key.space == Space::Owned {
            self.touched.insert(Counted { class: key.class, partition: key.partition });
        }
        let placed = Placed { sequence: found.sequence, location: found.location };
        match self.table.find(key) {
            Some(slot) => {
                let known = self.table.entry(slot);
                // Of two copies of one marker the main one is named: bulk segments are read after it.
                let stays = known.sequence > found.sequence
                    || known.sequence == found.sequence && found.logged.is_removal();
                if !stays {
                    self.table.set_synced(slot, body_of(&found.logged), placed);
                }
            }
            None => {
                let body = body_of(&found.logged);
                let key = body.record().map_or_else(|| key.detached(), |record| record.key.clone());
                self.table.insert(Entry::replayed(key, body, placed));
            }
        }
    }

    /// Partitions whose saved hash trees may lack something.
    pub(super) fn touched(&self) -> &BTreeSet<Counted> {
        &self.touched
    }

    /// Whether no more than this may wait.
    pub(super) fn is_full(&self) -> bool {
        self.table.len() > self.most_keys || self.table.bytes() > self.most_bytes
    }

    /// Makes room: lets go of what the index names already, and where that is not a quarter, puts the rest into it.
    pub(super) fn relieve<I: Index>(
        &mut self,
        index: &I,
        existing: &BTreeSet<SegmentId>,
        reindex: &mut Reindex<'_, I>,
    ) -> Result<(), IndexError> {
        let sorted = self.sorted();
        for (key, slot) in &sorted {
            if let Some(entry) = index.get(key)? {
                self.compare(*slot, &entry, existing);
            }
        }
        let (most_keys, most_bytes) = (self.most_keys * 3 / 4, self.most_bytes / 4 * 3);
        if self.table.len() <= most_keys && self.table.bytes() <= most_bytes {
            return Ok(());
        }
        for slot in self.table.occupied().collect::<Vec<Slot>>() {
            let entry = self.table.entry(slot);
            if let Some(named) = index_entry(entry) {
                reindex.put(entry.key.to_index_bytes().into(), named);
            }
            self.table.remove(slot);
        }
        reindex.flush()
    }

    /// What waits, to be compared with the index as that is visited.
    pub(super) fn comparing<'a>(&'a mut self, existing: &'a BTreeSet<SegmentId>) -> Comparing<'a> {
        let sorted = self.sorted();
        Comparing { waiting: self, existing, sorted, next: 0 }
    }

    fn sorted(&self) -> Sorted {
        let keyed = |slot: Slot| (self.table.entry(slot).key.to_index_bytes().into(), slot);
        let mut sorted: Sorted = self.table.occupied().map(keyed).collect();
        sorted.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        sorted
    }

    /// Lets go of what the index names, and notes what else it names. Returns whether the index is behind.
    fn compare(&mut self, slot: Slot, named: &IndexEntry, existing: &BTreeSet<SegmentId>) -> bool {
        if stands(existing, named, self.table.entry(slot).sequence) {
            self.table.remove(slot);
            return false;
        }
        let placed = Placed { sequence: named.sequence, location: named.location };
        self.table.entry_mut(slot).indexed = Some(placed);
        true
    }

    /// Where the newest version of a key is, if it waits.
    pub(super) fn placed(&self, key: &RecordKey) -> Option<Placed> {
        self.table.find(key).and_then(|slot| self.table.entry(slot).placed())
    }

    /// A version was written again. Returns false when its key does not wait.
    pub(super) fn relocate(
        &mut self,
        key: &RecordKey,
        placed: Placed,
        newest_segment: SegmentId,
    ) -> bool {
        let Some(slot) = self.table.find(key) else { return false };
        let body = match self.table.entry(slot).body.clone() {
            Body::Removed { .. } => Body::Removed { covers_through: Some(newest_segment) },
            body => body,
        };
        self.table.set_synced(slot, body, placed);
        true
    }

    /// Where each version is, and where the index takes it to be.
    pub(super) fn places(&self) -> impl Iterator<Item = (Option<Placed>, Option<Placed>)> + '_ {
        self.table.occupied().map(|slot| {
            let entry = self.table.entry(slot);
            (entry.placed(), entry.indexed)
        })
    }

    /// The table that the shard goes on with.
    pub(super) fn into_table(self) -> Table {
        self.table
    }
}

/// A visit of the whole index.
pub(super) struct Comparing<'a> {
    waiting: &'a mut Waiting,
    existing: &'a BTreeSet<SegmentId>,
    sorted: Sorted,
    next: usize,
}

impl Comparing<'_> {
    /// The index names this, ascending by key. Returns whether something newer waits.
    pub(super) fn visit(&mut self, key: &[u8], named: &IndexEntry) -> bool {
        while let Some((waiting, slot)) = self.sorted.get(self.next) {
            match (**waiting).cmp(key) {
                std::cmp::Ordering::Less => self.next += 1,
                std::cmp::Ordering::Equal => {
                    return self.waiting.compare(*slot, named, self.existing);
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        false
    }
}

/// The body of its own, so that it does not hold the segment's bytes.
fn body_of(logged: &Logged) -> Body {
    match logged.clone().detached() {
        Logged::Record(record) => Body::Record(record.into()),
        Logged::Removal { covers_through, .. } => {
            Body::Removed { covers_through: Some(covers_through) }
        }
    }
}

/// What the index is to name. Everything here has a place, and is a record or a marker: it was read from the log.
fn index_entry(entry: &Entry) -> Option<IndexEntry> {
    let Placed { sequence, location } = entry.placed()?;
    match &entry.body {
        Body::Record(record) => Some(record_entry(&record.set, sequence, location)),
        Body::Removed { covers_through } => {
            Some(removal_entry((*covers_through)?, sequence, location))
        }
        Body::Gone | Body::Damaged => None,
    }
}
