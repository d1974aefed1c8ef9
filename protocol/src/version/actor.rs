//! Who mints versions of one key.

use std::fmt;

/// A random name under which a node mints versions of **one key**, for as long as it can be sure of its own counter. It is
/// not the node's name: a node that restarted, or that does not find its record, takes a fresh one
/// ([`actor_rule`](crate::actor_rule)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor(pub u64);

impl fmt::Debug for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}
