//! Which keys do two owners of a partition hold differently, without comparing them all?
//!
//! Each owner keeps, per partition and replication class, a [`Tree`] over what is live: every key adds one term to
//! one leaf ([`digest`]), inner nodes are hashes of their children, and equal roots mean equal contents. Where roots
//! differ, a [`Walk`] descends along the differences and names the leaves whose keys have to be compared.
//!
//! The idea is the Dynamo paper's (DeCandia et al., 2007, section 4.7). New against it: a leaf is a *sum*, so one
//! update costs one subtraction and one addition whatever else the leaf holds, and the order of updates does not
//! matter.
//!
//! This crate is pure: no clock, no socket, no random number, no storage. It neither ships nor merges records, does
//! not save trees, and decides nothing about who compares with whom, and when.

pub mod digest;
pub mod limits;
pub mod tree;
pub mod walk;

pub use digest::{Digest, LeafKey, LeafSum};
pub use tree::{NodeHash, Shape, ShapeError, Tree};
pub use walk::{Question, Walk};
