//! The shadow history of one key: what every version really superseded, told by the harness and not by the system.
//!
//! The system under test decides with clocks which version replaces which. The oracle keeps the same relation apart
//! from them: when a write is minted, it notes which versions the writer had been shown (or, for a `latest` write,
//! which ones the coordinator says it replaced), with all that those had superseded. That closure is the version's
//! *shadow past*. Every checker compares what clocks claim with what the shadow says.
//!
//! Two words carry the checks. A clock *covers* a version when it counts the version's dot. A stored set *knows* a
//! version when that is live in it, or in the past of a live one, or in the past of a delete that the clock covers
//! (a delete leaves no value, its trace is the clock). Covered but not known is data loss: see `checkers/`.
//!
//! One write can have two versions: a retry through another coordinator may mint the same operation again. A reader is shown
//! one of the two under a clock that covers both, so in a reply whatever accounts for one accounts for its covered *twins*
//! as well: they hold the same operation's value. In a record it does not: both versions are there until they are superseded.

use std::collections::BTreeMap;

use crate::bits::Bits;

/// The number of a write in the plan: what its value says about itself.
pub type WriteId = u32;

/// The event of one mint: an actor and its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShadowDot {
    /// The random id that a node drew for this key.
    pub actor: u64,
    /// The actor's counter, from 1.
    pub counter: u64,
}

/// A version set as the oracle sees one: the clock and the dots of the live values. Clock entries are in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The counters up to which each actor's dots are covered.
    pub clock: Vec<(u64, u64)>,
    /// The dots of the live values.
    pub live: Vec<ShadowDot>,
}

/// Whether `clock` counts `dot`.
pub fn covers(clock: &[(u64, u64)], dot: ShadowDot) -> bool {
    clock.iter().any(|(actor, counter)| *actor == dot.actor && *counter >= dot.counter)
}

/// One minted version.
#[derive(Clone, Debug)]
pub struct Version {
    /// The write that it came from.
    pub write: WriteId,
    /// Its dot.
    pub dot: ShadowDot,
    /// Whether it deletes.
    pub delete: bool,
    /// All versions that it supersedes, transitively, without itself.
    pub past: Bits,
}

/// The dots of one actor in ascending order, each with all versions up to it.
#[derive(Clone, Debug, Default)]
struct ActorLine {
    counters: Vec<u64>,
    covered: Vec<Bits>,
}

/// Everything ever minted for one key.
#[derive(Clone, Debug, Default)]
pub struct KeyOracle {
    versions: Vec<Version>,
    by_dot: BTreeMap<ShadowDot, usize>,
    actors: BTreeMap<u64, ActorLine>,
    by_write: BTreeMap<WriteId, Vec<usize>>,
    deletes: Vec<usize>,
    /// Versions whose write has others.
    twins: Vec<usize>,
    acknowledged: Bits,
    failed: Bits,
}

impl KeyOracle {
    /// The versions in the order of their minting; a version's index is its name in every [`Bits`] of this key.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version that has `dot`.
    pub fn version_of(&self, dot: ShadowDot) -> Option<usize> {
        self.by_dot.get(&dot).copied()
    }

    /// The versions that were minted for `write`: none, one, or twins.
    pub fn versions_of(&self, write: WriteId) -> &[usize] {
        self.by_write.get(&write).map_or(&[], Vec::as_slice)
    }

    /// The highest counter that `actor` was seen to use.
    pub fn highest_counter(&self, actor: u64) -> Option<u64> {
        self.actors.get(&actor).and_then(|line| line.counters.last().copied())
    }

    /// Registers a mint. The dot must be new and its counter the actor's highest: `checkers::p5` says so before.
    pub fn register(&mut self, write: WriteId, dot: ShadowDot, delete: bool, past: Bits) -> usize {
        let index = self.versions.len();
        let line = self.actors.entry(dot.actor).or_default();
        let mut covered = line.covered.last().cloned().unwrap_or_default();
        covered.insert(index);
        line.counters.push(dot.counter);
        line.covered.push(covered);
        self.by_dot.insert(dot, index);
        let same_write = self.by_write.entry(write).or_default();
        same_write.push(index);
        if let [first, _] = same_write[..] {
            self.twins.push(first);
        }
        if same_write.len() > 1 {
            self.twins.push(index);
        }
        if delete {
            self.deletes.push(index);
        }
        self.versions.push(Version { write, dot, delete, past });
        index
    }

    /// All versions that `clock` covers.
    pub fn covered(&self, clock: &[(u64, u64)]) -> Bits {
        let mut all = Bits::new();
        for (actor, counter) in clock {
            let Some(line) = self.actors.get(actor) else { continue };
            let upto = line.counters.partition_point(|known| known <= counter);
            if upto > 0 {
                all.union_with(&line.covered[upto - 1]);
            }
        }
        all
    }

