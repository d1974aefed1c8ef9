//! After the last judgement: what only a store can do wrong.
//!
//! The cluster is at rest and its records are known to be right. Now the simulator does to every store what the system
//! does not do by itself yet, or does rarely: it removes the tombstones that all owners agree on, lets open indexes lose
//! entries and writes until the logs have to be compacted, and then cuts all power. Whatever was durable before has to be
//! there afterwards, and whatever was removed has to stay away.

use bytes::Bytes;
use kvorum_protocol::{Change, Key, Replaces};
use kvorum_store::{Apply, StoreRequest, Token};

use super::World;
use super::finish::{Phase, Records};
use super::judge::operation_of;
use super::node::Death;
use super::pump::OWN_TOKENS;
use crate::oracle::Seen;
use crate::plan::IndexDamage;
use crate::reached::Rare;
use crate::streams::{Purpose, Stream};

/// Writes to each store that make compaction necessary: at this size they fill some segments of a simulated store, and all
/// but the last are dead.
const CHURN_WRITES: u32 = 60;

/// Bytes of each of them.
const CHURN_BYTES: usize = 2_000;

/// The draw of a node's disk stream that says what its open index loses; the lower ones are its deaths'.
const LOSS_DRAW: u64 = 1 << 32;

/// Tokens of these writes, apart from those of the questions about records.
const CHURN_TOKENS: u64 = OWN_TOKENS + (1 << 31);

impl World {
    /// Removes the tombstones that all owners agree on, as the end of a reclaim round would. Nothing is under way that
    /// could bring an older version, which is what a round has to make sure of.
    pub(super) fn remove_tombstones(&mut self, found: &Records) -> bool {
        self.phase = Phase::Removing;
        for (key, place) in self.places() {
            let agreed = found[key].iter().all(|seen| *seen == found[key][0]);
            let is_tombstone = |seen: &Seen| seen.live.is_empty() && !seen.clock.is_empty();
            if agreed && found[key][place].as_ref().is_some_and(is_tombstone) {
                self.ask_store(key, place, |token, key| StoreRequest::Remove { token, key });
            }
        }
        true
    }

    /// Lets open indexes lose entries, if the plan says so. Nobody reads or writes the keys from here on: a store may
    /// take an entry for absent until it has noticed, and is only asked to notice before it drops anything.
    pub(super) fn lose_index_entries(&mut self) -> bool {
        if !self.plan.index_loss {
            return self.cut_all_power();
        }
        for (node, number) in self.nodes.iter().zip(0..) {
            node.index.lose_entries(Stream::at(
                self.plan.seed,
                Purpose::DiskRemains,
                number,
                LOSS_DRAW,
            ));
        }
        self.churn(CHURN_WRITES)
    }

    /// Writes once to every store, always the same key, so that the log fills with what is dead.
    pub(super) fn churn(&mut self, left: u32) -> bool {
        self.phase = Phase::Churning { left };
        let key = Key::new(Bytes::from_static(b"churn")).expect("the key is short and not empty");
        for number in 0..self.plan.topology.nodes {
            let change = Apply::Update {
                replaces: Replaces::Latest,
                change: Change::Value { bytes: vec![0; CHURN_BYTES].into(), expires_at_ms: None },
                operation: operation_of(u32::MAX - left),
            };
            let (token, key) = (Token(CHURN_TOKENS + u64::from(left)), self.record_of(key.clone()));
            self.submit_own(number, StoreRequest::Apply { token, key, change });
        }
        true
    }

    pub(super) fn cut_all_power(&mut self) -> bool {
        self.phase = Phase::Restarting;
        let index = self.plan.final_cut.unwrap_or(IndexDamage::Whole);
        for number in 0..self.plan.topology.nodes {
            let moved =
                self.nodes[usize::from(number)].life.as_ref().map(|life| life.shard.stats().moved);
            if moved.is_some_and(|moved| moved > 0) {
                self.reached.mark(Rare::Compacted);
            }
            self.die(number, Death { within_io: false, index, power: true }, 0);
        }
        true
    }
}
