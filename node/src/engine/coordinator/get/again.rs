//! Asking the owners once more before "not found" is called complete.
//!
//! What a fallback holds may be handed over just now: the owner was asked before it had it, and the fallback after it had given it
//! up. So two honest answers can hide a record. A handover ends at the fallback, so an owner that is asked after a fallback has
//! answered has what that fallback gave up before. Each fallback tells with its answer how its handovers are numbered: where the
//! number is one that was known before the owners were asked, nothing was handed over since, and there is nothing to ask again.
//!
//! The second questions are a get of its own, of owners only, so that no answer to the first ones is taken for one of these.

use kvorum_protocol::OperationId;
use kvorum_protocol::message::{Get as GetRequest, Request, RequestOptions, Response};
use kvorum_ring::NodeId;

use crate::engine::coordinator::get::Get;
use crate::engine::coordinator::get::second_look::SecondLook;
use crate::engine::coordinator::small;
use crate::engine::turn::{Part, Turn};

impl Get {
    /// A fallback has said what it holds, and what it handed over.
    pub(super) fn note_handovers(&mut self, turn: &Turn<'_>, node: NodeId) {
        // What this node gives up after its own question it would have found by it.
        let may_hide =
            node != turn.me && turn.peers.may_have_handed_over_after(node, self.asked_ns);
        if may_hide && self.second_look == SecondLook::Unneeded {
            self.second_look = SecondLook::Needed;
        }
    }

    /// Whether everybody has answered the first questions.
    pub(super) fn all_have_answered(&self, turn: &Turn<'_>) -> bool {
        self.heard.is_complete() && self.all_fallbacks_answered(turn)
    }

    /// Asks the owners again if that would make "not found" complete. Returns whether they are being asked.
    pub(super) fn looks_again(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.second_look == SecondLook::Needed && self.all_have_answered(turn) {
            self.second_look = SecondLook::UnderWay;
            turn.stats.second_looks += 1;
            let (bucket, key) = (self.place.key.bucket.clone(), self.place.key.key.clone());
            let operation = OperationId(turn.token.0.into());
            let (r, sloppy) = (Some(1), false);
            let options = RequestOptions { r, sloppy, ..RequestOptions::new(operation) };
            let request = Request::Get(GetRequest { bucket, key, options });
            turn.begin(Part { index: 0, request, deadline_ns: self.deadline_ns });
        }
        self.second_look == SecondLook::UnderWay
    }

    /// The owners have answered again, or could not.
    pub(super) fn hear_again(&mut self, turn: &mut Turn<'_>, response: Response) {
        if self.answered {
            return;
        }
        let owners = small(self.place.owners.len());
        let (heard, fallbacks) = (small(self.heard.counted().len()), small(self.at_fallbacks()));
        let needed = small(self.heard.needed());
        let all = match response {
            Response::Get(mut done) if done.is_found() => {
                (done.owners, done.fallbacks, done.needed) = (heard, fallbacks, needed);
                self.answered = true;
                return turn.answer(Response::Get(done));
            }
            Response::Merged(mut done) if done.value.is_some() => {
                (done.owners, done.fallbacks, done.needed) = (heard, fallbacks, needed);
                self.answered = true;
                return turn.answer(Response::Merged(done));
            }
            Response::Get(done) => done.owners == owners,
            Response::Merged(done) => done.owners == owners,
            _ => false,
        };
        self.second_look = SecondLook::Over { all };
    }
}
