//! One key: all owners are to hold the same, durably.
//!
//! ```text
//!   start: read the own record, ask every other owner, and the fallbacks for what they hold in owners' places
//!     │
//!   everybody was heard, or half of the time is over: merge
//!     │
//!   have every owner that was heard make the merge durable
//!     │
//!   all have, or the time is up: tell who held what, and who has the merge now
//! ```
//!
//! An owner that is away takes no part, and is named; the others are made equal without it. A bare tombstone goes only to owners that
//! hold a record: one that has none may have reclaimed the very same tombstone, and holds what it says, nothing.

use kvorum_protocol::message::{
    OwnerCause, RepairDone, RepairHolding, RepairedOwner, RequestError, Response,
};
use kvorum_protocol::{EncodedSet, Space};
use kvorum_ring::NodeId;
use kvorum_store::{StoreEvent, StoreRequest};

use crate::engine::coordinator::repair::give;
use crate::engine::coordinator::{cause_of, small};
use crate::engine::machine::{Machine, Progress};
use crate::engine::quorum::Quorum;
use crate::engine::replica::{fetch_outcome, refusal_of};
use crate::engine::turn::{Turn, remaining_ms};
use crate::engine::view::Place;
use crate::peer_message::{FetchOutcome, PeerMessage, ReplicateOutcome};

/// What one owner said that it holds.
#[derive(Clone)]
enum Held {
    Nothing,
    Damaged,
    Set(EncodedSet),
}

impl Held {
    fn told(&self) -> RepairHolding {
        match self {
            Held::Nothing => RepairHolding::Nothing,
            Held::Damaged => RepairHolding::Damaged,
            Held::Set(set) => told(set),
        }
    }

    /// Whether somebody who holds this lacks something of the merge.
    fn is_behind(&self, merged: &EncodedSet) -> bool {
        match self {
            Held::Nothing => !merged.is_tombstone(),
            Held::Damaged => true,
            Held::Set(set) => set != merged,
        }
    }
}

