//! Who is there, and what all nodes should know alike.
//!
//! [`membership`] is failure detection: SWIM with suspicion, by way of foca, over unreliable datagrams. [`facts`] is the
//! cluster's shared knowledge (members, addresses, buckets, layouts) as a state-based CRDT. Membership carries the news
//! that a fact has changed; the facts themselves travel on a reliable connection.
//!
//! Down is never leaving: what this crate says about who is reachable changes no ownership.
//!
//! This crate is pure: it reads no clock, opens no socket and draws no random number of its own. Time is an argument,
//! in monotonic nanoseconds; the one source of randomness is seeded by the caller.

pub mod facts;
pub mod limits;
pub mod membership;
#[cfg(feature = "planted")]
pub mod planted;
mod wire;

pub use facts::{
    Fact, FactKey, FactKind, FactSet, FactVersion, Facts, FactsMessage, FactsOutput, MemberFact,
};
pub use membership::{Membership, MembershipOptions, MembershipOutput, Seed};
#[cfg(feature = "planted")]
pub use planted::Planted;
pub use wire::{DecodeError, Surplus};
