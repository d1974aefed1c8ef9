//! The machine around foca.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use foca::{AccumulatingRuntime, OwnedNotification, Timer};
use kvorum_ring::NodeId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::facts::FactSummary;
use crate::limits;
use crate::membership::broadcast::{Heard, NewsHandler};
use crate::membership::codec::{self, MsgpackCodec};
use crate::membership::health::Health;
use crate::membership::identity::{PeerIdentity, Seed};
use crate::membership::tuning;
use crate::wire::DecodeError;

const MILLISECOND_NS: u64 = 1_000_000;

/// What a node knows before it hears of anybody.
#[derive(Clone, Debug)]
pub struct MembershipOptions {
    /// This node.
    pub me: NodeId,
    /// Where this node's peers reach it.
    pub address: SocketAddr,
    /// Which life of the node this is: higher than that of the process before.
    pub renewal: u64,
    /// The other nodes that should be there. All of them are asked again and again until each is known.
    pub seeds: Vec<Seed>,
}

/// What the machine asks of its surroundings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MembershipOutput {
    /// Send a datagram of at most [`limits::MAX_DATAGRAM_BYTES`]. It may be lost.
    Send {
        /// The peer.
        to: NodeId,
        /// The datagram.
        datagram: Bytes,
    },
    /// A peer is alive. Never twice in a row for one peer.
    Up(Seed),
    /// A peer that was alive is not any more.
    Down(NodeId),
    /// A peer mentioned a state of a fact.
    News {
        /// Who mentioned it. Not necessarily who wrote it.
        from: NodeId,
        /// What was mentioned.
        summary: FactSummary,
    },
    /// The cluster had declared this node down; it goes on under this renewal.
    Renewed(u64),
}

/// A datagram that was not taken in. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// It came over one peer's connection and speaks in another's name.
    #[error("the datagram speaks in the name of {claimed}")]
    Forged {
        /// In whose name it speaks.
        claimed: NodeId,
    },
    /// Its header does not decode.
    #[error("the datagram does not decode: {0}")]
    Malformed(#[from] DecodeError),
    /// Its content is too large, or does not decode. What decoded before the damage was taken in.
    #[error("the datagram was refused")]
    Refused,
}

/// Failure detection for one node.
pub struct Membership {
    foca: foca::Foca<PeerIdentity, MsgpackCodec, StdRng, NewsHandler>,
    runtime: AccumulatingRuntime<PeerIdentity>,
    heard: Receiver<Heard>,
    /// Chooses the seeds to ask. foca has a stream of its own.
    choice: StdRng,
    seeds: Vec<Seed>,
    alive: BTreeMap<NodeId, SocketAddr>,
    /// foca knows an active member and is probing.
    connected: bool,
    left: bool,
    now_ns: u64,
    next_announce_ns: u64,
    timers: BTreeMap<(u64, u64), Timer<PeerIdentity>>,
    timers_begun: u64,
    health: Health,
    irregularities: u64,
    outputs: VecDeque<MembershipOutput>,
    #[cfg(feature = "planted")]
    armed: crate::planted::Armed,
}

impl Membership {
    /// Begins alone. The first call of [`Membership::tick`] announces this node to its seeds.
    ///
    /// `seed` begins the two random streams: whom to probe, and which seeds to ask.
    pub fn new(options: MembershipOptions, seed: u64) -> Membership {
        let MembershipOptions { me, address, renewal, mut seeds } = options;
        seeds.retain(|seed| seed.node != me);
        let identity = PeerIdentity { node: me, address, renewal };
        let (news, heard) = sync_channel(limits::MAX_UNREAD_NEWS);
        let mut choice = StdRng::seed_from_u64(seed);
        let probing = StdRng::from_rng(&mut choice);
        let config = tuning::local_network(seeds.len() + 1);
        let handler = NewsHandler::new(news);
        Membership {
            foca: foca::Foca::with_custom_broadcast(
                identity,
                config,
                probing,
                MsgpackCodec::default(),
                handler,
            ),
            runtime: AccumulatingRuntime::new(),
            heard,
            choice,
            seeds,
            alive: BTreeMap::new(),
            connected: false,
            left: false,
            now_ns: 0,
            next_announce_ns: 0,
            timers: BTreeMap::new(),
            timers_begun: 0,
            health: Health::default(),
            irregularities: 0,
            outputs: VecDeque::new(),
            #[cfg(feature = "planted")]
            armed: crate::planted::Armed::default(),
        }
    }

