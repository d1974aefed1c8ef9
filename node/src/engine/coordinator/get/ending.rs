//! What a get answers.

use kvorum_protocol::EncodedSet;
use kvorum_protocol::message::{
    GetDone, MergedDone, OwnerCause, OwnerFailure, RequestError, Response,
};

use crate::engine::coordinator::get::Get;
use crate::engine::coordinator::shown::{Shown, shown};
use crate::engine::coordinator::small;
use crate::engine::turn::Turn;

impl Get {
    /// Enough was heard. A strict get first makes it last.
    pub(super) fn conclude(&mut self, turn: &mut Turn<'_>) {
        match self.holdings.merged().cloned() {
            Some(merged) if self.strict => self.confirm(turn, merged),
            merged => self.succeed(turn, merged.as_ref()),
        }
    }

    pub(super) fn succeed(&mut self, turn: &mut Turn<'_>, merged: Option<&EncodedSet>) {
        let (hash, keys) = (self.place.hash, &turn.view.context_keys);
        let context = merged.map(|set| keys.seal_hashed(hash, set.clock()));
        self.answered = true;
        let shown = match shown(merged, self.rule, turn.now.wall_ms) {
            Ok(shown) => shown,
            Err(error) => return turn.answer(Response::Error { error }),
        };
        let complete = shown.is_found() || self.is_complete(turn);
        let (owners, fallbacks) = (small(self.heard.counted().len()), small(self.at_fallbacks()));
        let needed = small(self.heard.needed());
        turn.answer(match shown {
            Shown::Values(values) => {
                Response::Get(GetDone { values, context, complete, owners, fallbacks, needed })
            }
            Shown::Merged(value) => {
                Response::Merged(MergedDone { value, context, complete, owners, fallbacks, needed })
            }
        });
    }

    /// Says why there is no answer: damaged when no owner has anything else; else unavailable, also when r asks for more than
    /// all owners, or when one has a good copy and r asks for more.
    pub(super) fn fail(&mut self, turn: &mut Turn<'_>) {
        let quorum = match &self.confirming {
            Some((_, copies)) => copies,
            None => &self.heard,
        };
        let causes = quorum.failures();
        let is_damaged = |failure: &OwnerFailure| failure.cause == OwnerCause::Damaged;
        let all_damaged = causes.len() == self.place.owners.len() && causes.iter().all(is_damaged);
        let error = match all_damaged {
            true => RequestError::Damaged,
            false => {
                let (needed, got) = (small(quorum.needed()), small(quorum.got()));
                RequestError::Unavailable { needed, got, causes }
            }
        };
        self.answered = true;
        turn.answer(Response::Error { error });
    }
}
