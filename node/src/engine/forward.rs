//! Passing a request on to a node that can coordinate it.
//!
//! A node that owns the key coordinates whatever reaches it; any other node passes the request to the first owner that it
//! can reach, or else to the first fallback, and its answer back. Clients that know the layout never come this way.
//!
//! What makes it delicate is an owner that dies with a request in hand. A read is tried at the next owner. A write is not:
//! it may have been minted, and minting it once more elsewhere is not ours to decide. The client is told that the outcome
//! is unknown and retries under the same operation id, which the next coordinator looks up first.
//!
//! A read is *hedged*: when an owner has taken longer than it takes for 95 of 100 reads, the next owner is asked as well, and
//! the first good answer counts ("The Tail at Scale", Dean and Barroso 2013). A small budget bounds it, so that a cluster that
//! is slow as a whole is not asked twice; each owner's time is its own, whoever answered first.
//!
//! An owner that failed again and again is tried last, and is no hedge (`breaker.rs`).

use std::collections::VecDeque;

use kvorum_protocol::message::{OwnerCause, OwnerFailure, Request, RequestError, Response};
use kvorum_ring::NodeId;
use kvorum_store::clock::NS_PER_MS;

use crate::engine::breaker;
use crate::engine::errand::Errand;
use crate::engine::machine::{Machine, Progress};
use crate::engine::peers::Asking;
use crate::engine::quorum::Owners;
use crate::engine::turn::{Turn, remaining_ms};
use crate::limits;
use crate::peer_message::PeerMessage;

/// An owner that has the request and has not answered.
#[derive(Clone, Copy)]
struct Asked {
    node: NodeId,
    /// When it was asked, in monotonic nanoseconds.
    at_ns: u64,
    /// It has had its share of the time, and its breaker knows: what it answers later is no merit.
    is_late: bool,
}

/// A request on its way to an owner.
#[derive(Clone)]
pub(crate) struct Forward {
    request: Request,
    errand: Errand,
    /// How often it has been passed on, this time included.
    hops: u8,
    deadline_ns: u64,
    /// Answers that the request needs, for the error.
    needed: u8,
    /// Owners still to try.
    untried: VecDeque<NodeId>,
    /// Who is tried when none of them is left.
    fallbacks: Owners,
    /// The owners that have it, the last one asked last. A write is only ever at one.
    asked: Vec<Asked>,
    /// When the next owner is tried, whatever the budget.
    patience_ns: u64,
    failures: Vec<OwnerFailure>,
    /// The last error that an owner answered while another one had the request, too.
    error: Option<RequestError>,
    answered: bool,
}

impl Forward {
    /// A request to be passed on to the first of the owners that can be reached, or else of the fallbacks.
    pub(crate) fn new(
        request: Request,
        errand: Errand,
        hops: u8,
        deadline_ns: u64,
        needed: u8,
        (owners, fallbacks): (&[NodeId], Owners),
    ) -> Forward {
        Forward {
            request,
            errand,
            hops,
            deadline_ns,
            needed,
            untried: owners.iter().copied().collect(),
            fallbacks,
            asked: Vec::new(),
            patience_ns: deadline_ns,
            failures: Vec::new(),
            error: None,
            answered: false,
        }
    }

    /// Sends the request to the next owner that can be reached. When there is none, those that have it are waited for.
    fn try_next(&mut self, turn: &mut Turn<'_>) -> Progress {
        if turn.now.mono_ns >= self.deadline_ns {
            self.untried.clear();
            self.fallbacks.clear();
        }
        let mut next = self.next(turn);
        if next.is_none() && self.asked.is_empty() {
            self.untried.extend(std::mem::take(&mut self.fallbacks));
            next = self.next(turn);
        }
        if let Some(node) = next {
            self.ask(turn, node);
            return Progress::Waiting;
        }
        if self.asked.is_empty() {
            return self.refuse(turn);
        }
        self.patience_ns = self.deadline_ns;
        turn.wake_at(self.deadline_ns);
        Progress::Waiting
    }

    /// Takes the owner to try next: the first that is preferred, or else the first that can be reached. Those before it that
    /// cannot be reached are given up.
    fn next(&mut self, turn: &mut Turn<'_>) -> Option<NodeId> {
        let preferred = self.untried.iter().position(|node| turn.prefers(*node));
        let place = preferred.or_else(|| self.untried.iter().position(|node| turn.reaches(*node)));
        let mut spared = 0;
        for _ in 0..place.unwrap_or(self.untried.len()) {
            if turn.reaches(self.untried[spared]) {
                spared += 1;
            } else if let Some(node) = self.untried.remove(spared) {
                self.failures.push(OwnerFailure { node, cause: OwnerCause::Unreachable });
            }
        }
        turn.stats.passed_over += u64::from(spared > 0);
        self.untried.remove(spared)
    }

    fn ask(&mut self, turn: &mut Turn<'_>, node: NodeId) {
        let deadline_ms = remaining_ms(turn.now, self.deadline_ns);
        let (token, hops, request) = (turn.token.0, self.hops, Box::new(self.request.clone()));
        turn.send(node, PeerMessage::Forward { token, hops, request, deadline_ms });
        turn.stats.forwarded += 1;
        let now_ns = turn.now.mono_ns;
        turn.peers.ask(node, now_ns, self.deadline_ns);
        self.asked.push(Asked { node, at_ns: now_ns, is_late: false });
        let mut wake_ns = self.deadline_ns;
        if self.errand == Errand::Read {
            // Each owner may take its share of what is left; before that the next one is asked as a hedge.
            turn.peers.earn_hedge();
            let left_ns = self.deadline_ns.saturating_sub(now_ns);
            self.patience_ns = now_ns + left_ns / (self.untried.len() as u64 + 1);
            let has_hedge = self.untried.iter().any(|node| turn.prefers(*node));
            let usual_us = turn.peers.p95_us(node, Asking::Read).filter(|_| has_hedge);
            let slow_ns = usual_us.map(|us| now_ns.saturating_add(us.saturating_mul(1_000)));
            wake_ns = slow_ns.map_or(self.patience_ns, |slow_ns| slow_ns.min(self.patience_ns));
        }
        turn.wake_at(wake_ns);
    }

