//! The simulated cluster: what happens when, and to whom.
//!
//! The world owns the schedule, the nodes with their disks, the network, the clients and the judges. Its loop takes the
//! next happening and lets it happen; everything else is in the files beside this one, one for each concern:
//!
//! - `node`: a node's life, from opening its store to its death; `pump`: its inputs, effects, store events and jobs;
//! - `clients`, `answers`: what clients ask, and what they make of the answers;
//! - `faults`: what breaks; `beliefs`: who thinks whom to be up; `members`: the machines that find out, in some plans;
//! - `listings`: what a listing owes;
//! - `hints`: what fallbacks hold for owners;
//! - `judge`: every store event before the oracle; `finish`: healing, reading everything, and the last judgement;
//! - `exchanges`: what owners owe each other without a read, and whether their hash trees tell the truth;
//! - `explanations`: what is said of why a key holds what it holds;
//! - `aftermath`: what is done to the stores after it;
//! - `digest`: what the trace hash is fed with.
//!
//! The loop stops at the first violation. What happens after one is of no interest and often noise.

mod aftermath;
mod answers;
mod beliefs;
mod clients;
mod digest;
mod exchanges;
mod explanations;
mod faults;
mod finish;
mod hints;
mod judge;
mod listings;
mod members;
mod merged;
mod node;
mod pump;
mod setup;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kvorum_node::engine::ClusterView;
use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::message::{Request, Response};
use kvorum_protocol::{BucketName, Key};
use kvorum_ring::NodeId;

use crate::bits::Bits;
use crate::checkers::p19_liveness;
use crate::history::History;
use crate::holders::Holders;
use crate::limits;
use crate::network::Network;
use crate::oracle::KeyOracle;
use crate::plan::{Action, Plan};
use crate::reached::Reached;
use crate::schedule::Schedule;
use crate::trace::{Trace, TraceLine};
use crate::violation::{Property, Violation};
use beliefs::Beliefs;
use clients::{Client, Running};
use explanations::Explanations;
use finish::Phase;
use members::Absence;
use node::{Doom, Node};

/// A message between nodes on its way.
#[derive(Debug, Clone)]
enum Packet {
    Whole(PeerMessage),
    Encoded(Bytes),
}

/// Something that happens at a moment.
#[derive(Debug)]
enum Happening {
    /// The plan's event of this index.
    Plan(usize),
    /// A message reaches a node. The digest is that of its bytes when it was sent.
    Message { from: u16, to: u16, connection: u32, digest: u64, packet: Packet },
    /// A worker of a node has finished a job.
    Job { node: u16, run: u32, job: u64 },
    /// A deadline of a node's engine or store has come.
    Tick { node: u16, run: u32 },
    /// A client's request reaches a node.
    Request { node: u16, attempt: Attempt, request: Request },
    /// An answer reaches its client.
    Answer { attempt: Attempt, response: Response },
    /// A client notices that the connection of its request is gone, or could not be made.
    Disconnected { attempt: Attempt, was_sent: bool },
    /// A client gives up waiting.
    GiveUp { attempt: Attempt },
    /// A failure detector looks again.
    Look { observer: u16, target: u16 },
    /// Some link's fault has ended: every detector has something to see.
    LookAround,
    /// A node dies.
    Die { node: u16, run: u32, doom: Doom },
    /// A node starts.
    Start { node: u16 },
    /// A node goes on after a pause.
    Wake { node: u16 },
    /// It is asked why a key holds what it holds.
    Explain { key: u16 },
    /// All faults end.
    Heal,
    /// Some time of exchanges in the healed phase is over.
    Exchanged,
    /// A membership datagram reaches a node.
    Datagram { from: u16, to: u16, connection: u32, datagram: Bytes },
    /// A deadline of a node's membership machine has come.
    DetectorTick { node: u16, run: u32 },
    /// All machines have had their time to notice.
    Absence(Absence),
}

impl Happening {
    /// Whether it goes on for ever, so that no phase waits for its end.
    const fn is_background(&self) -> bool {
        matches!(self, Self::Datagram { .. } | Self::DetectorTick { .. })
    }
}

/// One attempt of one operation: the operation's place among the running ones, and the attempt's number from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attempt {
    slot: u32,
    number: u8,
}

/// What a finished run says of itself.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The first violation, if there was one.
    pub violation: Option<Violation>,
    /// The hash over everything that happened.
    pub trace_hash: u64,
    /// How many happenings there were.
    pub events: u64,
    /// The virtual time at the end, in nanoseconds.
    pub end_ns: u64,
    /// The rare states that were reached.
    pub reached: Reached,
    /// Differences between owners that were explained, and truly so.
    pub explained: u64,
    /// The trace's text, if it was asked for.
    pub lines: Vec<TraceLine>,
}

