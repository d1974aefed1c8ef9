//! The preference list of one partition: whom a coordinator asks, in which order.

use std::fmt;

use crate::id::NodeId;
use crate::member::Member;

/// The owners of a partition, then its fallbacks, each in the order in which they are asked. A view into a layout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Preference<'a> {
    members: &'a [Member],
    owners: &'a [u16],
    fallbacks: &'a [u16],
}

impl<'a> Preference<'a> {
    /// A view of a row whose first `owners` cells are the owners. Every cell is an index into `members`.
    pub(super) fn new(members: &'a [Member], row: &'a [u16], owners: usize) -> Preference<'a> {
        let (owners, fallbacks) = row.split_at(owners);
        Preference { members, owners, fallbacks }
    }

    /// The nodes that hold the partition: n of them, or all members where there are fewer than n.
    pub fn owners(&self) -> impl ExactSizeIterator<Item = NodeId> + Clone + use<'a> {
        let members = self.members;
        self.owners.iter().map(move |index| members[usize::from(*index)].id)
    }

    /// The nodes that stand in for owners that are away: as many as owners, fewer where there are not enough members.
    pub fn fallbacks(&self) -> impl ExactSizeIterator<Item = NodeId> + Clone + use<'a> {
        let members = self.members;
        self.fallbacks.iter().map(move |index| members[usize::from(*index)].id)
    }

    /// Owners, then fallbacks.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + Clone + use<'a> {
        self.owners().chain(self.fallbacks())
    }

    /// Whether a node owns the partition.
    pub fn is_owner(&self, node: NodeId) -> bool {
        self.owners().any(|owner| owner == node)
    }
}

impl fmt::Debug for Preference<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.owners()).finish()?;
        formatter.write_str(" then ")?;
        formatter.debug_list().entries(self.fallbacks()).finish()
    }
}
