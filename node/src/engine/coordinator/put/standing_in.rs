//! Fallbacks in the place of owners.
//!
//! They are called in as late as can be, because a copy in the wrong place has to be carried to the right one:
//!
//! - when the owners that can be reached are fewer than the write needs, for those that are missed;
//! - when the write has waited for a part of its time, also for those that are silent; and again after a part of the rest, for
//!   those whose fallback is silent, too;
//! - at its end, for those that are missed then. By that time the write has its answer, and usually its owners: these copies are
//!   spare, and nobody waits for them.
//!
//! An owner that is silent about this write, and has called another one durable since, is slow and not away. Stopping to wait for
//! slow owners would send every write of an overloaded cluster to a fallback as well, so for them there is a budget: a few in a
//! hundred writes, all of a node's together. One that has called nothing durable since this write was sent is as good as dead.
//!
//! An owner that is overloaded is not away. To write elsewhere in its place would be more work for a cluster that has too much
//! of it already, now and once more when it is handed over.

use kvorum_protocol::Space;
use kvorum_protocol::message::OwnerCause;
use kvorum_store::{Apply, Hint, StoreRequest};

use crate::engine::coordinator::put::Put;
use crate::engine::machine::Progress;
use crate::engine::quorum::Owners;
use crate::engine::turn::{Turn, remaining_ms};
use crate::limits;
use crate::peer_message::{PeerHold, PeerMessage};

impl Put {
    /// Whether this node owns the key, and does not stand in for an owner.
    pub(super) fn is_owner(&self, turn: &Turn<'_>) -> bool {
        self.copies.owners().has(turn.me)
    }

    /// Has the own store change the own record.
    pub(super) fn change_own(&self, turn: &mut Turn<'_>, change: Apply) {
        let (token, key) = (turn.token, self.key.clone());
        turn.store(match self.is_owner(turn) {
            true => StoreRequest::Apply { token, key, change },
            false => {
                let targets = self.copies.owners().all().to_vec();
                let hint = Hint { targets, spare: false };
                StoreRequest::Hold { token, key: key.in_space(Space::Hinted), hint, change }
            }
        });
    }

    /// Whether enough nodes can be reached to begin at all.
    pub(super) fn could_reach(&self, turn: &Turn<'_>) -> bool {
        if self.copies.owners_suffice() {
            return true;
        }
        let fallbacks = turn.view.fallbacks(self.key.class, self.key.partition);
        let others = fallbacks.iter().filter(|node| **node != turn.me && turn.reaches(**node));
        self.copies.could_reach(others.count())
    }

    /// Until when owners that do not answer are waited for before fallbacks are called in for them.
    pub(super) fn patience_ns(&self, turn: &Turn<'_>) -> u64 {
        if !turn.view.has_fallbacks(self.key.class, self.key.partition) {
            return self.deadline_ns;
        }
        let now_ns = turn.now.mono_ns;
        now_ns + self.deadline_ns.saturating_sub(now_ns) / limits::STAND_IN_SHARE
    }

    /// An alarm before the deadline: a search for an earlier attempt has had its part of the time, or owners have.
    pub(super) fn lose_patience(&mut self, turn: &mut Turn<'_>) -> Progress {
        if let Some(recall) = &mut self.recall {
            let recalled = recall.give_up();
            turn.wake_at(self.patience_ns(turn).max(turn.now.mono_ns + 1));
            return self.follow(turn, recalled);
        }
        let again_ns = self.patience_ns(turn).max(turn.now.after_ms(limits::STAND_IN_AGAIN_MS));
        turn.wake_at(again_ns.min(self.deadline_ns));
        if self.set.is_none() || !self.copies.counts_fallbacks() || self.copies.is_reached() {
            return Progress::Waiting;
        }
        for owner in self.copies.owners().awaited() {
            if self.silent.contains(&owner) {
                continue;
            }
            let is_slow = turn.peers.has_acknowledged_after(owner, self.sent_ns);
            if !is_slow || turn.peers.spend_stand_in() {
                self.silent.push(owner);
            } else {
                turn.stats.slow_owners_spared += 1;
            }
        }
        self.copies.lose_patience();
        self.judge(turn)
    }

    /// Calls fallbacks in if the owners that are left are too few, or some of them are silent.
    pub(super) fn replace_missed(&mut self, turn: &mut Turn<'_>) {
        let is_needed = !self.copies.owners_suffice() || !self.silent.is_empty();
        if self.set.is_some() && self.copies.counts_fallbacks() && is_needed {
            let mut missed = self.away();
            let awaited = self.copies.owners().awaited();
            missed.extend(awaited.into_iter().filter(|owner| self.silent.contains(owner)));
            self.call_in(turn, &missed);
        }
    }

    /// Leaves a copy with fallbacks for owners that do not have it. Nobody waits for what comes of it.
    pub(super) fn leave_hints(&mut self, turn: &mut Turn<'_>) {
        let missed = self.away();
        if self.set.is_some() && !missed.is_empty() {
            self.call_in(turn, &missed);
        }
    }

    fn call_in(&mut self, turn: &mut Turn<'_>, missed: &Owners) {
        let Some(set) = &self.set else { return };
        let (view, class, partition) = (turn.view, self.key.class, self.key.partition);
        let spare = self.copies.has_enough_owners();
        let me = turn.me;
        let calls = self.copies.call_in(
            missed,
            || view.fallbacks(class, partition),
            |node| node != me && turn.reaches(node),
        );
        // What is called in late has a time of its own: the request's may be over.
        let deadline_ms = remaining_ms(turn.now, self.deadline_ns).max(limits::REPAIR_DEADLINE_MS);
        for (node, targets) in calls {
            let (key, set) = (self.key.clone().in_space(Space::Hinted), set.clone());
            let held = Box::new(PeerHold { key, set, targets, spare });
            turn.stats.called_in += 1;
            turn.send(node, PeerMessage::Hold { token: turn.token.0, held, deadline_ms });
        }
    }

    /// Owners that are away. Those that have too much to do are not.
    fn away(&self) -> Owners {
        let is_away = |cause: OwnerCause| {
            matches!(
                cause,
                OwnerCause::Unreachable
                    | OwnerCause::TimedOut
                    | OwnerCause::Stopping
                    | OwnerCause::DiskFull
            )
        };
        let failures = self.copies.owners().failures();
        failures.iter().filter(|one| is_away(one.cause)).map(|one| one.node).collect()
    }
}
