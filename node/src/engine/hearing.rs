//! What the engine does with what it hears from peers and from the store, and who delivers what is held for others.

use kvorum_protocol::message::Happened;
use kvorum_ring::NodeId;
use kvorum_store::{Now, StoreEvent, Token};

use crate::engine::asked::Asked;
use crate::engine::courier::Courier;
use crate::engine::effect::Effect;
use crate::engine::machines::Kind;
use crate::engine::origin::Origin;
use crate::engine::parcel::Parcel;
use crate::engine::replica::noting::Refused;
use crate::engine::turn::Delivery;
use crate::engine::why::testifying::Testifying;
use crate::engine::{Engine, replica, room};
use crate::peer_message::{PeerMessage, ReplicateOutcome};

impl Engine {
    pub(super) fn hear_peer(&mut self, now: Now, from: NodeId, message: PeerMessage) {
        self.note_peer(now, from, &message);
        match message {
            PeerMessage::Forward { token, .. } if !self.heard.first_time(from, token) => {}
            PeerMessage::Forward { token, hops, request, deadline_ms } => {
                let asked = Asked::by_peer(*request, hops, now.after_ms(deadline_ms.into()));
                self.begin(now, Origin::Peer { node: from, token }, asked);
            }
            PeerMessage::Replicate { .. }
            | PeerMessage::Hold { .. }
            | PeerMessage::Deliver { .. }
            | PeerMessage::Fetch { .. }
            | PeerMessage::Scan { .. } => {
                let tasks = self.machines.replica_tasks();
                let room = room::replica_room(self.stopped, tasks, &self.options);
                let requests = self.machines.requests();
                let room = (room, room::delivery_credit(requests, tasks, &self.options));
                match replica::task(self.me, &self.view, from, message, room) {
                    Ok(task) => {
                        self.start(now, task, None, Kind::Replica);
                    }
                    Err(refused) => {
                        let Refused { message, noted } = *refused;
                        noted.inspect(|(key, what)| self.events.note(now, *key, *what));
                        self.effects.push_back(Effect::Send { to: from, message })
                    }
                }
            }
            PeerMessage::Ask { token, number, question } => {
                self.be_asked(now, from, (token, number), *question);
            }
            PeerMessage::Explain { token, key, .. } => {
                let tasks = self.machines.replica_tasks();
                match room::replica_room(self.stopped, tasks, &self.options) {
                    Ok(()) => {
                        let testifying = Box::new(Testifying::new(from, token, key));
                        self.start(now, testifying, None, Kind::Replica);
                    }
                    Err(reason) => {
                        let message = PeerMessage::NotExplained { token, reason };
                        self.effects.push_back(Effect::Send { to: from, message });
                    }
                }
            }
            PeerMessage::AskClock { token } => {
                self.effects.push_back(replica::time(now, from, token))
            }
            PeerMessage::Clock { token, .. }
            | PeerMessage::Replicated { token, .. }
            | PeerMessage::Answered { token, .. }
            | PeerMessage::Delivered { token, .. }
            | PeerMessage::Fetched { token, .. }
            | PeerMessage::Explained { token, .. }
            | PeerMessage::NotExplained { token, .. }
            | PeerMessage::Forwarded { token, .. }
            | PeerMessage::Scanned { token, .. } => {
                self.turn(now, Token(token), |machine, turn| machine.on_reply(turn, from, message));
            }
        }
    }

    /// What an answer says of its sender, whatever it was asked for.
    fn note_peer(&mut self, now: Now, from: NodeId, message: &PeerMessage) {
        match message {
            PeerMessage::Replicated { outcome: ReplicateOutcome::Durable, .. } => {
                self.peers.acknowledge(from, now.mono_ns);
            }
            PeerMessage::Fetched { handovers, .. } => {
                self.peers.note_handovers(from, *handovers, now.mono_ns);
            }
            _ => {}
        }
    }

    pub(super) fn hear_store(&mut self, now: Now, event: StoreEvent) {
        match event.token() {
            Some(token) => self.turn(now, token, |machine, turn| machine.on_store(turn, event)),
            None => {
                if let StoreEvent::HintDropped { key } = &event {
                    self.events.note(now, key.key_hash(), Happened::HintDropped);
                }
                if let StoreEvent::Poisoned { .. } = event {
                    self.stopped = true;
                    self.turn_all(now, |machine, turn| machine.on_store(turn, event.clone()));
                }
                if let StoreEvent::HintReadable { targets } = event {
                    targets.into_iter().for_each(|target| self.call_courier(now, target));
                }
            }
        }
    }

    /// Sees to it that somebody delivers what is held for an owner that can be reached.
    pub(super) fn call_courier(&mut self, now: Now, target: NodeId) {
        if self.stopped || self.hints_paused || !self.peers.is_up(target) {
            return;
        }
        let called = self.couriers.get(&target).filter(|token| self.machines.has(**token));
        if let Some(token) = called.copied() {
            return self.turn(now, token, |machine, turn| machine.on_hinted(turn));
        }
        let courier = Box::new(Courier::new(target));
        let token = self.start(now, courier, None, Kind::Delivery);
        self.couriers.insert(target, token);
    }

    pub(super) fn pause_hints(&mut self, now: Now, paused: bool) {
        self.hints_paused = paused;
        for target in self.peers.all_up() {
            self.call_courier(now, target);
        }
    }

    /// Starts the deliveries that a courier asked for.
    pub(super) fn deliver(&mut self, now: Now, courier: Token, deliveries: Vec<Delivery>) {
        for Delivery { index, target, key } in deliveries {
            let origin = Origin::Batch { parent: courier, index };
            let parcel = Box::new(Parcel::new(target, key));
            self.start(now, parcel, Some(origin), Kind::Delivery);
        }
    }
}
