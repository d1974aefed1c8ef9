//! What a node knows of itself, gathered by the driver for an answer.

use std::rc::Rc;

use kvorum_protocol::message::NodeStatus;
use kvorum_ring::NodeId;
use kvorum_store::{ShardStats, TargetHints};

use crate::engine::{EngineStats, PeerStats};
use crate::runtime::gate::GateStats;
use crate::runtime::metrics::{Meters, ProcessUse};

/// What the open connections to a peer have carried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) pending_bytes: usize,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_packets: u64,
    pub(crate) lost_packets: u64,
    pub(crate) congestion_events: u64,
}

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
    /// How it answers, as the engine has learned.
    pub(crate) answers: PeerStats,
    /// Frames that its full buffer did not take.
    pub(crate) dropped: u64,
    pub(crate) traffic: Traffic,
}

/// How failure detection goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Detection {
    /// Times that membership found its own timing broken.
    pub(crate) irregularities: u64,
    /// How late this node was of late.
    pub(crate) lateness: u64,
    /// Peers that may be down.
    pub(crate) suspects: usize,
}

/// All figures of one node.
#[derive(Clone)]
pub(crate) struct Figures {
    /// The node's own, ready to be sent. Its name is filled in from the view.
    pub(crate) node: NodeStatus,
    /// Ascending by id, without this node.
    pub(crate) peers: Vec<PeerFigures>,
    pub(crate) engine: EngineStats,
    pub(crate) store: ShardStats,
    /// What is held for owners that were away, ascending by id.
    pub(crate) hinted: Vec<TargetHints>,
    pub(crate) process: ProcessUse,
    /// What the runtime counts, shared with it.
    pub(crate) meters: Rc<Meters>,
    pub(crate) gate: GateStats,
    /// Client connections.
    pub(crate) clients: usize,
    pub(crate) detection: Detection,
}

impl Figures {
    /// Whether a node is up, this one included.
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        node == self.node.node || self.peers.iter().any(|peer| peer.node == node && peer.up)
    }

    /// Node 1 of four, alone with three peers that are up.
    #[cfg(test)]
    pub(crate) fn sample() -> Figures {
        let peer = |node| PeerFigures {
            node: NodeId(node),
            up: true,
            alive: true,
            rtt_us: Some(100),
            answers: PeerStats::default(),
            dropped: 0,
            traffic: Traffic::default(),
        };
        let node = NodeStatus {
            node: NodeId(1),
            name: String::new(),
            version: "0".to_owned(),
            run: 1,
            uptime_ms: 0,
            keys: 3,
            log_bytes: 0,
            live_bytes: 0,
            index_backlog: 0,
            refilling: false,
            requests: 0,
            hinted_keys: 0,
            certificate_expires_at_ms: 0,
        };
        Figures {
            node,
            peers: (2..=4).map(peer).collect(),
            engine: EngineStats::default(),
            store: ShardStats::default(),
            hinted: Vec::new(),
            process: ProcessUse::default(),
            meters: Rc::new(Meters::default()),
            gate: GateStats::default(),
            clients: 1,
            detection: Detection::default(),
        }
    }
}
