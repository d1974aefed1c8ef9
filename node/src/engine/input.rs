//! Everything that can happen to an engine.

use std::sync::Arc;

use kvorum_protocol::message::Request;
use kvorum_ring::NodeId;
use kvorum_store::StoreEvent;

use crate::engine::view::ClusterView;
use crate::peer_message::PeerMessage;

/// A client's connection, numbered by the runtime. Numbers are not reused within one run of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u64);

/// One thing that happened. The set is closed: an engine learns of the world in no other way.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client asks. It is answered exactly once, by an [`Effect::Reply`](crate::engine::Effect::Reply).
    Client {
        /// Its connection.
        client: ClientId,
        /// The connection's own number for this request.
        request_id: u64,
        /// What it asks.
        request: Request,
    },
    /// A client's connection ended. What it asked for runs on: a write may be half done, and is better finished.
    ClientGone {
        /// The connection.
        client: ClientId,
    },
    /// A peer says something. The runtime has proved that it is `from`.
    Peer {
        /// The sender.
        from: NodeId,
        /// What it says.
        message: PeerMessage,
    },
    /// A peer can be reached from now on.
    PeerUp {
        /// The peer.
        node: NodeId,
    },
    /// A peer cannot be reached, or its connection was lost: what is outstanding there will not be answered.
    PeerDown {
        /// The peer.
        node: NodeId,
    },
    /// The store says something.
    Store(StoreEvent),
    /// Whether what is held for owners that were away is kept back, instead of being given to them when they can be reached.
    /// It is not at first.
    HintsPaused(bool),
    /// How many milliseconds are between two exchanges of equal owners from now on; 0 for no exchanges. Those under way go on
    /// to their end.
    ExchangeEvery(u64),
    /// Members, layout or buckets changed.
    View(Arc<ClusterView>),
    /// Time passed. Due after [`next_deadline`](crate::engine::Engine::next_deadline); harmless at any time.
    Tick,
}
