//! Whether an open index still adds up to what it says of itself, found out a page at a time while it changes.
//!
//! Only the indexer changes the index, and only the indexer goes through it here. So what has been visited can follow every
//! change: the sum over all keys up to a cursor is exact at any moment, and at the end it is the sum of the whole index.

use std::ops::ControlFlow;

use crate::index::{EntrySum, Index, IndexError, IndexKey};

/// A visit of the whole index under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Verifying {
    /// The last key that was visited.
    cursor: Option<IndexKey>,
    /// The sum of all entries up to it.
    sum: EntrySum,
}

impl Verifying {
    /// The index names another sequence for a key from now on.
    pub(super) fn change(&mut self, key: &[u8], old: Option<u64>, new: Option<u64>) {
        if self.cursor.as_deref().is_none_or(|cursor| key > cursor) {
            return;
        }
        old.inspect(|old| self.sum.subtract(key, *old));
        new.inspect(|new| self.sum.add(key, *new));
    }

    /// Visits so many entries more. Returns how many there were: fewer at the end.
    pub(super) fn visit<I: Index>(&mut self, index: &I, most: usize) -> Result<usize, IndexError> {
        let start = self.cursor.clone();
        let start = start.as_deref().unwrap_or_default();
        let mut visited = 0;
        index.scan(start, &mut |key, entry| {
            if key == start {
                return ControlFlow::Continue(());
            }
            self.sum.add(key, entry.sequence);
            visited += 1;
            match visited < most {
                true => ControlFlow::Continue(()),
                false => {
                    self.cursor = Some(key.into());
                    ControlFlow::Break(())
                }
            }
        })?;
        Ok(visited)
    }

    /// What was visited adds up to.
    pub(super) fn sum(&self) -> EntrySum {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::Verifying;
    use crate::index::{
        EntryState, EntrySum, Index, IndexBatch, IndexEntry, IndexOpener, Sentinel,
    };
    use crate::location::Location;
    use crate::memory_index::{MemoryDisk, MemoryIndex};

    fn set(
        index: &MemoryIndex,
        sum: &mut EntrySum,
        (key, old): (u8, Option<u64>),
        new: Option<u64>,
    ) {
        let entry = |sequence| IndexEntry {
            sequence,
            location: Location::default(),
            state: EntryState::Record,
            values: 1,
            value_bytes: 1,
            digest: 1,
        };
        old.inspect(|old| sum.subtract(&[key], *old));
        new.inspect(|new| sum.add(&[key], *new));
        let sentinel = Sentinel { store_id: 1, batch: 1, sum: *sum };
        let changes = vec![([key][..].into(), new.map(entry))];
        index.apply(&IndexBatch { changes, sentinel }).unwrap();
    }

    #[test]
    fn a_visit_adds_up_whatever_changes_meanwhile_and_a_lost_entry_does_not() {
        for lost in [false, true] {
            let mut disk = MemoryDisk::new();
            let index = disk.open().unwrap();
            let (mut sum, mut verifying) = (EntrySum::default(), Verifying::default());
            (0..40).for_each(|key| set(&index, &mut sum, (key * 3, None), Some(key.into())));
            let mut visited = 0;
            for round in 0.. {
                let found = verifying.visit(&index, 4).unwrap();
                visited += found;
                if found < 4 {
                    break;
                }
                // Behind the visit and before it: new, changed and removed keys.
                let changes = [
                    ((round, 0), None, Some(100)),
                    ((round * 3 + 12, 2), Some(u64::from(round) + 4), Some(200)),
                    ((117 - round * 3, 3), Some(39 - u64::from(round)), None),
                ];
                for ((key, rule), old, new) in changes {
                    if rule == 0 && key % 3 == 0 || rule == 3 && round > 3 || rule == 2 && round > 5
                    {
                        continue;
                    }
                    set(&index, &mut sum, (key, old), new);
                    verifying.change(&[key], old, new);
                }
                if lost && round == 2 {
                    assert!(disk.lose_entries(7) > 0);
                }
            }
            assert!(visited > 20, "{visited}");
            assert_eq!(verifying.sum() == sum, !lost, "lost: {lost}");
        }
    }
}
