//! Bits that flip on a disk at rest, and the scrub that has to find them.
//!
//! A record may rot while another disk holds all that it held. From then on its copy counts for nothing, whatever its node says,
//! until the record is written anew: memory may still have it, and be believed, until it has to be read.
//!
//! When all faults have ended every store looks at everything that it keeps, as it does once a week in production, and then every
//! record must be readable again before anybody has read it. Where nothing was damaged, nothing may be found.

use kvorum_protocol::Space;
use kvorum_store::{ScrubPhase, StoreRequest, Token};

use super::World;
use super::pump::OWN_TOKENS;
use crate::checkers::p13_integrity;
use crate::reached::Rare;

/// The token of the question for a scrub, apart from those about records.
const SCRUB_TOKEN: Token = Token(OWN_TOKENS + (1 << 29));

impl World {
    /// Flips a bit of a node's record of a key, where that is allowed.
    pub(super) fn rot(&mut self, number: u16, key: u16, bit: u32) {
        let nodes = self.plan.topology.nodes;
        let oracle = &self.oracle[usize::from(key)];
        if !self.holders.may_rot(number, nodes, key, oracle) {
            return;
        }
        let record = self.record_of(self.keys[usize::from(key)].clone());
        assert!(record.space == Space::Owned, "what an owner holds");
        let node = &self.nodes[usize::from(number)];
        // What a checkpoint covers had been synced, and the manifest says so: it cannot pass for a torn tail.
        let Some(place) = node.index.flushed(&record.to_index_bytes()) else { return };
        let is_newest = match &node.life {
            Some(life) => life.shard.place_of(&record).is_none_or(|newest| newest == place),
            None => true,
        };
        if !is_newest || node.index.entry(&record.to_index_bytes()) != Some(place) {
            return;
        }
        let bit = bit % (place.length * 8);
        let (offset, mask) = (u64::from(place.offset + bit / 8), 1 << (bit % 8));
        let flipped = ["main", "bulk"]
            .iter()
            .any(|kind| node.files.flip(&format!("{}.{kind}", place.segment), offset, mask));
        if flipped {
            self.holders.rot(number, key);
            self.has_rotted = true;
            self.reached.mark(Rare::Rotted);
            self.say(Some(number), Some(key), || format!("rots at {place:?}"));
        }
    }

    /// Whether stores look at everything in this run. A bug that is planted in what a scrub mends would not show.
    fn scrubs(&self) -> bool {
        self.plan.planted.as_ref().is_none_or(|bug| bug.starts_with("38-"))
    }

    /// Has every store look at everything that it keeps.
    pub(super) fn scrub_all(&mut self) {
        for number in 0..self.plan.topology.nodes {
            let scrubs = self.scrubs();
            if let Some(life) = self.nodes[usize::from(number)].life.as_mut().filter(|_| scrubs) {
                life.scrubs = true;
                self.submit_own(number, StoreRequest::Scrub { token: SCRUB_TOKEN });
            }
        }
    }

    /// Judges what came of it.
    pub(super) fn check_scrubbed(&mut self) {
        for number in 0..self.plan.topology.nodes {
            let Some(life) = self.nodes[usize::from(number)].life.as_ref() else { continue };
            let (progress, doubts) =
                (life.shard.scrub_progress(), life.shard.stats().records_in_doubt);
            let is_over = progress.phase == ScrubPhase::Idle
                && (progress.passes > 0 || progress.found > 0 || !life.scrubs);
            let judgement =
                p13_integrity::check_scrubbed(is_over, progress.found, doubts, self.has_rotted);
            self.accuse(judgement, Some(number), None);
        }
    }
}
