//! What this node's exchanges share: when each is due, who is at which partition, and which keys are being repaired.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use kvorum_antientropy::Repair;
use kvorum_protocol::RecordKey;
use kvorum_ring::{ClassId, NodeId, PartitionId};
use kvorum_store::{Now, Token};

use crate::engine::exchange::sharing;
use crate::engine::stats::ExchangeProgress;
use crate::engine::view::ClusterView;
use crate::limits;

/// A partition of a class.
type Place = (ClassId, PartitionId);

/// When to ask a peer about a class again.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    next_ns: u64,
    is_running: bool,
}

/// A peer's claim on a partition that it asks about.
#[derive(Clone, Copy, Debug)]
struct Claim {
    place: Place,
    until_ns: u64,
}

/// What an own exchange looks at closely.
#[derive(Clone, Copy, Debug)]
struct Looking {
    place: Place,
    progress: ExchangeProgress,
}

/// A repair that an exchange wants begun.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The exchange, which is told when it has ended.
    pub(crate) exchange: Token,
    /// The other owner.
    pub(crate) peer: NodeId,
    pub(crate) repair: Repair,
}

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchanges {
    /// Milliseconds between two exchanges of equal owners; 0 for none at all.
    every_ms: u64,
    rounds: BTreeMap<(NodeId, ClassId), Round>,
    /// Partitions that own exchanges look at closely, by the peer that is asked.
    asking: BTreeMap<(NodeId, ClassId), Looking>,
    /// Partitions that peers ask about.
    asked: BTreeMap<NodeId, Claim>,
    /// Keys that are being repaired.
    repairing: BTreeSet<RecordKey>,
    /// When the next exchange is due.
    next_ns: Option<u64>,
    /// What is shared with each peer: looked up for every question, and as long as the layout.
    shared: BTreeMap<(NodeId, ClassId), Arc<[PartitionId]>>,
    /// Repairs to be begun.
    wanted: VecDeque<Wanted>,
    /// Exchanges to be told that a repair has ended, and whether it failed.
    ended: VecDeque<(Token, bool)>,
}

impl Exchanges {
    /// None is due before a peer is up.
    pub(crate) fn new(every_ms: u64) -> Exchanges {
        Exchanges { every_ms, ..Exchanges::default() }
    }

    /// The partitions of a class that this node owns together with a peer, ascending.
    pub(crate) fn shared(
        &mut self,
        view: &ClusterView,
        class: ClassId,
        (me, peer): (NodeId, NodeId),
    ) -> Arc<[PartitionId]> {
        let make = || sharing::shared(view, class, me, peer).into();
        self.shared.entry((peer, class)).or_insert_with(make).clone()
    }

    /// The layout may be another one.
    pub(crate) fn forget_shared(&mut self) {
        self.shared.clear();
    }

    /// Exchanges come so often from now on.
    pub(crate) fn set_every(
        &mut self,
        now: Now,
        (me, view): (NodeId, &ClusterView),
        every_ms: u64,
        up: Vec<NodeId>,
    ) {
        self.every_ms = every_ms;
        self.rounds.retain(|_, round| round.is_running);
        for node in up {
            self.rise(now, me, view, node);
        }
        self.reckon();
    }

    /// When [`Exchanges::take_due`] has something to give, in monotonic nanoseconds.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }

    /// The next repair to be begun.
    pub(crate) fn take_wanted(&mut self) -> Option<Wanted> {
        self.wanted.pop_front()
    }

    /// The next exchange to be told that one of its repairs has ended, and whether it failed.
    pub(crate) fn take_ended(&mut self) -> Option<(Token, bool)> {
        self.ended.pop_front()
    }

    /// A peer can be reached: what it or this node missed meanwhile should not wait.
    pub(crate) fn rise(&mut self, now: Now, me: NodeId, view: &ClusterView, node: NodeId) {
        if self.every_ms == 0 || node < me {
            return;
        }
        let next_ns = now.after_ms(self.soon_ms());
        for class in view.layout.classes() {
            self.rounds.entry((node, class.id())).or_default().next_ns = next_ns;
        }
        self.reckon();
    }

    /// The pause after an exchange that found something.
    fn soon_ms(&self) -> u64 {
        self.every_ms / limits::EXCHANGES_SOONER
    }

    fn reckon(&mut self) {
        let waiting = self.rounds.values().filter(|round| !round.is_running);
        self.next_ns = waiting.map(|round| round.next_ns).min();
    }

