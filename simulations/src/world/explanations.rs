//! Asking why, in the midst of faults: each difference that the owners then show must have a reason, and a true one.
//!
//! At the moments that a plan names, and when its faults end, some node that is awake is asked about every key, through the
//! production messages over the network as it is. What it answers goes through the production explanation, and each reason is
//! held against what was noted here, apart from the system: who minted what, which acknowledgements and refusals reached whom,
//! who was told when that somebody is down.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_node::engine::{ClientId, Input};
use kvorum_node::peer_message::{PeerMessage, ReplicateOutcome};
use kvorum_protocol::explain::{Behind, Finding, Forgotten, Reason, explain};
use kvorum_protocol::message::{
    KeptCopy, OwnerCause, Request, RequestOptions, Response, Why, WhyDone,
};
use kvorum_protocol::{Dot, OperationId};
use kvorum_ring::NodeId;

use super::judge::shadow;
use super::{Happening, World};
use crate::checkers::p24_explanations::{self, Cause, Claim, Suspect, Truth};
use crate::oracle::ShadowDot;
use crate::reached::Rare;
use crate::violation::{Property, Violation};

/// Who asks: no client of the plan.
pub(super) const EXPLAINER: ClientId = ClientId(u64::MAX);

/// Between the questions of one moment, so that small queues take them.
const BETWEEN_NS: u64 = 2_000_000;

/// How long an answer may take, in milliseconds.
const DEADLINE_MS: u32 = 4_000;

const MS: u64 = 1_000_000;

/// Spans of the run's nanoseconds; an open one has no end.
type Spans = Vec<(u64, Option<u64>)>;

/// A minted event.
#[derive(Clone, Copy, Debug)]
struct Mint {
    node: u16,
    at_ns: u64,
    /// Of the machine that carries the write.
    token: u64,
    invoked_ns: u64,
    deadline_ns: u64,
}

/// A question that was put.
#[derive(Clone, Copy, Debug)]
struct Question {
    key: u16,
    asked_ns: u64,
}

/// What was seen to happen, and which questions are open.
#[derive(Debug, Default)]
pub(super) struct Explanations {
    mints: BTreeMap<(u16, ShadowDot), Mint>,
    /// When an owner's acknowledgement first reached a minter: minter, token, owner.
    acks: BTreeMap<(u16, u64, u16), u64>,
    /// When an owner last refused a minter something.
    refusals: BTreeMap<(u16, u16), u64>,
    /// Spans within which a node was told that another is down.
    down: BTreeMap<(u16, u16), Spans>,
    damaged: BTreeSet<u16>,
    refilling: BTreeSet<u16>,
    questions: Vec<Question>,
    /// Differences whose reason was found true.
    pub(super) explained: u64,
}

impl Explanations {
    /// A node's store noticed a record that cannot be read.
    pub(super) fn note_damage(&mut self, number: u16) {
        self.damaged.insert(number);
    }
}

impl World {
    /// Schedules the moments of a plan.
    pub(super) fn schedule_explanations(&mut self) {
        for at_us in self.plan.explain_at_us.clone() {
            for key in 0..self.plan.topology.keys {
                let at_ns = at_us * 1_000 + u64::from(key) * BETWEEN_NS;
                self.schedule.push(at_ns, 0, Happening::Explain { key });
            }
        }
    }

    /// Asks why a key holds what it holds: of the first of its owners, and then of all nodes, that is awake.
    pub(super) fn ask_why(&mut self, key: u16) {
        let owners = self.owners[usize::from(key)].clone();
        let mut nodes = owners.into_iter().chain(0..self.plan.topology.nodes);
        let Some(number) = nodes.find(|number| self.nodes[usize::from(*number)].is_awake()) else {
            return;
        };
        self.note_refilling();
        let asked_ns = self.schedule.now_ns();
        let request_id = self.explanations.questions.len() as u64;
        self.explanations.questions.push(Question { key, asked_ns });
        let operation = OperationId(u128::MAX - u128::from(request_id));
        let options = RequestOptions { deadline_ms: DEADLINE_MS, ..RequestOptions::new(operation) };
        let (bucket, name) = (self.bucket.clone(), self.keys[usize::from(key)].clone());
        self.say(Some(number), Some(key), || "is asked why".to_owned());
        let request = Request::Why(Why { bucket, key: name, options });
        self.feed(number, Input::Client { client: EXPLAINER, request_id, request });
    }

