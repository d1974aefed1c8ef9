//! What is held for owners that were away: an ordered list of hinted keys for each of them.
//!
//! A hinted record is a record like any other, in a space of its own, and names the owners that it is for. This list only says
//! which keys there are, so that delivering can go through them in order, and how much they take, so that it is bounded. It
//! follows every change of a hinted record as it is applied. It is derived: a start finds the keys in the index and in the
//! log behind it, and learns whom they are for by reading their records, a few at a time, while everything else goes on.
//! Until then they are *unread*: nobody gets them, and nobody may take them for gone.
//!
//! A hint is *bearing* while fewer owners than the write needs have it: then this is one of the copies that were counted, and
//! nothing but an owner's durable acknowledgement may end it. When there is no room for one more it is refused. All others
//! are *spare*: they save the owners a comparison, and are dropped when they have been here for long, or not taken when
//! there is no room.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use kvorum_protocol::{BucketName, Key, Record, RecordKey, Space};
use kvorum_ring::{ClassId, NodeId, PartitionId};

use super::loads::Operation;
use super::rebuild::Rebuilding;
use super::table::{Body, Slot};
use super::{Life, Shard};
use crate::clock::NS_PER_MS;
use crate::event::StoreEvent;
use crate::limits;
use crate::log::entry::record_bytes;
use crate::request::{Hint, Token};

/// What is known of one hinted key.
#[derive(Clone, Debug)]
struct Held {
    targets: Box<[NodeId]>,
    spare: bool,
    bytes: usize,
    /// Since when this process knows of it.
    since_ns: u64,
}

/// The hinted keys. A key is either listed for its owners or unread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    held: BTreeMap<RecordKey, Held>,
    by_target: BTreeMap<NodeId, BTreeSet<RecordKey>>,
    /// Spare ones by age.
    spares: BTreeSet<(u64, RecordKey)>,
    unread: BTreeSet<RecordKey>,
    /// Where among the unread the next one is asked for.
    cursor: Option<RecordKey>,
    /// Unread ones that are being read.
    reading: usize,
    bearing_bytes: usize,
    spare_bytes: usize,
    dropped: u64,
    damaged: u64,
    refused: u64,
}

/// How many hinted keys a shard holds, and what became of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HintStats {
    /// Keys that a fallback's records are held under here, those that have not been read since the start included.
    pub keys: usize,
    /// Those of them that have not been read since the start.
    pub unread: usize,
    /// Those of them that may not be dropped.
    pub bearing: usize,
    /// Bytes that bearing ones take, in the log and in memory, about.
    pub bearing_bytes: usize,
    /// The same of spare ones.
    pub spare_bytes: usize,
    /// Spare ones that were dropped for their age since the opening.
    pub dropped: u64,
    /// Ones that could not be read and were given up since the opening.
    pub damaged: u64,
    /// Ones that were refused for lack of room since the opening.
    pub refused: u64,
}

/// What is held for one owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetHints {
    /// The owner.
    pub target: NodeId,
    /// Keys.
    pub keys: usize,
    /// Bytes of the first so many of them.
    pub bytes: usize,
    /// Those that may not be dropped, of the first so many.
    pub bearing: usize,
    /// Milliseconds since the oldest of them came, or this process began.
    pub oldest_ms: u64,
}

impl Hints {
    /// Keys that a start found, whose records say later whom they are for.
    pub(super) fn find(&mut self, keys: impl IntoIterator<Item = RecordKey>) {
        let unknown = keys.into_iter().filter(|key| !self.held.contains_key(key));
        self.unread.extend(unknown);
    }

    /// A hinted record is now this one.
    pub(super) fn note(&mut self, record: &Record, now_ns: u64) {
        let key = &record.key;
        let since_ns = self.held.get(key).map_or(now_ns, |held| held.since_ns);
        self.forget(key);
        let targets: Box<[NodeId]> = record.hinted_for.as_slice().into();
        for target in &targets {
            self.by_target.entry(*target).or_default().insert(key.clone());
        }
        let held = Held { targets, spare: record.spare, bytes: cost(record), since_ns };
        if held.spare {
            self.spares.insert((since_ns, key.clone()));
        }
        *self.bytes_mut(held.spare) += held.bytes;
        self.held.insert(key.clone(), held);
    }

