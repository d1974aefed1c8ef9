//! Versions: what a key holds, and which writes a write replaced.
//!
//! A key holds a *dotted version vector set* (Preguiça, Baquero and others, "Dotted version vectors", 2012): the live
//! versions, each named by the event that made it (its *dot*: an actor and a counter), and one clock that covers every event
//! the set has ever seen. A version that a set's clock covers, and that the set does not hold, was replaced. Two sets merge by
//! that rule alone, so replicas agree whatever order messages arrive in, and concurrent writes stay side by side until a
//! client that has read them replaces them.
//!
//! Nothing here draws an actor, reads a clock or knows which node it runs on; see
//! [`actor_rule`](crate::actor_rule) for when an actor may be used again.

mod actor;
mod clock;
mod digest;
mod dot;
mod merge;
mod mint;
mod operation;
mod set;
mod superseded;
mod wire;

pub use actor::Actor;
pub use clock::Clock;
pub use digest::LiveDigest;
pub use dot::Dot;
pub use mint::{Change, MintRefusal, Minted, Replaces, Stamping};
pub use operation::OperationId;
pub use set::{Deletion, Found, Version, VersionSet};
pub use superseded::SupersededIds;
