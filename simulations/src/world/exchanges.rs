//! The healed phase's exchanges: what an owner missed comes to it without a read, once, and then there is rest.
//!
//! Exchanges go on for ever, so a run lets them, for some time, and then looks: after two stretches in which every pair of
//! owners compared everything and nothing was repaired, they are switched off. If that does not come, something is repaired
//! again and again. Then every record is looked at: owners of one key hold the same live versions. And the tree that each
//! owner kept, through whatever happened to it, is the tree of its records.

use kvorum_antientropy::{Digest, LEAVES, LeafKey, Sum, Tree};
use kvorum_node::engine::{EngineStats, Input};
use kvorum_ring::PartitionId;
use kvorum_store::{StoreRequest, Token};

use super::finish::{Phase, Records};
use super::node::Life;
use super::pump::OWN_TOKENS;
use super::{Happening, World};
use crate::checkers::{p2_convergence, p12_trees};
use crate::reached::Rare;

/// Milliseconds between two exchanges of equal owners in the healed phase.
const EVERY_MS: u64 = 200;

/// How long exchanges go on between two looks at them: long enough for a round of every pair on the slowest links.
const STRETCH_NS: u64 = 4_000_000_000;

/// Stretches within which there must be rest. What a small queue refused is tried again in each.
const STRETCHES: u32 = 40;

/// Tokens of questions about leaves, apart from those about records.
const LEAVES_TOKENS: u64 = OWN_TOKENS + (1 << 30);

/// How far exchanging is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exchanging {
    /// Stretches that have passed.
    stretches: u32,
    /// The last of them in which nothing was repaired.
    quiet: u32,
    /// Repairs, and exchanges that came to their end, when the last one ended.
    repairs: u64,
    exchanges: u64,
    /// Whether it is over.
    ended: bool,
}

/// When trees are compared with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// After exchanges, for which all of them had to be known.
    Exchanged,
    /// After the last power cut. What is not known is counted now.
    Started,
    /// After that.
    Counted,
}

impl World {
    /// Has all engines exchange so often from now on.
    pub(super) fn exchange_every(&mut self, every_ms: u64) {
        self.exchange_every_ms = every_ms;
        for number in 0..self.plan.topology.nodes {
            if self.nodes[usize::from(number)].is_awake() {
                self.feed(number, Input::ExchangeEvery(every_ms));
            }
        }
    }

    /// The sum of a figure over all engines.
    fn sum_of(&self, figure: fn(&EngineStats) -> u64) -> u64 {
        let lives = self.nodes.iter().filter_map(|node| node.life.as_ref());
        lives.map(|life| figure(&life.engine.stats())).sum()
    }

    fn repairs(&self) -> u64 {
        self.sum_of(|stats| stats.exchange_given + stats.exchange_taken)
    }

    /// Marks what exchanges did while faults ran.
    pub(super) fn mark_exchanges(&mut self) {
        if self.repairs() > 0 {
            self.reached.mark(Rare::ExchangedAmidFaults);
        }
    }

    pub(super) fn begin_exchanging(&mut self) -> bool {
        self.phase = Phase::Exchanging(Exchanging {
            repairs: self.repairs(),
            exchanges: self.sum_of(|stats| stats.exchanges),
            ..Exchanging::default()
        });
        self.exchange_every(EVERY_MS);
        self.after(STRETCH_NS, Happening::Exchanged);
        true
    }

    /// A stretch is over.
    pub(super) fn go_on_exchanging(&mut self) {
        let (repairs, exchanges) = (self.repairs(), self.sum_of(|stats| stats.exchanges));
        let pairs = self.pairs();
        let Phase::Exchanging(state) = &mut self.phase else { return };
        let (repaired, compared) = (repairs - state.repairs, exchanges - state.exchanges);
        state.stretches += 1;
        // Every pair compares several times in a stretch in which nothing holds it up.
        state.quiet = if repaired == 0 && compared >= 3 * pairs { state.quiet + 1 } else { 0 };
        (state.repairs, state.exchanges) = (repairs, exchanges);
        state.ended = state.quiet >= 2 || state.stretches >= STRETCHES;
        let (state, keys) = (*state, u64::from(self.plan.topology.keys));
        if repaired > 0 {
            self.reached.mark(Rare::ExchangeRepaired);
        }
        let judgement = p12_trees::check_rest(state.quiet >= 2 || !state.ended, repaired, keys);
        self.accuse(judgement, None, None);
        if state.ended {
            self.exchange_every(0);
        } else {
            self.after(STRETCH_NS, Happening::Exchanged);
        }
    }

    /// Pairs of nodes that own a partition together.
    fn pairs(&self) -> u64 {
        let layout = &self.view.layout;
        let owners = layout.partitions().partitions().filter_map(|partition| {
            let preference = layout.preference(self.class(), partition)?;
            Some(preference.owners().map(|owner| self.number_of(owner)).collect::<Vec<u16>>())
        });
        let pairs = owners.flat_map(|owners| {
            let lower = owners.clone();
            let pair = move |high: u16| lower.clone().into_iter().map(move |low| (low, high));
            owners.into_iter().flat_map(pair).filter(|(low, high)| low < high)
        });
        pairs.collect::<std::collections::BTreeSet<(u16, u16)>>().len() as u64
    }

    fn class(&self) -> kvorum_ring::ClassId {
        self.view.buckets[&self.bucket].class
    }

    /// Owners of one key hold the same without anybody having read it.
    pub(super) fn judge_exchanged(&mut self, found: &Records) {
        for (key, records) in (0..).zip(found) {
            let held = self.held(key, records);
            self.accuse(p2_convergence::check(&held), None, Some(key));
        }
    }

    /// Asks every owner for the leaves of each partition.
    pub(super) fn compare_trees(&mut self, comparison: Comparison) -> bool {
        self.phase = Phase::Comparing(comparison);
        let counted = |life: &Life| life.shard.stats().trees_counted > 0;
        if self.nodes.iter().filter_map(|node| node.life.as_ref()).any(counted) {
            self.reached.mark(Rare::TreeCounted);
        }
        let layout = self.view.layout.clone();
        let class = self.class();
        for number in 0..self.plan.topology.nodes {
            let id = self.nodes[usize::from(number)].id;
            for partition in layout.partitions().partitions() {
                if layout.preference(class, partition).is_some_and(|owners| owners.is_owner(id)) {
                    let token = Token(LEAVES_TOKENS + u64::from(partition.0));
                    self.submit_own(number, StoreRequest::Leaves { token, class, partition });
                }
            }
        }
        true
    }

    /// An owner says what its tree of a partition is.
    pub(super) fn judge_leaves(&mut self, number: u16, asked: u64, leaves: Option<&[Sum; LEAVES]>) {
        if leaves.is_none() && matches!(self.phase, Phase::Comparing(Comparison::Started)) {
            return;
        }
        let partition = PartitionId((OWN_TOKENS + asked - LEAVES_TOKENS) as u32);
        let by = LeafKey::new([0; 32]);
        let mut tree = Tree::default();
        for (key, record) in
            (0..).zip(&self.keys).map(|(key, name)| (key, self.record_of(name.clone())))
        {
            let digest = self.digests.get(&(number, key)).copied().and_then(Digest::new);
            if record.partition == partition {
                tree.change(&by, record.class, record.key_hash(), (None, digest));
            }
        }
        let judgement = p12_trees::check_tree(
            leaves.map(|leaves| leaves.map(|sum| sum.0)),
            tree.leaves().map(|sum| sum.0),
        );
        self.accuse(judgement, Some(number), None);
    }
}