/// A cluster under a plan.
pub(crate) struct World {
    plan: Plan,
    schedule: Schedule<Happening>,
    /// Scheduled happenings that no phase waits for.
    background: usize,
    /// Whether membership machines have done what they were there for.
    detectors_stopped: bool,
    /// Number and cause of what is happening now.
    current: (u64, u64),
    events: u64,
    phase: Phase,
    healed: bool,
    /// Milliseconds between two exchanges of owners now; 0 for none.
    exchange_every_ms: u64,
    /// Digests of what owners hold live, by node and key, as read at the last look.
    digests: BTreeMap<(u16, u16), u128>,
    network: Network,
    nodes: Vec<Node>,
    beliefs: Beliefs,
    view: Arc<ClusterView>,
    bucket: BucketName,
    keys: Vec<Key>,
    /// The owners of each key.
    owners: Vec<Vec<u16>>,
    clients: Vec<Client>,
    running: Vec<Running>,
    history: History,
    oracle: Vec<KeyOracle>,
    holders: Holders,
    /// For each key the versions that reached a node other than their minter.
    spread: Vec<Bits>,
    /// For each key the writes that as many owners as needed acknowledged.
    acked_by_owners: Vec<Bits>,
    /// The latest that any node's wall clock ever said, before its jumps.
    latest_ms: u64,
    /// When a wall clock last jumped.
    jumped_ns: u64,
    /// Records that nodes durably removed, by node and key.
    removed: BTreeSet<(u16, u16)>,
    explanations: Explanations,
    trace: Trace,
    reached: Reached,
    violation: Option<Violation>,
    buffer: Vec<u8>,
}

impl World {
    /// Plays the plan to its end or to the first violation.
    pub(crate) fn play(mut self) -> Verdict {
        let plan = std::mem::take(&mut self.plan.events);
        for (index, event) in plan.iter().enumerate() {
            self.schedule.push(event.at_us * 1_000, 0, Happening::Plan(index));
        }
        self.plan.events = plan;
        self.schedule_explanations();
        self.schedule.push(self.plan.heal_at_us * 1_000, 0, Happening::Heal);
        while self.violation.is_none() {
            if self.schedule.len() == self.background {
                if !self.next_phase() {
                    break;
                }
                continue;
            }
            if let Some(fired) = self.schedule.pop() {
                self.background -= usize::from(fired.event.is_background());
                self.current = (fired.number, fired.cause);
                self.events += 1;
                self.happen(fired.event);
                if self.events > limits::MAX_EVENTS {
                    self.accuse(
                        p19_liveness::check_rest(self.events, limits::MAX_EVENTS),
                        None,
                        None,
                    );
                }
            }
        }
        self.sum_up();
        Verdict {
            trace_hash: self.trace.hash.value(),
            events: self.events,
            end_ns: self.schedule.now_ns(),
            reached: self.reached,
            explained: self.explanations.explained,
            lines: self.trace.into_lines(),
            violation: self.violation,
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Plan(index) => match self.plan.events[index].action.clone() {
                Action::Operation(operation) => self.invoke(operation),
                Action::Fault(fault) => self.strike(&fault),
            },
            Happening::Message { from, to, connection, digest, packet } => {
                self.deliver(from, to, connection, digest, packet);
            }
            Happening::Job { node, run, job } => self.finish_job(node, run, job),
            Happening::Tick { node, run } => self.tick(node, run),
            Happening::Request { node, attempt, request } => self.arrive(node, attempt, request),
            Happening::Answer { attempt, response } => self.hear_answer(attempt, response),
            Happening::Disconnected { attempt, was_sent } => self.lose_attempt(attempt, was_sent),
            Happening::GiveUp { attempt } => self.give_up(attempt),
            Happening::Look { observer, target } => self.look(observer, target),
            Happening::LookAround => self.look_around(),
            Happening::Die { node, run, doom } => self.die_after_mint(node, run, doom),
            Happening::Start { node } => self.start(node),
            Happening::Wake { node } => self.wake(node),
            Happening::Explain { key } => self.ask_why(key),
            Happening::Heal => self.heal(),
            Happening::Exchanged => self.go_on_exchanging(),
            Happening::Datagram { from, to, connection, datagram } => {
                self.hear_datagram(from, to, connection, datagram);
            }
            Happening::DetectorTick { node, run } => self.tick_detector(node, run),
            Happening::Absence(absence) => self.go_on_absence(absence),
        }
    }

    /// Schedules `happening` in `delay_ns`, caused by what is happening now.
    fn after(&mut self, delay_ns: u64, happening: Happening) {
        let at_ns = self.schedule.now_ns() + delay_ns;
        self.background += usize::from(happening.is_background());
        self.schedule.push(at_ns, self.current.0, happening);
    }

    /// Records a violation if there is one, and it is the first.
    fn accuse(&mut self, judgement: Result<(), Violation>, node: Option<u16>, key: Option<u16>) {
        let Err(mut violation) = judgement else { return };
        if self.violation.is_none() {
            violation.at_ns = self.schedule.now_ns();
            violation.node = violation.node.or(node);
            violation.key = violation.key.or(key);
            self.say(violation.node, violation.key, || format!("VIOLATION: {}", violation.what));
            self.violation = Some(violation);
        }
    }

    /// Adds a line to the trace's text, if text is wanted.
    fn say(&mut self, node: Option<u16>, key: Option<u16>, text: impl FnOnce() -> String) {
        if self.trace.wants_text() {
            let (event, cause) = self.current;
            let at_ns = self.schedule.now_ns();
            self.trace.line(TraceLine { event, cause, at_ns, node, key, text: text() });
        }
    }

    /// The number of the node with this id.
    fn number_of(&self, id: NodeId) -> u16 {
        // Ids are drawn so that their order is that of the numbers; see `setup`.
        self.nodes.partition_point(|node| node.id < id) as u16
    }

    /// The number of the key, which is its name behind the first letter.
    fn number_of_key(key: &Key) -> Result<u16, Violation> {
        let number = std::str::from_utf8(key.as_bytes())
            .ok()
            .and_then(|name| name.strip_prefix('k')?.parse().ok());
        number.ok_or_else(|| Violation::new(Property::P13, format!("{key} is no key of this run")))
    }
}
