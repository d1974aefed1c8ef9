//! What is held for owners that were away: an ordered list of hinted keys for each of them.
//!
//! A hinted record is a record like any other, in a space of its own, and names the owners that it is for. The list (`list.rs`) only
//! says which keys there are, so that delivering can go through them in order, and how much they take, so that it is bounded. It
//! follows every change of a hinted record as it is applied. It is derived: a start finds the keys in the index and in the
//! log behind it, and learns whom they are for by reading their records, a few at a time, while everything else goes on.
//! Until then they are *unread*: nobody gets them, and nobody may take them for gone.
//!
//! A hint is *bearing* while fewer owners than the write needs have it: then this is one of the copies that were counted, and
//! nothing but an owner's durable acknowledgement may end it. When there is no room for one more it is refused. All others
//! are *spare*: they save the owners a comparison, and are dropped when they have been here for long, or not taken when
//! there is no room.
//!
//! A record that cannot be read is set aside: an input error, or want of file handles, says nothing about the record. It is
//! counted, holds up no other, is never given out as absent, takes no change, and is tried again. Only a spare one whose bytes are
//! proved damaged is given up. A listed key that the index does not name is damage of the index, which is then rebuilt; what even
//! the log does not hold after that is gone, and is counted as damaged.

mod list;

use kvorum_protocol::{Record, RecordKey, Space};
use kvorum_ring::{ClassId, NodeId, PartitionId};

use super::loads::Operation;
use super::rebuild::Rebuilding;
use super::table::{Body, Slot};
use super::{Life, Shard};
use crate::clock::NS_PER_MS;
use crate::event::StoreEvent;
use crate::job::HintedKey;
use crate::limits;
use crate::request::{Hint, Token};
pub(super) use list::Hints;

/// How many hinted keys a shard holds, and what became of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HintStats {
    /// Keys that a fallback's records are held under here, unread and unreadable ones included.
    pub keys: usize,
    /// Those of them that have not been read since the start.
    pub unread: usize,
    /// Those of them whose record could not be read when it was wanted; it is tried again.
    pub unreadable: usize,
    /// Those of them that may not be dropped, as far as is known.
    pub bearing: usize,
    /// Bytes that bearing ones take, in the log and in memory, about.
    pub bearing_bytes: usize,
    /// The same of spare ones.
    pub spare_bytes: usize,
    /// The same of those of which it is not known which they are.
    pub unread_bytes: usize,
    /// Spare ones that were dropped for their age since the opening.
    pub dropped: u64,
    /// Spare ones that were given up because their bytes are damaged, and any that the log was found to have lost, since the
    /// opening.
    pub damaged: u64,
    /// Bearing ones that were refused for lack of room since the opening.
    pub refused: u64,
    /// Spare ones that were not taken for lack of room since the opening.
    pub spare_refused: u64,
}

/// What is held for one owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetHints {
    /// The owner.
    pub target: NodeId,
    /// Keys.
    pub keys: usize,
    /// Bytes that they take, in the log and in memory, about.
    pub bytes: usize,
    /// Those that may not be dropped.
    pub bearing: usize,
    /// Milliseconds since the oldest of them came, or this process began.
    pub oldest_ms: u64,
}

impl Shard {
    /// What is held for owners that were away.
    pub fn hint_stats(&self) -> HintStats {
        self.hints.stats()
    }

    /// What is held for each of them, ascending by id. What is unread or unreadable is in none of these figures.
    pub fn hint_targets(&self) -> Vec<TargetHints> {
        self.hints.targets(self.now.mono_ns)
    }

    /// Whether anything is held here for the owners of a partition: what must be over before a tombstone of it may go.
    pub fn holds_hints(&self, class: ClassId, partition: PartitionId) -> bool {
        self.hints.holds(class, partition)
    }

    /// Whether a record is held here for anybody.
    pub fn holds_hint(&self, key: &RecordKey) -> bool {
        self.hints.lists(key)
    }

    /// Milliseconds since a record is known to be held here for others; none of one that is not, or not read yet.
    pub(super) fn held_ms(&self, key: &RecordKey) -> Option<u64> {
        let since_ns = self.hints.since_ns(key)?;
        Some(self.now.mono_ns.saturating_sub(since_ns) / NS_PER_MS)
    }

    /// Whether a hint of so many bytes more has no place.
    pub(super) fn has_no_place_for(&self, hint: &Hint, bytes: usize) -> bool {
        let most = match hint.spare {
            true => self.options.spare_bytes,
            false => self.options.bearing_bytes,
        };
        self.hints.taken(hint.spare) + bytes + limits::HINT_LISTING_BYTES > most
    }

