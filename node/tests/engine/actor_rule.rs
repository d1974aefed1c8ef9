//! The actor rule, checked exhaustively at small scope: three owners, two writes, every interleaving.
//!
//! The key begins with one old version that every owner has durably and that the first owner minted in an earlier run. From
//! there on anything may happen, in any order: two puts at any owners, each replacing all or nothing; every message arrives
//! or does not; every disk syncs or does not; a node crashes, losing what was not synced, and starts again; a record is
//! lost. In every state that can be reached:
//!
//! - no dot was minted twice (P5);
//! - no clock covers a write that its set neither holds nor holds a successor of (P4);
//! - every acknowledged write, or a successor, is in the merge of what is durable (P1).
//!
//! Two things keep the search small without hiding anything. Replies to the coordinator arrive at once: a write is then
//! acknowledged as early as it ever could be, which is the hardest case for the last property. And only the one node that
//! may still crash syncs at chosen moments; the others, which lose nothing, sync at once.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::message::{Replacing, Request, Response};
use kvorum_protocol::{Dot, Key, OperationId, VersionSet};

use crate::cluster::{Cluster, key};

/// Writes in every history.
const WRITES: usize = 2;

/// What goes wrong, once, at any moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// This owner, by its place in the preference list, crashes and starts again.
    Crash(usize),
    /// This owner loses its record.
    Loss(usize),
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put { owner: usize, replaces_all: bool },
    Deliver(usize),
    Sync,
    Fail,
}

/// What a write is to the outside observer.
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
    requests: Vec<(u64, OperationId)>,
    shadows: BTreeMap<OperationId, Shadow>,
    /// What may still go wrong.
    fault: Option<Fault>,
    trace: Vec<Step>,
}

impl State {
    fn first(fault: Fault) -> State {
        let mut cluster = Cluster::new(3);
        let key = key("k");
        let owner = cluster.owners(&key)[0];
        cluster.put(owner, &key, "old", Replacing::Latest);
        for node in 0..3 {
            cluster.kill(node);
            cluster.restart(node);
        }
        let mut shadows = BTreeMap::new();
        let held = cluster.holdings(&key)[0].clone().expect("the old version");
        let (dot, version) = &held.versions()[0];
        shadows.insert(version.operation, Shadow { dot: *dot, past: BTreeSet::new() });
        let (requests, trace) = (Vec::new(), Vec::new());
        let mut state = State { cluster, key, requests, shadows, fault: None, trace };
        let victim = match fault {
            Fault::Crash(place) => {
                let victim = state.cluster.owners(&state.key)[place];
                state.cluster.nodes[victim].holds_syncs = true;
                Fault::Crash(victim)
            }
            Fault::Loss(place) => Fault::Loss(state.cluster.owners(&state.key)[place]),
        };
        state.fault = Some(victim);
        state
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.requests.len() < WRITES {
            for owner in 0..3 {
                steps.push(Step::Put { owner, replaces_all: true });
                steps.push(Step::Put { owner, replaces_all: false });
            }
        }
        match self.fault {
            Some(Fault::Crash(node)) if self.cluster.nodes[node].disk.has_unsynced() => {
                steps.extend([Step::Sync, Step::Fail]);
            }
            Some(Fault::Crash(_)) | None => {}
            Some(Fault::Loss(_)) => steps.push(Step::Fail),
        }
        steps.extend((0..self.cluster.in_flight.len()).map(Step::Deliver));
        steps
    }

    fn take(&mut self, step: Step) {
        self.trace.push(step);
        match (step, self.fault) {
            (Step::Put { owner, replaces_all }, _) => self.put(owner, replaces_all),
            (Step::Deliver(index), _) => self.cluster.deliver(index),
            (Step::Sync, Some(Fault::Crash(node))) => self.cluster.sync(node),
            (Step::Fail, Some(fault)) => self.fail(fault),
            (Step::Sync | Step::Fail, _) => unreachable!("only what can go wrong does"),
        }
        self.deliver_replies();
    }

    fn fail(&mut self, fault: Fault) {
        self.fault = None;
        match fault {
            Fault::Crash(node) => {
                // What it had sent is under way still, and so is what others sent to others.
                let flying = self.cluster.in_flight.clone();
                self.cluster.kill(node);
                self.cluster.in_flight =
                    flying.into_iter().filter(|flight| flight.to != node).collect();
                self.cluster.restart(node);
                self.cluster.nodes[node].holds_syncs = false;
            }
            Fault::Loss(node) => {
                let record = self.cluster.record(&self.key);
                self.cluster.nodes[node].disk.forget(&record);
            }
        }
    }

