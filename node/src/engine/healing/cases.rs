//! Which records are to be healed, and when each is tried again.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_protocol::RecordKey;
use kvorum_store::Now;

use crate::limits;

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    /// What all other owners hold is durable here.
    Healed,
    /// Nothing can be done by asking again: nobody holds anything, or the record is no longer this node's.
    Hopeless,
    /// Not every other owner answered, or the store took nothing now.
    Unfinished,
}

/// A damaged record.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// How long it rests after the next attempt that comes to nothing.
    rest_ms: u64,
    /// When it is tried next; `None` while it is being tried.
    due_ns: Option<u64>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cases {
    cases: BTreeMap<RecordKey, Case>,
    due: BTreeSet<(u64, RecordKey)>,
    under_way: usize,
}

impl Cases {
    /// A record is damaged. What there is no room for is found again by the next scrub.
    pub(crate) fn add(&mut self, now: Now, key: &RecordKey) {
        if self.cases.len() < limits::HEALS && !self.cases.contains_key(key) {
            let case = Case { rest_ms: limits::HEAL_REST_MS, due_ns: Some(now.mono_ns) };
            self.cases.insert(key.clone(), case);
            self.due.insert((now.mono_ns, key.clone()));
        }
    }

    /// Records that are not healed yet.
    pub(crate) fn len(&self) -> usize {
        self.cases.len()
    }

    /// When [`Cases::take_due`] has something to give, in monotonic nanoseconds.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let has_room = self.under_way < limits::HEALS_AT_ONCE;
        self.due.first().map(|(due_ns, _)| *due_ns).filter(|_| has_room)
    }

    /// The next record to be tried, which begins now.
    pub(crate) fn take_due(&mut self, now: Now) -> Option<RecordKey> {
        self.next_ns().filter(|next_ns| *next_ns <= now.mono_ns)?;
        let (_, key) = self.due.pop_first()?;
        if let Some(case) = self.cases.get_mut(&key) {
            case.due_ns = None;
        }
        self.under_way += 1;
        Some(key)
    }

    /// An attempt has ended.
    pub(crate) fn end(&mut self, now: Now, key: &RecordKey, attempt: Attempt) {
        self.under_way -= 1;
        match (attempt, self.cases.get_mut(key)) {
            (Attempt::Unfinished, Some(case)) => {
                let due_ns = now.after_ms(case.rest_ms);
                case.due_ns = Some(due_ns);
                case.rest_ms = (case.rest_ms * 2).min(limits::HEAL_REST_LONGEST_MS);
                self.due.insert((due_ns, key.clone()));
            }
            _ => drop(self.cases.remove(key)),
        }
    }

    /// A peer can be reached again: whoever waits for it need not rest any longer.
    pub(crate) fn rise(&mut self, now: Now) {
        for (_, key) in std::mem::take(&mut self.due) {
            if let Some(case) = self.cases.get_mut(&key) {
                *case = Case { rest_ms: limits::HEAL_REST_MS, due_ns: Some(now.mono_ns) };
                self.due.insert((now.mono_ns, key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Attempt, Cases};
    use crate::limits;
    use kvorum_protocol::{Key, RecordKey};
    use kvorum_ring::{ClassId, PartitionCount};
    use kvorum_store::Now;

    fn key(number: usize) -> RecordKey {
        let key = Key::new(number.to_be_bytes().to_vec()).unwrap();
        RecordKey::new(ClassId(0), PartitionCount::default(), "b".parse().unwrap(), key)
    }

    #[test]
    fn few_are_tried_at_once_and_what_comes_to_nothing_rests_longer_and_longer() {
        let (mut cases, mut now) = (Cases::default(), Now::default());
        (0..limits::HEALS + 9).for_each(|number| cases.add(now, &key(number)));
        cases.add(now, &key(0));
        assert_eq!(cases.len(), limits::HEALS, "bounded, and each once");
        let taken: Vec<RecordKey> = std::iter::from_fn(|| cases.take_due(now)).collect();
        assert_eq!((taken.len(), cases.next_ns()), (limits::HEALS_AT_ONCE, None));
        taken[1..].iter().for_each(|key| cases.end(now, key, Attempt::Healed));
        assert_eq!(cases.len(), limits::HEALS - taken.len() + 1);
        while let Some(key) = cases.take_due(now) {
            cases.end(now, &key, Attempt::Hopeless);
        }
        assert_eq!(cases.len(), 1);
        let mut rests = Vec::new();
        for _ in 0..20 {
            cases.end(now, &taken[0], Attempt::Unfinished);
            assert_eq!(cases.take_due(now), None);
            let due_ns = cases.next_ns().unwrap();
            rests.push(due_ns - now.mono_ns);
            now.mono_ns = due_ns;
            assert_eq!(cases.take_due(now).as_ref(), Some(&taken[0]));
        }
        assert!(rests.is_sorted() && rests[1] > rests[0]);
        assert_eq!(rests[19], limits::HEAL_REST_LONGEST_MS * 1_000_000);
        cases.end(now, &taken[0], Attempt::Unfinished);
        cases.rise(now);
        assert_eq!(cases.take_due(now).as_ref(), Some(&taken[0]), "a peer is back");
    }
}