    fn note_refilling(&mut self) {
        for (number, node) in (0..).zip(&self.nodes) {
            if node.life.as_ref().is_some_and(|life| life.shard.is_refilling()) {
                self.explanations.refilling.insert(number);
            }
        }
    }

    /// A node's store minted.
    pub(super) fn note_mint(
        &mut self,
        number: u16,
        key: u16,
        dot: Dot,
        (token, write): (u64, u32),
    ) {
        let Some(row) = self.history.row(write) else { return };
        let (invoked_ns, deadline_ns) = (row.invoked_ns, row.deadline_ns);
        let at_ns = self.schedule.now_ns();
        let mint = Mint { node: number, at_ns, token, invoked_ns, deadline_ns };
        self.explanations.mints.insert((key, shadow(dot)), mint);
    }

    /// An input reaches an engine.
    pub(super) fn note_input(&mut self, number: u16, input: &Input) {
        let now_ns = self.schedule.now_ns();
        match input {
            Input::PeerDown { node } => {
                let other = self.number_of(*node);
                let spans = self.explanations.down.entry((number, other)).or_default();
                if spans.last().is_none_or(|(_, end)| end.is_some()) {
                    spans.push((now_ns, None));
                }
            }
            Input::PeerUp { node } => {
                let other = self.number_of(*node);
                let spans = self.explanations.down.entry((number, other)).or_default();
                match spans.last_mut() {
                    // Who was never seen was down before.
                    None => spans.push((0, Some(now_ns))),
                    Some((_, end)) => {
                        end.get_or_insert(now_ns);
                    }
                }
            }
            Input::Peer { from, message: PeerMessage::Replicated { token, outcome, .. } } => {
                let of = (number, *token, self.number_of(*from));
                match outcome {
                    ReplicateOutcome::Durable => {
                        self.explanations.acks.entry(of).or_insert(now_ns);
                    }
                    ReplicateOutcome::Refused { .. } => {
                        self.explanations.refusals.insert((number, of.2), now_ns);
                    }
                }
            }
            _ => {}
        }
    }

    /// A process has died: it is told of nobody any more.
    pub(super) fn note_death(&mut self, number: u16) {
        let now_ns = self.schedule.now_ns();
        for other in 0..self.plan.topology.nodes {
            let spans = self.explanations.down.entry((number, other)).or_default();
            if spans.last().is_none_or(|(_, end)| end.is_some()) {
                spans.push((now_ns, None));
            }
        }
    }

    /// A node told what it collected.
    pub(super) fn judge_why(&mut self, number: u16, request_id: u64, response: &Response) {
        let Some(question) = self.explanations.questions.get(request_id as usize).copied() else {
            return;
        };
        self.note_refilling();
        if let Response::Why(done) = response {
            let judgement = self.judge_explanation(question, done);
            self.accuse(judgement, Some(number), Some(question.key));
        }
    }

    fn judge_explanation(&mut self, question: Question, done: &WhyDone) -> Result<(), Violation> {
        let explanation = explain(done);
        for finding in &explanation.findings {
            match finding {
                Finding::Behind(behind) => self.judge_behind(question, behind)?,
                Finding::Contradiction { holder, other, dot } => {
                    let (holder, other) = (self.number_of(*holder), self.number_of(*other));
                    let what = format!("nodes {holder} and {other} contradict each other in {dot}");
                    return Err(Violation::new(Property::P24, what));
                }
                _ => {}
            }
        }
        self.judge_noticed(done, &explanation.findings)?;
        for sibling in &explanation.siblings.0 {
            let mint = self.explanations.mints.get(&(question.key, shadow(sibling.version.dot)));
            let writer = sibling.writer.map(|writer| self.number_of(writer));
            if writer.is_some() && writer != mint.map(|mint| mint.node) {
                let what = format!("{writer:?} is named as the writer of {mint:?}");
                return Err(Violation::new(Property::P24, what));
            }
        }
        Ok(())
    }