    /// A hinted record is gone.
    pub(super) fn forget(&mut self, key: &RecordKey) {
        self.unread.remove(key);
        let Some(held) = self.held.remove(key) else { return };
        for target in &held.targets {
            if let Some(keys) = self.by_target.get_mut(target) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_target.remove(target);
                }
            }
        }
        if held.spare {
            self.spares.remove(&(held.since_ns, key.clone()));
        }
        *self.bytes_mut(held.spare) -= held.bytes;
    }

    fn bytes_mut(&mut self, spare: bool) -> &mut usize {
        if spare { &mut self.spare_bytes } else { &mut self.bearing_bytes }
    }

    /// Keys that are held for an owner behind `after`, in order, and whether there may be more.
    pub(super) fn page(
        &self,
        target: NodeId,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> (Vec<RecordKey>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let listed = self.by_target.get(&target).into_iter();
        let mut behind = listed.flat_map(|keys| keys.range((from, Bound::Unbounded)));
        let keys: Vec<RecordKey> = behind.by_ref().take(limit).cloned().collect();
        let more = behind.next().is_some();
        (keys, more)
    }

    /// Whether anything is held for the owners of a partition.
    pub(super) fn holds(&self, class: ClassId, partition: PartitionId) -> bool {
        let first = first_key(class, partition);
        let is_here = |key: &RecordKey| (key.class, key.partition) == (class, partition);
        let held = self.held.range(&first..).next().map(|(key, _)| key);
        let unread = self.unread.range(&first..).next();
        held.is_some_and(is_here) || unread.is_some_and(is_here)
    }

    /// The next unread key to be read.
    fn next_unread(&mut self) -> Option<RecordKey> {
        let from = self.cursor.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.unread.range((from, Bound::Unbounded)).next().cloned();
        if next.is_some() {
            self.reading += 1;
            self.cursor.clone_from(&next);
        } else if self.reading == 0 {
            // Some could not be read when it was their turn.
            self.cursor = None;
        }
        next
    }

    /// Some of the spare ones that came `age_ms` ago or earlier. Their age begins anew, so that one that cannot be dropped now
    /// is not tried again and again.
    fn take_old(&mut self, now_ns: u64, age_ms: u64) -> Vec<RecordKey> {
        let Some(oldest_ns) = now_ns.checked_sub(age_ms.saturating_mul(NS_PER_MS)) else {
            return Vec::new();
        };
        let old = self.spares.iter().take_while(|(since_ns, _)| *since_ns <= oldest_ns);
        let old: Vec<(u64, RecordKey)> = old.take(limits::HINTS_READING).cloned().collect();
        for spare in &old {
            self.spares.remove(spare);
            if let Some(held) = self.held.get_mut(&spare.1) {
                held.since_ns = now_ns;
                self.spares.insert((now_ns, spare.1.clone()));
            }
        }
        old.into_iter().map(|(_, key)| key).collect()
    }

    fn stats(&self) -> HintStats {
        HintStats {
            keys: self.held.len() + self.unread.len(),
            unread: self.unread.len(),
            bearing: self.held.len() - self.spares.len(),
            bearing_bytes: self.bearing_bytes,
            spare_bytes: self.spare_bytes,
            dropped: self.dropped,
            damaged: self.damaged,
            refused: self.refused,
        }
    }
}

/// The lowest key that a hinted record of a partition can have.
fn first_key(class: ClassId, partition: PartitionId) -> RecordKey {
    let bucket = BucketName::from_bytes(Bytes::from_static(b"0")).expect("the lowest name");
    let key = Key::new(Bytes::from_static(&[0])).expect("the lowest key");
    RecordKey { space: Space::Hinted, class, partition, bucket, key }
}

/// What a hinted record takes: in the log, and in this list.
fn cost(record: &Record) -> usize {
    record_bytes(record) + limits::HINT_LISTING_BYTES
}

impl Shard {
    /// What is held for owners that were away.
    pub fn hint_stats(&self) -> HintStats {
        self.hints.stats()
    }

    /// What is held for each of them, ascending by id. Of one for which very much is held, the oldest and the bytes are those of
    /// the first [`limits::HINTS_LOOKED_AT`] keys.
    pub fn hint_targets(&self) -> Vec<TargetHints> {
        let figures = |(target, keys): (&NodeId, &BTreeSet<RecordKey>)| {
            let first = keys.iter().take(limits::HINTS_LOOKED_AT);
            let held: Vec<&Held> = first.filter_map(|key| self.hints.held.get(key)).collect();
            let since_ns = held.iter().map(|held| held.since_ns).min();
            let age_ns = since_ns.map_or(0, |since_ns| self.now.mono_ns.saturating_sub(since_ns));
            TargetHints {
                target: *target,
                keys: keys.len(),
                bytes: held.iter().map(|held| held.bytes).sum(),
                bearing: held.iter().filter(|held| !held.spare).count(),
                oldest_ms: age_ns / NS_PER_MS,
            }
        };
        self.hints.by_target.iter().map(figures).collect()
    }

    /// Whether anything is held here for the owners of a partition: what must be over before a tombstone of it may go.
    pub fn holds_hints(&self, class: ClassId, partition: PartitionId) -> bool {
        self.hints.holds(class, partition)
    }

    /// Whether a record is held here for anybody.
    pub fn holds_hint(&self, key: &RecordKey) -> bool {
        self.hints.held.contains_key(key) || self.hints.unread.contains(key)
    }

    /// Milliseconds since a record is known to be held here for others; none of one that is not, or not read yet.
    pub(super) fn held_ms(&self, key: &RecordKey) -> Option<u64> {
        let held = self.hints.held.get(key)?;
        Some(self.now.mono_ns.saturating_sub(held.since_ns) / NS_PER_MS)
    }

