//! How a coordinator makes a new version.

use bytes::Bytes;
use smallvec::SmallVec;

use super::actor::Actor;
use super::clock::Clock;
use super::dot::Dot;
use super::operation::OperationId;
use super::set::{Deletion, Version, VersionSet};
use super::superseded::SupersededIds;
use crate::codec::Surplus;
use crate::limits;

/// What a write says that it replaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replaces {
    /// What the client read, as the clock of that read.
    Context(Clock),
    /// What the coordinator holds at the moment of minting.
    Latest,
    /// Nothing: the new version stands beside what is there.
    Nothing,
}

/// What a write does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Stores a value.
    Value {
        /// The value, up to [`limits::INLINE_VALUE_BYTES`].
        bytes: Bytes,
        /// Wall-clock time in milliseconds since 1970 from which on the version reads as deleted.
        expires_at_ms: Option<u64>,
    },
    /// Leaves no value in place of what it replaces.
    Delete,
}

/// A minted write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Minted {
    /// What the key holds now.
    pub set: VersionSet,
    /// The new write's dot, never used before.
    pub dot: Dot,
    /// The live versions that the write replaced, ascending.
    pub replaced: Vec<Dot>,
}

/// Why nothing was minted. The set is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MintRefusal {
    /// The key has too many siblings for a write that replaces none of them. Read them and put with that context.
    #[error("the key has too many siblings: read and resolve them first")]
    TooManySiblings,
    /// A delete that replaces nothing, or a delete of the latest where nothing is live.
    #[error("there is nothing to delete")]
    NothingToDelete,
}

impl VersionSet {
    /// Mints a write under `actor`, which [`choose_actor`](crate::actor_rule::choose_actor) gave for this very record.
    ///
    /// The new clock knows what the set and the context know; the dot is the actor's next event; what the replaced clock
    /// covers is no longer live.
    ///
    /// # Errors
    /// A [`MintRefusal`]; nothing was minted.
    pub fn mint(
        &self,
        actor: Actor,
        replaces: Replaces,
        change: Change,
        operation: OperationId,
    ) -> Result<Minted, MintRefusal> {
        let names_reads = matches!(replaces, Replaces::Context(_));
        let covered = match replaces {
            Replaces::Context(clock) => clock,
            Replaces::Latest => self.clock.clone(),
            Replaces::Nothing => Clock::EMPTY,
        };
        let (replaced, versions) = split(&self.versions, &covered);
        // What a context covers may live elsewhere; what is latest is live here or nowhere that this set knows.
        let deletes_nothing = covered.is_empty() || (replaced.is_empty() && !names_reads);
        self.check(&change, deletes_nothing, replaced.is_empty())?;
        let (undone, deletions) = split(&self.deletions, &covered);

        let mut set = VersionSet {
            clock: self.clock.merge(&covered),
            versions: versions.into(),
            deletions,
            surplus: self.surplus.clone(),
        };
        let dot = Dot::new(actor, set.clock.get(actor) + 1);
        set.clock.raise(dot);
        let knows_all = self.clock.descends(&covered);
        let superseded = superseded_ids(&replaced, &undone, knows_all);
        match change {
            Change::Value { bytes, expires_at_ms } => {
                let version = Version {
                    operation,
                    superseded,
                    value: bytes,
                    expires_at_ms,
                    surplus: Surplus::NONE,
                };
                let place = set.versions.partition_point(|entry| entry.0 < dot);
                set.versions.insert(place, (dot, version));
            }
            Change::Delete => {
                // A dropped deletion stays covered, so merging drops it everywhere: only its ids are forgotten.
                set.deletions.truncate(limits::SUPERSEDED_IDS - 1);
                let deletion = Deletion { operation, superseded, surplus: Surplus::NONE };
                let place = set.deletions.partition_point(|entry| entry.0 < dot);
                set.deletions.insert(place, (dot, deletion));
            }
        }
        let replaced = replaced.iter().map(|(dot, _)| *dot).collect();
        Ok(Minted { set, dot, replaced })
    }

    /// Whether the change may be minted. A context that covers no live version adds a sibling just as `none` does.
    fn check(
        &self,
        change: &Change,
        deletes_nothing: bool,
        replaces_nothing: bool,
    ) -> Result<(), MintRefusal> {
        match change {
            Change::Delete if deletes_nothing => Err(MintRefusal::NothingToDelete),
            Change::Value { .. } if replaces_nothing && self.is_crowded() => {
                Err(MintRefusal::TooManySiblings)
            }
            _ => Ok(()),
        }
    }

    fn is_crowded(&self) -> bool {
        self.versions.len() >= limits::SIBLINGS || self.value_bytes() >= limits::SIBLING_BYTES
    }
}

type Entry<T> = (Dot, T);

/// What a write replaces: nearly always one version or none.
type Replaced<'a, T> = SmallVec<[&'a Entry<T>; 1]>;

/// Entries that the clock covers, and those that stay.
fn split<'a, T: Clone>(
    entries: &'a [Entry<T>],
    covered: &Clock,
) -> (Replaced<'a, T>, Vec<Entry<T>>) {
    let mut replaced = SmallVec::new();
    let mut stay = Vec::new();
    for entry in entries {
        if covered.covers(entry.0) {
            replaced.push(entry);
        } else {
            stay.push(entry.clone());
        }
    }
    (replaced, stay)
}

/// The most recent first: the ids of what is replaced now, then what those remember, one of each in turn. Unless the minting
/// set `knows_all` that the write covers, there is a place for what it cannot name.
fn superseded_ids(
    versions: &[&(Dot, Version)],
    deletions: &[&(Dot, Deletion)],
    knows_all: bool,
) -> SupersededIds {
    let replaced = versions.iter().map(|(_, version)| version.operation);
    let undone = deletions.iter().map(|(_, deletion)| deletion.operation);
    let memories = || {
        let versions = versions.iter().map(|(_, version)| &version.superseded);
        versions.chain(deletions.iter().map(|(_, deletion)| &deletion.superseded))
    };
    let remembered = (0..limits::SUPERSEDED_IDS)
        .flat_map(|age| memories().filter_map(move |superseded| superseded.get(age)));
    let unnamed = (!knows_all).then_some(SupersededIds::UNKNOWN);
    SupersededIds::of(replaced.chain(undone).chain(unnamed).chain(remembered))
}
