//! What a node knows of itself, gathered by the driver for an answer.

use kvorum_protocol::message::NodeStatus;
use kvorum_ring::NodeId;

use crate::engine::EngineStats;

/// A peer as the driver sees it.
#[derive(Clone, Debug)]
pub(crate) struct PeerFigures {
    pub(crate) node: NodeId,
    /// Believed up by the engine.
    pub(crate) up: bool,
    /// Membership says it is alive.
    pub(crate) alive: bool,
    /// Round trip on the requests connection in microseconds, while it is open.
    pub(crate) rtt_us: Option<u64>,
    /// Frames that its full buffer did not take.
    pub(crate) dropped: u64,
}

/// All figures of one node.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// The node's own, ready to be sent. Its name is filled in from the view.
    pub(crate) node: NodeStatus,
    /// Ascending by id, without this node.
    pub(crate) peers: Vec<PeerFigures>,
    pub(crate) engine: EngineStats,
    /// Client connections.
    pub(crate) clients: usize,
    /// Times that membership found its own timing broken.
    pub(crate) irregularities: u64,
}

impl Figures {
    /// Whether a node is up, this one included.
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        node == self.node.node || self.peers.iter().any(|peer| peer.node == node && peer.up)
    }
}
