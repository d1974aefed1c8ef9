//! What foca tells members apart by.

use std::net::SocketAddr;

use kvorum_ring::NodeId;

/// A node and where it is reached, known before anything was heard of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed {
    /// The node.
    pub node: NodeId,
    /// Its address for peers.
    pub address: SocketAddr,
}

/// One life of a node. The node is foca's unique address; of two lives the one with the higher renewal is the later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PeerIdentity {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) renewal: u64,
}

impl PeerIdentity {
    /// A node whose renewal is not known yet: enough to announce to it.
    pub(crate) fn of_seed(seed: Seed) -> PeerIdentity {
        PeerIdentity { node: seed.node, address: seed.address, renewal: 0 }
    }
}

impl foca::Identity for PeerIdentity {
    type Addr = NodeId;

    fn renew(&self) -> Option<PeerIdentity> {
        Some(PeerIdentity { renewal: self.renewal.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    /// The address decides only between equal renewals (a node that lost its directory and moved), so that all nodes
    /// keep the same one.
    fn win_addr_conflict(&self, adversary: &PeerIdentity) -> bool {
        (self.renewal, self.address) > (adversary.renewal, adversary.address)
    }
}
