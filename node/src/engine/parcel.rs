//! One delivery: a record that was held for an owner, on its way there.
//!
//! It is read, sent, and released here once the owner has it durably: not before, because until then this may be the only copy.
//! It is released as what was sent. If it has changed meanwhile, it stays, and another delivery brings the rest.
//!
//! At the owner it is merged like everything else. How it ends is told to the courier that began it.

use kvorum_protocol::message::{Happened, Nothing, OwnerCause, RequestError, Response};
use kvorum_protocol::{EncodedSet, RecordKey, Space};
use kvorum_ring::NodeId;
use kvorum_store::{ReadError, StoreEvent, StoreRequest};

use crate::engine::causes::cause_of;
use crate::engine::machine::{Machine, Progress};
use crate::engine::planted::Planted;
use crate::engine::turn::Turn;
use crate::limits;
use crate::peer_message::{PeerMessage, ReplicaRefusal, ReplicateOutcome};

/// How far a delivery is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Reading,
    Sent,
    Releasing,
}

/// One delivery: of one record to one owner.
#[derive(Clone)]
pub(crate) struct Parcel {
    target: NodeId,
    key: RecordKey,
    /// What was sent.
    set: Option<EncodedSet>,
    stage: Stage,
}

impl Parcel {
    /// A delivery that has not begun.
    pub(crate) fn new(target: NodeId, key: RecordKey) -> Parcel {
        Parcel { target, key, set: None, stage: Stage::Reading }
    }

    fn send(&mut self, turn: &mut Turn<'_>, set: EncodedSet) -> Progress {
        if !turn.reaches(self.target) {
            return end(turn, Some(RequestError::Stopping));
        }
        let deadline_ms = limits::DELIVERY_DEADLINE_MS;
        let key = self.key.clone().in_space(Space::Owned);
        let deliver =
            PeerMessage::Deliver { token: turn.token.0, key, set: set.clone(), deadline_ms };
        turn.send(self.target, deliver);
        turn.wake_at(turn.now.after_ms(deadline_ms.into()));
        (self.set, self.stage) = (Some(set), Stage::Sent);
        if turn.has_planted(Planted::HintForgottenEarly) {
            self.release(turn);
        }
        Progress::Waiting
    }

    /// The owner has it.
    fn release(&mut self, turn: &mut Turn<'_>) {
        self.stage = Stage::Releasing;
        turn.peers.hand_over();
        let (token, key, target) = (turn.token, self.key.clone(), self.target);
        let set = self.set.clone().expect("what is released was sent");
        turn.store(StoreRequest::Release { token, key, target, set });
    }

    fn hear(&mut self, turn: &mut Turn<'_>, outcome: ReplicateOutcome) -> Progress {
        match outcome {
            ReplicateOutcome::Durable => {
                turn.stats.hints_delivered += 1;
                turn.note(self.key.key_hash(), Happened::HintDelivered { to: self.target });
                self.release(turn);
                Progress::Waiting
            }
            ReplicateOutcome::Refused { reason } => self.refused(turn, reason),
        }
    }

    fn refused(&self, turn: &mut Turn<'_>, reason: ReplicaRefusal) -> Progress {
        self.note_undelivered(turn, cause_of(reason));
        let error = match reason {
            ReplicaRefusal::Overloaded { retry_after_ms } => {
                RequestError::Overloaded { retry_after_ms }
            }
            ReplicaRefusal::Late => RequestError::DeadlineExceeded,
            ReplicaRefusal::DiskFull => RequestError::DiskFull,
            ReplicaRefusal::Stopping => RequestError::Stopping,
            _ => RequestError::WrongLayout,
        };
        end(turn, Some(error))
    }

    /// Remembers that the owner has not got it.
    fn note_undelivered(&self, turn: &mut Turn<'_>, cause: OwnerCause) {
        let to = self.target;
        turn.note(self.key.key_hash(), Happened::HintUndelivered { to, cause });
    }
}

/// Ends a delivery, and says why it failed if it did.
fn end(turn: &mut Turn<'_>, error: Option<RequestError>) -> Progress {
    turn.answer(match error {
        Some(error) => Response::Error { error },
        None => Response::Done(Nothing {}),
    });
    Progress::Done
}

impl Machine for Parcel {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        turn.store(StoreRequest::Read { token: turn.token, key: self.key.clone() });
        Progress::Waiting
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        match (self.stage, event) {
            (Stage::Reading, StoreEvent::Read { result, .. }) => match result {
                Ok(Some(set)) => self.send(turn, set),
                // Delivered meanwhile, or dropped.
                Ok(None) => end(turn, None),
                // It stays: that it cannot be read is no reason to give it up.
                Err(ReadError::Damaged | ReadError::IndexDamaged | ReadError::Unreadable) => {
                    end(turn, Some(RequestError::Damaged))
                }
            },
            (Stage::Releasing, StoreEvent::Durable { .. }) => end(turn, None),
            (_, StoreEvent::Refused { .. }) => {
                end(turn, Some(RequestError::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS }))
            }
            (_, StoreEvent::Poisoned { .. }) => end(turn, Some(RequestError::Stopping)),
            _ => Progress::Waiting,
        }
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        let PeerMessage::Delivered { outcome, credit, .. } = message else {
            return Progress::Waiting;
        };
        if from != self.target || self.stage != Stage::Sent {
            return Progress::Waiting;
        }
        turn.peers.grant(from, credit);
        self.hear(turn, outcome)
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        match node == self.target && self.stage == Stage::Sent {
            true => {
                self.note_undelivered(turn, OwnerCause::Unreachable);
                end(turn, Some(RequestError::Stopping))
            }
            false => Progress::Waiting,
        }
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        match self.stage {
            Stage::Sent => {
                // It is slow, or what is sent there is lost: one at a time finds out.
                turn.peers.grant(self.target, 1);
                self.note_undelivered(turn, OwnerCause::TimedOut);
                end(turn, Some(RequestError::DeadlineExceeded))
            }
            // The store answers everything.
            Stage::Reading | Stage::Releasing => Progress::Waiting,
        }
    }
}
