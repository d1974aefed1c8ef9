//! Clients: what they ask, of whom, with which context, and when they ask again or give up.
//!
//! A client keeps the contexts that it was given, with the versions that it was shown with each: that is the shadow past
//! of a write that uses one. It asks at the times of the plan whatever became of its earlier operations. It retries under
//! the same operation id at the next node, as the real client does, until the deadline or its last attempt. Clients reach
//! every node that is up, or those that the plan lets them reach; the network's faults are between nodes.

use std::collections::VecDeque;

use bytes::Bytes;
use kvorum_node::engine::{ClientId, Input};
use kvorum_protocol::Context;
use kvorum_protocol::message::{
    BatchGet, BatchPut, Delete, Get, List, Put, PutItem, Replacing, Request, RequestOptions, Update,
};

use super::judge::operation_of;
use super::node::WALL_START_MS;
use super::{Attempt, Happening, World};
use crate::bits::Bits;
use crate::checkers::p13_integrity::value_of;
use crate::checkers::{p14_honest_results, p19_liveness};
use crate::history::{Outcome, Row};
use crate::limits;
use crate::oracle::WriteId;
use crate::plan::{ContextChoice, Operation, OperationKind, Rule};
use crate::reached::Rare;
use crate::streams::{Purpose, Stream};

/// The time behind a deadline within which an answer must have reached its client.
const GRACE_NS: u64 = 100_000_000;

/// A context that a client was given.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) context: Context,
    /// The versions that it was shown with it.
    pub(super) shown: Bits,
    pub(super) clock: Vec<(u64, u64)>,
}

/// A client and what it remembers.
#[derive(Debug)]
pub(super) struct Client {
    choice: Stream,
    /// For each key the contexts that it was given, the newest last.
    held: Vec<VecDeque<Held>>,
}

/// An operation under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) operation: Operation,
    replaces: Replacing,
    /// The attempt that counts.
    pub(super) attempt: u8,
    pub(super) node: u16,
    /// When the attempt reached its node.
    arrived_ns: Option<u64>,
    deadline_ns: u64,
    /// Whether some attempt may have taken effect.
    pub(super) uncertain: bool,
    pub(super) done: bool,
    /// Of a listing: for each key what all its owners held when it was asked for.
    pub(super) held: Vec<Bits>,
}

/// What a write says that it replaces, with what the oracle has to know of it.
struct Choice {
    replaces: Replacing,
    shown: Option<Bits>,
    clock: Vec<(u64, u64)>,
    bad: bool,
}

impl Client {
    pub(super) fn new(seed: u64, number: u16, keys: usize) -> Self {
        Self {
            choice: Stream::new(seed, Purpose::ClientChoice, number.into()),
            held: vec![VecDeque::new(); keys],
        }
    }

    /// Remembers a context.
    pub(super) fn hold(&mut self, key: u16, held: Held) {
        let kept = &mut self.held[usize::from(key)];
        if kept.len() == limits::CONTEXTS_KEPT {
            kept.pop_front();
        }
        kept.push_back(held);
    }

    fn choose(&mut self, key: u16, choice: ContextChoice) -> Choice {
        let drawn = self.choice.word();
        let own = &self.held[usize::from(key)];
        let nothing = || Choice {
            replaces: Replacing::Nothing,
            shown: Some(Bits::new()),
            clock: vec![],
            bad: false,
        };
        let latest =
            || Choice { replaces: Replacing::Latest, shown: None, clock: vec![], bad: false };
        let with = |held: &Held| Choice {
            replaces: Replacing::Context { context: held.context.clone() },
            shown: Some(held.shown.clone()),
            clock: held.clock.clone(),
            bad: false,
        };
        match choice {
            ContextChoice::Latest => latest(),
            ContextChoice::Nothing => nothing(),
            ContextChoice::Held => own.back().map_or_else(nothing, with),
            ContextChoice::Stale => match own.len() {
                0 => nothing(),
                count => with(&own[(drawn % count as u64) as usize]),
            },
            ContextChoice::Foreign => {
                let others =
                    self.held.iter().enumerate().filter(|(other, _)| *other != usize::from(key));
                match others.filter_map(|(_, held)| held.back()).next() {
                    Some(held) => Choice { bad: true, ..with(held) },
                    None => latest(),
                }
            }
            ContextChoice::Forged => match own.back() {
                Some(held) => {
                    let mut bytes = held.context.to_vec();
                    let place = (drawn % bytes.len() as u64) as usize;
                    bytes[place] ^= 1 << (drawn >> 61);
                    let replaces = Replacing::Context { context: Context::from_bytes(bytes) };
                    Choice { replaces, bad: true, ..with(held) }
                }
                None => latest(),
            },
        }
    }
}

