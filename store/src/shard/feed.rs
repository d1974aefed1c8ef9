//! Feeding the index: late, in key order, synced versions only.
//!
//! What the index does not know yet, replay finds in the log, so a record may wait for the index as long as the log behind
//! the last checkpoint is short enough to be replayed. Waiting pays twice: a key that is overwritten meanwhile is fed once,
//! and the more keys are fed together, the nearer they lie to each other in the index and the less each costs. So nothing
//! is fed until a checkpoint is due, or until the backlog holds half of the records that it may, or more bytes than the table
//! should. The first is no hurry, and spread; in the others the feed keeps going until there is room. At the whole of what it may hold, requests are refused: writers then go at
//! the pace of the index, and the backlog stays where it is.

use super::Life;
use super::Shard;
use super::rebuild::Rebuilding;
use super::table::{Body, Entry, Placed, Slot};
use crate::job::{IndexChange, IndexJob, Indexed, Indexing, Named};
use crate::limits;

/// What is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feed {
    /// What the job in work tells the index.
    in_flight: Vec<(Slot, Option<Placed>)>,
    /// Room for the changes of the next job: what came back with the last one.
    changes: Vec<IndexChange>,
    /// Whether the indexer has a job, of whatever kind.
    pub(super) busy: bool,
    /// Jobs that told the index of changes, and are back.
    jobs: u64,
    /// Changes that they told it of.
    pub(super) fed: u64,
}

impl Feed {
    /// The number of the first index job that is not back yet.
    pub(super) fn next_back(&self) -> u64 {
        self.jobs + 1
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
            // A sweep that has ended goes first: the feed of a busy shard never runs out of work.
            Rebuilding::No => self
                .checkpoint_job()
                .or_else(|| if self.counts_next() { self.count_job() } else { None })
                .or_else(|| self.feed_job())
                .or_else(|| self.checkpoint_job())
                .or_else(|| self.count_job())?,
        };
        self.feed.busy = true;
        Some(IndexJob(job))
    }

    fn feed_job(&mut self) -> Option<Indexing> {
        let sweeping = self.checkpoint.feeds_now(self.now);
        let many = self.unindexed.len() >= self.options.unindexed_records / 2;
        let large = !self.unindexed.is_empty() && self.table.is_pinned_full();
        let is_urgent = many || large || self.life == Life::Closing;
        if !(sweeping || is_urgent) {
            return None;
        }
        // At its own pace a sweep takes small portions: a job is in everybody's way for as long as it takes.
        let portion = match self.checkpoint.is_paced() && !is_urgent {
            true => self.options.index_batch.div_ceil(limits::PACED_SHARE),
            false => self.options.index_batch,
        };
        let changes = self.gather(portion);
        (!changes.is_empty()).then_some(Indexing::Apply { changes })
    }

    /// The next changes: whole regions in key order, the last one as far as it goes.
    fn gather(&mut self, portion: usize) -> Vec<IndexChange> {
        let mut changes = std::mem::take(&mut self.feed.changes);
        while changes.len() < portion {
            let Some(slot) = self.unindexed.next() else {
                self.checkpoint.sweep_ended();
                break;
            };
            self.checkpoint.swept(1);
            let entry = self.table.entry(slot);
            if entry.feeds_index() {
                let (change, sent) = change_of(entry);
                self.feed.in_flight.push((slot, sent));
                changes.push(change);
            }
        }
        changes
    }

    pub(super) fn indexed(&mut self, indexed: Indexed) {
        let Indexed { sum, digests, room } = indexed;
        let mut fed = std::mem::take(&mut self.feed.in_flight);
        self.sum = sum;
        self.feed.busy = false;
        self.feed.changes = room;
        self.feed.jobs += 1;
        self.count_may_follow();
        self.feed.fed += fed.len() as u64;
        for ((slot, sent), digest) in fed.drain(..).zip(digests) {
            let entry = self.table.entry_mut(slot);
            self.unindexed.told(entry.indexed.is_some(), sent.is_some());
            entry.indexed = sent;
            entry.fed_by = self.feed.jobs;
            let is_forgotten = matches!(entry.body, Body::Gone) && sent.is_none();
            let forgotten = if is_forgotten { entry.sequence } else { 0 };
            let sequence = sent.map_or(forgotten, |sent| sent.sequence);
            self.tell_tree(slot, sequence, digest);
            let entry = self.table.entry(slot);
            if is_forgotten || entry.is_synced() && !entry.feeds_index() {
                self.unindexed.settle(&mut self.table, slot);
            }
            if is_forgotten {
                self.table.remove(slot);
            }
        }
        self.feed.in_flight = fed;
    }
}

