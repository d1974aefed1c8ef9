//! The actor rule, checked exhaustively at small scope: three owners, two writes, every interleaving, over the real engine
//! and the real store.
//!
//! The key begins with one old version that every owner has durably and that the first owner minted in an earlier run. From
//! there on anything may happen, in any order: two puts at any owners, each replacing all or nothing; every message arrives
//! or does not; one owner syncs or does not, and crashes, losing what it had not synced; or one owner loses its record. In
//! every state that can be reached:
//!
//! - no dot was minted twice (P5);
//! - no clock covers a write that its set neither holds nor holds a successor of (P4);
//! - every acknowledged write, or a successor, is in the merge of what is durable (P1).
//!
//! Three things keep the search small without hiding anything. Replies to the coordinator arrive at once: a write is then
//! acknowledged as early as it ever could be, which is the hardest case for the last property. Only the owner that may
//! crash syncs at chosen moments; the others, which lose nothing, sync at once. And of two owners that are alike only one
//! is the victim, or takes the first write.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::codec::encode;
use kvorum_protocol::message::{Replacing, Request, Response};
use kvorum_protocol::{Dot, EncodedSet, Key, OperationId, VersionSet};

use crate::cluster::{Cluster, Settings, key};

const OWNERS: usize = 3;
const WRITES: usize = 2;

/// What goes wrong once, at any moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The victim crashes and starts again with what it had synced.
    Crash,
    /// The victim loses its record.
    Loss,
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put { owner: usize, replaces_all: bool },
    Deliver(usize),
    SyncVictim,
    Fail(Fault),
}

/// What a write is to an observer outside.
#[derive(Clone)]
struct Shadow {
    dot: Dot,
    /// The writes that it knowingly replaced, and theirs.
    past: BTreeSet<OperationId>,
}

#[derive(Clone)]
struct State {
    cluster: Cluster,
    key: Key,
    /// The three owners in preference order; steps name them by their place here.
    owners: Vec<usize>,
    requests: Vec<(u64, OperationId)>,
    shadows: BTreeMap<OperationId, Shadow>,
    /// Writes that each owner minted since it started or lost its record: what its mark hangs on.
    minted: [u8; OWNERS],
    victim: usize,
    /// What may still go wrong.
    fault: Option<Fault>,
    trace: Vec<Step>,
}

impl State {
    fn first(fault: Fault, victim: usize, settings: Settings) -> State {
        let mut cluster = Cluster::with(OWNERS, settings);
        let key = key("k");
        let owners = cluster.owners(&key);
        cluster.put(owners[0], &key, "old", Replacing::Latest);
        for owner in &owners {
            cluster.kill(*owner);
            cluster.restart(*owner);
        }
        cluster.nodes[owners[victim]].holds_syncs = fault == Fault::Crash;
        let held = cluster.holdings(&key)[0].clone().expect("the old version");
        let (dot, version) = &held.versions()[0];
        let old = Shadow { dot: *dot, past: BTreeSet::new() };
        State {
            cluster,
            key,
            owners,
            requests: Vec::new(),
            shadows: BTreeMap::from([(version.operation, old)]),
            minted: [0; OWNERS],
            victim,
            fault: Some(fault),
            trace: Vec::new(),
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.requests.len() < WRITES {
            let alike = if self.requests.is_empty() && self.victim == 0 { 1 } else { 0 };
            for owner in 0..OWNERS - alike {
                steps.push(Step::Put { owner, replaces_all: true });
                steps.push(Step::Put { owner, replaces_all: false });
            }
        }
        let has_unsynced = self.cluster.nodes[self.owners[self.victim]].disk.has_unsynced();
        if has_unsynced {
            steps.push(Step::SyncVictim);
        }
        if self.fault == Some(Fault::Loss) || (self.fault == Some(Fault::Crash) && has_unsynced) {
            steps.extend(self.fault.map(Step::Fail));
        }
        steps.extend((0..self.cluster.in_flight.len()).map(Step::Deliver));
        steps
    }

    fn take(&mut self, step: Step) {
        self.trace.push(step);
        match step {
            Step::Put { owner, replaces_all } => self.put(owner, replaces_all),
            Step::Deliver(index) => self.cluster.deliver(index),
            Step::SyncVictim => self.cluster.sync(self.owners[self.victim]),
            Step::Fail(fault) => self.fail(fault),
        }
        self.hasten();
    }

    fn put(&mut self, owner: usize, replaces_all: bool) {
        let (node, record) = (self.owners[owner], self.cluster.record(&self.key));
        let before = self.cluster.nodes[node].disk.peek(&record).unwrap_or_default();
        let replaces = if replaces_all { Replacing::Latest } else { Replacing::Nothing };
        let put = self.cluster.put_request(&self.key.clone(), "new", replaces);
        let operation = put.options.operation;
        let request = self.cluster.ask(node, Request::Put(put));
        let after = self.cluster.nodes[node].disk.peek(&record).expect("the write is visible");
        let live = after.versions().iter().find(|(_, version)| version.operation == operation);
        let dot = live.expect("the write is live where it was minted").0;
        let past = if replaces_all { self.with_pasts(&before) } else { BTreeSet::new() };
        self.requests.push((request, operation));
        self.shadows.insert(operation, Shadow { dot, past });
        self.minted[owner] += 1;
    }

    fn fail(&mut self, fault: Fault) {
        let node = self.owners[self.victim];
        self.fault = None;
        self.minted[self.victim] = 0;
        match fault {
            Fault::Crash => {
                // What it had sent is under way still, and so is what the others sent to each other.
                let mut flying = self.cluster.in_flight.clone();
                flying.retain(|flight| flight.to != node);
                self.cluster.kill(node);
                self.cluster.restart(node);
                self.cluster.in_flight = flying;
                self.cluster.nodes[node].holds_syncs = false;
            }
            Fault::Loss => {
                let record = self.cluster.record(&self.key);
                self.cluster.nodes[node].disk.forget(&record);
            }
        }
    }

    /// Does at once what could only make matters easier by coming later.
    fn hasten(&mut self) {
        for node in 0..OWNERS {
            if !self.cluster.nodes[node].holds_syncs {
                self.cluster.sync(node);
            }
        }
        let is_reply = |message: &PeerMessage| matches!(message, PeerMessage::Replicated { .. });
        let next = |cluster: &Cluster| {
            cluster.in_flight.iter().position(|flight| is_reply(&flight.message))
        };
        while let Some(reply) = next(&self.cluster) {
            self.cluster.deliver(reply);
        }
    }

    fn is_acked(&self, request: u64) -> bool {
        matches!(self.cluster.reply(request), Some(Response::Put(_)))
    }

    /// The writes that a set holds, and their pasts.
    fn with_pasts(&self, set: &VersionSet) -> BTreeSet<OperationId> {
        let mut known = BTreeSet::new();
        for (_, version) in set.versions() {
            known.insert(version.operation);
            known.extend(&self.shadows[&version.operation].past);
        }
        known
    }

    /// The property that this state violates, if any.
    fn violation(&mut self) -> Option<&'static str> {
        let dots: BTreeSet<Dot> = self.shadows.values().map(|shadow| shadow.dot).collect();
        if dots.len() < self.shadows.len() {
            return Some("P5: a dot was minted twice");
        }
        let record = self.cluster.record(&self.key);
        let mut durable = VersionSet::empty();
        for node in self.owners.clone() {
            let disk = &mut self.cluster.nodes[node].disk;
            durable.merge_into(&disk.peek_durable(&record).unwrap_or_default());
            let visible = disk.peek(&record).unwrap_or_default();
            let known = self.with_pasts(&visible);
            let mut covered =
                self.shadows.iter().filter(|(_, shadow)| visible.clock().covers(shadow.dot));
            if !covered.all(|(operation, _)| known.contains(operation)) {
                return Some("P4: a clock covers a write that was never seen here");
            }
        }
        let known = self.with_pasts(&durable);
        let is_lost = |(request, operation): &(u64, OperationId)| {
            self.is_acked(*request) && !known.contains(operation)
        };
        self.requests.iter().any(is_lost).then_some("P1: an acknowledged write is lost")
    }

