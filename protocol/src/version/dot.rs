//! The name of one write.

use std::fmt;

use super::actor::Actor;

/// One event of one key: the `counter`-th that `actor` minted. No two writes of a key ever have the same dot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who minted it.
    pub actor: Actor,
    /// From 1 to [`limits::COUNTER`](crate::limits::COUNTER).
    pub counter: u64,
}

impl Dot {
    /// The dot of an actor's `counter`-th event.
    pub fn new(actor: Actor, counter: u64) -> Dot {
        Dot { actor, counter }
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.actor, self.counter)
    }
}
