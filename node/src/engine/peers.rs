//! Which peers can be reached, as far as the runtime knows, how quickly they answer, and which are asked last.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_ring::NodeId;

use crate::engine::breaker::Breaker;
use crate::engine::latency::Latency;
use crate::engine::random;
use crate::engine::stats::PeerStats;
use crate::limits;

/// What a peer was asked; its times are kept apart, for the one includes a quorum and the other does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Asking {
    /// What it holds.
    Fetch,
    /// To coordinate a read.
    Read,
}

/// The peers believed up, their times, their breakers, and the budget of second questions.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    up: BTreeSet<NodeId>,
    /// Only of members: a peer that is not asked does not answer.
    latencies: BTreeMap<(NodeId, Asking), Latency>,
    /// Only of members that a request was passed on to and that failed once.
    breakers: BTreeMap<NodeId, Breaker>,
    /// For the jitter of breakers.
    seed: u64,
    /// What may be spent on hedging, in hundredths of a hedge.
    budget: u32,
    /// Deliveries that a peer said it takes at once.
    credits: BTreeMap<NodeId, u32>,
}

impl Peers {
    /// None is up. `seed` should differ from node to node: breakers are kept open for different times by it.
    pub(crate) fn new(seed: u64) -> Peers {
        Peers {
            up: BTreeSet::new(),
            latencies: BTreeMap::new(),
            breakers: BTreeMap::new(),
            seed,
            budget: 0,
            credits: BTreeMap::new(),
        }
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.up.contains(&node)
    }

    /// The peers that can be reached, ascending.
    pub(crate) fn all_up(&self) -> Vec<NodeId> {
        self.up.iter().copied().collect()
    }

    pub(crate) fn rise(&mut self, node: NodeId) {
        self.up.insert(node);
        self.breakers.entry(node).and_modify(Breaker::reconnect);
    }

    pub(crate) fn fall(&mut self, node: NodeId) {
        self.up.remove(&node);
        self.credits.remove(&node);
    }

    /// A peer said how many deliveries it takes at once.
    pub(crate) fn grant(&mut self, node: NodeId, credit: u32) {
        self.credits.insert(node, credit);
    }

    /// How many deliveries a peer takes at once: one until it has said more, for how else could it.
    pub(crate) fn credit(&self, node: NodeId) -> usize {
        self.credits
            .get(&node)
            .map_or(1, |credit| (*credit).clamp(1, limits::DELIVERY_CREDIT) as usize)
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

    /// What is known of a peer, for those who look at the engine from outside.
    pub(crate) fn stats(&self, node: NodeId) -> PeerStats {
        let breaker = self.breakers.get(&node);
        PeerStats {
            p95_us: self.p95_us(node, Asking::Fetch),
            breaker_open: breaker.is_some_and(|breaker| !breaker.is_closed()),
            breaker_opened: breaker.map_or(0, Breaker::opened),
            exchange: None,
        }
    }

    /// Whether a request may be passed on to a peer in its turn, and not only when nobody else is left.
    pub(crate) fn lets_pass(&self, node: NodeId, now_ns: u64) -> bool {
        self.breakers.get(&node).is_none_or(|breaker| breaker.lets_pass(now_ns))
    }

    /// A request is passed on to a peer.
    pub(crate) fn ask(&mut self, node: NodeId, now_ns: u64, deadline_ns: u64) {
        self.breakers.entry(node).and_modify(|breaker| breaker.ask(now_ns, deadline_ns));
    }

    /// A peer served what was passed on to it.
    pub(crate) fn serve(&mut self, node: NodeId) {
        self.breakers.entry(node).and_modify(Breaker::serve);
    }

    /// A peer did not serve what was passed on to it at `asked_ns`.
    pub(crate) fn fail(&mut self, node: NodeId, asked_ns: u64, now_ns: u64) {
        let random = random::number(self.seed.wrapping_add(now_ns), "breaker");
        self.breakers.entry(node).or_default().fail(asked_ns, now_ns, random);
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
