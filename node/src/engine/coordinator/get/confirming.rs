//! Making what a strict get returns last: enough owners are to hold it durably before it is told.

use kvorum_protocol::EncodedSet;
use kvorum_protocol::message::OwnerCause;
use kvorum_ring::NodeId;

use crate::engine::coordinator::get::Get;
use crate::engine::coordinator::repair::give;
use crate::engine::quorum::Quorum;
use crate::engine::turn::Turn;

impl Get {
    pub(super) fn confirm(&mut self, turn: &mut Turn<'_>, merged: EncodedSet) {
        let owners = &self.place.owners;
        let needed = owners.len() + 1 - self.heard.needed();
        let copies = Quorum::new(needed, &[owners], |node| turn.reaches(node));
        for node in copies.awaited() {
            give(turn, node, &self.place.key, &merged, self.deadline_ns);
        }
        self.confirming = Some((merged, copies));
        self.judge_copies(turn);
    }

    fn judge_copies(&mut self, turn: &mut Turn<'_>) {
        let Some((merged, copies)) = &self.confirming else { return };
        if self.answered {
            return;
        }
        if copies.is_reached() {
            let merged = merged.clone();
            self.succeed(turn, Some(&merged));
        } else if !copies.is_reachable() {
            self.fail(turn);
        }
    }

    pub(super) fn confirmed(&mut self, turn: &mut Turn<'_>, node: NodeId) {
        let first = self.confirming.as_mut().filter(|(_, copies)| copies.awaits(node));
        if let Some((merged, copies)) = first {
            copies.count(node);
            self.holdings.was_given(node, merged);
        }
        self.judge_copies(turn);
    }

    pub(super) fn unconfirmed(&mut self, turn: &mut Turn<'_>, node: NodeId, cause: OwnerCause) {
        if let Some((_, copies)) = &mut self.confirming {
            copies.fail(node, cause);
        }
        self.judge_copies(turn);
    }
}
