//! Which events of a key are known.

use smallvec::SmallVec;

use super::actor::Actor;
use super::dot::Dot;

/// Entries of a clock, ascending by actor. Most keys have been written through one or two coordinators, and then a clock
/// takes no memory of its own.
pub(super) type Entries = SmallVec<[(Actor, u64); 2]>;

/// For each actor the counter up to which all of its events are known: a version vector. Entries ascend by actor and
/// their counters are at least one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Clock {
    entries: Entries,
}

impl Clock {
    /// The clock that knows nothing.
    pub const EMPTY: Clock = Clock { entries: SmallVec::new_const() };

    /// A clock of these entries; of several for one actor the highest counts, and zeros count as absent.
    pub fn of(entries: impl IntoIterator<Item = (Actor, u64)>) -> Clock {
        let mut clock = Clock::EMPTY;
        for (actor, counter) in entries {
            clock.raise(Dot::new(actor, counter));
        }
        clock
    }

    /// Entries that already ascend by actor, with counters of at least one.
    pub(super) fn from_sorted(entries: Entries) -> Clock {
        debug_assert!(entries.is_sorted_by(|left, right| left.0 < right.0));
        Clock { entries }
    }

    /// Up to which counter the actor's events are known; 0 when none is.
    pub fn get(&self, actor: Actor) -> u64 {
        match self.find(actor) {
            Ok(index) => self.entries[index].1,
            Err(_) => 0,
        }
    }

    /// Whether the event is known.
    pub fn covers(&self, dot: Dot) -> bool {
        self.get(dot.actor) >= dot.counter
    }

    /// Whether every event that `other` knows is known here.
    pub fn descends(&self, other: &Clock) -> bool {
        other.iter().all(|(actor, counter)| self.get(actor) >= counter)
    }

    /// Makes an event known, with all earlier ones of its actor.
    pub fn raise(&mut self, dot: Dot) {
        if dot.counter == 0 {
            return;
        }
        match self.find(dot.actor) {
            Ok(index) => {
                let counter = &mut self.entries[index].1;
                *counter = dot.counter.max(*counter);
            }
            Err(index) => self.entries.insert(index, (dot.actor, dot.counter)),
        }
    }

    /// The clock that knows what either knows.
    pub fn merge(&self, other: &Clock) -> Clock {
        let mut merged = Entries::with_capacity(self.len().max(other.len()));
        let (mut left, mut right) = (self.entries.as_slice(), other.entries.as_slice());
        while let (Some((a, rest_left)), Some((b, rest_right))) =
            (left.split_first(), right.split_first())
        {
            if a.0 < b.0 {
                merged.push(*a);
                left = rest_left;
            } else if b.0 < a.0 {
                merged.push(*b);
                right = rest_right;
            } else {
                merged.push((a.0, a.1.max(b.1)));
                (left, right) = (rest_left, rest_right);
            }
        }
        merged.extend_from_slice(left);
        merged.extend_from_slice(right);
        Clock { entries: merged }
    }

    /// The entries, ascending by actor.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Actor, u64)> + '_ {
        self.entries.iter().copied()
    }

    /// How many actors have an entry. See [`limits::CLOCK_ENTRIES_ALARM`](crate::limits::CLOCK_ENTRIES_ALARM).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, actor: Actor) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&actor, |entry| entry.0)
    }
}
