//! Cluster facts: what all nodes should know alike, and do after a while.
//!
//! A fact is a small named document: a member with its addresses, a bucket with its settings, a layout. Each node holds
//! all of them, durably. They form a state-based CRDT: of two states of one fact the one with the higher version wins,
//! so that merging in any order, any number of times, ends the same. Between nodes travel digests first, and bodies only
//! where the digests differ.
//!
//! **Invariants.** Versions of one fact are totally ordered (see [`Fact::beats`]). A fact is never removed: a deletion
//! would be a state of its own. Kinds and fields that this version does not know are stored, compared and passed on like
//! all others.
//!
//! **Not here:** what a bucket's settings or a layout mean (their bodies are opaque bytes to this crate), when to write a
//! file, and how messages travel.

mod fact;
mod file;
mod member;
mod message;
mod reconcile;
mod set;
mod summary;

pub use fact::{Fact, FactDigest, FactKey, FactKind, FactVersion};
pub use file::{FileError, decode_file, encode_file};
pub use member::{MemberFact, NodeAddresses};
pub use message::FactsMessage;
pub use reconcile::{Facts, FactsOutput};
pub use set::{FactSet, Merged};
pub use summary::FactSummary;