impl World {
    /// A client asks.
    pub(super) fn invoke(&mut self, operation: Operation) {
        let now_ns = self.schedule.now_ns();
        let deadline_ns = now_ns + operation.timeout_us * 1_000;
        let client = &mut self.clients[usize::from(operation.client)];
        let names_reads = self.plan.rule == Rule::Siblings;
        let choice = match &operation.kind {
            OperationKind::Put { key, replaces, .. } | OperationKind::Delete { key, replaces }
                if names_reads =>
            {
                client.choose(*key, *replaces)
            }
            _ => Choice { replaces: Replacing::Latest, shown: None, clock: vec![], bad: false },
        };
        let write = matches!(
            operation.kind,
            OperationKind::Put { .. }
                | OperationKind::Delete { .. }
                | OperationKind::BatchPut { .. }
        );
        let expires_at_ms = self.expiry_of(&operation.kind);
        let earliest_ms = self.wall_clocks().0;
        for (key, id) in operation.keys().iter().zip(operation.id..) {
            self.history.invoke(Row {
                operation: id,
                client: operation.client,
                key: *key,
                coordinator: operation.node,
                strict: operation.strict,
                quorum: operation.quorum,
                write,
                invoked_ns: now_ns,
                ended_ns: 0,
                deadline_ns: deadline_ns + GRACE_NS,
                outcome: Outcome::Pending,
                owed: if write {
                    Bits::new()
                } else {
                    self.acked_by_owners[usize::from(*key)].clone()
                },
                shown: choice.shown.clone(),
                context_clock: choice.clock.clone(),
                expires_at_ms,
                earliest_ms,
                bad_context: choice.bad,
            });
        }
        let key = operation.keys().first().copied();
        self.say(None, key, || {
            format!("client {} asks node {}: {:?}", operation.client, operation.node, operation)
        });
        let slot = self.running.len() as u32;
        let held = self.owed_by(&operation.kind);
        let node = self.reachable_from(operation.client, operation.node);
        self.running.push(Running {
            node,
            held,
            operation,
            replaces: choice.replaces,
            attempt: 0,
            arrived_ns: None,
            deadline_ns,
            uncertain: false,
            done: false,
        });
        self.send_attempt(slot, 0);
        self.after(
            deadline_ns + GRACE_NS - now_ns,
            Happening::GiveUp { attempt: Attempt { slot, number: 0 } },
        );
    }

    /// When the value of a write that is asked for now expires, by an exact clock.
    fn expiry_of(&self, kind: &OperationKind) -> Option<u64> {
        let OperationKind::Put { ttl_ms: Some(ttl_ms), .. } = kind else { return None };
        Some(WALL_START_MS as u64 + self.schedule.now_ns() / 1_000_000 + ttl_ms)
    }

    /// For each key the versions that a listing which is asked for now has to know of.
    fn owed_by(&self, kind: &OperationKind) -> Vec<Bits> {
        match kind {
            OperationKind::List { .. } => self.held_everywhere(),
            _ => Vec::new(),
        }
    }

    /// The first node from `node` on that the client reaches.
    fn reachable_from(&mut self, client: u16, node: u16) -> u16 {
        let reach = self.plan.reach.get(usize::from(client)).filter(|reach| !reach.is_empty());
        let Some(reach) = reach.filter(|_| !self.healed) else { return node };
        if reach.contains(&node) {
            return node;
        }
        self.reached.mark(Rare::OutOfReach);
        let nodes = self.plan.topology.nodes;
        (node..node + nodes)
            .map(|node| node % nodes)
            .find(|node| reach.contains(node))
            .unwrap_or(node)
    }

