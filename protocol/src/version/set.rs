//! What one key holds.

use bytes::Bytes;
use smallvec::SmallVec;

use super::clock::Clock;
use super::dot::Dot;
use super::operation::OperationId;
use super::superseded::SupersededIds;
use crate::codec::{Invalid, Surplus};

/// A live version. Everything in it was fixed when it was minted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// The client operation that made it.
    pub operation: OperationId,
    /// What it replaced, so that a late retry of that is recognised.
    pub superseded: SupersededIds,
    /// The value, up to [`limits::INLINE_VALUE_BYTES`](crate::limits::INLINE_VALUE_BYTES).
    pub value: Bytes,
    /// Wall-clock time in milliseconds since 1970 from which on the version reads as deleted. A rule for reading only:
    /// the version stays live for merging.
    pub expires_at_ms: Option<u64>,
    /// Fields of a later version of this format.
    pub surplus: Surplus,
}

/// A delete that nothing has replaced yet. It leaves no live version; only its operation ids are kept, so that a retry of
/// it, or of what it deleted, is recognised and does not act again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deletion {
    /// The client operation that deleted.
    pub operation: OperationId,
    /// What it replaced.
    pub superseded: SupersededIds,
    /// Fields of a later version of this format.
    pub surplus: Surplus,
}

/// How a set knows an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It made this live version.
    Live(Dot),
    /// It deleted, and nothing has replaced the delete.
    Deleted(Dot),
    /// What it made was replaced, and the version or delete of this dot remembers it.
    Superseded {
        /// The write that remembers the operation.
        by: Dot,
    },
}

/// The live versions of a set. Nearly every key has one, which then stands in the set itself.
pub(super) type Versions = SmallVec<[(Dot, Version); 1]>;

/// A dotted version vector set: one clock, the live versions and the unreplaced deletes.
///
/// Invariants: versions ascend by dot, and so do deletions; no dot stands twice; the clock covers every dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct VersionSet {
    pub(super) clock: Clock,
    pub(super) versions: Versions,
    pub(super) deletions: Vec<(Dot, Deletion)>,
    pub(super) surplus: Surplus,
}

impl VersionSet {
    /// The set of a key that was never written.
    pub fn empty() -> VersionSet {
        VersionSet::default()
    }

    /// A set of these parts.
    ///
    /// # Errors
    /// The invariant that they break.
    pub fn from_parts(
        clock: Clock,
        versions: impl IntoIterator<Item = (Dot, Version)>,
        deletions: Vec<(Dot, Deletion)>,
        surplus: Surplus,
    ) -> Result<VersionSet, Invalid> {
        VersionSet { clock, versions: versions.into_iter().collect(), deletions, surplus }.checked()
    }

    /// The set itself, once its invariants are checked.
    pub(super) fn checked(self) -> Result<VersionSet, Invalid> {
        let set = self;
        let ascending = set.versions.is_sorted_by(|left, right| left.0 < right.0)
            && set.deletions.is_sorted_by(|left, right| left.0 < right.0)
            && !set.deletions.iter().any(|(dot, _)| set.version(*dot).is_some());
        if !ascending {
            return Err(Invalid::DotOrder);
        }
        let mut dots =
            set.versions.iter().map(|(dot, _)| dot).chain(set.deletions.iter().map(|(dot, _)| dot));
        if !dots.all(|dot| set.clock.covers(*dot)) {
            return Err(Invalid::UncoveredDot);
        }
        Ok(set)
    }

    /// Every event that the set has seen.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The live versions, ascending by dot. More than one are siblings, unless one operation made them.
    pub fn versions(&self) -> &[(Dot, Version)] {
        &self.versions
    }

    /// The live versions as a reader sees them, ascending by dot: one value for each operation that was not replaced.
    ///
    /// A retry that was minted elsewhere gives its operation a second dot. Of two live versions of one operation only the lower
    /// dot's is shown. And where some write has replaced the one, which its superseded ids tell, the other is not shown beside
    /// that write: whoever made it has read this very value. Two operations that were both retried can each have replaced the
    /// other on some branch; then both are shown.
    pub fn values(&self) -> impl Iterator<Item = &(Dot, Version)> {
        let is_first = |(place, (_, version)): &(usize, &(Dot, Version))| {
            let lower = &self.versions[..*place];
            !lower.iter().any(|(_, lower)| lower.operation == version.operation)
        };
        let shown = self.versions.iter().enumerate().filter(is_first).map(|(_, entry)| entry);
        shown.filter(|(_, version)| !self.is_replaced(version))
    }

    /// Whether a live write or an unreplaced delete, which nothing here has replaced in turn, has replaced this version's
    /// operation under another dot.
    fn is_replaced(&self, version: &Version) -> bool {
        if self.versions.len() + self.deletions.len() < 2 {
            return false;
        }
        let by = |operation, superseded: &SupersededIds| {
            superseded.contains(version.operation) && !self.remembers(operation)
        };
        self.versions.iter().any(|(_, other)| by(other.operation, &other.superseded))
            || self.deletions.iter().any(|(_, other)| by(other.operation, &other.superseded))
    }

    fn remembers(&self, operation: OperationId) -> bool {
        self.memories().any(|(_, superseded)| superseded.contains(operation))
    }

    /// The deletes that nothing has replaced, ascending by dot.
    pub fn deletions(&self) -> &[(Dot, Deletion)] {
        &self.deletions
    }

    /// Fields of a later version of this format.
    pub fn surplus(&self) -> &Surplus {
        &self.surplus
    }

    /// The live version of this dot.
    pub fn version(&self, dot: Dot) -> Option<&Version> {
        let index = self.versions.binary_search_by_key(&dot, |entry| entry.0).ok()?;
        Some(&self.versions[index].1)
    }

    /// Whether the key was never written: nothing live and nothing known.
    pub fn is_empty(&self) -> bool {
        self.clock.is_empty()
    }

    /// Whether the key was written and has no live version.
    pub fn is_tombstone(&self) -> bool {
        self.versions.is_empty() && !self.clock.is_empty()
    }

    /// Bytes of the live versions' values.
    pub fn value_bytes(&self) -> usize {
        self.versions.iter().map(|(_, version)| version.value.len()).sum()
    }

    /// How the set knows the operation, if it does.
    pub fn find_operation(&self, operation: OperationId) -> Option<Found> {
        let live = self.versions.iter().find(|(_, version)| version.operation == operation);
        if let Some((dot, _)) = live {
            return Some(Found::Live(*dot));
        }
        let deleted = self.deletions.iter().find(|(_, deletion)| deletion.operation == operation);
        if let Some((dot, _)) = deleted {
            return Some(Found::Deleted(*dot));
        }
        let by = self
            .memories()
            .find(|(_, superseded)| superseded.contains(operation))
            .map(|(dot, _)| dot)?;
        Some(Found::Superseded { by })
    }

    /// Whether an operation may have been forgotten here: an id that [`VersionSet::find_operation`] does not find was then
    /// not necessarily absent, and a reply to its retry has to say so.
    pub fn operation_ids_full(&self) -> bool {
        self.deletions.len() >= crate::limits::SUPERSEDED_IDS
            || self.memories().any(|(_, superseded)| superseded.is_full())
    }

    /// The lists of replaced operations, with the write that each belongs to.
    fn memories(&self) -> impl Iterator<Item = (Dot, &SupersededIds)> {
        let versions = self.versions.iter().map(|(dot, version)| (*dot, &version.superseded));
        versions.chain(self.deletions.iter().map(|(dot, deletion)| (*dot, &deletion.superseded)))
    }
}
