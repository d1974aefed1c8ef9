//! What a shard knows of one key, and where: for whoever wants to understand, not for reading values.

use std::sync::Arc;

use kvorum_protocol::{Record, Space};

use crate::location::Location;

/// One key as a shard knows it at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// Whether it is about what is held as an owner or for others.
    pub space: Space,
    /// What there is.
    pub found: Inspected,
    /// The sequence of the newest version, be it a removal marker; none of a key that was never here.
    pub sequence: Option<u64>,
    /// Whether the newest version is on the disk.
    pub is_synced: bool,
    /// Whether it was in memory when it was asked for.
    pub was_in_memory: bool,
    /// Where the newest version that is on the disk stands in the log.
    pub location: Option<Location>,
    /// Whether the index names that place.
    pub is_indexed: bool,
    /// Of a record that is held for others: milliseconds since this process knows of it.
    pub held_ms: Option<u64>,
}

/// What there is of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inspected {
    /// No record, and no trace of one.
    Absent,
    /// A record, be it a tombstone.
    Record(Arc<Record>),
    /// The marker of a removal.
    Removed,
    /// A record whose bytes cannot be read.
    Damaged,
}