    fn put(&mut self, owner: usize, replaces_all: bool) {
        let record = self.cluster.record(&self.key);
        let before = self.cluster.nodes[owner].disk.peek(&record).unwrap_or_default();
        let replaces = if replaces_all { Replacing::Latest } else { Replacing::Nothing };
        let put = self.cluster.put_request(&self.key.clone(), "new", replaces);
        let operation = put.options.operation;
        let request = self.cluster.ask(owner, Request::Put(put));
        self.requests.push((request, operation));
        let after = self.cluster.nodes[owner].disk.peek(&record).expect("the write is visible");
        let minted = after.versions().iter().find(|(_, version)| version.operation == operation);
        let dot = minted.expect("the write is live where it was minted").0;
        assert!(
            self.shadows.values().all(|shadow| shadow.dot != dot),
            "P5: {dot} minted twice: {:?}",
            self.trace
        );
        let past = if replaces_all { self.with_pasts(&before) } else { BTreeSet::new() };
        self.shadows.insert(operation, Shadow { dot, past });
    }

    /// Syncs who loses nothing, and delivers what only matters for acknowledgements.
    fn deliver_replies(&mut self) {
        for node in 0..3 {
            if !self.cluster.nodes[node].holds_syncs {
                self.cluster.sync(node);
            }
        }
        let is_reply = |message: &PeerMessage| matches!(message, PeerMessage::Replicated { .. });
        while let Some(index) =
            self.cluster.in_flight.iter().position(|flight| is_reply(&flight.message))
        {
            self.cluster.deliver(index);
        }
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

    fn check(&self) {
        let record = self.cluster.record(&self.key);
        let mut merged = VersionSet::empty();
        for node in &self.cluster.nodes {
            let visible = node.disk.peek(&record).unwrap_or_default();
            let known = self.with_pasts(&visible);
            for (operation, shadow) in &self.shadows {
                let is_covered = visible.clock().covers(shadow.dot);
                assert!(
                    !is_covered || known.contains(operation),
                    "P4: {operation:?}: {:?}",
                    self.trace
                );
            }
            merged.merge_into(&node.disk.peek_durable(&record).unwrap_or_default());
        }
        let known = self.with_pasts(&merged);
        for (request, operation) in &self.requests {
            let is_acked = matches!(self.cluster.reply(*request), Some(Response::Put(_)));
            assert!(!is_acked || known.contains(operation), "P1: {operation:?}: {:?}", self.trace);
        }
    }

    /// What tells states apart: everything that the future depends on.
    fn fingerprint(&self) -> [u8; 32] {
        let record = self.cluster.record(&self.key);
        let mut hasher = blake3::Hasher::new();
        for node in &self.cluster.nodes {
            node.disk.fingerprint(&record, &mut hasher);
        }
        let mut flights: Vec<Vec<u8>> = self
            .cluster
            .in_flight
            .iter()
            .map(|flight| {
                let mut bytes = vec![flight.from as u8, flight.to as u8];
                bytes.extend_from_slice(&kvorum_protocol::codec::encode(&flight.message));
                bytes
            })
            .collect();
        flights.sort();
        flights.iter().for_each(|flight| {
            hasher.update(flight);
        });
        for (request, _) in &self.requests {
            let is_acked = matches!(self.cluster.reply(*request), Some(Response::Put(_)));
            hasher.update(&[u8::from(is_acked)]);
        }
        hasher.update(&[self.requests.len() as u8, u8::from(self.fault.is_some())]);
        *hasher.finalize().as_bytes()
    }
}

/// Visits every state that can be reached with one fault; says how many there are.
fn explore(fault: Fault) -> usize {
    let mut seen = BTreeSet::new();
    let mut open = vec![State::first(fault)];
    while let Some(state) = open.pop() {
        for step in state.steps() {
            let mut next = state.clone();
            next.take(step);
            if seen.insert(next.fingerprint()) {
                next.check();
                open.push(next);
            }
        }
    }
    seen.len()
}

#[test]
fn two_writes_and_a_crash_break_nothing_in_any_order() {
    let states: Vec<usize> = (0..3).map(|place| explore(Fault::Crash(place))).collect();
    println!("{states:?} states");
}

#[test]
fn two_writes_and_a_lost_record_break_nothing_in_any_order() {
    let states: Vec<usize> = (0..3).map(|place| explore(Fault::Loss(place))).collect();
    println!("{states:?} states");
}