    /// Arms a known bug.
    #[cfg(feature = "planted")]
    pub fn arm(&mut self, planted: crate::Planted) {
        self.armed.arm(planted);
        let config = tuning::local_network(self.seeds.len() + 1);
        let config = foca::Config { periodic_announce_to_down_members: None, ..config };
        if self.foca.set_config(config).is_err() {
            self.irregularities += 1;
        }
    }

    /// Who is alive now, and where, besides this node.
    pub fn alive(&self) -> &BTreeMap<NodeId, SocketAddr> {
        &self.alive
    }

    /// The renewal under which this node goes now.
    pub fn renewal(&self) -> u64 {
        self.foca.identity().renewal
    }

    /// How often foca found its own timing broken, by a long pause for instance. It carries on by itself.
    pub fn irregularities(&self) -> u64 {
        self.irregularities
    }

    /// How late this node was of late, 0 to 3: it gives suspects one time more than usual for each.
    pub fn lateness(&self) -> u64 {
        self.health.score()
    }

    /// Peers that have not answered, and have some time left to say that they are alive.
    pub fn suspects(&self) -> usize {
        self.foca.iter_members().filter(|member| member.state() == foca::State::Suspect).count()
    }

    /// Learns of another node that should be there.
    pub fn add_seed(&mut self, seed: Seed) {
        if seed.node == self.foca.identity().node {
            return;
        }
        match self.seeds.iter_mut().find(|known| known.node == seed.node) {
            Some(known) => *known = seed,
            None => self.seeds.push(seed),
        }
    }

    /// A connection to this node is up: datagrams to it have a chance now. Announces to it unless it is known to be alive,
    /// so that joining does not wait for the next round.
    pub fn reachable(&mut self, now_ns: u64, node: NodeId) {
        self.now_ns = now_ns;
        if self.left || (self.connected && self.alive.contains_key(&node)) {
            return;
        }
        if let Some(seed) = self.seeds.iter().find(|seed| seed.node == node).copied() {
            self.ask(seed);
            self.drain();
        }
    }

    /// A datagram came over the connection of peer `from`.
    ///
    /// # Errors
    /// [`DatagramError`] says why it was not taken in; a peer that keeps sending such datagrams is broken.
    pub fn datagram(
        &mut self,
        now_ns: u64,
        from: NodeId,
        datagram: &[u8],
    ) -> Result<(), DatagramError> {
        self.now_ns = now_ns;
        let claimed = codec::source_of(datagram)?;
        if claimed != from {
            return Err(DatagramError::Forged { claimed });
        }
        if self.left {
            return Ok(());
        }
        let result = self.foca.handle_data(datagram, &mut self.runtime);
        self.drain();
        result.map_err(|_| DatagramError::Refused)
    }

    /// Time has passed: runs what is due.
    pub fn tick(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        if self.left {
            return;
        }
        let oldest_ns = self.timers.first_key_value().map_or(now_ns, |((due_ns, _), _)| *due_ns);
        let spared_until_ns = self.health.ticked(oldest_ns, now_ns);
        // In the order in which they were due, also when a long pause has made many due at once.
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now_ns
        {
            let timer = entry.remove();
            if let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &timer {
                if !self.is_suspect(member_id, *incarnation) {
                    continue;
                }
                if let Some(until_ns) = spared_until_ns {
                    self.schedule(until_ns, timer);
                    continue;
                }
            }
            if self.foca.handle_timer(timer, &mut self.runtime).is_err() {
                self.irregularities += 1;
            }
            self.drain();
        }
        if self.next_announce_ns <= now_ns {
            self.announce();
        }
    }

