//! Replication classes: how many owners a bucket's records have.
//!
//! The number of owners belongs to the class and not to a request, so that every node agrees on who owns a key. Each
//! class has a table of its own in the layout.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ValueError;
use crate::limits;

/// The number of a replication class. Class 0 always exists in practice; buckets are made in it by default.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ClassId(pub u8);

impl fmt::Display for ClassId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A replication class: its number and how many owners each of its partitions has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
pub struct ReplicationClass {
    id: ClassId,
    n: u8,
}

impl ReplicationClass {
    /// A class with `n` owners for each partition. A cluster with fewer than `n` members has that many owners
    /// instead.
    ///
    /// # Errors
    /// [`ValueError::Replicas`] when `n` is not from 1 to [`limits::MAX_REPLICAS`].
    pub fn new(id: ClassId, n: u8) -> Result<ReplicationClass, ValueError> {
        if (1..=limits::MAX_REPLICAS).contains(&n) {
            Ok(ReplicationClass { id, n })
        } else {
            Err(ValueError::Replicas(n))
        }
    }

    /// The class's number.
    pub fn id(&self) -> ClassId {
        self.id
    }

    /// Owners of each partition, from 1 to [`limits::MAX_REPLICAS`].
    pub fn n(&self) -> u8 {
        self.n
    }
}

impl Default for ReplicationClass {
    fn default() -> ReplicationClass {
        ReplicationClass { id: ClassId::default(), n: limits::DEFAULT_REPLICAS }
    }
}

impl TryFrom<(u8, u8)> for ReplicationClass {
    type Error = ValueError;

    fn try_from((id, n): (u8, u8)) -> Result<ReplicationClass, ValueError> {
        ReplicationClass::new(ClassId(id), n)
    }
}

impl From<ReplicationClass> for (u8, u8) {
    fn from(class: ReplicationClass) -> (u8, u8) {
        (class.id.0, class.n)
    }
}
