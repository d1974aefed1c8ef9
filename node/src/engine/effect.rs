//! Everything that an engine can want done.
//!
//! Order matters in one way only: effects are carried out in the order in which they are polled. What must be durable
//! before it is said is never left to that order; such an effect exists only after the store said that it is durable.

use kvorum_protocol::message::Response;
use kvorum_ring::NodeId;
use kvorum_store::StoreRequest;

use crate::engine::input::ClientId;
use crate::peer_message::PeerMessage;

/// One thing to do. None of them is waited for.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answer a client; dropped when the client is gone. A response that says a write is applied leaves the engine only
    /// after its quorum is durable.
    Reply {
        /// The client's connection.
        client: ClientId,
        /// The connection's own number for the request.
        request_id: u64,
        /// The answer.
        response: Response,
    },
    /// Send to a peer on the requests connection. It may be lost with the connection; then a
    /// [`PeerDown`](crate::engine::Input::PeerDown) follows or a deadline passes.
    Send {
        /// The peer.
        to: NodeId,
        /// What to say. A replica's "durable" leaves the engine only after its store said so.
        message: PeerMessage,
    },
    /// Hand to the store of this shard. It answers every request, until it is poisoned.
    Store(StoreRequest),
}
