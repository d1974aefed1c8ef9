//! What can be wrong with a value or a layout. Nothing here changes any state: a refused value was never built.

use crate::class::ClassId;
use crate::id::NodeId;
use crate::limits;

/// A value out of its range, refused when it was parsed or decoded. Correct the value and try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A node id is exactly 32 lowercase hex digits, so that each id has one spelling.
    #[error("a node id is 32 lowercase hex digits")]
    NodeId,
    /// A node's DNS name is its id followed by [`crate::id::DNS_SUFFIX`].
    #[error("a node's DNS name is its id followed by .node.kvorum.internal")]
    DnsName,
    /// The number of partitions is a power of two within the limit.
    #[error("{0} partitions: must be a power of two from 1 to {max}", max = limits::MAX_PARTITIONS)]
    PartitionCount(u32),
    /// The number of owners of a replication class.
    #[error("n = {0}: must be from 1 to {max}", max = limits::MAX_REPLICAS)]
    Replicas(u8),
    /// A zone name is short and printable without quoting.
    #[error("a zone name is 1 to {max} of a-z A-Z 0-9 - _ .", max = limits::MAX_ZONE_BYTES)]
    Zone,
    /// A member's weight.
    #[error("weight {0}: must be from 1 to {max}", max = limits::MAX_WEIGHT)]
    Weight(u16),
}

/// A layout that cannot be planned, or a received body that is not a valid layout. Nothing was kept of it; the caller
/// corrects the input, or asks another peer for the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A layout needs at least one member.
    #[error("a layout needs at least one member")]
    NoMembers,
    /// More members than [`limits::MAX_MEMBERS`].
    #[error("{0} members: at most {max}", max = limits::MAX_MEMBERS)]
    TooManyMembers(usize),
    /// The same node is listed twice.
    #[error("node {0} is listed twice")]
    DuplicateMember(NodeId),
    /// A layout needs at least one replication class.
    #[error("a layout needs at least one replication class")]
    NoClasses,
    /// More classes than [`limits::MAX_CLASSES`].
    #[error("{0} replication classes: at most {max}", max = limits::MAX_CLASSES)]
    TooManyClasses(usize),
    /// The same class is listed twice.
    #[error("replication class {0} is listed twice")]
    DuplicateClass(ClassId),
    /// The previous layout has another number of partitions; partitions are split by an operation of their own.
    #[error("the previous layout has {previous} partitions, the new one {planned}")]
    PartitionsChanged {
        /// Partitions of the previous layout.
        previous: u32,
        /// Partitions asked for now.
        planned: u32,
    },
    /// A decoded body is not in canonical order (members and classes ascend by id).
    #[error("the layout body is not in canonical order")]
    NotCanonical,
    /// A decoded table has not the length that its members and classes ask for.
    #[error("the table of replication class {0} has the wrong length")]
    TableLength(ClassId),
    /// A decoded table names a member that does not exist, or one node twice in a row.
    #[error("the table of replication class {class} is wrong at partition {partition}")]
    TableRow {
        /// The class whose table is wrong.
        class: ClassId,
        /// The first partition that is wrong.
        partition: u32,
    },
    /// A received body is of a form that this release does not know.
    #[error("unknown layout format {0}")]
    UnknownFormat(u8),
    /// A received body is not the layout that was asked for.
    #[error("the layout body is not the one that was asked for")]
    NameMismatch,
}