    /// How long the leg of an attempt takes: 0 the request's way, 1 the answer's.
    pub(super) fn client_delay_ns(&self, attempt: Attempt, leg: u64) -> u64 {
        let id = self.running[attempt.slot as usize].operation.id;
        let entity = u64::from(id) << 8 | u64::from(attempt.number);
        let mut stream = Stream::new(self.plan.seed, Purpose::ClientDelay, entity << 1 | leg);
        stream.exponential(50_000, 300_000)
    }

    fn send_attempt(&mut self, slot: u32, extra_ns: u64) {
        let running = &self.running[slot as usize];
        let attempt = Attempt { slot, number: running.attempt };
        let left_ns = running.deadline_ns.saturating_sub(self.schedule.now_ns() + extra_ns);
        let request = self.request(running, (left_ns / 1_000_000).max(1) as u32);
        let node = running.node;
        let delay_ns = extra_ns + self.client_delay_ns(attempt, 0);
        self.after(delay_ns, Happening::Request { node, attempt, request });
    }

    fn request(&self, running: &Running, deadline_ms: u32) -> Request {
        let operation = &running.operation;
        let write = |kind: &OperationKind| {
            !matches!(kind, OperationKind::Get { .. } | OperationKind::BatchGet { .. })
        };
        let quorum = Some(operation.quorum);
        let options = RequestOptions {
            r: if write(&operation.kind) { None } else { quorum },
            w: if write(&operation.kind) { quorum } else { None },
            strict: operation.strict,
            deadline_ms,
            retry: running.attempt > 0,
            ..RequestOptions::new(operation_of(operation.id))
        };
        let bucket = self.bucket.clone();
        let key = |number: &u16| self.keys[usize::from(*number)].clone();
        let value = |id: WriteId, size: u32| Bytes::from(value_of(id, size));
        if let Some((number, change)) = self.change_of(operation) {
            return Request::Update(Update { bucket, key: key(&number), change, options });
        }
        match &operation.kind {
            OperationKind::Get { key: number } => {
                Request::Get(Get { bucket, key: key(number), options })
            }
            OperationKind::Put { key: number, size, .. } => Request::Put(Put {
                expires_at_ms: self.history.row(operation.id).and_then(|row| row.expires_at_ms),
                bucket,
                key: key(number),
                value: value(operation.id, *size),
                replaces: running.replaces.clone(),
                options,
            }),
            OperationKind::Delete { key: number, .. } => Request::Delete(Delete {
                bucket,
                key: key(number),
                replaces: running.replaces.clone(),
                options,
            }),
            OperationKind::List { limit, after, partial } => Request::List(List {
                bucket,
                prefix: Bytes::from_static(b"k"),
                after: after.as_ref().map(key),
                limit: u32::from(*limit),
                partial: *partial,
                options: RequestOptions { w: None, ..options },
            }),
            OperationKind::BatchPut { keys, size } => {
                let items = keys.iter().zip(operation.id..).map(|(number, id)| PutItem {
                    key: key(number),
                    value: value(id, *size),
                    replaces: Replacing::Latest,
                    operation: operation_of(id),
                    expires_at_ms: None,
                });
                Request::BatchPut(BatchPut { bucket, items: items.collect(), options })
            }
            OperationKind::BatchGet { keys } => Request::BatchGet(BatchGet {
                bucket,
                keys: keys.iter().map(key).collect(),
                options,
            }),
        }
    }

    /// A request reaches its node.
    pub(super) fn arrive(&mut self, number: u16, attempt: Attempt, request: Request) {
        let now_ns = self.schedule.now_ns();
        let node = &mut self.nodes[usize::from(number)];
        if !node.is_up() {
            let delay_ns = self.client_delay_ns(attempt, 1);
            self.after(delay_ns, Happening::Disconnected { attempt, was_sent: false });
            return;
        }
        let running = &mut self.running[attempt.slot as usize];
        running.arrived_ns = Some(now_ns);
        if node.paused {
            node.deferred.push(Happening::Request { node: number, attempt, request });
            return;
        }
        let client = ClientId(running.operation.client.into());
        let request_id = u64::from(attempt.slot) << 8 | u64::from(attempt.number);
        self.feed(number, Input::Client { client, request_id, request });
    }

