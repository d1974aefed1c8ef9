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
use crate::mergeable::{self, Event, Operation, OperationRefusal, Stamped, stamped};

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
    /// Stores a value of a `lossy-lww` bucket, stamped when it is minted. Replaces the latest, whatever the write says. See [`stamped`](crate::mergeable::stamped).
    Stamped(Box<Stamping>),
    /// Applies an operation to the join of what is live. Replaces the latest, whatever the write says. See
    /// [`mergeable`](crate::mergeable).
    Operation(Box<Operation>),
    /// Leaves no value in place of what it replaces.
    Delete,
}

impl Change {
    /// Whether it replaces what is latest, whatever the write says: it is made of that, or made to win against it.
    pub fn replaces_latest(&self) -> bool {
        matches!(self, Change::Operation(_) | Change::Stamped(_))
    }
}

/// A value that is about to be stamped. Boxed where it stands, because every change is moved as if it were the largest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamping {
    /// The value, up to [`limits::INLINE_VALUE_BYTES`].
    pub bytes: Bytes,
    /// The coordinator's wall clock in milliseconds since 1970.
    pub wall_ms: u64,
    /// As of a plain value.
    pub expires_at_ms: Option<u64>,
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
    /// The operation does not fit what is stored, or what it would make of it is too much.
    #[error("{0}")]
    Operation(OperationRefusal),
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
        let known = match &replaces {
            Replaces::Context(clock) => self.clock.get(actor).max(clock.get(actor)),
            Replaces::Latest | Replaces::Nothing => self.clock.get(actor),
        };
        self.mint_as(Dot::new(actor, known + 1), replaces, change, operation)
    }

    /// Mints a write under a dot that nothing here has seen, nor any later one of its actor.
    pub(crate) fn mint_as(
        &self,
        dot: Dot,
        replaces: Replaces,
        change: Change,
        operation: OperationId,
    ) -> Result<Minted, MintRefusal> {
        let replaces = if change.replaces_latest() { Replaces::Latest } else { replaces };
        let change = self.settled(change, dot, operation)?;
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
        set.clock.raise(dot);
        let knows_all = self.clock.descends(&covered);
        let superseded = superseded_ids(&replaced, &undone, knows_all);
        match change {
            Settled::Value { bytes, expires_at_ms } => {
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
            Settled::Delete => {
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

    /// The change as what is to be stored.
    fn settled(
        &self,
        change: Change,
        dot: Dot,
        operation: OperationId,
    ) -> Result<Settled, MintRefusal> {
        Ok(match change {
            Change::Value { bytes, expires_at_ms } => Settled::Value { bytes, expires_at_ms },
            Change::Stamped(stamping) => {
                let Stamping { bytes, wall_ms, expires_at_ms } = *stamping;
                let stamped = Stamped { at_ms: stamped::stamp(self, wall_ms), value: bytes };
                Settled::Value { bytes: stamped.encode(), expires_at_ms }
            }
            Change::Operation(applied) => {
                let event = Event { dot, operation };
                let bytes =
                    mergeable::operate(self, event, &applied).map_err(MintRefusal::Operation)?;
                Settled::Value { bytes, expires_at_ms: None }
            }
            Change::Delete => Settled::Delete,
        })
    }

    /// Whether the change may be minted. A context that covers no live version adds a sibling just as `none` does.
    fn check(
        &self,
        change: &Settled,
        deletes_nothing: bool,
        replaces_nothing: bool,
    ) -> Result<(), MintRefusal> {
        match change {
            Settled::Delete if deletes_nothing => Err(MintRefusal::NothingToDelete),
            Settled::Value { .. } if replaces_nothing && self.is_crowded() => {
                Err(MintRefusal::TooManySiblings)
            }
            _ => Ok(()),
        }
    }

    fn is_crowded(&self) -> bool {
        self.versions.len() >= limits::SIBLINGS || self.value_bytes() >= limits::SIBLING_BYTES
    }
}

/// A change whose bytes are what is stored.
enum Settled {
    Value { bytes: Bytes, expires_at_ms: Option<u64> },
    Delete,
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
