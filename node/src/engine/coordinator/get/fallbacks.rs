//! Asking fallbacks what they hold in the place of owners.
//!
//! They are asked when the owners that can be reached are fewer than the get needs, and before "not found" is said: writes that
//! were acknowledged while owners were away may be with fallbacks alone. An answer of theirs counts in the place of an owner that
//! has not answered, and never beside all of them; what they hold is merged into the reply. They are sent no repair: what an owner lacks it gets by the repair of owners, and
//! what a fallback lacks was not held there for anybody.

use kvorum_protocol::Space;
use kvorum_protocol::message::OwnerCause;
use kvorum_ring::NodeId;
use kvorum_store::StoreRequest;

use crate::engine::coordinator::cause_of;
use crate::engine::coordinator::get::Get;
use crate::engine::quorum::Quorum;
use crate::engine::turn::{Turn, remaining_ms};
use crate::peer_message::{FetchOutcome, PeerMessage};

impl Get {
    /// Whether it is time to ask them: the owners are too few, or all of them have been heard.
    pub(super) fn wants_fallbacks(&self) -> bool {
        let is_time = !self.heard.is_reachable() || self.heard.is_settled();
        self.sloppy && self.fallbacks.is_none() && is_time
    }

    pub(super) fn ask_fallbacks(&mut self, turn: &mut Turn<'_>) {
        let key = self.place.key.clone().in_space(Space::Hinted);
        let all = turn.view.fallbacks(key.class, key.partition);
        let asked = Quorum::new(0, &[&all], |node| turn.reaches(node));
        turn.stats.fallbacks_asked += u64::from(!all.is_empty());
        let deadline_ms = remaining_ms(turn.now, self.deadline_ns);
        for node in asked.awaited() {
            let (token, key) = (turn.token, key.clone());
            if node == turn.me {
                turn.store(StoreRequest::Read { token, key });
            } else {
                let (token, digest_only) = (token.0, false);
                turn.send(node, PeerMessage::Fetch { token, key, digest_only, deadline_ms });
            }
        }
        self.fallbacks = Some(asked);
    }

    /// A fallback said what it holds.
    pub(super) fn hear_fallback(
        &mut self,
        turn: &Turn<'_>,
        node: NodeId,
        outcome: FetchOutcome,
        refilling: bool,
    ) {
        if self.fallbacks.as_ref().is_some_and(|asked| asked.awaits(node)) {
            self.note_handovers(turn, node);
        }
        let Some(asked) = self.fallbacks.as_mut().filter(|asked| asked.awaits(node)) else {
            return;
        };
        match outcome {
            FetchOutcome::Held { set } => match self.holdings.adds(&set) {
                Ok(()) => asked.count(node),
                Err(cause) => asked.fail(node, cause),
            },
            FetchOutcome::Absent if refilling => asked.fail(node, OwnerCause::Refilling),
            FetchOutcome::Absent => asked.count(node),
            // Nobody asked for a digest.
            FetchOutcome::Damaged | FetchOutcome::Digest { .. } => {
                asked.fail(node, OwnerCause::Damaged);
            }
            FetchOutcome::Refused { reason } => asked.fail(node, cause_of(reason)),
        }
    }

    /// A node will not answer.
    pub(super) fn lose(&mut self, node: NodeId, cause: OwnerCause) {
        self.heard.fail(node, cause);
        if let Some(asked) = &mut self.fallbacks {
            asked.fail(node, cause);
        }
    }

    /// Time is up for everybody.
    pub(super) fn expire(&mut self) {
        self.heard.expire();
        if let Some(asked) = &mut self.fallbacks {
            asked.expire();
        }
    }

    /// Fallbacks that answered.
    pub(super) fn at_fallbacks(&self) -> usize {
        self.fallbacks.as_ref().map_or(0, |asked| asked.counted().len())
    }

    /// Whether as many nodes answered as the get needs. A fallback and the owner that it stands for are one.
    pub(super) fn has_enough(&self) -> bool {
        let places = self.heard.missing().len();
        self.heard.got() + self.at_fallbacks().min(places) >= self.heard.needed()
    }

    /// Whether as many could answer.
    pub(super) fn could_have_enough(&self, turn: &Turn<'_>) -> bool {
        if self.heard.is_reachable() {
            return true;
        }
        let key = &self.place.key;
        let others = || turn.view.fallbacks(key.class, key.partition);
        let reachable = |node: &NodeId| turn.reaches(*node);
        let fallbacks =
            if self.sloppy { others().into_iter().filter(reachable).count() } else { 0 };
        self.heard.possible() + fallbacks >= self.heard.needed()
    }

    /// Whether nobody is awaited any more.
    pub(super) fn is_settled(&self) -> bool {
        self.heard.is_settled() && self.fallbacks.as_ref().is_none_or(Quorum::is_settled)
    }

    /// Whether no fallback could know more.
    pub(super) fn all_fallbacks_answered(&self, turn: &Turn<'_>) -> bool {
        let key = &self.place.key;
        match &self.fallbacks {
            Some(asked) => asked.is_complete(),
            None => !turn.view.has_fallbacks(key.class, key.partition),
        }
    }
}
