//! One question of a client: every owner and fallback of the key is asked, and what they say is the answer.
//!
//! A node that does not answer in a part of the question's time is named as silent; it holds nothing up.

use kvorum_protocol::message::{OwnerCause, OwnerFailure, Response, Testimony, WhyDone};
use kvorum_protocol::{RecordKey, RequestError};
use kvorum_ring::NodeId;
use kvorum_store::StoreEvent;

use crate::engine::causes::cause_of;
use crate::engine::machine::{Machine, Progress};
use crate::engine::quorum::Owners;
use crate::engine::turn::{Turn, remaining_ms};
use crate::engine::view::Place;
use crate::engine::why::witness::Witness;
use crate::limits;
use crate::peer_message::PeerMessage;

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Asking {
    key: RecordKey,
    owners: Owners,
    fallbacks: Owners,
    deadline_ns: u64,
    /// Whether this node is one of those that testify.
    testifies: bool,
    own: Witness,
    /// Who has not answered.
    awaited: Owners,
    testimonies: Vec<Testimony>,
    silent: Vec<OwnerFailure>,
}

impl Asking {
    /// A question that has not been put to anybody.
    pub(crate) fn new(place: Place, fallbacks: Owners, deadline_ns: u64) -> Asking {
        let Place { key, hash, owners } = place;
        Asking {
            own: Witness::new(key.clone(), hash),
            key,
            owners,
            fallbacks,
            deadline_ns,
            testifies: false,
            awaited: Owners::new(),
            testimonies: Vec::new(),
            silent: Vec::new(),
        }
    }

    fn all(&self) -> Owners {
        self.owners.iter().chain(&self.fallbacks).copied().collect()
    }

    /// A node will not answer.
    fn lose(&mut self, node: NodeId, cause: OwnerCause) {
        if let Some(place) = self.awaited.iter().position(|awaited| *awaited == node) {
            self.awaited.remove(place);
            self.silent.push(OwnerFailure { node, cause });
        }
    }

    fn judge(&mut self, turn: &mut Turn<'_>) -> Progress {
        if !self.awaited.is_empty() {
            return Progress::Waiting;
        }
        let order = self.all();
        let place = |node: NodeId| order.iter().position(|other| *other == node);
        self.testimonies.sort_by_key(|testimony| place(testimony.node));
        self.silent.sort_by_key(|failure| place(failure.node));
        turn.answer(Response::Why(WhyDone {
            partition: self.key.partition,
            owners: self.owners.to_vec(),
            fallbacks: self.fallbacks.to_vec(),
            testimonies: std::mem::take(&mut self.testimonies),
            silent: std::mem::take(&mut self.silent),
        }));
        Progress::Done
    }
}

impl Machine for Asking {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        let left_ms = remaining_ms(turn.now, self.deadline_ns);
        let deadline_ms = (left_ms / 2).clamp(1, limits::WHY_PATIENCE_MS);
        turn.wake_at(turn.now.after_ms(deadline_ms.into()));
        self.awaited = self.all();
        for node in self.all() {
            if node == turn.me {
                self.testifies = true;
                self.own.start(turn);
            } else if turn.reaches(node) {
                let (token, key) = (turn.token.0, self.key.clone());
                turn.send(node, PeerMessage::Explain { token, key, deadline_ms });
            } else {
                self.lose(node, OwnerCause::Unreachable);
            }
        }
        self.judge(turn)
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        if let StoreEvent::Poisoned { .. } = event {
            turn.answer(Response::Error { error: RequestError::Stopping });
            return Progress::Done;
        }
        if self.testifies && self.own.hear(event) {
            let testimony = self.own.testimony(turn, &self.all());
            self.testimonies.push(testimony);
            self.awaited.retain(|node| *node != turn.me);
        }
        self.judge(turn)
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match message {
            PeerMessage::Explained { testimony, .. } if self.awaited.contains(&from) => {
                self.awaited.retain(|node| *node != from);
                // Nobody testifies for others.
                self.testimonies.push(Testimony { node: from, ..*testimony });
            }
            PeerMessage::NotExplained { reason, .. } => self.lose(from, cause_of(reason)),
            _ => {}
        }
        self.judge(turn)
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        self.lose(node, OwnerCause::Unreachable);
        self.judge(turn)
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        for node in self.awaited.clone() {
            self.lose(node, OwnerCause::TimedOut);
        }
        self.judge(turn)
    }
}
