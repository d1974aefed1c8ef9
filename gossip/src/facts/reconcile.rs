//! How nodes come to hold the same facts.
//!
//! Two ways, both harmless to repeat and to lose. *News*: a write is announced through membership datagrams, and whoever
//! lacks that state pulls the body from whom it heard it; a small one its writer also sends to all peers at once. *Exchange*: every few seconds, and whenever a peer comes up, a
//! node sends one peer the digest over all its facts; a peer that differs answers with its summaries; the first then
//! pulls what it lacks and pushes what the peer lacks. One exchange without loss leaves both alike.
//!
//! A pure machine: messages and time go in, [`FactsOutput`]s come out. It keeps nothing for an exchange in flight, so
//! there is nothing to time out.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use kvorum_ring::NodeId;

use crate::facts::fact::{Fact, FactKey, FactVersion};
use crate::facts::message::FactsMessage;
use crate::facts::set::{FactSet, Merged};
use crate::facts::summary::FactSummary;
use crate::limits;

const MILLISECOND_NS: u64 = 1_000_000;

/// What the machine asks of its surroundings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FactsOutput {
    /// Say this to a peer. It may be lost.
    Send {
        /// The peer.
        to: NodeId,
        /// What to say.
        message: FactsMessage,
    },
    /// A fact has a new state: save all facts, act on it.
    Changed {
        /// The fact.
        key: FactKey,
    },
    /// Spread this through [`crate::membership::Membership::announce_fact`].
    Announce(FactSummary),
    /// A fact of a peer did not fit: [`limits::MAX_FACTS`] are held. Nothing changed.
    Full,
}

/// All facts of one node and its exchanges with others.
pub struct Facts {
    me: NodeId,
    set: FactSet,
    peers: BTreeSet<NodeId>,
    /// The peer of the last periodic exchange; the next one follows it in order.
    last: NodeId,
    next_exchange_ns: u64,
    outputs: VecDeque<FactsOutput>,
}

impl Facts {
    /// Begins with what was saved. No peer is up yet.
    pub fn new(me: NodeId, set: FactSet) -> Facts {
        Facts {
            me,
            set,
            peers: BTreeSet::new(),
            last: me,
            next_exchange_ns: 0,
            outputs: VecDeque::new(),
        }
    }

    /// What this node holds.
    pub fn set(&self) -> &FactSet {
        &self.set
    }

    /// Writes a fact in the name of this node, over whatever state it had. A small one is sent to every peer that is up,
    /// so that all know it within a round trip; a large one is announced.
    ///
    /// Returns its version, or `None` when there is no room for another fact.
    pub fn write(&mut self, key: FactKey, body: impl Into<Bytes>) -> Option<FactVersion> {
        let version = self.set.next_version(self.me);
        let fact = Fact::new(key, version, body);
        if !self.take(fact.clone()) {
            return None;
        }
        if fact.weight() <= limits::PUSHED_FACT_BYTES {
            for peer in self.peers.clone() {
                self.send(peer, FactsMessage::Bodies(vec![fact.clone()]));
            }
        }
        Some(version)
    }

    /// Takes in what every node derives by itself; anything written wins over it.
    pub fn derive(&mut self, key: FactKey, body: impl Into<Bytes>) {
        self.take(Fact::new(key, FactVersion::DERIVED, body));
    }

    /// A peer can be reached: compare with it now.
    pub fn peer_up(&mut self, peer: NodeId) {
        if self.peers.insert(peer) {
            self.send(peer, FactsMessage::Digest(self.set.digest()));
        }
    }

    /// A peer cannot be reached any more.
    pub fn peer_down(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
    }

    /// A peer has mentioned a state.
    pub fn heard(&mut self, from: NodeId, news: &FactSummary) {
        if self.peers.contains(&from) && self.set.lacks(news) {
            self.send(from, FactsMessage::Pull(vec![news.key.clone()]));
        }
    }

    /// A peer has said something.
    pub fn handle(&mut self, from: NodeId, message: FactsMessage) {
        match message {
            FactsMessage::Digest(theirs) => {
                if theirs != self.set.digest() {
                    self.send(from, FactsMessage::Summaries(self.set.summaries()));
                }
            }
            FactsMessage::Summaries(theirs) => self.compare(from, &theirs),
            FactsMessage::Pull(keys) => {
                let facts: Vec<Fact> =
                    keys.iter().filter_map(|key| self.set.get(key).cloned()).collect();
                self.send_bodies(from, facts);
            }
            FactsMessage::Bodies(facts) => {
                for fact in facts {
                    self.take(fact);
                }
            }
        }
    }

    /// Time has passed: begins the periodic exchange when it is due.
    pub fn tick(&mut self, now_ns: u64) {
        if now_ns < self.next_exchange_ns {
            return;
        }
        self.next_exchange_ns = now_ns + limits::RECONCILE_EVERY_MS * MILLISECOND_NS;
        let following = self
            .peers
            .range((std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded))
            .next();
        if let Some(peer) = following.or(self.peers.first()).copied() {
            self.last = peer;
            self.send(peer, FactsMessage::Digest(self.set.digest()));
        }
    }

    /// When [`Facts::tick`] wants to be called next, in monotonic nanoseconds.
    pub fn next_deadline(&self) -> u64 {
        self.next_exchange_ns
    }

    /// The next thing to do, oldest first.
    pub fn poll_output(&mut self) -> Option<FactsOutput> {
        self.outputs.pop_front()
    }

    fn compare(&mut self, from: NodeId, theirs: &[FactSummary]) {
        let pull: Vec<FactKey> = theirs
            .iter()
            .filter(|summary| self.set.lacks(summary))
            .map(|summary| summary.key.clone())
            .collect();
        let push: Vec<Fact> = self.set.lacked_by(theirs).into_iter().cloned().collect();
        if !pull.is_empty() {
            self.send(from, FactsMessage::Pull(pull));
        }
        self.send_bodies(from, push);
    }

    /// Merges one fact; says whether this node holds that state now.
    fn take(&mut self, fact: Fact) -> bool {
        let key = fact.key.clone();
        // What every node derives by itself is no news to anybody.
        let is_news = fact.version != FactVersion::DERIVED;
        match self.set.merge(fact) {
            Merged::Changed => {
                self.outputs
                    .extend(self.set.summary(&key).filter(|_| is_news).map(FactsOutput::Announce));
                self.outputs.push_back(FactsOutput::Changed { key });
                true
            }
            Merged::Unchanged => false,
            Merged::Full => {
                self.outputs.push_back(FactsOutput::Full);
                false
            }
        }
    }

    fn send_bodies(&mut self, to: NodeId, facts: Vec<Fact>) {
        let mut batch = Vec::new();
        let mut weight = 0;
        for fact in facts {
            weight += fact.weight();
            if weight > limits::BODIES_BATCH_BYTES && !batch.is_empty() {
                self.send(to, FactsMessage::Bodies(std::mem::take(&mut batch)));
                weight = fact.weight();
            }
            batch.push(fact);
        }
        if !batch.is_empty() {
            self.send(to, FactsMessage::Bodies(batch));
        }
    }

    fn send(&mut self, to: NodeId, message: FactsMessage) {
        self.outputs.push_back(FactsOutput::Send { to, message });
    }
}
