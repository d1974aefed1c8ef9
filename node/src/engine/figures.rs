//! What the engine tells of itself to those who look at it from outside.

use kvorum_ring::NodeId;

use crate::engine::Engine;
use crate::engine::stats::{EngineStats, PeerStats};

impl Engine {
    /// What the engine has done and is doing.
    pub fn stats(&self) -> EngineStats {
        EngineStats {
            requests: self.machines.requests(),
            replica_tasks: self.machines.replica_tasks(),
            deliveries: self.machines.deliveries(),
            hints_paused: self.hints_paused,
            ..self.stats
        }
    }

    /// What the engine has learned of a peer.
    pub fn peer_stats(&self, node: NodeId) -> PeerStats {
        PeerStats { exchange: self.exchanges.progress(node), ..self.peers.stats(node) }
    }
}
