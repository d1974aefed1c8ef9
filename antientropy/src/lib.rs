//! Which keys do two owners of a partition hold differently, without comparing them all?
//!
//! Each owner keeps, per partition and replication class, a [`Tree`] over what is live: every key adds one term to one
//! leaf ([`digest`]), everything above is a sum, and equal sums mean equal contents.
//!
//! The idea is the Dynamo paper's (DeCandia et al., 2007, section 4.7). New against it: a leaf is a *sum*, so one
//! update costs one subtraction and one addition whatever else the leaf holds, and the order of updates does not
//! matter.
//!
//! Two owners compare their trees in an *exchange* ([`session`]): one of them asks, from the sum of all they share down to the
//! keys that they hold differently, and of those only what the other lacks travels. What it costs follows from what
//! differs: two equal owners exchange one question and one answer.
//!
//! This crate is pure: no clock, no socket, no random number, no storage. It decides nothing about who compares with
//! whom, and when; it neither reads nor merges records.

pub mod answer;
pub mod compare;
pub mod digest;
pub mod limits;
pub mod message;
pub mod session;
pub mod tree;

pub use compare::{Differences, Exchange};
pub use digest::{Digest, LeafKey, Term};
pub use message::{Answer, Question, Refusal};
pub use session::{End, Listed, Repair, Session, Step};
pub use tree::{LEAVES, Leaves, Sum, Tree, leaf_of};
