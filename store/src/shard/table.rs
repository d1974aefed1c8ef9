//! The newest records of a bounded number of keys: what read-modify-write works on, and the value cache.
//!
//! An entry knows three things about its key: the newest version, which may still wait for its sync; where the newest
//! *synced* version is in the log; and what the index says. It may leave the table only when all three agree, because then
//! the index alone can bring it back. Eviction is by second chance: a hand goes round the slots and takes the first entry
//! that was not used since it last came by.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::HashTable;
use kvorum_protocol::{Record, RecordKey, Space};

use crate::limits;
use crate::location::{Location, SegmentId};
use crate::log::entry::record_bytes;
use crate::random::{Stream, mix};

/// The place of an entry in the table. Valid as long as the entry may not be evicted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Slot(u32);

/// What a key holds.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// A record, perhaps a tombstone.
    Record(Arc<Record>),
    /// A removal marker; `None` while it waits for its sync.
    Removed { covers_through: Option<SegmentId> },
    /// A marker that covers nothing any more: the index is to forget the key.
    Gone,
    /// There should be a record, but its bytes are damaged: missing, to heal with the next merge.
    Damaged,
}

impl Body {
    /// The record, if there is one.
    pub(crate) fn record(&self) -> Option<&Arc<Record>> {
        match self {
            Body::Record(record) => Some(record),
            Body::Removed { .. } | Body::Gone | Body::Damaged => None,
        }
    }
}

/// A version's place in the order of versions and in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placed {
    pub(crate) sequence: u64,
    pub(crate) location: Location,
}

/// A version that is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Synced {
    pub(crate) placed: Placed,
    pub(crate) body: Body,
}

/// A key in the table.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: RecordKey,
    pub(crate) body: Body,
    /// The newest version's.
    pub(crate) sequence: u64,
    /// The newest synced version; `None` when there is none yet.
    pub(crate) synced: Option<Synced>,
    /// What the index names; `None` when it does not know the key.
    pub(crate) indexed: Option<Placed>,
    /// Being moved by compaction: stays until the move is decided.
    pub(crate) moving: bool,
    /// Its place in its region of the backlog, while the index does not name the newest version.
    pub(crate) noted: Option<u32>,
    /// The number of the index job that last told the index of it; 0 when it was read through the index.
    pub(crate) fed_by: u64,
    /// The digest that its hash tree was told last; 0 for nothing live.
    pub(crate) told: u128,
    /// Whether its content changed since: then it waits for the index, too.
    pub(crate) has_news: bool,
    /// Of the key; set by the table.
    hash: u64,
    bytes: usize,
    used: bool,
}

impl Entry {
    /// An entry that was just read through the index, which says that its live versions have this digest.
    pub(crate) fn loaded(key: RecordKey, body: Body, placed: Placed, digest: u128) -> Entry {
        let sequence = placed.sequence;
        let synced = Synced { placed, body: body.clone() };
        let entry = Entry::new(key, body, sequence, Some(synced), Some(placed));
        Entry { told: digest, ..entry }
    }

    /// An entry that was read from the log, and of which the index may know nothing.
    pub(crate) fn replayed(key: RecordKey, body: Body, placed: Placed) -> Entry {
        Entry { indexed: None, ..Entry::loaded(key, body, placed, 0) }
    }

    /// An entry of a key that the log does not hold yet.
    pub(crate) fn fresh(key: RecordKey, body: Body, sequence: u64) -> Entry {
        Entry::new(key, body, sequence, None, None)
    }

    fn new(
        key: RecordKey,
        body: Body,
        sequence: u64,
        synced: Option<Synced>,
        indexed: Option<Placed>,
    ) -> Entry {
        let bytes = entry_bytes(&key, &body);
        Entry {
            key,
            body,
            sequence,
            synced,
            indexed,
            moving: false,
            noted: None,
            fed_by: 0,
            told: 0,
            has_news: false,
            hash: 0,
            bytes,
            used: true,
        }
    }

    /// Its content changed.
    pub(crate) fn change(&mut self) {
        self.has_news = self.key.space == Space::Owned;
    }

    /// Whether the newest version is synced.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced.as_ref().is_some_and(|synced| synced.placed.sequence == self.sequence)
    }

    /// The digest of what the newest version holds live, if its hash tree was told; one that belongs to no tree tells none.
    pub(crate) fn told(&self) -> Option<u128> {
        (self.key.space == Space::Owned && !self.has_news).then_some(self.told)
    }

    /// Where the newest synced version is.
    pub(crate) fn placed(&self) -> Option<Placed> {
        self.synced.as_ref().map(|synced| synced.placed)
    }

    /// Whether the index has to be told something that is synced.
    pub(crate) fn feeds_index(&self) -> bool {
        match self.body {
            Body::Gone => self.indexed.is_some(),
            _ => self.synced.is_some() && self.placed() != self.indexed,
        }
    }

    /// Whether the index alone could bring this entry back. One that index job `pinned_from` or a later one told the index
    /// of stays in any case.
    fn may_leave(&self, pinned_from: u64) -> bool {
        !self.moving
            && !self.has_news
            && self.noted.is_none()
            && self.is_synced()
            && self.placed() == self.indexed
            && self.fed_by < pinned_from
    }
}

