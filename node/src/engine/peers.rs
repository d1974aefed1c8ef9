//! Which peers can be reached, as far as the runtime knows.

use std::collections::BTreeSet;

use kvorum_ring::NodeId;

/// The peers believed up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    up: BTreeSet<NodeId>,
}

impl Peers {
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.up.contains(&node)
    }

    pub(crate) fn rise(&mut self, node: NodeId) {
        self.up.insert(node);
    }

    pub(crate) fn fall(&mut self, node: NodeId) {
        self.up.remove(&node);
    }
}
