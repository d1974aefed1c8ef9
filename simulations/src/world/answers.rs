//! Answers: what a node promises when it sends one, and what its client may conclude from it.
//!
//! A promise counts from its sending: an acknowledgement that a crash swallows on its way was still given, and the copies
//! that it names must exist.

use kvorum_node::engine::ClientId;
use kvorum_protocol::message::error::Retry;
use kvorum_protocol::message::{GetDone, GetOutcome, PutDone, PutOutcome, Response};
use kvorum_protocol::{Context, RequestError};

use super::clients::Held;
use super::explanations::EXPLAINER;
use super::judge::{describe, shadow};
use super::{Attempt, Happening, World};
use crate::bits::Bits;
use crate::checkers::{
    lossy_winners, p1_acknowledged_writes, p3_siblings, p6_contexts, p13_integrity,
    p14_honest_results,
};
use crate::history::Outcome;
use crate::oracle::{Seen, WriteId};
use crate::plan::Rule;
use crate::reached::Rare;
use crate::violation::{Property, Violation};

impl World {
    /// A node sends an answer.
    pub(super) fn answer(
        &mut self,
        number: u16,
        client: ClientId,
        request_id: u64,
        response: Response,
    ) {
        self.digest_wire(&response);
        self.trace.hash.word(client.0 << 32 | request_id);
        if client == EXPLAINER {
            return self.judge_why(number, request_id, &response);
        }
        let attempt = Attempt { slot: (request_id >> 8) as u32, number: request_id as u8 };
        let id = self.running[attempt.slot as usize].operation.id;
        match &response {
            Response::Put(done) => {
                self.promise(number, id, done.acked_owners, done.acked_fallbacks);
            }
            Response::Update(done) => {
                self.promise(number, id, done.acked_owners, done.acked_fallbacks);
            }
            Response::BatchPut(batch) => {
                for (outcome, id) in batch.outcomes.iter().zip(id..) {
                    if let PutOutcome::Done(done) = outcome {
                        self.promise(number, id, done.acked_owners, done.acked_fallbacks);
                    }
                }
            }
            _ => {}
        }
        let delay_ns = self.client_delay_ns(attempt, 1);
        self.after(delay_ns, Happening::Answer { attempt, response });
    }

    /// A node says that a write is applied.
    fn promise(&mut self, number: u16, write: WriteId, owners: u8, fallbacks: u8) {
        let Some(row) = self.history.row(write) else { return };
        let (key, bad_context, quorum) = (row.key, row.bad_context, row.quorum);
        let nodes = self.plan.topology.nodes;
        let oracle = &mut self.oracle[usize::from(key)];
        oracle.acknowledge(write);
        if owners >= quorum {
            self.acked_by_owners[usize::from(key)].insert(write as usize);
        }
        if fallbacks > 0 {
            self.reached.mark(Rare::FallbackCounted);
        }
        let judgement = if bad_context {
            p6_contexts::check_bad_context(false, false)
        } else {
            let copies = self.holders.ever_copies(key, oracle, write, nodes);
            let claimed = usize::from(owners) + usize::from(fallbacks);
            if copies < claimed {
                let what = format!(
                    "write {write} is acknowledged for {claimed} durable copies, and {copies} exist"
                );
                Err(Violation::new(Property::P1, what))
            } else {
                Ok(())
            }
        };
        self.accuse(judgement, Some(number), Some(key));
    }

    /// An answer reaches its client.
    pub(super) fn hear_answer(&mut self, attempt: Attempt, response: Response) {
        if !self.is_current(attempt) {
            return;
        }
        let id = self.running[attempt.slot as usize].operation.id;
        match response {
            Response::Error { error } => return self.hear_error(attempt, &error),
            Response::Get(done) => self.hear_read(id, &done),
            Response::Put(done) => self.hear_write(id, &done),
            Response::Update(done) => self.hear_update(id, &done),
            Response::Merged(done) => self.hear_merged(id, &done),
            Response::List(done) => self.hear_list(attempt, &done),
            Response::BatchPut(batch) => {
                for (outcome, id) in batch.outcomes.iter().zip(id..) {
                    match outcome {
                        PutOutcome::Done(done) => self.hear_write(id, done),
                        PutOutcome::Failed { error } => self.hear_item_error(attempt, id, error),
                    }
                }
            }
            Response::BatchGet(batch) => {
                for (outcome, id) in batch.outcomes.iter().zip(id..) {
                    match outcome {
                        GetOutcome::Done(done) => self.hear_read(id, done),
                        GetOutcome::Failed { error } => self.hear_item_error(attempt, id, error),
                        GetOutcome::Merged(done) => self.hear_merged(id, done),
                    }
                }
            }
            other => self.hear_unasked(id, &other),
        }
        self.end(attempt.slot, Outcome::Ok);
    }

    /// An answer of a kind that nobody asked for.
    pub(super) fn hear_unasked(&mut self, id: WriteId, answer: &impl std::fmt::Debug) {
        let what = format!("operation {id} was answered with {answer:?}");
        self.accuse(Err(Violation::new(Property::P19, what)), None, None);
    }

