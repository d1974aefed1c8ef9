//! Telling what is known of a key. Nothing is changed by it, but for a record that comes into memory to be looked at.

use kvorum_protocol::RecordKey;

use super::Shard;
use super::table::{Body, Slot};
use crate::event::StoreEvent;
use crate::inspection::{Inspected, Inspection};
use crate::request::Token;

impl Shard {
    /// Tells what is known of a key, which is in the table now or known to be absent.
    pub(super) fn inspect(
        &mut self,
        token: Token,
        slot: Option<Slot>,
        key: &RecordKey,
        was_in_memory: bool,
    ) {
        let (space, held_ms) = (key.space, self.held_ms(key));
        let inspection = match slot.map(|slot| self.table.entry(slot)) {
            None => Inspection {
                space,
                found: Inspected::Absent,
                sequence: None,
                is_synced: false,
                was_in_memory,
                location: None,
                is_indexed: false,
                held_ms,
            },
            Some(entry) => Inspection {
                space,
                found: match &entry.body {
                    Body::Record(record) => Inspected::Record(record.clone()),
                    Body::Removed { .. } | Body::Gone => Inspected::Removed,
                    Body::Damaged => Inspected::Damaged,
                },
                sequence: Some(entry.sequence),
                is_synced: entry.is_synced(),
                was_in_memory,
                location: entry.placed().map(|placed| placed.location),
                is_indexed: entry.placed().is_some() && entry.placed() == entry.indexed,
                held_ms,
            },
        };
        let (inspection, refilling) = (Box::new(inspection), self.refilling);
        self.events.push_back(StoreEvent::Inspected { token, inspection, refilling });
    }
}
