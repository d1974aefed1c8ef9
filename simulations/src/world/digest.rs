//! What the trace hash is fed with: time, node, input bytes, effect bytes.
//!
//! A message between nodes is hashed once, when it is sent; at its arrival that hash stands for it. Sets are hashed in
//! the encoding that they carry anyway.

use kvorum_node::engine::Input;
use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::codec::{Wire, Writer};
use kvorum_store::{Apply, StoreEvent, StoreRequest};

use super::World;
use crate::trace::TraceHash;

impl World {
    fn digest_place(&mut self, number: u16, kind: u64) {
        self.trace.hash.word(self.schedule.now_ns());
        self.trace.hash.word(u64::from(number) << 8 | kind);
    }

    pub(super) fn digest_input(&mut self, number: u16, input: &Input) {
        match input {
            Input::Client { client, request_id, request } => {
                self.digest_place(number, 1);
                self.trace.hash.word(client.0);
                self.trace.hash.word(*request_id);
                self.digest_wire(request);
            }
            Input::ClientGone { .. } => self.digest_place(number, 2),
            // The message itself was hashed at its sending.
            Input::Peer { .. } => self.digest_place(number, 3),
            Input::PeerUp { node } => {
                self.digest_place(number, 4);
                self.trace.hash.word(node.0 as u64 ^ (node.0 >> 64) as u64);
            }
            Input::PeerDown { node } => {
                self.digest_place(number, 5);
                self.trace.hash.word(node.0 as u64 ^ (node.0 >> 64) as u64);
            }
            Input::Store(_) => self.digest_place(number, 6),
            Input::ExchangeEvery(_) => self.digest_place(number, 27),
            Input::View(_) => self.digest_place(number, 7),
            Input::Tick => self.digest_place(number, 8),
            Input::HintsPaused(_) => self.digest_place(number, 19),
        }
    }

    /// Hashes the encoding of a value.
    pub(super) fn digest_wire<T: Wire>(&mut self, value: &T) {
        self.buffer.clear();
        value.write(&mut Writer::new(&mut self.buffer));
        self.trace.hash.bytes(&self.buffer);
    }

    /// Hashes a message that is sent, and gives the hash that stands for it at its arrival.
    pub(super) fn digest_message(&mut self, from: u16, to: u16, bytes: &[u8]) -> u64 {
        self.digest_place(from, 16 + u64::from(to));
        let mut hash = TraceHash::default();
        hash.bytes(bytes);
        self.trace.hash.word(hash.value());
        hash.value()
    }

    pub(super) fn digest_request(&mut self, number: u16, request: &StoreRequest) {
        self.digest_place(number, 9);
        self.trace.hash.word(request.token().0);
        if let StoreRequest::Apply { change, .. } | StoreRequest::Hold { change, .. } = request {
            match change {
                Apply::Update { operation, .. } => self.trace.hash.word((operation.0 >> 64) as u64),
                Apply::Merge { set } => self.trace.hash.bytes(set.encoded()),
            }
        }
    }

    pub(super) fn digest_event(&mut self, number: u16, event: &StoreEvent) {
        let (kind, token) = match event {
            StoreEvent::Applied { token, .. } => (10, token.0),
            StoreEvent::Durable { token } => (11, token.0),
            StoreEvent::Read { token, .. } => (12, token.0),
            StoreEvent::Inspected { token, .. } => (27, token.0),
            StoreEvent::Scanned { token, .. } => (13, token.0),
            StoreEvent::Roots { token, .. } => (24, token.0),
            StoreEvent::Leaves { token, .. } => (25, token.0),
            StoreEvent::Contents { token, .. } => (26, token.0),
            StoreEvent::Refused { token, .. } => (14, token.0),
            StoreEvent::Poisoned { .. } | StoreEvent::Damage(_) | StoreEvent::Closed => (15, 0),
            StoreEvent::Hints { token, .. } => (17, token.0),
            StoreEvent::HintDropped { .. } => (18, 0),
            StoreEvent::HintReadable { .. } => (19, 0),
        };
        self.digest_place(number, kind);
        self.trace.hash.word(token);
        match event {
            StoreEvent::Applied { set, .. } | StoreEvent::Read { result: Ok(Some(set)), .. } => {
                self.trace.hash.bytes(set.encoded());
            }
            _ => {}
        }
    }

    /// Adds a message to the trace's text.
    pub(super) fn say_message(&mut self, from: u16, to: u16, message: &PeerMessage, sent: bool) {
        let key = match message {
            PeerMessage::Replicate { key, .. } | PeerMessage::Fetch { key, .. } => {
                Self::number_of_key(&key.key).ok()
            }
            _ => None,
        };
        let name = format!("{message:?}");
        let name: String = name.chars().take(60).collect();
        self.say(Some(from), key, || {
            format!("{} node {to}: {name}", if sent { "tells" } else { "fails to tell" })
        });
    }
}