    fn hear_item_error(&mut self, attempt: Attempt, id: WriteId, error: &RequestError) {
        let error = error.of_attempt();
        self.note_error(error);
        let uncertain = self.running[attempt.slot as usize].uncertain || !error.is_not_applied();
        self.end_row(id, if uncertain { Outcome::Indeterminate } else { Outcome::Failed });
    }

    fn hear_error(&mut self, attempt: Attempt, error: &RequestError) {
        // The client knows by itself whether an earlier attempt is in doubt: a refused one must have applied nothing.
        let error = error.of_attempt();
        self.note_error(error);
        let running = &mut self.running[attempt.slot as usize];
        running.uncertain |= !error.is_not_applied();
        let uncertain = running.uncertain;
        let key = running.operation.keys().first().copied();
        self.say(None, key, || format!("the client hears: {error}"));
        match error.retry() {
            Retry::After { ms } => self.retry_or_end(attempt.slot, u64::from(ms) * 1_000_000),
            Retry::AfterTopology => self.retry_or_end(attempt.slot, 0),
            Retry::No => {
                let outcome = if uncertain { Outcome::Indeterminate } else { Outcome::Failed };
                self.end(attempt.slot, outcome);
            }
        }
    }

    fn note_error(&mut self, error: &RequestError) {
        self.reached.mark(match error {
            RequestError::AppliedBelowW { .. } => Rare::PartlyApplied,
            RequestError::OutcomeUnknown { .. } => Rare::OutcomeUnknown,
            RequestError::Overloaded { .. } => Rare::Overloaded,
            RequestError::BadContext { .. } => Rare::BadContextRefused,
            RequestError::ClockSkew { .. } => Rare::ClockRefused,
            _ => Rare::DefiniteFailure,
        });
    }

    /// The clock in a context that a node gave for a key.
    pub(super) fn open(&self, key: u16, context: &Context) -> Result<Vec<(u64, u64)>, Violation> {
        let opened =
            self.view.context_keys.open(&self.bucket, &self.keys[usize::from(key)], context);
        match opened {
            Ok(clock) => Ok(clock.iter().map(|(actor, counter)| (actor.0, counter)).collect()),
            Err(error) => Err(Violation::new(
                Property::P6,
                format!("a node gave a context that is none: {error}"),
            )),
        }
    }

    fn hear_write(&mut self, write: WriteId, done: &PutDone) {
        let Some(row) = self.history.row(write) else { return };
        let (client, key) = (row.client, row.key);
        let judgement = self.judge_write(write, done);
        match judgement {
            Ok(Some(held)) => self.clients[usize::from(client)].hold(key, held),
            Ok(None) => {}
            Err(violation) => self.accuse(Err(violation), None, Some(key)),
        }
        self.end_row(write, Outcome::Ok);
    }

    /// Judges the answer to a write, and says what its client holds now.
    fn judge_write(&mut self, write: WriteId, done: &PutDone) -> Result<Option<Held>, Violation> {
        let Some(row) = self.history.row(write) else { return Ok(None) };
        let oracle = &self.oracle[usize::from(row.key)];
        let dot = shadow(done.dot);
        let Some(version) = oracle.version_of(dot) else {
            return Err(Violation::new(
                Property::P5,
                format!("write {write} was answered with {dot:?}, never minted"),
            ));
        };
        if oracle.versions()[version].write != write {
            // The write was superseded before its retry came, and the answer names what superseded it.
            self.reached.mark(Rare::RetryRecognised);
            return Ok(None);
        }
        let Some(context) = &done.context else { return Ok(None) };
        let clock = self.open(row.key, context)?;
        let mut allowed = row.shown.clone().unwrap_or_default();
        allowed.union_with(&oracle.known(&Seen { clock: clock.clone(), live: vec![dot] }));
        let covered = oracle.covered(&clock);
        if let Some(version) = covered.first_missing_from(&allowed) {
            let other = oracle.versions()[version].write;
            let what = format!(
                "the context after write {write} covers write {other}, which its client was not shown"
            );
            return Err(Violation::new(Property::P6, what));
        }
        let mut shown = allowed;
        shown.intersect_with(&covered);
        Ok(Some(Held { context: context.clone(), shown, clock }))
    }

    fn hear_read(&mut self, read: WriteId, done: &GetDone) {
        let Some(row) = self.history.row(read) else { return };
        let (client, key) = (row.client, row.key);
        match self.judge_read(read, done) {
            Ok(Some(held)) => self.clients[usize::from(client)].hold(key, held),
            Ok(None) => {}
            Err(violation) => self.accuse(Err(violation), None, Some(key)),
        }
        self.end_row(read, Outcome::Ok);
    }