    /// Whether a hint of so many bytes more has no place.
    pub(super) fn has_no_place_for(&self, hint: &Hint, bytes: usize) -> bool {
        let (taken, most) = match hint.spare {
            true => (self.hints.spare_bytes, self.options.spare_bytes),
            false => (self.hints.bearing_bytes, self.options.bearing_bytes),
        };
        taken + bytes + limits::HINT_LISTING_BYTES > most
    }

    /// Whether the planted bug is armed that makes room for every hint.
    pub(super) fn drops_bearing(&self) -> bool {
        #[cfg(feature = "planted")]
        if self.options.planted == Some(crate::Planted::BearingDropped) {
            return true;
        }
        false
    }

    /// Counts a hint that was refused.
    pub(super) fn hint_refused(&mut self) {
        self.hints.refused += 1;
    }

    /// The planted bug: what was held first makes room, whatever hangs on it.
    #[cfg(feature = "planted")]
    pub(super) fn make_room_for(&mut self, hint: &Hint, bytes: usize) {
        if self.drops_bearing()
            && self.has_no_place_for(hint, bytes)
            && let Some(key) = self.hints.held.keys().next().cloned()
        {
            self.operate(key, Operation::DropHint { even_bearing: true });
        }
    }

    /// Tells which keys are held for an owner.
    pub(super) fn list_hints(
        &mut self,
        token: Token,
        target: NodeId,
        after: Option<&RecordKey>,
        limit: usize,
    ) {
        let (keys, more) = self.hints.page(target, after, limit);
        let unread = !self.hints.unread.is_empty();
        self.events.push_back(StoreEvent::Hints { token, keys, more, unread });
    }

    /// Reads what is unread, and drops what is spare and old.
    pub(super) fn advance_hints(&mut self) {
        if self.life != Life::Open || self.rebuilding != Rebuilding::No {
            return;
        }
        while self.hints.reading < limits::HINTS_READING
            && let Some(key) = self.hints.next_unread()
        {
            self.operate(key, Operation::LearnHint);
        }
        for key in self.hints.take_old(self.now.mono_ns, self.options.spare_ms) {
            self.operate(key, Operation::DropHint { even_bearing: false });
        }
    }

    /// When there is something to be read or dropped.
    pub(super) fn hints_deadline(&self) -> Option<u64> {
        if self.life != Life::Open || self.rebuilding != Rebuilding::No {
            return None;
        }
        if self.hints.reading == 0 && !self.hints.unread.is_empty() {
            return Some(self.now.mono_ns);
        }
        let (since_ns, _) = self.hints.spares.first()?;
        Some(since_ns.saturating_add(self.options.spare_ms.saturating_mul(NS_PER_MS)))
    }

    /// The index names these hinted keys. One that is not listed had been lost from it.
    pub(super) fn find_hints(&mut self, keys: Vec<RecordKey>) {
        self.hints.find(keys);
    }

    /// An unread key was read.
    pub(super) fn learn_hint(&mut self, slot: Option<Slot>, key: &RecordKey) {
        self.hints.reading = self.hints.reading.saturating_sub(1);
        if !self.hints.unread.remove(key) {
            return;
        }
        match slot.map(|slot| &self.table.entry(slot).body) {
            Some(Body::Record(record)) => self.hints.note(record, self.now.mono_ns),
            Some(Body::Damaged) => self.give_up_hint(None, slot, key),
            Some(Body::Removed { .. } | Body::Gone) | None => {}
        }
    }

    /// Reads that were under way will not come.
    pub(super) fn hint_reads_failed(&mut self, count: usize) {
        self.hints.reading = self.hints.reading.saturating_sub(count);
    }

    /// Ends the hint of a record that cannot be read: it counts as missing, and must hold up nothing.
    pub(super) fn give_up_hint(
        &mut self,
        token: Option<Token>,
        slot: Option<Slot>,
        key: &RecordKey,
    ) {
        self.hints.damaged += 1;
        self.remove(token, slot, key);
    }

    /// Drops a hint without anybody's asking, unless it has become a bearing one.
    pub(super) fn drop_hint(&mut self, slot: Option<Slot>, key: &RecordKey, even_bearing: bool) {
        let record = slot.and_then(|slot| self.table.entry(slot).body.record());
        if !record.is_some_and(|record| record.spare || even_bearing)
            || self.lacks_room_for_marker()
        {
            return;
        }
        self.hints.dropped += 1;
        self.remove(None, slot, key);
        self.events.push_back(StoreEvent::HintDropped { key: key.clone() });
    }

    /// A record was removed.
    pub(super) fn hint_removed(&mut self, key: &RecordKey) {
        if key.space == Space::Hinted {
            self.hints.forget(key);
        }
    }

    /// Follows what became of a hinted record.
    pub(super) fn note_hint(&mut self, record: &Record) {
        if record.key.space == Space::Hinted {
            self.hints.note(record, self.now.mono_ns);
        }
    }
}
