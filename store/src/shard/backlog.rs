//! Keys whose newest version the index does not name yet.
//!
//! They gather by *region*: keys that stand together in the index because their order begins alike. Within a region there
//! is no order, because a key is noted on the path of every write and sorting can wait until a region is fed, on another
//! thread. A *sweep* goes through the regions in index order and takes each as it is when the sweep gets there, so that keys
//! that come back at once cannot hold it up.

use std::collections::BTreeMap;
use std::ops::Bound;

use kvorum_protocol::{RecordKey, Space};
use kvorum_ring::{ClassId, PartitionId};

use super::table::{Slot, Table};

/// Space, class and partition of a key, as a number in index order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Region(u64);

impl Region {
    pub(crate) fn new(space: Space, class: ClassId, partition: PartitionId) -> Region {
        let space = match space {
            Space::Owned => 0,
            Space::Hinted => 1 << 40,
        };
        Region(space | u64::from(class.0) << 32 | u64::from(partition.0))
    }

    pub(crate) fn of(key: &RecordKey) -> Region {
        Region::new(key.space, key.class, key.partition)
    }
}

/// The keys, and the sweep over them. An entry knows its place in its region, so that it can leave at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog {
    regions: BTreeMap<Region, Vec<Slot>>,
    len: usize,
    /// Those of them that the index does not know at all.
    unknown: usize,
    /// The region in which the sweep is; `None` at its beginning.
    cursor: Option<Region>,
    /// What the sweep has not looked at yet of that region.
    rest: Vec<Slot>,
}

impl Backlog {
    /// Keys that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keys that wait and are new to the index.
    pub(crate) fn unknown(&self) -> usize {
        self.unknown
    }

    /// Notes a key, unless it waits already.
    pub(crate) fn note(&mut self, table: &mut Table, slot: Slot) {
        let entry = table.entry_mut(slot);
        if entry.noted.is_some() {
            return;
        }
        let region = self.regions.entry(Region::of(&entry.key)).or_default();
        entry.noted = Some(region.len() as u32);
        region.push(slot);
        self.len += 1;
        self.unknown += usize::from(entry.indexed.is_none());
    }

    /// Lets go of a key whose newest version the index names now, or that is to be forgotten.
    pub(crate) fn settle(&mut self, table: &mut Table, slot: Slot) {
        let entry = table.entry_mut(slot);
        let (region, place) = (Region::of(&entry.key), entry.noted.take());
        let is_unknown = entry.indexed.is_none();
        if let (Some(place), Some(slots)) = (place, self.regions.get_mut(&region)) {
            slots.swap_remove(place as usize);
            if let Some(moved) = slots.get(place as usize) {
                table.entry_mut(*moved).noted = Some(place);
            }
            if slots.is_empty() {
                self.regions.remove(&region);
            }
            self.len -= 1;
            self.unknown -= usize::from(is_unknown);
        }
    }

    /// The index was told of a key that waits: whether it knew it, and whether it knows it now. It may have forgotten a key
    /// that was written again meanwhile.
    pub(crate) fn told(&mut self, knew: bool, knows: bool) {
        match (knew, knows) {
            (false, true) => self.unknown -= 1,
            (true, false) => self.unknown += 1,
            (false, false) | (true, true) => {}
        }
    }

    /// Begins a sweep at the first key.
    pub(crate) fn restart(&mut self) {
        self.cursor = None;
        self.rest.clear();
    }

    /// The next key of the sweep; `None` when it has reached the end, and then it begins anew.
    pub(crate) fn next(&mut self) -> Option<Slot> {
        loop {
            if let Some(slot) = self.rest.pop() {
                return Some(slot);
            }
            let from = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
            let Some((region, slots)) = self.regions.range((from, Bound::Unbounded)).next() else {
                self.restart();
                return None;
            };
            self.rest.extend_from_slice(slots);
            self.cursor = Some(*region);
        }
    }

    /// The keys of a region, in no order.
    pub(crate) fn region(&self, region: Region) -> &[Slot] {
        self.regions.get(&region).map_or(&[], Vec::as_slice)
    }

    /// Forgets everything: the index names all there is.
    pub(crate) fn clear(&mut self) {
        *self = Backlog::default();
    }
}
