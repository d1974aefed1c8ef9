//! Feeding the index: in key order, synced versions only, whenever nobody waits.
//!
//! Records come in no order at all, and a sorted batch costs an ordered index much less than as many single puts. So a
//! cursor sweeps over the keys that the index does not name yet, again and again; the larger the backlog, the denser a
//! sweep. A key that changes often is fed once per sweep. Until the backlog is half of what it may be, a batch goes now and
//! then only, so that a burst of writes has the processor to itself.

use std::ops::Bound;

use super::Life;
use super::Shard;
use super::checkpoint::Phase;
use super::rebuild::Rebuilding;
use super::table::{Body, Entry, Placed, Slot};
use crate::clock::Now;
use crate::index::{EntrySum, IndexKey};
use crate::job::{Content, IndexChange, IndexJob, Indexing, NewEntry};

/// The state of the sweep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feed {
    /// The last key fed; `None` at the beginning of a sweep.
    cursor: Option<IndexKey>,
    /// What the job in work tells the index.
    in_flight: Vec<(IndexKey, Slot, Option<Placed>)>,
    /// Whether the indexer has a job, of whatever kind.
    pub(super) busy: bool,
    /// Jobs that told the index of changes, and are back.
    jobs: u64,
    /// When the oldest record began to wait, or the last job was made.
    waits_since: Option<u64>,
}

impl Feed {
    /// Something waits to be fed.
    pub(super) fn note(&mut self, now: Now) {
        self.waits_since.get_or_insert(now.mono_ns);
    }

    /// The number of the first index job that is not back yet.
    pub(super) fn next_back(&self) -> u64 {
        self.jobs + 1
    }

    /// Begins a sweep at the first key.
    pub(super) fn restart(&mut self) {
        self.cursor = None;
    }
}

impl Shard {
    /// The indexer's next job.
    pub(super) fn index_job(&mut self) -> Option<IndexJob> {
        if self.feed.busy {
            return None;
        }
        let job = match self.rebuilding {
            Rebuilding::Ready => self.rebuild_job(),
            Rebuilding::Wanted | Rebuilding::Running => return None,
            Rebuilding::No => match self.feed_job() {
                Some(job) => job,
                None => self.checkpoint_job()?,
            },
        };
        self.feed.busy = true;
        Some(IndexJob(job))
    }

    pub(super) fn feed_deadline(&self) -> Option<u64> {
        if self.feed.busy || self.rebuilding != Rebuilding::No {
            return None;
        }
        let since = self.feed.waits_since?;
        Some(since + self.options.index_delay_ms * crate::clock::NS_PER_MS)
    }

    fn feed_job(&mut self) -> Option<Indexing> {
        let sweeping = matches!(self.checkpoint.phase, Phase::Sweeping { .. });
        let due = self.feed_deadline().is_some_and(|at| at <= self.now.mono_ns);
        let many = self.unindexed.len() >= self.options.unindexed_records / 2;
        if !(sweeping || due || many || self.life == Life::Closing) {
            return None;
        }
        let changes = self.gather();
        if changes.is_empty() {
            self.feed.waits_since = None;
            return None;
        }
        self.feed.waits_since = Some(self.now.mono_ns);
        Some(Indexing::Apply { changes })
    }

    /// The next changes in key order. A sweep that reaches the end is complete; the next begins with the next call.
    fn gather(&mut self) -> Vec<IndexChange> {
        let mut changes = Vec::new();
        let from = match self.feed.cursor.take() {
            Some(cursor) => Bound::Excluded(cursor),
            None => Bound::Unbounded,
        };
        let mut reached_end = true;
        for (key, slot) in self.unindexed.range::<IndexKey, _>((from, Bound::Unbounded)) {
            let entry = self.table.entry(*slot);
            if !entry.feeds_index() {
                continue;
            }
            if changes.len() == self.options.index_batch {
                reached_end = false;
                break;
            }
            self.feed.cursor = Some(key.clone());
            let change = change_of(key, entry);
            let sent = change
                .new
                .as_ref()
                .map(|new| Placed { sequence: new.sequence, location: new.location });
            self.feed.in_flight.push((key.clone(), *slot, sent));
            changes.push(change);
        }
        if reached_end {
            self.feed.cursor = None;
            self.checkpoint.sweep_ended();
        }
        changes
    }

    pub(super) fn indexed(&mut self, sum: EntrySum) {
        self.feed.busy = false;
        self.feed.jobs += 1;
        self.sum = sum;
        for (key, slot, sent) in std::mem::take(&mut self.feed.in_flight) {
            let entry = self.table.entry_mut(slot);
            entry.indexed = sent;
            entry.fed_by = self.feed.jobs;
            if matches!(entry.body, Body::Gone) && sent.is_none() {
                self.unindexed.remove(&key);
                self.table.remove(slot);
            } else if entry.is_synced() && !entry.feeds_index() {
                entry.noted = false;
                self.unindexed.remove(&key);
            }
        }
        if self.unindexed.is_empty() {
            self.feed.waits_since = None;
        }
    }
}

fn change_of(key: &IndexKey, entry: &Entry) -> IndexChange {
    let old = entry.indexed.map(|indexed| indexed.sequence);
    let new = entry.synced.as_ref().and_then(|synced| {
        let Placed { sequence, location } = synced.placed;
        let content = match (&entry.body, &synced.body) {
            (Body::Gone, _) | (_, Body::Gone | Body::Damaged) => return None,
            (_, Body::Record(record)) => Content::Set(record.set.clone()),
            (_, Body::Removed { covers_through }) => {
                Content::Removed { covers_through: covers_through.unwrap_or(location.segment) }
            }
        };
        Some(NewEntry { sequence, location, content })
    });
    IndexChange { key: key.clone(), old, new }
}
