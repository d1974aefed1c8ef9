//! Finding out whether a retried write was applied before.
//!
//! Every version remembers the operation that made it and some that it replaced. So a coordinator that is asked to repeat
//! an operation looks for its id: first in its own record, then in those of the other owners and of the fallbacks, which may
//! have taken the first attempt in an owner's place. If it is anywhere, the write
//! took effect, and repeating it means spreading what is known instead of minting again.
//!
//! "Not found" is certain only when all of them answered, no list of ids was full, and no fallback may have handed over to an owner
//! meanwhile what both were asked for (see `get/again.rs`). Otherwise the write is minted all the
//! same, for waiting would make one slow owner stop everybody, and the reply says that it could not be checked. Two dots
//! of one operation that arise so become one version again when they meet in a merge.

use kvorum_protocol::message::{MergeRule, OwnerCause};
use kvorum_protocol::{EncodedSet, Found, OperationId, RecordKey, Space, VersionSet};
use kvorum_ring::NodeId;
use kvorum_store::{StoreEvent, StoreRequest};

use crate::engine::coordinator::{cause_of, known};
use crate::engine::quorum::{Owners, Quorum};
use crate::engine::replica::fetch_outcome;
use crate::engine::turn::{Turn, remaining_ms};
use crate::peer_message::{FetchOutcome, PeerMessage};

/// What is known so far.
pub(super) enum Recalled {
    /// Answers are outstanding.
    Searching,
    /// The operation took effect.
    Found {
        /// Everything that was heard of the key.
        set: EncodedSet,
        /// How the operation stands in it.
        found: Found,
    },
    /// Nobody who answered knows the operation.
    NotFound {
        /// Whether nobody else can.
        certain: bool,
    },
}

/// A search for one operation among a key's owners and fallbacks.
#[derive(Clone)]
pub(super) struct Recall {
    key: Option<RecordKey>,
    deadline_ns: u64,
    rule: MergeRule,
    owners: Owners,
    answers: Quorum,
    heard: VersionSet,
    forgetful: bool,
    /// When the first one was asked, in monotonic nanoseconds.
    asked_ns: u64,
    /// A fallback may have handed over something since.
    may_hide: bool,
}

impl Recall {
    /// A search that has not begun.
    pub(super) fn new(
        owners: &Owners,
        fallbacks: &[NodeId],
        rule: MergeRule,
        reaches: impl Fn(NodeId) -> bool,
    ) -> Recall {
        let mut all = owners.clone();
        all.extend_from_slice(fallbacks);
        let answers = Quorum::new(all.len(), &[&all], reaches);
        Recall {
            key: None,
            deadline_ns: 0,
            rule,
            owners: owners.clone(),
            answers,
            heard: VersionSet::empty(),
            forgetful: false,
            asked_ns: 0,
            may_hide: false,
        }
    }

    /// The record in which a node would have the key.
    fn record_at(&self, node: NodeId, key: &RecordKey) -> RecordKey {
        let is_owner = self.owners.contains(&node);
        key.clone().in_space(if is_owner { Space::Owned } else { Space::Hinted })
    }

    /// Reads the own record. The search may take half of the time that is left; the write needs the other half.
    pub(super) fn start(&mut self, turn: &mut Turn<'_>, key: &RecordKey, deadline_ns: u64) {
        let left_ns = deadline_ns.saturating_sub(turn.now.mono_ns);
        turn.wake_at(turn.now.mono_ns + left_ns / 2);
        self.key = Some(key.clone());
        (self.deadline_ns, self.asked_ns) = (deadline_ns, turn.now.mono_ns);
        let own = self.record_at(turn.me, key);
        turn.store(StoreRequest::Read { token: turn.token, key: own });
    }

    /// The own record was read, or could not be. If it does not know the operation, the other owners are asked.
    pub(super) fn own(
        &mut self,
        turn: &mut Turn<'_>,
        event: StoreEvent,
        operation: OperationId,
    ) -> Recalled {
        let (outcome, refilling) = match event {
            StoreEvent::Read { result, refilling, .. } => (fetch_outcome(result), refilling),
            _ => (FetchOutcome::Damaged, false),
        };
        let Some(key) = self.key.take() else { return Recalled::Searching };
        let recalled = self.other(turn.me, outcome, refilling, operation);
        if let Recalled::Searching = recalled {
            let deadline_ms = remaining_ms(turn.now, self.deadline_ns);
            for node in self.answers.awaited() {
                let (token, key) = (turn.token.0, self.record_at(node, &key));
                turn.send(node, PeerMessage::Fetch { token, key, digest_only: false, deadline_ms });
            }
        }
        recalled
    }

    /// A node has answered: what a fallback gave up meanwhile may be where nobody has looked.
    pub(super) fn note_handovers(&mut self, turn: &Turn<'_>, node: NodeId) {
        self.may_hide |= !self.owners.contains(&node)
            && self.answers.awaits(node)
            && turn.peers.may_have_handed_over_after(node, self.asked_ns);
    }

    /// An owner answered.
    pub(super) fn other(
        &mut self,
        node: NodeId,
        outcome: FetchOutcome,
        refilling: bool,
        operation: OperationId,
    ) -> Recalled {
        match outcome {
            FetchOutcome::Held { set } => {
                self.heard.merge_into(&set);
                if let Some(found) = known::found(&set, self.rule, operation) {
                    // What several owners hold may together be more than a record can be; then this one's own has to do.
                    let set = EncodedSet::bounded(&self.heard).unwrap_or(set);
                    return Recalled::Found { set, found };
                }
                self.forgetful |= set.operation_ids_full();
                match refilling {
                    // Its record may have come after the loss of one that knew the operation.
                    true => self.answers.fail(node, OwnerCause::Refilling),
                    false => self.answers.count(node),
                }
            }
            // Nobody was asked for one: the record behind it may know the operation.
            FetchOutcome::Digest { .. } => self.answers.fail(node, OwnerCause::Damaged),
            FetchOutcome::Absent if refilling => self.answers.fail(node, OwnerCause::Refilling),
            FetchOutcome::Absent => self.answers.count(node),
            FetchOutcome::Damaged => self.answers.fail(node, OwnerCause::Damaged),
            FetchOutcome::Refused { reason } => self.answers.fail(node, cause_of(reason)),
        }
        self.verdict()
    }

    /// An owner will not answer.
    pub(super) fn lost(&mut self, node: NodeId, cause: OwnerCause) -> Recalled {
        self.answers.fail(node, cause);
        self.verdict()
    }

    /// The search has taken long enough.
    pub(super) fn give_up(&mut self) -> Recalled {
        Recalled::NotFound { certain: false }
    }

    fn verdict(&self) -> Recalled {
        match self.answers.is_settled() {
            true => {
                let is_certain = !self.forgetful && !self.may_hide;
                Recalled::NotFound { certain: self.answers.is_complete() && is_certain }
            }
            false => Recalled::Searching,
        }
    }
}