    /// An owner will not serve the request.
    fn lose(&mut self, turn: &mut Turn<'_>, node: NodeId, cause: OwnerCause) -> Progress {
        self.asked.retain(|asked| asked.node != node);
        if let Errand::Write(operation) = self.errand
            && cause != OwnerCause::Stopping
        {
            return self.fail(turn, RequestError::OutcomeUnknown { operation });
        }
        self.failures.push(OwnerFailure { node, cause });
        self.go_on(turn)
    }

    /// One owner fewer has the request: is another one at it, to be tried, or owed for?
    fn go_on(&mut self, turn: &mut Turn<'_>) -> Progress {
        match (self.asked.is_empty(), self.answered) {
            (true, true) => Progress::Done,
            (true, false) => self.try_next(turn),
            (false, _) => Progress::Waiting,
        }
    }

    /// Nobody is left who could serve it.
    fn refuse(&mut self, turn: &mut Turn<'_>) -> Progress {
        let (needed, causes) = (self.needed, std::mem::take(&mut self.failures));
        let unavailable = RequestError::Unavailable { needed, got: 0, causes };
        let error = self.error.take().unwrap_or(unavailable);
        let is_retry = self.request.options().is_some_and(|options| options.retry);
        let error = match self.errand {
            Errand::Write(operation) if is_retry => error.of_retry(operation),
            _ => error,
        };
        self.fail(turn, error)
    }

    fn fail(&mut self, turn: &mut Turn<'_>, error: RequestError) -> Progress {
        turn.answer(Response::Error { error });
        Progress::Done
    }

    /// An owner answered. What comes after the first good answer is only looked at for its time.
    fn hear(&mut self, turn: &mut Turn<'_>, from: NodeId, response: Response) -> Progress {
        let Some(asked) = self.asked.iter().position(|asked| asked.node == from) else {
            return Progress::Waiting;
        };
        let asked = self.asked.remove(asked);
        self.note(turn, asked);
        match breaker::is_failure(&response) {
            _ if asked.is_late => {}
            true => turn.peers.fail(from, asked.at_ns, turn.now.mono_ns),
            false => turn.peers.serve(from),
        }
        if self.answered {
            return self.go_on(turn);
        }
        match response {
            // It refused before it began, and another owner may not.
            Response::Error { error } if *error.of_attempt() == RequestError::Stopping => {
                self.lose(turn, from, OwnerCause::Stopping)
            }
            // What this owner could not do, another one is doing by now.
            Response::Error { error } if !self.asked.is_empty() => {
                self.error = Some(error);
                Progress::Waiting
            }
            response => {
                turn.answer(response);
                self.answered = true;
                self.untried.clear();
                turn.wake_at(self.deadline_ns);
                self.go_on(turn)
            }
        }
    }

    /// Counts what an owner took for a read, be it in vain.
    fn note(&self, turn: &mut Turn<'_>, asked: Asked) {
        if self.errand == Errand::Read {
            let took_ns = turn.now.mono_ns.saturating_sub(asked.at_ns);
            turn.peers.note(asked.node, Asking::Read, took_ns);
        }
    }

    /// Counts owners that have had their share of the time as failed, each once.
    fn blame(&mut self, turn: &mut Turn<'_>) {
        let now_ns = turn.now.mono_ns;
        for asked in self.asked.iter_mut().filter(|asked| !asked.is_late) {
            let given_ns = now_ns.min(self.deadline_ns).saturating_sub(asked.at_ns);
            if given_ns >= limits::BREAKER_PATIENCE_MS * NS_PER_MS {
                asked.is_late = true;
                turn.peers.fail(asked.node, asked.at_ns, now_ns);
            }
        }
    }

    /// Time is up for everyone.
    fn close(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.blame(turn);
        for asked in std::mem::take(&mut self.asked) {
            self.note(turn, asked);
            self.failures.push(OwnerFailure { node: asked.node, cause: OwnerCause::TimedOut });
        }
        match (self.answered, self.errand) {
            (true, _) => Progress::Done,
            (false, Errand::Read) => self.refuse(turn),
            (false, Errand::Write(operation)) => {
                self.fail(turn, RequestError::OutcomeUnknown { operation })
            }
        }
    }
}

impl Machine for Forward {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.try_next(turn)
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match message {
            PeerMessage::Forwarded { response, .. } => self.hear(turn, from, *response),
            _ => Progress::Waiting,
        }
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        match self.asked.iter().any(|asked| asked.node == node) {
            true => self.lose(turn, node, OwnerCause::Unreachable),
            false => Progress::Waiting,
        }
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        let now_ns = turn.now.mono_ns;
        if now_ns >= self.deadline_ns {
            return self.close(turn);
        }
        if now_ns < self.patience_ns && !turn.peers.spend_hedge() {
            turn.wake_at(self.patience_ns);
            return Progress::Waiting;
        }
        match now_ns < self.patience_ns {
            true => turn.stats.hedged += 1,
            false => self.blame(turn),
        }
        self.try_next(turn)
    }
}
