//! What a machine sees and can do during one call.
//!
//! The turn keeps machines honest: they have no other access to the engine, so everything a machine does is in the list of
//! effects that the call leaves behind.

use std::collections::VecDeque;

use kvorum_protocol::RecordKey;
use kvorum_protocol::message::{Happened, PeerSight, Request, Response};
use kvorum_ring::{KeyHash, NodeId};
use kvorum_store::{Now, StoreRequest, Token};

use crate::engine::effect::Effect;
use crate::engine::events::{Events, Remembered};
use crate::engine::exchange::claims::Exchanges;
use crate::engine::peers::Peers;
use crate::engine::planted::Planted;
use crate::engine::stats::EngineStats;
use crate::engine::view::ClusterView;
use crate::peer_message::PeerMessage;

/// A part of a machine's work that is a request of its own: an item of a batch.
pub(crate) struct Part {
    pub(crate) index: usize,
    pub(crate) request: Request,
    pub(crate) deadline_ns: u64,
}

/// A record that is held here and is to be given to one of the owners that it is for.
pub(crate) struct Delivery {
    pub(crate) index: usize,
    pub(crate) target: NodeId,
    /// In the space of what is held for others.
    pub(crate) key: RecordKey,
}

/// One call's view of the engine.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    /// This node.
    pub(crate) me: NodeId,
    /// The machine's own name, to put into whatever it asks.
    pub(crate) token: Token,
    pub(crate) view: &'a ClusterView,
    pub(crate) peers: &'a mut Peers,
    pub(super) planted: Option<Planted>,
    pub(crate) stats: &'a mut EngineStats,
    pub(crate) exchanges: &'a mut Exchanges,
    pub(super) events: &'a mut Events,
    pub(super) effects: &'a mut VecDeque<Effect>,
    pub(super) response: Option<Response>,
    pub(super) alarm_ns: Option<u64>,
    pub(super) parts: Vec<Part>,
    /// Deliveries to be started.
    pub(super) deliveries: Vec<Delivery>,
    /// Owners for whom something is held now.
    pub(super) hinted: Vec<NodeId>,
    pub(super) hints_paused: bool,
}

impl Turn<'_> {
    /// Whether a node can be asked: this one, or a peer that is believed up.
    pub(crate) fn reaches(&self, node: NodeId) -> bool {
        node == self.me || self.peers.is_up(node)
    }

    /// Whether a node that can be asked should be, before others that can: it has not failed again and again.
    pub(crate) fn prefers(&self, node: NodeId) -> bool {
        self.reaches(node) && self.peers.lets_pass(node, self.now.mono_ns)
    }

    /// Whether this bug is planted here.
    pub(crate) fn has_planted(&self, bug: Planted) -> bool {
        bug.is_armed(self.planted)
    }

    /// Notes what happened to a key, for whoever asks later why it holds what it holds.
    pub(crate) fn note(&mut self, key: KeyHash, what: Happened) {
        self.events.note(self.now, key, what);
    }

    /// An exchange with a peer came to its end.
    pub(crate) fn note_compared(&mut self, peer: NodeId) {
        self.events.compared(self.now, peer);
    }

    /// What is remembered of a key.
    pub(crate) fn remembered(&self, key: KeyHash) -> Remembered {
        self.events.about(self.now, key)
    }

    /// How a peer was seen.
    pub(crate) fn sight(&self, node: NodeId) -> PeerSight {
        self.events.sight(self.now, node, self.peers.is_up(node))
    }

    /// Sends to a peer.
    pub(crate) fn send(&mut self, to: NodeId, message: PeerMessage) {
        assert!(to != self.me, "a node does not send to itself");
        self.effects.push_back(Effect::Send { to, message });
    }

    /// Asks the store.
    pub(crate) fn store(&mut self, request: StoreRequest) {
        self.effects.push_back(Effect::Store(request));
    }

    /// Gives the answer; a machine does so exactly once.
    pub(crate) fn answer(&mut self, response: Response) {
        assert!(self.response.is_none(), "a machine answers once");
        self.response = Some(response);
    }

    /// Asks to be woken at a monotonic time, instead of whatever time was set before.
    pub(crate) fn wake_at(&mut self, at_ns: u64) {
        self.alarm_ns = Some(at_ns);
    }

    /// Whether nothing that is held for others is to be delivered for now.
    pub(crate) fn hints_are_paused(&self) -> bool {
        self.hints_paused
    }

    /// Something is held here for these owners. Whoever of them can be reached gets it.
    pub(crate) fn hinted(&mut self, targets: &[NodeId]) {
        self.hinted.extend_from_slice(targets);
    }

    /// Starts a delivery; how it ended comes back through [`on_part`](crate::engine::machine::Machine::on_part).
    pub(crate) fn deliver(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery);
    }

    /// Starts a request on the machine's own behalf; its answer comes back through
    /// [`on_part`](crate::engine::machine::Machine::on_part).
    pub(crate) fn begin(&mut self, part: Part) {
        self.parts.push(part);
    }
}

/// What is left until a deadline in milliseconds, rounded up: a peer told 0 would not even begin.
pub(crate) fn remaining_ms(now: Now, deadline_ns: u64) -> u32 {
    let left_ms = deadline_ns.saturating_sub(now.mono_ns).div_ceil(1_000_000);
    u32::try_from(left_ms).unwrap_or(u32::MAX)
}
