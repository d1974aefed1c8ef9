//! Which peers can be reached, as far as the runtime knows, how quickly they answer, which are asked last, and what may be spent on
//! asking one more node than a request needs.

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

/// What may be spent on asking more than is needed: a share of the requests that could have spent it.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    /// In hundredths.
    saved: u32,
}

impl Budget {
    fn earn(&mut self, percent: u32, most: u32) {
        self.saved = most.min(self.saved + percent);
    }

    fn spend(&mut self) -> bool {
        let can = self.saved >= 100;
        self.saved -= if can { 100 } else { 0 };
        can
    }
}

/// When a peer's number of handovers was first seen as it is.
#[derive(Clone, Copy, Debug)]
struct Handovers {
    number: u64,
    since_ns: u64,
}

/// The peers believed up, their times, their breakers, and the budgets.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    up: BTreeSet<NodeId>,
    /// Only of members: a peer that is not asked does not answer.
    latencies: BTreeMap<(NodeId, Asking), Latency>,
    /// Only of members that a request was passed on to and that failed once.
    breakers: BTreeMap<NodeId, Breaker>,
    /// For the jitter of breakers.
    seed: u64,
    hedges: Budget,
    stand_ins: Budget,
    /// Deliveries that a peer said it takes at once.
    credits: BTreeMap<NodeId, u32>,
    /// When a peer last said of anything that it is durable there. Only of members: others are sent nothing.
    acknowledged: BTreeMap<NodeId, u64>,
    /// Only of members that were asked what they hold for others.
    handovers: BTreeMap<NodeId, Handovers>,
    /// This node's own number of handovers: it begins at random, so that it is another one in each run.
    own_handovers: u64,
}

impl Peers {
    /// None is up. `seed` should differ from node to node: breakers are kept open for different times by it.
    pub(crate) fn new(seed: u64) -> Peers {
        Peers {
            up: BTreeSet::new(),
            latencies: BTreeMap::new(),
            breakers: BTreeMap::new(),
            seed,
            hedges: Budget::default(),
            stand_ins: Budget::default(),
            credits: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            handovers: BTreeMap::new(),
            own_handovers: random::number(seed, "handovers"),
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
        self.hedges.earn(limits::HEDGE_PERCENT, limits::HEDGES_SAVED);
    }

    /// Whether one more node may be asked what another is asked already. If so, it is paid for.
    pub(crate) fn spend_hedge(&mut self) -> bool {
        self.hedges.spend()
    }

    /// A write is sent to other owners, which earns a share of a fallback for an owner that is slow.
    pub(crate) fn earn_stand_in(&mut self) {
        self.stand_ins.earn(limits::SLOW_OWNER_PERCENT, limits::SLOW_OWNERS_SAVED);
    }

    /// Whether a fallback may be called in for an owner that is slow. If so, it is paid for.
    pub(crate) fn spend_stand_in(&mut self) -> bool {
        self.stand_ins.spend()
    }

    /// A peer said that something is durable there.
    pub(crate) fn acknowledge(&mut self, node: NodeId, now_ns: u64) {
        self.acknowledged.insert(node, now_ns);
    }

    /// Whether a peer has called anything durable after this moment: then it writes, however slowly.
    pub(crate) fn has_acknowledged_after(&self, node: NodeId, at_ns: u64) -> bool {
        self.acknowledged.get(&node).is_some_and(|last_ns| *last_ns > at_ns)
    }

    /// This node gives up something that it held for an owner which has it by now.
    pub(crate) fn hand_over(&mut self) {
        self.own_handovers = self.own_handovers.wrapping_add(1);
    }

    /// A number that changes with every handover, and is never 0.
    pub(crate) fn own_handovers(&self) -> u64 {
        self.own_handovers.max(1)
    }

    /// A peer told its number of handovers.
    pub(crate) fn note_handovers(&mut self, node: NodeId, number: u64, now_ns: u64) {
        let known = self.handovers.get(&node).is_some_and(|known| known.number == number);
        if number != 0 && !known {
            self.handovers.insert(node, Handovers { number, since_ns: now_ns });
        }
    }

    /// Whether a peer may have handed over anything after this moment, as far as its answers tell.
    pub(crate) fn may_have_handed_over_after(&self, node: NodeId, at_ns: u64) -> bool {
        self.handovers.get(&node).is_none_or(|known| known.since_ns >= at_ns)
    }
}
