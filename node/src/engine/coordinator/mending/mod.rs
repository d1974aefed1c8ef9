//! Repair that somebody ordered.
//!
//! Gets repair what they come across, and exchanges what differs while nobody looks. Who operates a cluster sometimes wants more:
//! to know, now, that all owners of a key or of a partition hold the same, or which of them does not and why. So these machines
//! leave nothing to trust. They ask every owner what it holds instead of comparing trees; they have every owner make the merge
//! durable, whether it looked behind or not, because what a node answers may not be synced yet; and they name each owner
//! that is not known to have it.
//!
//! Everything is merged, through the same door as always, so a repair that is broken off anywhere has done a part of the work
//! and no harm. A partition is repaired in steps of one page of keys ([`partition`]), each key by [`key`]; nothing is kept from one
//! step to the next but the hash at which the caller goes on.

pub(crate) mod key;
mod page;
pub(crate) mod partition;
mod tally;
