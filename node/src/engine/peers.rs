//! Which peers can be reached, as far as the runtime knows, and how quickly they answer.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_ring::NodeId;

use crate::engine::latency::Latency;
use crate::limits;

/// What a peer was asked; its times are kept apart, for the one includes a quorum and the other does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Asking {
    /// What it holds.
    Fetch,
    /// To coordinate a read.
    Read,
}

/// The peers believed up, their times, and the budget of second questions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    up: BTreeSet<NodeId>,
    /// Only of members: a peer that is not asked does not answer.
    latencies: BTreeMap<(NodeId, Asking), Latency>,
    /// What may be spent on hedging, in hundredths of a hedge.
    budget: u32,
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

    /// Notes how long a peer took, or how long it was waited for in vain: left out, its slowest answers would make it look
    /// quick.
    pub(crate) fn note(&mut self, node: NodeId, asking: Asking, took_ns: u64) {
        self.latencies.entry((node, asking)).or_default().note(took_ns);
    }

    /// A peer's 95th percentile in microseconds, once it has answered often enough.
    pub(crate) fn p95_us(&self, node: NodeId, asking: Asking) -> Option<u64> {
        self.latencies.get(&(node, asking))?.p95_us()
    }

    /// A read was passed on, which earns a share of a hedge.
    pub(crate) fn earn_hedge(&mut self) {
        self.budget = limits::HEDGES_SAVED.min(self.budget + limits::HEDGE_PERCENT);
    }

    /// Whether one more node may be asked what another is asked already. If so, it is paid for.
    pub(crate) fn spend_hedge(&mut self) -> bool {
        let can = self.budget >= 100;
        self.budget -= if can { 100 } else { 0 };
        can
    }
}