    fn judge_behind(&mut self, question: Question, behind: &Behind) -> Result<(), Violation> {
        let owner = self.number_of(behind.node);
        let span = (question.asked_ns, self.schedule.now_ns());
        for lack in &behind.lacks {
            let of = (question.key, shadow(lack.dot));
            let Some(mint) = self.explanations.mints.get(&of).copied() else {
                let what = format!("nobody minted {}, which an owner is said to lack", lack.dot);
                return Err(Violation::new(Property::P24, what));
            };
            let claim = self.claim_of(&lack.reason);
            p24_explanations::check(&claim, &self.truth_of(owner, mint), span)?;
            self.explanations.explained += 1;
            self.reached.mark(match claim {
                Claim::LeftBehind { .. } => Rare::ExplainedByWriter,
                Claim::OneOf(_) => Rare::WriterForgot,
                _ => Rare::DifferenceExplained,
            });
            self.say(Some(owner), Some(question.key), || {
                format!("lacks {}: {:?}", lack.dot, lack.reason)
            });
        }
        Ok(())
    }

    fn truth_of(&self, owner: u16, mint: Mint) -> Truth {
        let seen = &self.explanations;
        let of = (mint.node, mint.token, owner);
        Truth {
            minter: mint.node,
            minted_ns: mint.at_ns,
            invoked_ns: mint.invoked_ns,
            deadline_ns: mint.deadline_ns,
            acked_ns: seen.acks.get(&of).copied(),
            refused: seen.refusals.get(&(mint.node, owner)).is_some_and(|at| *at >= mint.at_ns),
            down: seen.down.get(&(mint.node, owner)).cloned().unwrap_or_default(),
            damaged: seen.damaged.contains(&owner),
            refilling: seen.refilling.contains(&owner),
        }
    }

    fn claim_of(&self, reason: &Reason) -> Claim {
        match reason {
            Reason::LeftBehind { by, cause, ago_ms, .. } => Claim::LeftBehind {
                by: self.number_of(*by),
                cause: match cause {
                    OwnerCause::Unreachable => Cause::Unreachable,
                    OwnerCause::TimedOut => Cause::Late,
                    _ => Cause::Refused,
                },
                ago_ns: ago_ms * MS,
            },
            Reason::UnderWay { by, .. } => Claim::UnderWay { by: self.number_of(*by) },
            Reason::Damaged => Claim::Damaged,
            Reason::Refilling => Claim::Refilling,
            Reason::WriterUnknown { suspects } => {
                let suspect = |one: &kvorum_protocol::explain::Suspect| {
                    let (remembers_ns, lacks) = match one.why {
                        Forgotten::Silent | Forgotten::Unanswered { .. } => (None, false),
                        Forgotten::Restarted { ago_ms, lacks, .. }
                        | Forgotten::Overwritten { ago_ms, lacks, .. } => {
                            (Some(ago_ms * MS), lacks)
                        }
                    };
                    Suspect { node: self.number_of(one.node), remembers_ns, lacks }
                };
                Claim::OneOf(suspects.iter().map(suspect).collect())
            }
            // Nothing is reclaimed while faults run.
            Reason::Reclaimed { .. } | Reason::Unexplained => Claim::Nothing,
        }
    }

    /// What the owners lack by their own clocks is what they are said to lack.
    fn judge_noticed(&self, done: &WhyDone, findings: &[Finding]) -> Result<(), Violation> {
        let mut others: BTreeMap<u64, u64> = BTreeMap::new();
        let mut owners: Vec<(NodeId, Vec<(u64, u64)>)> = Vec::new();
        for told in &done.testimonies {
            for copy in [&told.owned, &told.hinted] {
                if let KeptCopy::Record(record) = copy {
                    for (actor, counter) in record.clock.iter() {
                        let known = others.entry(actor.0).or_default();
                        *known = counter.max(*known);
                    }
                }
            }
            let own = match &told.owned {
                KeptCopy::Record(record) => {
                    record.clock.iter().map(|(actor, counter)| (actor.0, counter)).collect()
                }
                KeptCopy::Unread { .. } | KeptCopy::Other(_) => continue,
                _ => Vec::new(),
            };
            if done.owners.contains(&told.node) {
                owners.push((told.node, own));
            }
        }
        let others: Vec<(u64, u64)> = others.into_iter().collect();
        for (node, own) in owners {
            let told = findings.iter().find_map(|finding| match finding {
                Finding::Behind(behind) if behind.node == node => Some(&behind.lacks),
                _ => None,
            });
            let dots = told.into_iter().flatten().map(|lack| shadow(lack.dot));
            let told: Vec<(u64, u64)> = dots.map(|dot| (dot.actor, dot.counter)).collect();
            p24_explanations::check_noticed(&others, &own, &told)?;
        }
        Ok(())
    }
}
