//! Passing a request on to a node that can coordinate it.
//!
//! A node that owns the key coordinates whatever reaches it; any other node passes the request to the first owner that it
//! can reach, and the owner's answer back. Clients that know the layout never come this way.
//!
//! What makes it delicate is an owner that dies with a request in hand. A read is tried at the next owner. A write is not:
//! it may have been minted, and minting it once more elsewhere is not ours to decide. The client is told that the outcome
//! is unknown and retries under the same operation id, which the next coordinator looks up first.

use std::collections::VecDeque;

use kvorum_protocol::OperationId;
use kvorum_protocol::message::{OwnerCause, OwnerFailure, Request, RequestError, Response};
use kvorum_ring::NodeId;

use crate::engine::machine::{Machine, Progress};
use crate::engine::turn::{Turn, remaining_ms};
use crate::peer_message::PeerMessage;

/// What is passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Errand {
    /// May be repeated anywhere.
    Read,
    /// May be applied once it has been sent.
    Write(OperationId),
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
    /// The owner that has it now.
    current: Option<NodeId>,
    failures: Vec<OwnerFailure>,
}

impl Forward {
    /// A request to be passed on to the first of `owners` that can be reached.
    pub(crate) fn new(
        request: Request,
        errand: Errand,
        hops: u8,
        deadline_ns: u64,
        needed: u8,
        owners: &[NodeId],
    ) -> Forward {
        Forward {
            request,
            errand,
            hops,
            deadline_ns,
            needed,
            untried: owners.iter().copied().collect(),
            current: None,
            failures: Vec::new(),
        }
    }

    /// Sends the request to the next owner that can be reached, or says that there is none.
    fn try_next(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.current = None;
        if turn.now.mono_ns >= self.deadline_ns {
            self.untried.clear();
        }
        while let Some(node) = self.untried.pop_front() {
            if !turn.reaches(node) {
                self.failures.push(OwnerFailure { node, cause: OwnerCause::Unreachable });
                continue;
            }
            let deadline_ms = remaining_ms(turn.now, self.deadline_ns);
            let (token, hops, request) = (turn.token.0, self.hops, self.request.clone());
            turn.send(node, PeerMessage::Forward { token, hops, request, deadline_ms });
            self.current = Some(node);
            turn.wake_at(self.patience_ns(turn));
            turn.stats.forwarded += 1;
            return Progress::Waiting;
        }
        let (needed, causes) = (self.needed, std::mem::take(&mut self.failures));
        self.refuse(turn, RequestError::Unavailable { needed, got: 0, causes })
    }

    /// Until when to wait for the current owner: for a write to the end, for a read its share of what is left.
    fn patience_ns(&self, turn: &Turn<'_>) -> u64 {
        let left_ns = self.deadline_ns.saturating_sub(turn.now.mono_ns);
        match self.errand {
            Errand::Write(_) => self.deadline_ns,
            Errand::Read => turn.now.mono_ns + left_ns / (self.untried.len() as u64 + 1),
        }
    }

    /// The current owner will not answer.
    fn give_up(&mut self, turn: &mut Turn<'_>, cause: OwnerCause) -> Progress {
        match self.errand {
            Errand::Write(operation) => self.answer(
                turn,
                Response::Error { error: RequestError::OutcomeUnknown { operation } },
            ),
            Errand::Read => {
                self.failures.extend(self.current.map(|node| OwnerFailure { node, cause }));
                self.try_next(turn)
            }
        }
    }

    /// Nobody took the request.
    fn refuse(&mut self, turn: &mut Turn<'_>, error: RequestError) -> Progress {
        let error = match self.errand {
            Errand::Write(operation) if self.is_retry() => error.of_retry(operation),
            _ => error,
        };
        self.answer(turn, Response::Error { error })
    }

    fn is_retry(&self) -> bool {
        self.request.options().is_some_and(|options| options.retry)
    }

    fn answer(&mut self, turn: &mut Turn<'_>, response: Response) -> Progress {
        turn.answer(response);
        Progress::Done
    }
}

impl Machine for Forward {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.try_next(turn)
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match message {
            // What an owner that was given up could not do, another one is doing by now.
            PeerMessage::Forwarded { response: Response::Error { .. }, .. }
                if self.current != Some(from) =>
            {
                Progress::Waiting
            }
            // It refused before it began, and another owner may not.
            PeerMessage::Forwarded { response: Response::Error { error }, .. }
                if *error.of_attempt() == RequestError::Stopping =>
            {
                self.failures.push(OwnerFailure { node: from, cause: OwnerCause::Stopping });
                self.try_next(turn)
            }
            // An answer is welcome also from an owner that was given up before.
            PeerMessage::Forwarded { response, .. } => self.answer(turn, response),
            _ => Progress::Waiting,
        }
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        match self.current == Some(node) {
            true => self.give_up(turn, OwnerCause::Unreachable),
            false => Progress::Waiting,
        }
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.give_up(turn, OwnerCause::TimedOut)
    }
}