    /// An exchange that is due. It has begun now.
    pub(crate) fn take_due(&mut self, now: Now) -> Option<(NodeId, ClassId)> {
        if self.next_ns.is_none_or(|next_ns| next_ns > now.mono_ns) {
            return None;
        }
        let due = |round: &Round| !round.is_running && round.next_ns <= now.mono_ns;
        let first = self.rounds.iter_mut().find(|(_, round)| due(round));
        let found = first.map(|(of, round)| {
            round.is_running = true;
            *of
        });
        self.reckon();
        found
    }

    /// A peer cannot be reached. An exchange with it that is under way finds out by itself.
    pub(crate) fn fall(&mut self, node: NodeId) {
        self.rounds.retain(|(peer, _), round| *peer != node || round.is_running);
        self.reckon();
    }

    /// An exchange with a peer that cannot be reached any more has ended.
    pub(crate) fn break_off(&mut self, peer: NodeId, class: ClassId) {
        self.asking.remove(&(peer, class));
        self.rounds.remove(&(peer, class));
        self.reckon();
    }

    /// An exchange has ended; the next with that peer comes at its time, or soon if there is more to do.
    pub(crate) fn end(&mut self, now: Now, peer: NodeId, class: ClassId, is_soon: bool) {
        self.asking.remove(&(peer, class));
        let pause_ms = if is_soon { self.soon_ms() } else { self.every_ms };
        if self.every_ms == 0 {
            self.rounds.remove(&(peer, class));
        } else {
            let round = Round { next_ns: now.after_ms(pause_ms), is_running: false };
            self.rounds.insert((peer, class), round);
        }
        self.reckon();
    }

    /// Lets an own exchange look closely at a partition, unless another owner is at it.
    pub(crate) fn ask_about(
        &mut self,
        now: Now,
        peer: NodeId,
        place: Place,
        progress: ExchangeProgress,
    ) -> bool {
        self.asking.remove(&(peer, place.0));
        let is_free = !self.is_asked_about(now, None, place) && !self.asks_about(place);
        if is_free {
            self.asking.insert((peer, place.0), Looking { place, progress });
        }
        is_free
    }

    fn asks_about(&self, place: Place) -> bool {
        self.asking.values().any(|looking| looking.place == place)
    }

    /// How far the exchange with a peer is, if one is under way that found something.
    pub(crate) fn progress(&self, node: NodeId) -> Option<ExchangeProgress> {
        let of_peer = self.asking.iter().find(|((peer, _), _)| *peer == node);
        of_peer.map(|(_, looking)| looking.progress)
    }

    /// Lets a peer look closely at a partition, unless another owner is at it.
    pub(crate) fn be_asked_about(&mut self, now: Now, peer: NodeId, place: Place) -> bool {
        let is_free = !self.is_asked_about(now, Some(peer), place) && !self.asks_about(place);
        if is_free {
            let until_ns = now.after_ms(limits::EXCHANGE_SILENCE_MS);
            self.asked.insert(peer, Claim { place, until_ns });
        }
        is_free
    }

    fn is_asked_about(&self, now: Now, but_by: Option<NodeId>, place: Place) -> bool {
        let mut others = self.asked.iter().filter(|(peer, _)| Some(**peer) != but_by);
        others.any(|(_, claim)| claim.place == place && claim.until_ns > now.mono_ns)
    }

    /// A peer looks at no partition closely any more.
    pub(crate) fn leave(&mut self, peer: NodeId) {
        self.asked.remove(&peer);
    }

    /// Whether one more key may be repaired now.
    pub(crate) fn has_credit(&self) -> bool {
        self.repairing.len() < limits::EXCHANGE_REPAIRS
    }

    /// Wants a repair begun.
    pub(crate) fn want(&mut self, wanted: Wanted) {
        self.wanted.push_back(wanted);
    }

    /// Begins to repair a key, unless it is being repaired.
    pub(crate) fn begin_repair(&mut self, key: &RecordKey) -> bool {
        self.repairing.insert(key.clone())
    }

    /// A repair has ended, which an exchange waits for.
    pub(crate) fn end_repair(
        &mut self,
        key: Option<&RecordKey>,
        exchange: Token,
        has_failed: bool,
    ) {
        if let Some(key) = key {
            self.repairing.remove(key);
        }
        self.ended.push_back((exchange, has_failed));
    }
}
