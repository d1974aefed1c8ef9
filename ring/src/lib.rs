//! Where a key lives: hashing, partitions, layouts and preference lists.
//!
//! A key's BLAKE3 hash picks one of a fixed number of partitions by its top bits. A [`Layout`] is an explicit table
//! that names, for each partition and replication class, the owners and then the fallbacks in the order in which a
//! coordinator asks them. The table is computed once, deterministically, from members, weights and zones, so that two
//! machines with the same input hold the same table and can prove it by a hash.
//!
//! This crate is pure: it reads no clock, opens no socket and draws no random number. It decides neither *when* a
//! layout changes nor who is alive; those are the engine's and gossip's business.

pub mod class;
pub mod error;
pub mod hash;
pub mod id;
pub mod layout;

pub mod limits;
pub mod member;
mod sixteen;

pub use class::{ClassId, ReplicationClass};
pub use error::{LayoutError, ValueError};
pub use hash::{KeyHash, PartitionCount, PartitionId};
pub use id::NodeId;
pub use layout::{Layout, LayoutInput, LayoutName, Preference};

pub use member::{Member, Weight, Zone};