    /// Whether the planted bug is armed that makes room for every hint.
    pub(super) fn drops_bearing(&self) -> bool {
        #[cfg(feature = "planted")]
        if self.options.planted == Some(crate::Planted::BearingDropped) {
            return true;
        }
        false
    }

    /// Counts a hint that has no room.
    pub(super) fn hint_refused(&mut self, hint: &Hint) {
        match hint.spare {
            true => self.hints.spare_refused += 1,
            false => self.hints.refused += 1,
        }
    }

    /// The planted bug: what was held first makes room, whatever hangs on it.
    #[cfg(feature = "planted")]
    pub(super) fn make_room_for(&mut self, hint: &Hint, bytes: usize) {
        if self.drops_bearing()
            && self.has_no_place_for(hint, bytes)
            && let Some(key) = self.hints.first()
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
        let unread = self.hints.has_unread();
        self.events.push_back(StoreEvent::Hints { token, keys, more, unread });
    }

    /// Reads what is unread, tries what could not be read, and drops what is spare and old.
    pub(super) fn advance_hints(&mut self) {
        if self.life != Life::Open || self.rebuilding != Rebuilding::No {
            return;
        }
        while let Some(key) = self.hints.next_to_read(self.now.mono_ns) {
            self.operate(key, Operation::LearnHint);
        }
        for key in self.hints.take_old(self.now.mono_ns, self.options.spare_ms) {
            self.operate(key, Operation::DropHint { even_bearing: false });
        }
    }

    /// When there is something to be read or dropped.
    pub(super) fn hints_deadline(&self) -> Option<u64> {
        let is_at_work = self.life == Life::Open && self.rebuilding == Rebuilding::No;
        is_at_work.then(|| self.hints.deadline(self.now.mono_ns, self.options.spare_ms)).flatten()
    }

    /// The index was made anew from the log: it names these hinted keys, and what is listed besides is gone. One that is not listed
    /// had been lost from the index.
    pub(super) fn find_hints(&mut self, keys: Vec<HintedKey>) {
        let lost = self.hints.retain_only(&keys);
        self.hints.damaged += lost as u64;
        self.hints.find(keys);
    }

    /// An unread key was read, or one that could not be read was tried again.
    pub(super) fn learn_hint(&mut self, slot: Option<Slot>, key: &RecordKey) {
        self.hints.end_reading(1);
        if !self.hints.is_unread(key) && !self.hints.is_unreadable(key) {
            return;
        }
        match slot.map(|slot| self.table.entry(slot).body.clone()) {
            Some(Body::Record(record)) => self.hint_is_readable(&record),
            Some(Body::Damaged) => drop(self.set_hint_aside(key)),
            Some(Body::Removed { .. } | Body::Gone) | None => self.hints.forget(key),
        }
    }

    /// A hinted record was read. If it is one that could not be read before, whoever delivers is told.
    pub(super) fn hint_is_readable(&mut self, record: &Record) {
        if record.key.space != Space::Hinted {
            return;
        }
        let was_aside = self.hints.is_unreadable(&record.key);
        if was_aside || self.hints.is_unread(&record.key) {
            self.hints.note(record, self.now.mono_ns);
        }
        if was_aside {
            let targets = record.hinted_for.clone();
            self.events.push_back(StoreEvent::HintReadable { targets });
        }
    }

    /// A hinted record cannot be read now. Returns whether that is news.
    pub(super) fn set_hint_aside(&mut self, key: &RecordKey) -> bool {
        self.hints.set_aside(key, self.now.mono_ns)
    }

    /// Reads that were under way will not come.
    pub(super) fn hint_reads_failed(&mut self, count: usize) {
        self.hints.end_reading(count);
    }

    /// Whether a hinted record whose bytes are damaged may be given up: enough owners have it, and there is room to say so.
    pub(super) fn may_give_up(&self, key: &RecordKey) -> bool {
        self.hints.is_spare(key) && !self.lacks_room_for_marker()
    }

    /// Ends the hint of a record whose bytes are damaged.
    pub(super) fn give_up_hint(&mut self, slot: Slot, key: &RecordKey) {
        self.hints.damaged += 1;
        self.remove(None, Some(slot), key);
        self.events.push_back(StoreEvent::HintDropped { key: key.clone() });
    }

    /// Whether the planted bug is armed that gives up what cannot be read, and tells nobody.
    pub(super) fn gives_up_unreadable(&self) -> bool {
        #[cfg(feature = "planted")]
        if self.options.planted == Some(crate::Planted::UnreadableGivenUp) {
            return true;
        }
        false
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
