//! Making one key equal at two owners: each gives the other what it lacks, and nothing else.
//!
//! What is held here is read first. Where the other owner has no record it is simply given; otherwise it is *offered* by its
//! clock, and the answer brings what is lacking here and says whether anything is lacking there. Both ends merge, so nothing
//! that is written meanwhile is lost, and nobody overwrites anybody.
//!
//! A record that cannot be repaired (too large when merged, refused, unreadable on both sides) is passed over and counted: the
//! others do not wait for it, and the next exchange tries again.

use kvorum_antientropy::{Answer, Question, Repair, Sum};
use kvorum_protocol::message::{Happened, Way};
use kvorum_protocol::{Clock, EncodedSet, RecordKey, Space};
use kvorum_ring::NodeId;
use kvorum_store::{Apply, StoreEvent, StoreRequest, Token};

use crate::engine::machine::{Machine, Progress};
use crate::engine::replica::wrong_place;
use crate::engine::turn::Turn;
use crate::limits;
use crate::peer_message::{PeerMessage, ReplicateOutcome};

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Repairing {
    /// The exchange that waits for the end.
    exchange: Token,
    peer: NodeId,
    key: RecordKey,
    is_lacking: bool,
    /// Whether the key is this machine's to repair: another exchange may be at it.
    is_mine: bool,
    held: Option<EncodedSet>,
    /// The other owner lacks something.
    gives: bool,
    /// What was given is not durable there yet.
    awaits_peer: bool,
    /// What was taken is not durable here yet.
    awaits_store: bool,
}

impl Repairing {
    pub(crate) fn new(exchange: Token, peer: NodeId, repair: Repair) -> Repairing {
        let Repair { key, is_lacking } = repair;
        Repairing {
            exchange,
            peer,
            key,
            is_lacking,
            is_mine: false,
            held: None,
            gives: false,
            awaits_peer: false,
            awaits_store: false,
        }
    }

    fn end(&self, turn: &mut Turn<'_>) -> Progress {
        self.leave(turn, false)
    }

    fn fail(&self, turn: &mut Turn<'_>) -> Progress {
        turn.stats.exchange_failures += 1;
        self.leave(turn, true)
    }

    fn leave(&self, turn: &mut Turn<'_>, has_failed: bool) -> Progress {
        let key = Some(&self.key).filter(|_| self.is_mine);
        turn.exchanges.end_repair(key, self.exchange, has_failed);
        Progress::Done
    }

    /// What is held here was read; none if there is no record, or none that can be read.
    fn take_held(&mut self, turn: &mut Turn<'_>, held: Option<EncodedSet>) -> Progress {
        self.held = held;
        if self.is_lacking {
            // A delete may have come since it was listed.
            self.gives = self.held.as_ref().is_some_and(|set| !set.is_tombstone());
            return self.give(turn);
        }
        let clock = self.held.as_ref().map_or(Clock::EMPTY, |set| set.clock().clone());
        let digest = Sum(self.held.as_ref().map_or(0, |set| set.live_digest().0));
        let question = Box::new(Question::Offer { key: self.key.clone(), clock, digest });
        turn.send(self.peer, PeerMessage::Ask { token: turn.token.0, number: 0, question });
        Progress::Waiting
    }

    fn give(&mut self, turn: &mut Turn<'_>) -> Progress {
        if let Some(set) = self.held.take().filter(|_| self.gives) {
            let (token, key) = (turn.token.0, self.key.clone());
            let deadline_ms = limits::REPAIR_DEADLINE_MS;
            let way = Way::Exchange;
            turn.send(self.peer, PeerMessage::Replicate { token, key, set, deadline_ms, way });
            self.awaits_peer = true;
        }
        self.go_on(turn)
    }

    fn go_on(&self, turn: &mut Turn<'_>) -> Progress {
        if self.awaits_peer || self.awaits_store { Progress::Waiting } else { self.end(turn) }
    }
}

impl Machine for Repairing {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        // The other owner may have named a key that does not belong where it says.
        if wrong_place(turn.me, turn.view, &self.key, &[Space::Owned]).is_some() {
            return self.fail(turn);
        }
        self.is_mine = turn.exchanges.begin_repair(&self.key);
        if !self.is_mine {
            return self.end(turn);
        }
        turn.wake_at(turn.now.after_ms(limits::EXCHANGE_SILENCE_MS));
        turn.store(StoreRequest::Read { token: turn.token, key: self.key.clone() });
        Progress::Waiting
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        match event {
            StoreEvent::Read { result, .. } => self.take_held(turn, result.unwrap_or_default()),
            StoreEvent::Applied { set, changed, .. } => {
                turn.stats.exchange_taken += u64::from(changed);
                if changed {
                    let live = u32::try_from(set.versions().len()).unwrap_or(u32::MAX);
                    let (from, way) = (self.peer, Way::Exchange);
                    turn.note(self.key.key_hash(), Happened::Merged { from, way, live });
                }
                self.held = Some(set);
                self.give(turn)
            }
            StoreEvent::Durable { .. } => {
                self.awaits_store = false;
                self.go_on(turn)
            }
            StoreEvent::Refused { .. } => self.fail(turn),
            StoreEvent::Poisoned { .. } => Progress::Done,
            _ => Progress::Waiting,
        }
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        if from != self.peer {
            return Progress::Waiting;
        }
        match message {
            PeerMessage::Answered { answer, .. } => match *answer {
                _ if self.awaits_peer || self.awaits_store => Progress::Waiting,
                Answer::Offered { set, wants } => {
                    self.gives = wants;
                    let Some(set) = set else { return self.give(turn) };
                    self.awaits_store = true;
                    let (token, key) = (turn.token, self.key.clone());
                    let change = Apply::Merge { set };
                    turn.store(StoreRequest::Apply { token, key, change });
                    Progress::Waiting
                }
                _ => self.fail(turn),
            },
            PeerMessage::Replicated { outcome: ReplicateOutcome::Durable, .. } => {
                turn.stats.exchange_given += u64::from(self.awaits_peer);
                self.awaits_peer = false;
                self.go_on(turn)
            }
            PeerMessage::Replicated { .. } => self.fail(turn),
            _ => Progress::Waiting,
        }
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        if node == self.peer { self.fail(turn) } else { Progress::Waiting }
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.fail(turn)
    }
}