fn told(set: &EncodedSet) -> RepairHolding {
    RepairHolding::Record {
        values: u32::try_from(set.versions().len()).unwrap_or(u32::MAX),
        bytes: set.encoded().len() as u64,
        digest: set.digest(),
    }
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct MendKey {
    place: Place,
    deadline_ns: u64,
    /// Owners that said what they hold.
    heard: Quorum,
    fallbacks: Quorum,
    holdings: Vec<(NodeId, Held)>,
    merged: Option<EncodedSet>,
    /// Owners that have the merge durably, once it is made.
    copies: Option<Quorum>,
}

impl MendKey {
    /// A repair that has not begun, at one of the key's owners.
    pub(crate) fn new(place: Place, fallbacks: &[NodeId], deadline_ns: u64) -> MendKey {
        let heard = Quorum::new(place.owners.len(), &[&place.owners], |_| true);
        let fallbacks = Quorum::new(0, &[fallbacks], |_| true);
        let (holdings, merged, copies) = (Vec::new(), None, None);
        MendKey { place, deadline_ns, heard, fallbacks, holdings, merged, copies }
    }

    fn ask(&mut self, turn: &mut Turn<'_>, node: NodeId, space: Space) {
        let (token, key) = (turn.token, self.place.key.clone().in_space(space));
        if node == turn.me {
            turn.store(StoreRequest::Read { token, key });
        } else if turn.reaches(node) {
            let (token, deadline_ms) = (token.0, remaining_ms(turn.now, self.deadline_ns));
            turn.send(node, PeerMessage::Fetch { token, key, digest_only: false, deadline_ms });
        } else {
            self.lose(node, OwnerCause::Unreachable);
        }
    }

    fn hear(&mut self, node: NodeId, outcome: FetchOutcome) {
        let is_owner = self.heard.awaits(node);
        if self.copies.is_some() || !is_owner && !self.fallbacks.awaits(node) {
            return;
        }
        let held = match outcome {
            FetchOutcome::Held { set } => match self.add(&set) {
                Ok(()) => Held::Set(set),
                Err(cause) => return self.lose(node, cause),
            },
            FetchOutcome::Absent => Held::Nothing,
            // Nobody asked for a digest.
            FetchOutcome::Damaged | FetchOutcome::Digest { .. } => Held::Damaged,
            FetchOutcome::Refused { reason } => return self.lose(node, cause_of(reason)),
        };
        self.heard.count(node);
        self.fallbacks.count(node);
        if is_owner {
            self.holdings.push((node, held));
        }
    }

    fn add(&mut self, set: &EncodedSet) -> Result<(), OwnerCause> {
        let merged = match &self.merged {
            None => set.clone(),
            Some(merged) => {
                EncodedSet::bounded(&merged.merge(set)).map_err(|_| OwnerCause::Oversized)?
            }
        };
        self.merged = Some(merged);
        Ok(())
    }

    /// A node does not answer what it was asked last.
    fn lose(&mut self, node: NodeId, cause: OwnerCause) {
        match &mut self.copies {
            Some(copies) => copies.fail(node, cause),
            None => {
                self.heard.fail(node, cause);
                self.fallbacks.fail(node, cause);
            }
        }
    }

    fn go_on(&mut self, turn: &mut Turn<'_>) -> Progress {
        if self.copies.is_none() {
            if !(self.heard.is_settled() && self.fallbacks.is_settled()) {
                return Progress::Waiting;
            }
            self.spread(turn);
        }
        let has_ended = self.copies.as_ref().is_some_and(Quorum::is_settled);
        if has_ended { self.end(turn) } else { Progress::Waiting }
    }

    /// Has the owners that were heard make the merge durable.
    fn spread(&mut self, turn: &mut Turn<'_>) {
        let mut copies = Quorum::new(0, &[&self.place.owners], |_| true);
        for failure in self.heard.failures() {
            copies.fail(failure.node, failure.cause);
        }
        for (node, held) in &self.holdings {
            match &self.merged {
                Some(_) if !turn.reaches(*node) => copies.fail(*node, OwnerCause::Unreachable),
                Some(merged) if held.is_behind(merged) || matches!(held, Held::Set(_)) => {
                    give(turn, *node, &self.place.key, merged, self.deadline_ns);
                }
                None if matches!(held, Held::Damaged) => copies.fail(*node, OwnerCause::Damaged),
                _ => copies.count(*node),
            }
        }
        turn.wake_at(self.deadline_ns);
        self.copies = Some(copies);
    }

    fn end(&mut self, turn: &mut Turn<'_>) -> Progress {
        if self.holdings.is_empty() {
            let (needed, causes) = (small(self.place.owners.len()), self.heard.failures());
            let error = RequestError::Unavailable { needed, got: 0, causes };
            turn.answer(Response::Error { error });
            return Progress::Done;
        }
        let owners: Vec<RepairedOwner> =
            self.place.owners.iter().map(|node| self.owner(*node)).collect();
        turn.stats.ordered_compared += 1;
        turn.stats.ordered_given += owners.iter().map(|owner| owner.given).sum::<u64>();
        let is_different = match &self.merged {
            Some(merged) => self.holdings.iter().any(|(_, held)| held.is_behind(merged)),
            None => self.holdings.iter().any(|(_, held)| matches!(held, Held::Damaged)),
        };
        let all_agree = owners.iter().all(|owner| owner.cause.is_none());
        turn.answer(Response::Repair(RepairDone {
            owners,
            after: Some(self.merged.as_ref().map_or(RepairHolding::Nothing, told)),
            compared: 1,
            differing: u64::from(is_different),
            left: u64::from(!all_agree),
            next: None,
        }));
        Progress::Done
    }

    fn owner(&self, node: NodeId) -> RepairedOwner {
        let held = self.holdings.iter().find(|(owner, _)| *owner == node).map(|(_, held)| held);
        let failures = self.copies.as_ref().map(Quorum::failures).unwrap_or_default();
        let cause =
            failures.iter().find(|failure| failure.node == node).map(|failure| failure.cause);
        let lacked = held
            .zip(self.merged.as_ref())
            .filter(|(held, merged)| cause.is_none() && held.is_behind(merged));
        RepairedOwner {
            node,
            before: held.map(Held::told),
            given: u64::from(lacked.is_some()),
            bytes: lacked.map_or(0, |(_, merged)| merged.encoded().len() as u64),
            cause,
        }
    }
}

impl Machine for MendKey {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        let left_ns = self.deadline_ns.saturating_sub(turn.now.mono_ns);
        turn.wake_at(turn.now.mono_ns + left_ns / 2);
        for node in self.heard.awaited() {
            self.ask(turn, node, Space::Owned);
        }
        for node in self.fallbacks.awaited() {
            self.ask(turn, node, Space::Hinted);
        }
        self.go_on(turn)
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        match event {
            StoreEvent::Read { result, .. } => self.hear(turn.me, fetch_outcome(result)),
            StoreEvent::Durable { .. } => self.has_merge(turn.me),
            StoreEvent::Refused { reason, .. } => {
                self.lose(turn.me, cause_of(refusal_of(reason)));
            }
            StoreEvent::Poisoned { .. } => self.lose(turn.me, OwnerCause::Stopping),
            _ => {}
        }
        self.go_on(turn)
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match message {
            PeerMessage::Fetched { outcome, .. } => self.hear(from, outcome),
            PeerMessage::Replicated { outcome: ReplicateOutcome::Durable, .. } => {
                self.has_merge(from);
            }
            PeerMessage::Replicated { outcome: ReplicateOutcome::Refused { reason }, .. } => {
                self.lose(from, cause_of(reason));
            }
            _ => {}
        }
        self.go_on(turn)
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        self.lose(node, OwnerCause::Unreachable);
        self.go_on(turn)
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        match &mut self.copies {
            Some(copies) => copies.expire(),
            None => {
                self.heard.expire();
                self.fallbacks.expire();
            }
        }
        self.go_on(turn)
    }
}

impl MendKey {
    fn has_merge(&mut self, node: NodeId) {
        if let Some(copies) = self.copies.as_mut().filter(|copies| copies.awaits(node)) {
            copies.count(node);
        }
    }
}