    /// What tells states apart: everything that the future depends on.
    fn fingerprint(&mut self) -> [u8; 32] {
        let record = self.cluster.record(&self.key);
        let mut hasher = blake3::Hasher::new();
        for (node, minted) in self.owners.iter().zip(&self.minted) {
            let disk = &mut self.cluster.nodes[*node].disk;
            for held in [disk.peek(&record), disk.peek_durable(&record)] {
                hasher.update(EncodedSet::new(&held.unwrap_or_default()).encoded());
            }
            hasher.update(&[*minted, u8::from(disk.has_unsynced())]);
        }
        let mut flying: Vec<(usize, bytes::Bytes)> = self
            .cluster
            .in_flight
            .iter()
            .map(|flight| (flight.to, encode(&flight.message)))
            .collect();
        flying.sort();
        for (to, message) in flying {
            hasher.update(&[to as u8]).update(&message);
        }
        let acked: Vec<u8> =
            self.requests.iter().map(|(request, _)| u8::from(self.is_acked(*request))).collect();
        hasher.update(&acked).update(&[self.requests.len() as u8, u8::from(self.fault.is_some())]);
        *hasher.finalize().as_bytes()
    }
}

/// Visits every state that can be reached with one fault at any of the owners. Says how many there are, or how the first
/// violation came about.
pub(crate) fn explore(fault: Fault, settings: &Settings) -> Result<usize, String> {
    let mut states = 0;
    for victim in [0, 1] {
        let mut seen = BTreeSet::new();
        let mut first = State::first(fault, victim, settings.clone());
        first.cluster.freeze();
        let mut open = vec![first];
        while let Some(state) = open.pop() {
            for step in state.steps() {
                let mut next = state.clone();
                next.cluster.thaw();
                next.take(step);
                if !seen.insert(next.fingerprint()) {
                    continue;
                }
                if let Some(violation) = next.violation() {
                    return Err(format!(
                        "{violation}, after {fault:?} of owner {victim} in {:?}",
                        next.trace
                    ));
                }
                next.cluster.freeze();
                open.push(next);
            }
        }
        states += seen.len();
    }
    Ok(states)
}

#[test]
fn two_writes_and_a_crash_break_nothing_in_any_order() {
    let states = explore(Fault::Crash, &Settings::default()).unwrap();
    assert!(states > 4_000, "only {states} states: the search has lost its way");
}

#[test]
fn two_writes_and_a_lost_record_break_nothing_in_any_order() {
    let states = explore(Fault::Loss, &Settings::default()).unwrap();
    assert!(states > 4_000, "only {states} states: the search has lost its way");
}
