//! The engine's side of healing: what the store found damaged is asked for, a few records at a time.

use kvorum_protocol::Space;
use kvorum_store::{DamageNotice, Now};

use crate::engine::Engine;
use crate::engine::healing::asking::Healing;
use crate::engine::machines::Kind;

impl Engine {
    /// The store noticed damage. What is held for others has no other owners to ask.
    pub(super) fn hear_damage(&mut self, now: Now, notice: &DamageNotice) {
        match notice {
            DamageNotice::Record { key, .. } | DamageNotice::Doubt { key } => {
                if key.space == Space::Owned {
                    self.exchanges.healing.add(now, key);
                }
            }
            DamageNotice::Unreadable { .. }
            | DamageNotice::Segment { .. }
            | DamageNotice::IndexRebuildStarted
            | DamageNotice::IndexRebuilt { .. }
            | DamageNotice::Tree { .. } => {}
        }
    }

    /// Begins to heal what is due.
    pub(super) fn go_on_healing(&mut self, now: Now) {
        while let Some(key) = self.exchanges.healing.take_due(now) {
            self.start(now, Box::new(Healing::new(key)), None, Kind::Exchange);
        }
    }
}