    /// A node died: the clients that were waiting for it notice.
    pub(super) fn disconnect_clients(&mut self, number: u16) {
        for slot in 0..self.running.len() {
            let running = &self.running[slot];
            if !running.done && running.node == number && running.arrived_ns.is_some() {
                let attempt = Attempt { slot: slot as u32, number: running.attempt };
                let delay_ns = self.client_delay_ns(attempt, 1);
                self.after(delay_ns, Happening::Disconnected { attempt, was_sent: true });
            }
        }
    }

    /// Whether an attempt is the one that its operation waits for.
    pub(super) fn is_current(&self, attempt: Attempt) -> bool {
        let running = &self.running[attempt.slot as usize];
        !running.done && running.attempt == attempt.number
    }

    /// The connection of an attempt is gone, or could not be made.
    pub(super) fn lose_attempt(&mut self, attempt: Attempt, was_sent: bool) {
        if self.is_current(attempt) {
            self.running[attempt.slot as usize].uncertain |= was_sent;
            self.retry_or_end(attempt.slot, 0);
        }
    }

    /// Asks again at the next node, or ends the operation without an answer.
    pub(super) fn retry_or_end(&mut self, slot: u32, wait_ns: u64) {
        let nodes = self.plan.topology.nodes;
        let now_ns = self.schedule.now_ns();
        let running = &mut self.running[slot as usize];
        if running.attempt < running.operation.retries && now_ns + wait_ns < running.deadline_ns {
            running.attempt += 1;
            running.arrived_ns = None;
            let (client, next) = (running.operation.client, (running.node + 1) % nodes);
            self.running[slot as usize].node = self.reachable_from(client, next);
            self.send_attempt(slot, wait_ns);
            return;
        }
        let outcome = if running.uncertain { Outcome::Indeterminate } else { Outcome::Failed };
        self.end(slot, outcome);
    }

    /// The deadline and its grace have passed.
    pub(super) fn give_up(&mut self, attempt: Attempt) {
        let running = &self.running[attempt.slot as usize];
        if running.done {
            return;
        }
        let node = &self.nodes[usize::from(running.node)];
        let owed = running
            .arrived_ns
            .is_some_and(|arrived_ns| node.is_awake() && node.disturbed_ns < arrived_ns);
        if owed && let Some(row) = self.history.row(running.operation.id) {
            let judgement = p19_liveness::check_ended(row);
            self.accuse(judgement, Some(self.running[attempt.slot as usize].node), None);
        }
        self.running[attempt.slot as usize].uncertain = true;
        self.end(attempt.slot, Outcome::Indeterminate);
    }

    /// Ends all of an operation that has not ended.
    pub(super) fn end(&mut self, slot: u32, outcome: Outcome) {
        let running = &mut self.running[slot as usize];
        running.done = true;
        let ids =
            running.operation.id..running.operation.id + running.operation.keys().len() as u32;
        for id in ids {
            self.end_row(id, outcome);
        }
    }

    /// Ends one row that has not ended.
    pub(super) fn end_row(&mut self, id: WriteId, outcome: Outcome) {
        let now_ns = self.schedule.now_ns();
        let Some(row) = self.history.row_mut(id) else { return };
        if row.outcome != Outcome::Pending {
            return;
        }
        (row.outcome, row.ended_ns) = (outcome, now_ns);
        let (key, write) = (row.key, row.write);
        self.say(None, Some(key), || format!("operation {id} ended: {outcome:?}"));
        if write && outcome == Outcome::Failed {
            let judgement = p14_honest_results::check_failure(&self.oracle[usize::from(key)], id);
            self.oracle[usize::from(key)].fail(id);
            self.accuse(judgement, None, Some(key));
        }
    }
}