fn entry_bytes(key: &RecordKey, body: &Body) -> usize {
    // The slot, its number in the map and the set's decoded form.
    const FIXED: usize = 400;
    FIXED
        + match body {
            Body::Record(record) => record_bytes(record),
            _ => key.bucket.as_bytes().len() + key.key.as_bytes().len(),
        }
}

/// A hasher whose seed nobody outside knows, so that keys cannot be chosen to collide.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

#[derive(Clone, Debug)]
pub(crate) struct SeededHasher(u64);

impl Seeded {
    /// The hasher of a shard that was opened with this seed.
    pub(crate) fn from_seed(seed: u64) -> Seeded {
        Seeded(Stream::new(seed, "table").next_u64())
    }
}

impl BuildHasher for Seeded {
    type Hasher = SeededHasher;

    fn build_hasher(&self) -> SeededHasher {
        SeededHasher(self.0)
    }
}

impl SeededHasher {
    fn take(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = ((product as u64) ^ ((product >> 64) as u64)).wrapping_add(0x632b_e59b_d9b4_e019);
    }
}

impl Hasher for SeededHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.take(u64::from_le_bytes(word));
        }
        self.take(bytes.len() as u64);
    }

    fn write_u8(&mut self, number: u8) {
        self.take(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.take(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.take(number as u64);
    }

    fn finish(&self) -> u64 {
        mix(self.0)
    }
}

/// A map of keys with a fixed hasher. Never iterated: its order shows nowhere.
#[expect(
    clippy::disallowed_types,
    reason = "looked up for every request, never iterated, and its hasher is seeded"
)]
pub(crate) type KeyMap<V> = std::collections::HashMap<RecordKey, V, Seeded>;

/// Slots that one call of [`Table::shrink`] looks at, at most: more than a batch brings in, little enough not to be felt.
const SHRINK_STEPS: usize = 4_096;

/// The table. Its map holds numbers of slots and nothing else: it stays small, and of the memory that finding a key touches
/// nearly all is the entry's, which is needed anyway.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    map: HashTable<u32>,
    hasher: Seeded,
    hand: usize,
    bytes: usize,
    budget: usize,
}

impl Table {
    /// An empty table that tries to stay below `budget` bytes.
    pub(crate) fn new(budget: usize, hasher: Seeded) -> Table {
        let (slots, free, map) = (Vec::new(), Vec::new(), HashTable::new());
        Table { slots, free, map, hasher, hand: 0, bytes: 0, budget }
    }

    /// The slot of a key.
    pub(crate) fn find(&self, key: &RecordKey) -> Option<Slot> {
        let hash = self.hasher.hash_one(key);
        let is_here = |slot: &u32| {
            let entry = self.slots[*slot as usize].as_ref();
            entry.is_some_and(|entry| entry.hash == hash && entry.key == *key)
        };
        self.map.find(hash, is_here).map(|slot| Slot(*slot))
    }

    /// The entry of a slot.
    pub(crate) fn entry(&self, slot: Slot) -> &Entry {
        self.slots[slot.0 as usize].as_ref().expect("a slot is used only while its entry stays")
    }

    /// The entry of a slot, to change. Its body changes through [`Table::set_body`].
    pub(crate) fn entry_mut(&mut self, slot: Slot) -> &mut Entry {
        self.slots[slot.0 as usize].as_mut().expect("a slot is used only while its entry stays")
    }

    /// The entry of a slot, which may have left.
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    /// Notes that the entry was asked for.
    pub(crate) fn touch(&mut self, slot: Slot) {
        self.entry_mut(slot).used = true;
    }

    /// Puts in the entry of a key that is not in the table.
    pub(crate) fn insert(&mut self, entry: Entry) -> Slot {
        debug_assert!(self.find(&entry.key).is_none(), "a key has one entry");
        let hash = self.hasher.hash_one(&entry.key);
        self.bytes += entry.bytes;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        self.slots[index as usize] = Some(Entry { hash, ..entry });
        let slots = &self.slots;
        let hash_of = |slot: &u32| slots[*slot as usize].as_ref().map_or(0, |entry| entry.hash);
        self.map.insert_unique(hash, index, hash_of);
        Slot(index)
    }

