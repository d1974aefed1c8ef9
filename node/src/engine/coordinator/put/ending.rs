//! How a put ends: what it answers and when, and its final action.

use kvorum_protocol::Replaces;
use kvorum_protocol::message::{RequestError, Response};
use kvorum_ring::NodeId;
use kvorum_store::{StoreEvent, StoreRefusal};

use crate::engine::coordinator::cause_of;
use crate::engine::coordinator::outcome;
use crate::engine::coordinator::put::{Put, Search};
use crate::engine::coordinator::search;
use crate::engine::machine::Progress;
use crate::engine::turn::Turn;
use crate::peer_message::ReplicateOutcome;

impl Put {
    /// Answers as soon as the answer is certain, and ends when nobody is left to hear of.
    pub(super) fn judge(&mut self, turn: &mut Turn<'_>) -> Progress {
        if !self.answered && !self.copies.is_reached() {
            self.replace_missed(turn);
        }
        if !self.answered {
            if self.copies.is_reached() {
                self.succeed(turn);
            } else if self.copies.is_settled() {
                let error = outcome::below_w(&self.copies, self.operation);
                self.answer(turn, Response::Error { error });
            }
        }
        if self.copies.is_settled() { self.finish(turn) } else { Progress::Waiting }
    }

    /// An owner or a fallback says whether it has the write.
    pub(super) fn hear_copy(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        held_for: u8,
        outcome: ReplicateOutcome,
    ) -> Progress {
        match outcome {
            ReplicateOutcome::Durable => self.copies.count(from, held_for),
            ReplicateOutcome::Refused { reason } => {
                self.copies.fail(from, held_for, cause_of(reason));
            }
        }
        self.judge(turn)
    }

    fn succeed(&mut self, turn: &mut Turn<'_>) {
        let applied = self.applied.as_mut().expect("copies are counted only of what is applied");
        let (copies, retry_checked) = (&self.copies, self.retry_checked);
        let response = match self.is_update {
            true => Response::Update(applied.update_done(copies, retry_checked)),
            false => Response::Put(applied.done(turn.view, self.hash, copies, retry_checked)),
        };
        turn.stats.writes_applied += 1;
        turn.stats.writes_with_fallbacks += u64::from(!self.copies.has_enough_owners());
        self.answer(turn, response);
    }

    /// Ends a write of which nothing was applied by this attempt.
    pub(in crate::engine::coordinator) fn fail(
        &mut self,
        turn: &mut Turn<'_>,
        error: RequestError,
    ) -> Progress {
        let error = if self.is_retry { error.of_retry(self.operation) } else { error };
        self.answer(turn, Response::Error { error });
        Progress::Done
    }

    pub(super) fn refused(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        let StoreEvent::Refused { reason, .. } = event else { return Progress::Waiting };
        if self.answered {
            return Progress::Done;
        }
        if reason == StoreRefusal::NothingToDelete && self.search == Search::Unneeded {
            self.search = Search::UnderWay;
            search::begin(turn, &self.key, self.operation, self.deadline_ns);
            return Progress::Waiting;
        }
        if self.applied.is_some() {
            // It was found applied elsewhere, and cannot be spread from here: no refusal of this attempt undoes it.
            return self.fail(turn, RequestError::OutcomeUnknown { operation: self.operation });
        }
        let finds_again = reason == StoreRefusal::NothingToDelete && self.search == Search::Done;
        if finds_again && self.replaces == Replaces::Latest {
            // Another owner holds something live, and this one could not be given it, or not yet. To say that there is
            // nothing would be a lie; to try again may succeed.
            return self.fail(turn, search::not_here(self.copies.owners().missing().len()));
        }
        self.fail(turn, outcome::refused(reason))
    }

    fn answer(&mut self, turn: &mut Turn<'_>, response: Response) {
        self.answered = true;
        turn.answer(response);
    }

    /// The final action: owners that do not have the write are left to fallbacks.
    fn finish(&mut self, turn: &mut Turn<'_>) -> Progress {
        let missing = self.copies.owners().missing();
        turn.stats.writes_left_behind += u64::from(!missing.is_empty());
        if !missing.is_empty() {
            self.note_left_behind(turn);
            self.leave_hints(turn);
        }
        if self.set.is_some() && !self.is_owner(turn) {
            // What is held here is held for all of them, and those that have the write do not know it.
            turn.hinted(&self.copies.owners().all());
        }
        Progress::Done
    }

    /// Nothing more will be heard: if there is no answer yet, it is what is known by now.
    pub(super) fn close(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.give_up(turn);
        self.finish(turn)
    }

    /// Time is up. What the own store was given to hold for owners is seen off when it is there, however late that is: nobody
    /// else would have it delivered to owners that were never away.
    pub(super) fn run_out(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.give_up(turn);
        match self.set.is_none() && !self.is_owner(turn) {
            true => Progress::Waiting,
            false => self.finish(turn),
        }
    }

    fn give_up(&mut self, turn: &mut Turn<'_>) {
        self.copies.expire();
        if !self.answered {
            let error = outcome::below_w(&self.copies, self.operation);
            self.answer(turn, Response::Error { error });
        }
    }
}
