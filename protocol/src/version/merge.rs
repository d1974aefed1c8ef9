//! How two replicas' sets become one.
//!
//! An entry that only one side holds stays unless the other side's clock covers its dot: covered and absent means replaced.
//!
//! When a retry was minted a second time elsewhere, two live versions carry one operation id. Both stay: a reader is shown
//! one of them ([`VersionSet::values`]), and whoever replaces what it read replaces both. Dropping the higher dot here would
//! lose data. Of two operations that were both retried, each can have replaced the other on some branch; a replica that
//! had dropped one's version in favour of its twin, and then saw the twin replaced, would take the dropped one for replaced
//! as well, and two such replicas together would keep neither.

use std::cmp::Ordering;

use super::clock::Clock;
use super::dot::Dot;
use super::set::{VersionSet, Versions};
use crate::codec::Surplus;

impl VersionSet {
    /// What a replica holds that has seen what either has seen.
    pub fn merge(&self, other: &VersionSet) -> VersionSet {
        if other.overtakes(self) {
            return other.clone();
        }
        let versions: Versions = join(&self.versions, &self.clock, &other.versions, &other.clock);
        let mut deletions: Vec<_> =
            join(&self.deletions, &self.clock, &other.deletions, &other.clock);
        // No correct node mints a value and a delete under one dot; if one ever did, the set must still be a valid one.
        deletions.retain(|(dot, _)| !versions.iter().any(|version| version.0 == *dot));
        VersionSet {
            clock: self.clock.merge(&other.clock),
            versions,
            deletions,
            surplus: later(&self.surplus, &other.surplus).clone(),
        }
    }

    /// Whether this is a newer write that replaces all that `other` holds, so that merging the two gives this set. What most
    /// merges find, and cheap to see; false says nothing.
    pub fn overtakes(&self, other: &VersionSet) -> bool {
        let [(dot, _)] = &self.versions[..] else { return false };
        self.deletions.is_empty()
            && other.surplus.is_empty()
            && !other.clock.covers(*dot)
            && self.clock.descends(&other.clock)
    }

    /// Merges `other` in; says whether anything changed.
    pub fn merge_into(&mut self, other: &VersionSet) -> bool {
        let merged = self.merge(other);
        let changed = merged != *self;
        if changed {
            *self = merged;
        }
        changed
    }
}

/// The entries of two sets by the rule of dotted version vectors. Both ascend by dot, and so does the result.
fn join<T: Clone + Ord, C: Default + Extend<(Dot, T)>>(
    left: &[(Dot, T)],
    left_clock: &Clock,
    right: &[(Dot, T)],
    right_clock: &Clock,
) -> C {
    let mut joined = C::default();
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => a.0.cmp(&b.0),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return joined,
        };
        match order {
            Ordering::Less => {
                joined.extend(left.next().filter(|entry| !right_clock.covers(entry.0)).cloned())
            }
            Ordering::Greater => {
                joined.extend(right.next().filter(|entry| !left_clock.covers(entry.0)).cloned())
            }
            // The same write. The copies differ at most in fields of a later version; the greater one wins everywhere.
            Ordering::Equal => joined.extend(left.next().max(right.next()).cloned()),
        }
    }
}

/// Unknown fields cannot be merged; both sides choose the same.
fn later<'a>(left: &'a Surplus, right: &'a Surplus) -> &'a Surplus {
    left.max(right)
}