    /// All versions that a record accounts for: live ones, deletes that the clock covers, and their pasts. Live dots that
    /// were never minted are passed over; `checkers::p3` names them.
    pub fn recorded(&self, seen: &Seen) -> Bits {
        let live = seen.live.iter().filter_map(|dot| self.version_of(*dot));
        let is_covered = |version: &usize| covers(&seen.clock, self.versions[*version].dot);
        let deletes = self.deletes.iter().copied().filter(is_covered);
        self.closure(live.chain(deletes))
    }

    /// All versions that a reply accounts for: as of a record, and covered twins of all of these with their pasts.
    pub fn known(&self, seen: &Seen) -> Bits {
        let is_covered = |version: &usize| covers(&seen.clock, self.versions[*version].dot);
        let mut all = self.recorded(seen);
        // A twin's past can hold another twin, so this goes on until nothing is added. There are hardly ever any.
        while let Some(twin) = self.twins.iter().copied().find(|twin| {
            !all.contains(*twin)
                && is_covered(twin)
                && self.write_is_in(self.versions[*twin].write, &all)
        }) {
            self.add_with_past(twin, &mut all);
        }
        all
    }

    /// The given versions with all that they supersede.
    pub fn closure(&self, versions: impl IntoIterator<Item = usize>) -> Bits {
        let mut all = Bits::new();
        for version in versions {
            self.add_with_past(version, &mut all);
        }
        all
    }

    fn add_with_past(&self, version: usize, all: &mut Bits) {
        all.insert(version);
        all.union_with(&self.versions[version].past);
    }

    /// Whether any version of `write` is among `versions`.
    pub fn write_is_in(&self, write: WriteId, versions: &Bits) -> bool {
        self.versions_of(write).iter().any(|version| versions.contains(*version))
    }

    /// Whether `write` was deleted: it is a minted delete, or in the past of one.
    pub fn is_deleted(&self, write: WriteId) -> bool {
        self.versions_of(write).iter().any(|version| {
            self.deletes
                .iter()
                .any(|delete| delete == version || self.versions[*delete].past.contains(*version))
        })
    }

    /// Whether whoever holds this version, or what superseded it, holds a value: it is none itself of a delete, and no delete
    /// supersedes it.
    pub fn is_undeleted(&self, version: usize) -> bool {
        let superseded = |delete: &usize| self.versions[*delete].past.contains(version);
        !self.versions[version].delete && !self.deletes.iter().any(superseded)
    }

    /// Notes that the client was told `write` is applied.
    pub fn acknowledge(&mut self, write: WriteId) {
        self.acknowledged.insert(write as usize);
    }

    /// Notes that the client was told `write` is definitely not applied.
    pub fn fail(&mut self, write: WriteId) {
        self.failed.insert(write as usize);
    }

    /// The acknowledged writes, by their numbers in the plan.
    pub const fn acknowledged(&self) -> &Bits {
        &self.acknowledged
    }

    /// The writes that are definitely not applied, by their numbers in the plan.
    pub const fn failed(&self) -> &Bits {
        &self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyOracle, Seen, ShadowDot};
    use crate::bits::Bits;

    const fn dot(actor: u64, counter: u64) -> ShadowDot {
        ShadowDot { actor, counter }
    }

    #[test]
    fn a_live_version_accounts_for_its_past_and_nothing_else() {
        let mut key = KeyOracle::default();
        let first = key.register(1, dot(10, 1), false, Bits::new());
        let past = key.closure([first]);
        key.register(2, dot(10, 2), false, past);
        key.register(3, dot(20, 1), false, Bits::new());
        let seen = Seen { clock: vec![(10, 2), (20, 1)], live: vec![dot(10, 2)] };
        assert_eq!(key.covered(&seen.clock).iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(key.known(&seen).iter().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_covered_delete_accounts_for_what_it_deleted() {
        let mut key = KeyOracle::default();
        let first = key.register(1, dot(10, 1), false, Bits::new());
        let past = key.closure([first]);
        key.register(2, dot(20, 2), true, past);
        let tombstone = Seen { clock: vec![(10, 1), (20, 2)], live: vec![] };
        assert_eq!(key.known(&tombstone).len(), 2);
        let without = Seen { clock: vec![(10, 1)], live: vec![] };
        assert!(key.known(&without).is_empty(), "nothing accounts for the first write there");
        assert!(key.is_deleted(1) && key.is_deleted(2));
    }

    #[test]
    fn a_live_twin_stands_for_the_covered_one() {
        let mut key = KeyOracle::default();
        key.register(1, dot(10, 1), false, Bits::new());
        let other = key.register(5, dot(30, 1), false, Bits::new());
        let past = key.closure([other]);
        key.register(1, dot(20, 1), false, past);
        let merged = Seen { clock: vec![(10, 1), (20, 1), (30, 1)], live: vec![dot(10, 1)] };
        assert_eq!(key.known(&merged).len(), 3, "the twin's past is superseded too");
        let one_sided = Seen { clock: vec![(10, 1)], live: vec![dot(10, 1)] };
        assert_eq!(key.known(&one_sided).len(), 1, "a twin that is not covered claims nothing");
    }
}
