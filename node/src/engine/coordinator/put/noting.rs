//! What a put leaves in the memory of events: what it minted, and who was left behind.

use kvorum_protocol::message::{Happened, Way, WriteMode};
use kvorum_protocol::{EncodedSet, Replaces};
use kvorum_store::MintedDot;

use crate::engine::coordinator::put::Put;
use crate::engine::planted::Planted;
use crate::engine::turn::{Turn, remaining_ms};

impl Put {
    /// The own store minted, or else took what an earlier attempt had left with another node.
    pub(super) fn note_applied(
        &self,
        turn: &mut Turn<'_>,
        set: &EncodedSet,
        minted: Option<&MintedDot>,
        changed: bool,
    ) {
        let live = u32::try_from(set.versions().len()).unwrap_or(u32::MAX);
        if let Some(MintedDot { dot, replaced }) = minted {
            turn.note(
                self.hash,
                Happened::Minted {
                    dot: *dot,
                    operation: self.operation,
                    mode: match &self.replaces {
                        Replaces::Latest => WriteMode::Latest,
                        Replaces::Nothing => WriteMode::Beside,
                        Replaces::Context(_) => WriteMode::Context,
                    },
                    replaced: u32::try_from(replaced.len()).unwrap_or(u32::MAX),
                    live,
                    within_ms: remaining_ms(turn.now, self.deadline_ns),
                    stands_in: !self.is_owner(turn),
                },
            );
        } else if changed {
            turn.note(self.hash, Happened::Merged { from: turn.me, way: Way::Retry, live });
        }
    }

    /// The write has ended: owners that have not acknowledged it may lack it.
    pub(super) fn note_left_behind(&self, turn: &mut Turn<'_>) {
        let Some(applied) = &self.applied else {
            let operation = self.operation;
            return turn.note(self.hash, Happened::Unanswered { operation });
        };
        if turn.has_planted(Planted::LeftBehindUntold) {
            return;
        }
        for failure in self.copies.owners().failures() {
            let (node, cause) = (failure.node, failure.cause);
            turn.note(self.hash, Happened::LeftBehind { node, cause, dot: applied.dot });
        }
    }
}