    /// When [`Membership::tick`] wants to be called next, in monotonic nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let timer = self.timers.first_key_value().map_or(u64::MAX, |((due, _), _)| *due);
        (!self.left).then_some(timer.min(self.next_announce_ns))
    }

    /// Spreads the news of a fact, if it is news.
    pub fn announce_fact(&mut self, summary: &FactSummary) {
        let mut encoded = Vec::new();
        summary.encode(&mut encoded);
        // It fails for an item larger than a datagram or undecodable, and a summary is neither.
        let added = self.foca.add_broadcast(&encoded);
        debug_assert!(added.is_ok(), "a summary is a valid announcement");
    }

    /// Tells a few peers that this node stops. Nothing is taken in after it.
    pub fn leave(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        if self.left {
            return;
        }
        if self.foca.leave_cluster(&mut self.runtime).is_err() {
            self.irregularities += 1;
        }
        self.drain();
        self.left = true;
        self.timers.clear();
    }

    /// The next thing to do, oldest first.
    pub fn poll_output(&mut self) -> Option<MembershipOutput> {
        self.outputs.pop_front()
    }

    /// Asks a few of the seeds that are not known to be alive; any seeds while foca is not probing.
    fn announce(&mut self) {
        self.next_announce_ns = self.now_ns + limits::ANNOUNCE_EVERY_MS * MILLISECOND_NS;
        let missing = |seed: &&Seed| !self.connected || !self.alive.contains_key(&seed.node);
        let mut asked: Vec<Seed> = self.seeds.iter().filter(missing).copied().collect();
        asked.shuffle(&mut self.choice);
        for seed in asked.into_iter().take(limits::SEEDS_PER_ROUND) {
            self.ask(seed);
        }
        self.drain();
    }

    fn ask(&mut self, seed: Seed) {
        #[cfg(feature = "planted")]
        if self.armed.passes_over(seed.node) {
            return;
        }
        if self.foca.announce(PeerIdentity::of_seed(seed), &mut self.runtime).is_err() {
            self.irregularities += 1;
        }
    }

    /// Whether a peer may still be declared down for this suspicion. foca tells one that has refuted it that it is down, all the
    /// same, and makes it take a new identity for nothing.
    fn is_suspect(&self, peer: &PeerIdentity, incarnation: foca::Incarnation) -> bool {
        self.foca.iter_members().any(|member| {
            member.id() == peer
                && member.incarnation() == incarnation
                && member.state() == foca::State::Suspect
        })
    }

    fn schedule(&mut self, due_ns: u64, timer: Timer<PeerIdentity>) {
        self.timers_begun += 1;
        self.timers.insert((due_ns, self.timers_begun), timer);
    }

    fn drain(&mut self) {
        let mut reborn = false;
        while let Some((to, datagram)) = self.runtime.to_send() {
            self.outputs.push_back(MembershipOutput::Send { to: to.node, datagram });
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            let mut after_ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            if matches!(timer, Timer::ChangeSuspectToDown { .. }) {
                // Each probe that a suspect does not answer begins another one; the first counts.
                if self.timers.values().any(|begun| *begun == timer) {
                    continue;
                }
                after_ns = self.health.patience(after_ns);
            }
            self.schedule(self.now_ns.saturating_add(after_ns), timer);
        }
        while let Some(notification) = self.runtime.to_notify() {
            match notification {
                OwnedNotification::MemberUp(peer) => self.up(peer),
                OwnedNotification::MemberDown(peer) => self.down(peer.node),
                // The liveness of the new life follows in a notification of its own when it differs.
                OwnedNotification::Rename(_, peer) => self.moved(peer),
                OwnedNotification::Active => {
                    self.connected = true;
                    #[cfg(feature = "planted")]
                    self.armed.joined();
                }
                OwnedNotification::Idle | OwnedNotification::Defunct => self.connected = false,
                OwnedNotification::Rejoin(identity) => {
                    reborn = true;
                    self.connected = false;
                    self.outputs.push_back(MembershipOutput::Renewed(identity.renewal));
                }
            }
        }
        while let Ok(Heard { from, summary }) = self.heard.try_recv() {
            self.outputs.push_back(MembershipOutput::News { from, summary });
        }
        if reborn {
            // At once, so that a node whose renewals lag behind what the cluster remembers catches up in round trips.
            self.announce();
        }
    }

    fn up(&mut self, peer: PeerIdentity) {
        if self.alive.insert(peer.node, peer.address).is_none() {
            self.outputs
                .push_back(MembershipOutput::Up(Seed { node: peer.node, address: peer.address }));
        }
    }

    fn down(&mut self, node: NodeId) {
        if self.alive.remove(&node).is_some() {
            self.outputs.push_back(MembershipOutput::Down(node));
        }
    }

    fn moved(&mut self, peer: PeerIdentity) {
        if let Some(address) = self.alive.get_mut(&peer.node) {
            *address = peer.address;
        }
    }
}
