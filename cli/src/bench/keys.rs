//! The keys of a run, and what is known of each: the context of the last reply, and whether a write is on its way.
//!
//! Two writes of one key at a time would make siblings, or leave it to the node what replaces what. So a key has at most one
//! write on its way, and a worker that draws a key that is being written draws again. The context of a reply is kept for
//! the next write. A write whose outcome is not known may still be on its way, and would become a sibling of whatever
//! replaces the same before it arrives. So its key rests until the write can have no time left, and is then read from all
//! owners before it is written again.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use kvorum_protocol::Context;
use rand::rngs::SmallRng;

use crate::bench::distribution::Distribution;

/// What the last reply told about a key.
#[derive(Debug, Clone, Default)]
pub(crate) enum Known {
    /// Nothing: it has to be read before it is written.
    #[default]
    Nothing,
    /// The outcome of its last write is not known: it has to be read from all owners before it is written.
    Doubt,
    /// This context covers all that it holds.
    Context(Context),
}

impl Known {
    /// What a reply says. The context's bytes are copied: they are a part of a whole buffer of replies.
    pub(crate) fn of(context: Option<&Context>) -> Known {
        match context {
            Some(context) => {
                Known::Context(Context::from_bytes(Bytes::copy_from_slice(context.as_ref())))
            }
            None => Known::Nothing,
        }
    }
}

/// At most one key in so many rests. Those with a write on its way are up to half of all, and some have to be left.
const RESTING: usize = 4;

#[derive(Debug, Default)]
struct State {
    /// One for each key that may be overwritten.
    known: Vec<Known>,
    /// Keys with a write on its way, resting ones included.
    busy: BTreeSet<u64>,
    /// Keys that nobody writes until a moment, the first ones first.
    resting: VecDeque<(Instant, u64)>,
    /// Numbers given to new keys so far, the loaded ones included.
    given: u64,
    /// New keys that are not acknowledged yet.
    coming: BTreeSet<u64>,
    /// New keys whose put failed: they may be there or not.
    doubtful: BTreeSet<u64>,
    redrawn: u64,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Keys {
    /// How many there were at the beginning.
    loaded: u64,
    /// Tells the new keys of this run from those of another: a new key must not be there yet.
    run: u32,
    state: Mutex<State>,
}

impl Keys {
    /// `count` keys that are to be loaded or are there. Their contexts are kept when somebody overwrites keys.
    pub(crate) fn new(count: u64, overwritten: bool) -> Keys {
        let known = if overwritten { vec![Known::Nothing; count as usize] } else { Vec::new() };
        let state = Mutex::new(State { known, given: count, ..State::default() });
        Keys { loaded: count, run: rand::random(), state }
    }