    /// Judges the answer to a read, and says what its client holds now.
    fn judge_read(&mut self, read: WriteId, done: &GetDone) -> Result<Option<Held>, Violation> {
        let Some(row) = self.history.row(read) else { return Ok(None) };
        let (key, strict, quorum) = (row.key, row.strict, row.quorum);
        let clock = done.context.as_ref().map(|context| self.open(key, context)).transpose()?;
        let live = done.values.iter().map(|value| shadow(value.dot)).collect();
        let seen = Seen { clock: clock.clone().unwrap_or_default(), live };
        self.say(None, Some(key), || format!("operation {read} reads {}", describe(&seen)));
        let oracle = &self.oracle[usize::from(key)];
        for value in &done.values {
            let write = p13_integrity::check(&value.value)?;
            let version = oracle.version_of(shadow(value.dot));
            if version.is_none_or(|version| oracle.versions()[version].write != write) {
                let what = format!(
                    "{} came with the value of write {write}, which is another's",
                    value.dot
                );
                return Err(Violation::new(Property::P13, what));
            }
        }
        p3_siblings::check(oracle, &seen)?;
        self.judge_expiry(read, done)?;
        if self.plan.rule == Rule::LossyLww {
            // The losers of a read are not shown, and its context covers them.
            lossy_winners::check_read(&self.oracle[usize::from(key)], &seen)?;
            return Ok(None);
        }
        let seen = self.with_expired(key, seen);
        let oracle = &self.oracle[usize::from(key)];
        p6_contexts::check_reply(oracle, &seen)?;
        p14_honest_results::check_seen(oracle, &seen)?;
        if strict {
            let owed = self.holders.left(key, &self.owed(read, quorum));
            if !owed.is_empty() {
                self.reached.mark(Rare::StrictReadOwed);
            }
            p1_acknowledged_writes::check_strict_read(
                &self.oracle[usize::from(key)],
                &owed,
                &seen,
            )?;
        }
        if done.fallbacks > 0 {
            self.reached.mark(Rare::FallbackRead);
        }
        match done.values.len() {
            0 if clock.is_some() => self.reached.mark(Rare::TombstoneRead),
            2 => self.reached.mark(Rare::Siblings),
            3.. => self.reached.mark(Rare::ThreeSiblings),
            _ => {}
        }
        let shown = self.oracle[usize::from(key)].known(&seen);
        let context = done.context.clone();
        Ok(context.zip(clock).map(|(context, clock)| Held { context, shown, clock }))
    }

    /// Judges the expiries of the values that a read returned: each is its write's own, and has not passed by the clocks of
    /// all nodes.
    fn judge_expiry(&self, read: WriteId, done: &GetDone) -> Result<(), Violation> {
        let Some(row) = self.history.row(read) else { return Ok(()) };
        let oracle = &self.oracle[usize::from(row.key)];
        for value in &done.values {
            let version = oracle.version_of(shadow(value.dot));
            let written =
                version.and_then(|version| self.history.row(oracle.versions()[version].write));
            let expires_at_ms = written.and_then(|written| written.expires_at_ms);
            let is_over = expires_at_ms.is_some_and(|at_ms| at_ms <= row.earliest_ms)
                && self.jumped_ns < row.invoked_ns;
            if value.expires_at_ms != expires_at_ms || is_over {
                let what = format!(
                    "{} was returned, which expires at {:?}, and was written to expire at {expires_at_ms:?}",
                    value.dot, value.expires_at_ms
                );
                return Err(Violation::new(Property::P13, what));
            }
        }
        Ok(())
    }

    /// What a read was shown, with what some node's clock may have hidden from it because it had expired. That acts as
    /// deleted, so whoever replaces what it read replaces that, too.
    fn with_expired(&mut self, key: u16, mut seen: Seen) -> Seen {
        let latest_ms = self.latest_ms.max(self.wall_clocks().1);
        let oracle = &self.oracle[usize::from(key)];
        let known = oracle.known(&seen);
        let covered = oracle.covered(&seen.clock);
        let mut hidden: Vec<_> = covered
            .iter()
            .filter(|version| !known.contains(*version))
            .map(|version| &oracle.versions()[version])
            .filter(|version| {
                let row = self.history.row(version.write);
                let expires_at_ms = row.and_then(|row| row.expires_at_ms);
                expires_at_ms.is_some_and(|at_ms| at_ms <= latest_ms)
            })
            .map(|version| version.dot)
            .collect();
        if !hidden.is_empty() {
            self.reached.mark(Rare::ExpiredHidden);
            seen.live.append(&mut hidden);
        }
        seen
    }

    /// The writes that a strict read of quorum `r` must account for: those that were acknowledged when it was asked, and
    /// whose quorum meets its own.
    pub(super) fn owed(&self, read: WriteId, r: u8) -> Bits {
        let Some(row) = self.history.row(read) else { return Bits::new() };
        let n = self.owners[usize::from(row.key)].len();
        let meets = |write: &usize| {
            let w = self.history.row(*write as WriteId).map_or(0, |row| row.quorum);
            usize::from(w) + usize::from(r) > n
        };
        row.owed.iter().filter(meets).collect()
    }
}
