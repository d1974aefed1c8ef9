//! Records that cannot be read, and what takes their place.
//!
//! A damaged record is missing to whoever reads it. What comes for it next, a write or a copy from another owner, is taken, but
//! stays *in doubt*: the damaged record may have held an acknowledged write that whoever sent this one never saw, and an answer
//! that counts must not come from it. The doubt stands in the record itself, so that a restart does not forget it, and ends
//! with the merge of what all other owners hold, for which whoever drives the shard is asked by a notice.
//!
//! No new run is needed for it: the mark was lost with the record, so the next write of the key begins a fresh actor. An older
//! version of it could come back only through a rebuild of the index, which begins a new run itself.
//!
//! Damage that names no key, and more of it than there is room to remember, makes the whole shard *refilling* instead.

use std::collections::BTreeSet;

use kvorum_protocol::{Record, RecordKey, Space};

use super::Shard;
use super::table::{Body, Slot};
use crate::event::{DamageNotice, StoreEvent};
use crate::limits;
use crate::location::Location;

/// Own records that are damaged or in doubt, as far as they were read since the opening.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubts {
    keys: BTreeSet<RecordKey>,
    /// Records found damaged since the opening.
    damaged: u64,
    /// Records whose doubt has ended since.
    healed: u64,
}

impl Doubts {
    /// Records that are damaged or in doubt now.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Records found damaged since the opening.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Records healed since the opening.
    pub(super) fn healed(&self) -> u64 {
        self.healed
    }
}

impl Shard {
    /// Where the newest synced version of a key is, if memory knows: for tests and simulations, which damage it there.
    pub fn place_of(&self, key: &RecordKey) -> Option<Location> {
        let placed = self.table.entry(self.table.find(key)?).placed();
        placed.map(|placed| placed.location)
    }

    /// The frame of a record that the index names is not valid.
    pub(super) fn record_is_damaged(&mut self, key: &RecordKey, at: Location) {
        let Location { segment, offset, .. } = at;
        let is_new = !self.doubts.keys.contains(key);
        self.doubts.damaged += u64::from(is_new);
        let has_room = self.doubts.keys.len() < limits::DOUBTED_RECORDS;
        if key.space == Space::Owned && (has_room || !is_new) {
            self.doubts.keys.insert(key.clone());
        } else {
            // What is held for others has no other owners to ask.
            self.begin_new_run();
        }
        let notice = DamageNotice::Record { key: key.clone(), segment, offset };
        self.events.push_back(StoreEvent::Damage(notice));
    }

    /// Bytes of a segment are no frame. The index says whose records they held: a scrub finds out, and whether it may be relied
    /// on. Where none is made, everything is in doubt.
    pub(super) fn damage_is_somewhere(&mut self) {
        match self.options.scrub_bytes_per_s {
            0 => self.begin_new_run(),
            _ => self.scrub.demand(),
        }
    }

    /// A record was read that may be in doubt: since before this opening, if it is not known to be.
    pub(super) fn note_doubt(&mut self, record: &Record) {
        let is_known = self.doubts.keys.contains(&record.key);
        if !record.in_doubt || is_known || self.doubts.keys.len() >= limits::DOUBTED_RECORDS {
            return;
        }
        self.doubts.keys.insert(record.key.clone());
        let notice = DamageNotice::Doubt { key: record.key.clone() };
        self.events.push_back(StoreEvent::Damage(notice));
    }

    /// Whether what is written for a key now may lack something.
    pub(super) fn is_in_doubt(&self, slot: Option<Slot>) -> bool {
        slot.is_some_and(|slot| {
            let entry = self.table.entry(slot);
            match &entry.body {
                Body::Damaged => entry.key.space == Space::Owned,
                Body::Record(record) => record.in_doubt,
                Body::Removed { .. } | Body::Gone => false,
            }
        })
    }

    /// Whether the planted bug is armed that takes a damaged record for none at all.
    pub(super) fn takes_damage_for_absence(&self) -> bool {
        #[cfg(feature = "planted")]
        if self.options.planted == Some(crate::Planted::DamageIsAbsence) {
            return true;
        }
        false
    }

    /// What all other owners hold of a record is here now, or it could be read after all.
    pub(super) fn is_healed(&mut self, key: &RecordKey) {
        self.doubts.healed += u64::from(self.doubts.keys.remove(key));
    }

    /// A record that was damaged on the disk is written again, because memory still had it.
    pub(super) fn is_saved(&mut self) {
        self.doubts.damaged += 1;
        self.doubts.healed += 1;
    }

    /// A key holds nothing any more.
    pub(super) fn is_removed(&mut self, key: &RecordKey) {
        self.doubts.keys.remove(key);
    }
}