    /// The name of the key of this number. In the order of names keys are in the order of numbers.
    pub(crate) fn name(&self, number: u64) -> String {
        if number < self.loaded {
            format!("bench/{number:012}")
        } else {
            format!("bench/{number:012}-{:08x}", self.run)
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key to read.
    pub(crate) fn draw(&self, distribution: Distribution, random: &mut SmallRng) -> u64 {
        let readable = self.state().readable();
        distribution.draw(readable.max(1), random)
    }

    /// A key to overwrite, and what is known of it. Nobody else writes it until it is given back by [`Keys::written`] or
    /// [`Keys::rest`].
    pub(crate) fn take(
        &self,
        distribution: Distribution,
        random: &mut SmallRng,
        now: Instant,
    ) -> (u64, Known) {
        let mut state = self.state();
        state.wake(now);
        let overwritable = state.known.len() as u64;
        loop {
            let key = distribution.draw(overwritable, random);
            if state.busy.insert(key) {
                return (key, std::mem::take(&mut state.known[key as usize]));
            }
            state.redrawn += 1;
        }
    }

    /// A key's write has ended.
    pub(crate) fn written(&self, key: u64, known: Known) {
        let mut state = self.state();
        state.busy.remove(&key);
        state.known[key as usize] = known;
    }

    /// A key's write has ended, and perhaps it has not: nobody writes the key until a moment, and then it is in doubt. Of
    /// more keys than there may be resting the first one wakes too early, which may make a sibling: there have to be keys
    /// that can be written.
    pub(crate) fn rest(&self, key: u64, until: Instant) {
        let mut state = self.state();
        state.known[key as usize] = Known::Doubt;
        state.resting.push_back((until, key));
        if state.resting.len() > state.known.len() / RESTING
            && let Some((_, early)) = state.resting.pop_front()
        {
            state.busy.remove(&early);
        }
    }

    /// A key was loaded.
    pub(crate) fn loaded(&self, key: u64, known: Known) {
        if let Some(place) = self.state().known.get_mut(key as usize) {
            *place = known;
        }
    }

    /// The number of a key that is not there yet.
    pub(crate) fn insert(&self) -> u64 {
        let mut state = self.state();
        let key = state.given;
        state.given += 1;
        state.coming.insert(key);
        key
    }

    /// A new key's put has ended.
    pub(crate) fn inserted(&self, key: u64, is_certain: bool) {
        let mut state = self.state();
        state.coming.remove(&key);
        if !is_certain {
            state.doubtful.insert(key);
        }
    }

    /// How often a key was drawn that was being written, and another was drawn instead.
    pub(crate) fn redrawn(&self) -> u64 {
        self.state().redrawn
    }

    /// How many numbers were given.
    pub(crate) fn given(&self) -> u64 {
        self.state().given
    }

    /// Whether the key of a given number must be there.
    pub(crate) fn is_certain(&self, key: u64) -> bool {
        let state = self.state();
        !state.doubtful.contains(&key) && !state.coming.contains(&key)
    }
}

impl State {
    /// Lets keys go that have rested for long enough.
    fn wake(&mut self, now: Instant) {
        while let Some((until, key)) = self.resting.front().copied()
            && until <= now
        {
            self.resting.pop_front();
            self.busy.remove(&key);
        }
    }

    /// Keys below this number have been acknowledged, or have failed.
    fn readable(&self) -> u64 {
        self.coming.first().copied().unwrap_or(self.given)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::{Keys, Known};
    use crate::bench::distribution::Distribution;

    #[test]
    fn a_key_is_written_by_one_at_a_time_and_keeps_its_context() {
        let keys = Keys::new(8, true);
        let mut random = SmallRng::seed_from_u64(3);
        let now = Instant::now();
        let taken: Vec<u64> =
            (0..8).map(|_| keys.take(Distribution::Zipfian, &mut random, now).0).collect();
        assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 8, "{taken:?}");
        assert!(keys.redrawn() > 0);
        let context = kvorum_protocol::Context::from_bytes(vec![5]);
        keys.written(taken[2], Known::of(Some(&context)));
        let (key, known) = keys.take(Distribution::Uniform, &mut random, now);
        assert_eq!(key, taken[2]);
        assert!(matches!(known, Known::Context(held) if held == context));
    }

    #[test]
    fn a_key_whose_write_may_still_be_on_its_way_rests_and_is_in_doubt_then() {
        let keys = Keys::new(8, true);
        let mut random = SmallRng::seed_from_u64(3);
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        let mut take = |at| keys.take(Distribution::Uniform, &mut random, at);
        let first = take(now).0;
        keys.rest(first, after(10));
        let others: BTreeSet<u64> = (0..7).map(|_| take(after(9)).0).collect();
        assert!(!others.contains(&first), "{others:?}");
        let (key, known) = take(after(10));
        assert_eq!(key, first);
        assert!(matches!(known, Known::Doubt));
        for key in 0..3 {
            keys.rest(key, after(20));
        }
        let (key, known) = take(after(11));
        assert_eq!(key, 0, "the first of too many");
        assert!(matches!(known, Known::Doubt));
    }

    #[test]
    fn a_new_key_is_read_only_when_it_and_all_before_it_were_acknowledged() {
        let keys = Keys::new(1, false);
        let mut random = SmallRng::seed_from_u64(3);
        let (second, third) = (keys.insert(), keys.insert());
        keys.inserted(third, true);
        for _ in 0..100 {
            assert_eq!(keys.draw(Distribution::Latest, &mut random), 0);
        }
        keys.inserted(second, false);
        let seen: BTreeSet<u64> =
            (0..100).map(|_| keys.draw(Distribution::Uniform, &mut random)).collect();
        assert_eq!(seen, BTreeSet::from([0, 1, 2]));
        assert!(keys.is_certain(third) && !keys.is_certain(second));
    }
}