    /// The slots of all entries.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = Slot> + '_ {
        let slots = self.slots.iter().enumerate().filter(|(_, entry)| entry.is_some());
        slots.map(|(index, _)| Slot(index as u32))
    }

    /// Gives an entry a new body and sequence.
    pub(crate) fn set_body(&mut self, slot: Slot, body: Body, sequence: u64) {
        let entry = self.entry_mut(slot);
        let before = entry.bytes;
        entry.bytes = entry_bytes(&entry.key, &body);
        entry.body = body;
        entry.sequence = sequence;
        entry.used = true;
        let after = entry.bytes;
        self.bytes = self.bytes - before + after;
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, slot: Slot) {
        if let Some(entry) = self.slots[slot.0 as usize].take() {
            if let Ok(found) = self.map.find_entry(entry.hash, |other| *other == slot.0) {
                found.remove();
            }
            self.bytes -= entry.bytes;
            self.free.push(slot.0);
        }
    }

    /// Makes room: evicts what may leave, not recently used first, until the budget is kept or nothing more may. What index
    /// job `pinned_from` or a later one told the index of stays.
    pub(crate) fn shrink(&mut self, pinned_from: u64) {
        // Twice round at most: the first pass may find everything used. And not too far at once: the rest can wait.
        let mut steps = (self.slots.len() * 2).min(SHRINK_STEPS);
        while self.bytes > self.budget && steps > 0 {
            steps -= 1;
            self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
            let Some(Some(entry)) = self.slots.get_mut(self.hand) else { continue };
            if entry.used {
                entry.used = false;
            } else if entry.may_leave(pinned_from) {
                self.remove(Slot(self.hand as u32));
            }
        }
    }

    /// Gives an entry the version that was found at a place of the log.
    pub(crate) fn set_synced(&mut self, slot: Slot, body: Body, placed: Placed) {
        self.set_body(slot, body.clone(), placed.sequence);
        self.entry_mut(slot).synced = Some(Synced { placed, body });
    }

    /// Forgets everything. Only when all of it is synced and indexed.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.free.clear();
        self.map.clear();
        self.hand = 0;
        self.bytes = 0;
    }

    /// Entries in the table.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether so much may not leave that the budget is exceeded. By an eighth: eviction is always a little behind.
    pub(crate) fn is_pinned_full(&self) -> bool {
        self.bytes > self.budget + self.budget / 8
    }

    /// Whether the budget is exceeded so far that nothing more should come in while something may not leave.
    pub(crate) fn is_overfull(&self) -> bool {
        self.bytes > self.budget.saturating_mul(limits::TABLE_PINNED_MULTIPLE)
    }

    /// Bytes that the entries take, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::{EncodedSet, Key, Record, RecordKey, VersionSet};
    use kvorum_ring::{ClassId, PartitionCount};

    use super::{Body, Entry, Placed, Seeded, Table};
    use crate::location::{Location, SegmentId};

    fn key(number: u32) -> RecordKey {
        let key = Key::new(number.to_be_bytes().to_vec()).unwrap();
        RecordKey::new(ClassId(0), PartitionCount::default(), "b".parse().unwrap(), key)
    }

    fn entry(number: u32) -> Entry {
        let record = Record::new(key(number), EncodedSet::new(&VersionSet::empty()));
        let location = Location { segment: SegmentId(1), offset: number, length: 1 };
        Entry::loaded(key(number), Body::Record(record.into()), Placed { sequence: 5, location }, 0)
    }

    #[test]
    fn what_is_not_synced_or_not_indexed_or_pinned_never_leaves() {
        let mut table = Table::new(1_000, Seeded::from_seed(1));
        let unsynced = table.insert(Entry { sequence: 6, ..entry(0) });
        let unindexed = table.insert(Entry { indexed: None, ..entry(1) });
        let moving = table.insert(Entry { moving: true, ..entry(2) });
        for number in 3..200 {
            table.insert(Entry { fed_by: 5, ..entry(number) });
        }
        table.shrink(5);
        assert_eq!(table.len(), 200, "what job 5 fed is pinned");
        table.shrink(u64::MAX);
        assert_eq!(table.len(), 3, "these three are over the budget and must stay");
        for slot in [unsynced, unindexed, moving] {
            assert_eq!(table.find(&table.entry(slot).key.clone()), Some(slot));
        }
    }

    #[test]
    fn what_was_used_gets_a_second_chance() {
        let mut table = Table::new(20_000, Seeded::from_seed(1));
        for number in 0..30 {
            table.insert(entry(number));
        }
        table.shrink(u64::MAX);
        for round in 30..300 {
            let hot = table.find(&key(7)).expect("the hot key stays");
            table.touch(hot);
            table.insert(entry(round));
            table.shrink(u64::MAX);
        }
        assert!(table.bytes() <= 20_000);
    }
}
