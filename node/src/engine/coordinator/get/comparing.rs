//! Digests in place of whole records.
//!
//! In a healthy cluster all owners of a key hold the same. So a get reads its own record whole and asks the others only for
//! digests of theirs. A digest equal to that of the own record counts as if that very record had come. One that differs, and
//! each of them while there is no own record to compare with, has its owner asked for the record itself; the quorum goes on
//! waiting for it, and nothing is concluded from a digest that was not matched.
//!
//! The own record can be slower than the others' digests, because it has to come from the disk. When only it is missing for
//! an answer, it is waited for a little, and then the others are asked for theirs: a slow disk here must not make a read slow
//! that other owners can serve.

use kvorum_protocol::SetDigest;
use kvorum_protocol::message::OwnerCause;
use kvorum_ring::NodeId;

use crate::engine::coordinator::get::Get;
use crate::engine::coordinator::get::digests::{Digests, Early, Own};
use crate::engine::turn::{Turn, remaining_ms};
use crate::limits;
use crate::peer_message::{FetchOutcome, PeerMessage};

impl Get {
    /// An owner said the digest of what it holds.
    pub(super) fn compare(
        &mut self,
        turn: &mut Turn<'_>,
        node: NodeId,
        digest: SetDigest,
        refilling: bool,
    ) {
        if !self.heard.awaits(node) || self.digests.was_asked_whole(node) {
            return;
        }
        match &self.digests.own {
            Own::Awaited => {
                if !self.digests.has_early(node) {
                    self.digests.early.push(Early { node, digest, refilling });
                }
            }
            Own::Holds(set) if set.digest() == digest => {
                let set = set.clone();
                turn.stats.digests_agreed += 1;
                self.hear(turn, node, FetchOutcome::Held { set }, refilling);
            }
            Own::Holds(_) => {
                turn.stats.digests_differed += 1;
                self.ask_whole(turn, node);
            }
            Own::Nothing => self.ask_whole(turn, node),
        }
    }

    /// The own record is known, or will not be: what came before it can be compared now.
    pub(super) fn compare_with(&mut self, turn: &mut Turn<'_>, own: Own) {
        if !matches!(self.digests.own, Own::Awaited) {
            return;
        }
        self.digests.own = own;
        for Early { node, digest, refilling } in std::mem::take(&mut self.digests.early) {
            self.compare(turn, node, digest, refilling);
        }
    }

    /// Begins to wait for the own record with an alarm, once only it is missing for an answer.
    pub(super) fn watch_own_read(&mut self, turn: &mut Turn<'_>) {
        let Digests { own, early, watched, .. } = &mut self.digests;
        let only_own_is_missing = matches!(own, Own::Awaited)
            && !early.is_empty()
            && self.heard.got() + early.len() >= self.heard.needed();
        if only_own_is_missing && !std::mem::replace(watched, true) {
            let patience_ns = turn.now.after_ms(limits::OWN_READ_PATIENCE_MS.into());
            turn.wake_at(patience_ns.min(self.deadline_ns));
        }
    }

    /// Whether the alarm that rang was for the own record, and not for the get: then the others are asked for theirs.
    pub(super) fn lose_patience(&mut self, turn: &mut Turn<'_>) -> bool {
        if turn.now.mono_ns >= self.deadline_ns {
            return false;
        }
        turn.wake_at(self.deadline_ns);
        self.compare_with(turn, Own::Nothing);
        true
    }

    fn ask_whole(&mut self, turn: &mut Turn<'_>, node: NodeId) {
        if !turn.reaches(node) {
            return self.heard.fail(node, OwnerCause::Unreachable);
        }
        self.digests.asked_whole.push(node);
        let (token, key) = (turn.token.0, self.place.key.clone());
        let deadline_ms = remaining_ms(turn.now, self.deadline_ns);
        turn.send(node, PeerMessage::Fetch { token, key, digest_only: false, deadline_ms });
    }
}
