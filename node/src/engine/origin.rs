//! Who is owed the answer of a machine.

use kvorum_ring::NodeId;
use kvorum_store::Token;

use crate::engine::input::ClientId;

/// Where a request came from, and so where its answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// A client of this node.
    Client { client: ClientId, request_id: u64 },
    /// A peer that passed a request on, under its own token.
    Peer { node: NodeId, token: u64 },
    /// A batch on this node, of which this is the item at `index`.
    Batch { parent: Token, index: usize },
}
