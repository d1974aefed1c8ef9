//! When a node may go on minting under an actor's name.
//!
//! A dot that is given twice, or that a clock covers without its write ever having been seen, silently erases an
//! acknowledged write. So a node continues an actor only while it is certain that its own record of this key holds every
//! event that the actor ever minted: a [`Mark`] of that actor, set in this very run of the process, by nothing but its own
//! minting. Whatever else happened (no record, a restart, a wipe, a restored or copied disk, a lost record) needs no
//! detection: there is no trusted mark, and a fresh actor begins.

use crate::record::{Mark, Run};
use crate::version::{Actor, Clock};

/// The actor to mint under: the mark's if this run set it, else a fresh one from `draw`, a random `u64`. After minting the
/// record's mark is this actor and this run.
pub fn choose_actor(mark: Option<Mark>, run: Run, draw: impl FnOnce() -> Actor) -> Actor {
    match mark {
        Some(mark) if mark.run == run => mark.actor,
        _ => draw(),
    }
}

/// The mark that is left when a record with the clock `own` merges one with the clock `incoming`. A clock that knows more of
/// my actor than I do proves that the counter went on somewhere without me.
pub fn mark_after_merge(mark: Option<Mark>, own: &Clock, incoming: &Clock) -> Option<Mark> {
    mark.filter(|mark| incoming.get(mark.actor) <= own.get(mark.actor))
}

#[cfg(test)]
mod tests {
    use super::{choose_actor, mark_after_merge};
    use crate::record::{Mark, Run};
    use crate::version::{Actor, Clock};

    const MINE: Actor = Actor(1);
    const FRESH: Actor = Actor(2);
    const MARK: Mark = Mark { actor: MINE, run: Run(7) };

    #[test]
    fn only_this_runs_mark_continues_its_actor() {
        assert_eq!(choose_actor(Some(MARK), Run(7), || FRESH), MINE);
        assert_eq!(choose_actor(Some(MARK), Run(8), || FRESH), FRESH);
        assert_eq!(choose_actor(Some(MARK), Run(6), || FRESH), FRESH);
        assert_eq!(choose_actor(None, Run(7), || FRESH), FRESH);
    }

    #[test]
    fn a_clock_that_knows_more_of_my_actor_clears_the_mark() {
        let own = Clock::of([(MINE, 3)]);
        assert_eq!(mark_after_merge(Some(MARK), &own, &Clock::of([(MINE, 4)])), None);
        assert_eq!(
            mark_after_merge(Some(MARK), &own, &Clock::of([(MINE, 3), (FRESH, 9)])),
            Some(MARK)
        );
        assert_eq!(mark_after_merge(Some(MARK), &own, &Clock::EMPTY), Some(MARK));
        assert_eq!(mark_after_merge(None, &own, &Clock::EMPTY), None);
    }
}