/// What the index is to be told of an entry, and what it will then name.
fn change_of(entry: &Entry) -> (IndexChange, Option<Placed>) {
    let synced = entry.synced.as_ref().filter(|_| !matches!(entry.body, Body::Gone));
    let placed = synced.map(|synced| synced.placed);
    let new = match synced.map(|synced| (&synced.body, synced.placed)) {
        Some((Body::Record(record), placed)) => {
            let digest = entry.is_synced().then(|| entry.told()).flatten();
            Named::Record { record: record.clone(), placed, digest }
        }
        Some((Body::Removed { covers_through }, placed)) => {
            let covers_through = covers_through.unwrap_or(placed.location.segment);
            Named::Removed { key: entry.key.clone(), covers_through, placed }
        }
        None | Some((Body::Gone | Body::Damaged, _)) => Named::Nothing { key: entry.key.clone() },
    };
    let sent = placed.filter(|_| !matches!(new, Named::Nothing { .. }));
    (IndexChange { old: entry.indexed.map(|indexed| indexed.sequence), new }, sent)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use kvorum_protocol::{Change, Key, OperationId, RecordKey, Replaces};
    use kvorum_ring::{ClassId, PartitionCount};

    use crate::clock::Now;
    use crate::job::Job;
    use crate::memory_index::{MemoryDisk, MemoryIndex};
    use crate::options::ShardOptions;
    use crate::recovery::{Opened, open};
    use crate::request::{Apply, StoreRequest, Token};
    use crate::sim_files::SimFiles;

    fn key() -> RecordKey {
        let key = Key::new(Bytes::from_static(b"k")).unwrap();
        RecordKey::new(ClassId(0), PartitionCount::default(), "b".parse().unwrap(), key)
    }

    fn put(operation: u128) -> StoreRequest {
        let change = Change::Value { bytes: Bytes::from_static(b"v"), expires_at_ms: None };
        let (replaces, operation) = (Replaces::Latest, OperationId(operation));
        let change = Apply::Update { replaces, change, operation };
        StoreRequest::Apply { token: Token(operation.0 as u64), key: key(), change }
    }

    fn run(opened: &mut Opened<SimFiles, MemoryIndex>, job: Job) {
        let done = match job {
            Job::Commit(job) => opened.committer.run(job),
            Job::Read(job) => opened.reader.run(job),
            Job::Index(job) => opened.indexer.run(job),
            Job::Compact(job) => opened.compactor.run(job),
        };
        opened.shard.complete(Now::default(), done);
    }

    fn settle(opened: &mut Opened<SimFiles, MemoryIndex>) {
        while let Some(job) = opened.shard.poll_job() {
            run(opened, job);
        }
    }

    #[test]
    fn a_key_that_is_written_while_the_index_forgets_its_marker_is_counted_once() {
        // One record may wait, so each is fed at once.
        let options = ShardOptions { unindexed_records: 2, ..ShardOptions::small() };
        let mut opened = open(Arc::new(SimFiles::new()), MemoryDisk::new(), options, 1).unwrap();
        opened.shard.submit(Now::default(), put(1));
        settle(&mut opened);
        opened.shard.submit(Now::default(), StoreRequest::Remove { token: Token(2), key: key() });
        settle(&mut opened);
        assert_eq!((opened.shard.stats().keys, opened.shard.stats().index_backlog), (1, 0));

        let slot = opened.shard.table.find(&key());
        let marker = opened.shard.table.entry(slot.unwrap()).sequence;
        opened.shard.drop_marker(slot, marker);
        let Some(forgetting) = opened.shard.poll_job() else { panic!("the index is to forget it") };
        assert!(matches!(forgetting, Job::Index(_)));
        opened.shard.submit(Now::default(), put(3));
        run(&mut opened, forgetting);
        assert_eq!(opened.shard.stats().keys, 1, "it waits, and the index does not know it");
        settle(&mut opened);
        assert_eq!((opened.shard.stats().keys, opened.shard.stats().index_backlog), (1, 0));
    }
}
