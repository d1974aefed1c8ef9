//! The layout: an explicit table from (replication class, partition) to owners and fallbacks.
//!
//! A table rather than a rule, because a table can be compared, hashed, shipped and looked at, and because the
//! planner can then keep what the previous table had. The planner may change from one release to the next; a table
//! once committed means the same everywhere.
//!
//! Invariants, checked again on every decoded body: members and classes ascend by id without repetition; each row
//! names existing members, none twice. Balance and zones are the planner's promise ([`Layout::plan`]) and are not
//! checked on receipt: a body is trusted by its hash.
//!
//! What a change of layout means for reads and writes is decided elsewhere; this module knows no transition.

mod body;
mod fallbacks;
mod fresh;
mod leaders;
mod moves;
mod plan;
mod preference;
mod rounding;
mod rows;
mod score;
mod shares;
mod spread;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::class::{ClassId, ReplicationClass};
use crate::error::LayoutError;
use crate::hash::{KeyHash, PartitionCount, PartitionId};
use crate::id::NodeId;
use crate::member::Member;

pub use preference::Preference;

/// The name of a layout. Two layouts of one name have the same contents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LayoutName {
    /// Counts the times that a majority was given up for lost and the history of layouts began anew.
    pub lineage: u64,
    /// Counts the layouts committed within the lineage.
    pub version: u64,
    /// BLAKE3 of the canonical encoding of the contents, lineage and version included.
    pub hash: [u8; 32],
}

impl fmt::Display for LayoutName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}-", self.lineage, self.version)?;
        self.hash[..4].iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for LayoutName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "layout-{self}")
    }
}

/// What a layout is planned from. The order of members and classes does not matter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayoutInput {
    /// See [`LayoutName::lineage`].
    pub lineage: u64,
    /// See [`LayoutName::version`].
    pub version: u64,
    /// The number of partitions; the same as in the previous layout, if there is one.
    pub partitions: PartitionCount,
    /// The replication classes, each of which gets a table of its own.
    pub classes: Vec<ReplicationClass>,
    /// The nodes to place partitions on.
    pub members: Vec<Member>,
}

/// An immutable layout. See the module's page.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "body::Body", into = "body::Body")]
pub struct Layout {
    name: LayoutName,
    partitions: PartitionCount,
    /// Ascending by id; tables name members by their index here.
    members: Vec<Member>,
    /// Ascending by class id.
    tables: Vec<Table>,
}

/// The rows of one class, one after the other in partition order. A row is the owners, then the fallbacks.
#[derive(Clone, PartialEq, Eq)]
struct Table {
    class: ReplicationClass,
    /// Owners per row: the class's n, or fewer where there are fewer members.
    owners: usize,
    /// Owners and fallbacks per row.
    width: usize,
    cells: Vec<u16>,
}

impl Table {
    fn row(&self, partition: PartitionId) -> &[u16] {
        let start = partition.0 as usize * self.width;
        &self.cells[start..start + self.width]
    }
}

/// Owners, and owners plus fallbacks, of a row: n of each, as far as there are members.
fn row_shape(class: ReplicationClass, members: usize) -> (usize, usize) {
    let n = usize::from(class.n());
    (n.min(members), (2 * n).min(members))
}

impl Layout {
    /// Computes the layout for an input, keeping as much of the previous layout as balance and zones allow.
    ///
    /// The same input and previous layout give the same layout on every machine. Promised of the owners in each
    /// class:
    /// - they are distinct nodes, and copies spread over zones as evenly as the zones' sizes allow;
    /// - a node owns its fair share rounded down or up, where the fair share is proportional to its weight after what
    ///   distinctness and zones forbid;
    /// - a node stands first in its fair part of the rows it owns, at most one more.
    ///
    /// # Errors
    /// A [`LayoutError`] that says what is wrong with the input.
    pub fn plan(input: LayoutInput, previous: Option<&Layout>) -> Result<Layout, LayoutError> {
        plan::plan(input, previous)
    }

    /// The layout's name; its hash is computed from the contents, never taken from outside.
    pub fn name(&self) -> LayoutName {
        self.name
    }

    /// Checks that a received body is the one that was asked for.
    ///
    /// # Errors
    /// [`LayoutError::NameMismatch`] when it is another; drop the body and ask another peer.
    pub fn check_name(&self, wanted: LayoutName) -> Result<(), LayoutError> {
        if self.name == wanted { Ok(()) } else { Err(LayoutError::NameMismatch) }
    }

    /// The number of partitions.
    pub fn partitions(&self) -> PartitionCount {
        self.partitions
    }

    /// The members in ascending order of id.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of this id, if the node takes part in the layout.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.index_of(node).map(|index| &self.members[usize::from(index)])
    }

    /// The replication classes in ascending order of id.
    pub fn classes(&self) -> impl ExactSizeIterator<Item = ReplicationClass> + '_ {
        self.tables.iter().map(|table| table.class)
    }

    /// Owners and fallbacks of a partition; `None` when the class or the partition does not exist.
    pub fn preference(&self, class: ClassId, partition: PartitionId) -> Option<Preference<'_>> {
        let table = self.table(class)?;
        self.partitions
            .contains(partition)
            .then(|| Preference::new(&self.members, table.row(partition), table.owners))
    }

    /// Owners and fallbacks of the partition that holds a key; `None` when the class does not exist.
    pub fn preference_of(&self, class: ClassId, hash: KeyHash) -> Option<Preference<'_>> {
        self.preference(class, self.partitions.partition_of(hash))
    }

    /// The partitions that a node owns in a class, ascending. Empty for a node or class that does not exist.
    pub fn owned_by(&self, node: NodeId, class: ClassId) -> impl Iterator<Item = PartitionId> + '_ {
        let found = self.index_of(node).zip(self.table(class));
        found.into_iter().flat_map(move |(index, table)| {
            let owns = move |partition: &PartitionId| {
                table.row(*partition)[..table.owners].contains(&index)
            };
            self.partitions.partitions().filter(owns)
        })
    }

    fn table(&self, class: ClassId) -> Option<&Table> {
        self.tables.iter().find(|table| table.class.id() == class)
    }

    fn index_of(&self, node: NodeId) -> Option<u16> {
        self.members.binary_search_by_key(&node, |member| member.id).ok().map(|index| index as u16)
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:?} of {} nodes x {}",
            self.name,
            self.members.len(),
            self.partitions.get()
        )
    }
}
