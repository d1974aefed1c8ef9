//! The live versions of a key, and how they came to be side by side.

use kvorum_ring::NodeId;

use super::held::Merged;
use super::{Told, record};
use crate::message::why::{Happened, KeptVersion, WriteMode};
use crate::version::Dot;

/// The live versions of the merge, ascending by dot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Siblings(pub Vec<Sibling>);

/// One live version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sibling {
    /// The version.
    pub version: KeptVersion,
    /// The node that minted it, where somebody remembers.
    pub writer: Option<NodeId>,
    /// When, by the writer's wall clock: milliseconds since 1970.
    pub written_at_ms: Option<u64>,
    /// What the write said that it replaces.
    pub mode: Option<WriteMode>,
    /// Owners that hold it.
    pub owners: Vec<NodeId>,
}

impl Siblings {
    pub(super) fn of(told: &Told<'_>, merged: &Merged) -> Siblings {
        let sibling = |version: &KeptVersion| {
            let minted = told.minted(version.dot);
            Sibling {
                version: *version,
                writer: minted.map(|(writer, _, _)| writer.node),
                written_at_ms: minted
                    .map(|(writer, ago_ms, _)| writer.now_ms.saturating_sub(ago_ms)),
                mode: minted.and_then(|(_, _, minted)| match minted {
                    Happened::Minted { mode, .. } => Some(*mode),
                    _ => None,
                }),
                owners: owners_with(*told, version.dot),
            }
        };
        Siblings(merged.live.iter().map(sibling).collect())
    }

    /// Whether there is something to resolve.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// The version that was written last by the clocks of the nodes that wrote them; none unless all of them are known.
    pub fn newest(&self) -> Option<&Sibling> {
        let is_known = self.0.iter().all(|sibling| sibling.written_at_ms.is_some());
        self.0.iter().filter(|_| is_known).max_by_key(|sibling| sibling.written_at_ms)
    }
}

fn owners_with(told: Told<'_>, dot: Dot) -> Vec<NodeId> {
    let holds = |told: &&crate::message::why::Testimony| {
        record(&told.owned)
            .is_some_and(|record| record.versions.iter().any(|version| version.dot == dot))
    };
    told.owners().filter(holds).map(|told| told.node).collect()
}
