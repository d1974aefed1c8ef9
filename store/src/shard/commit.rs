//! Batches: what was applied is synced together, in order, as fast as the committer comes back.
//!
//! While a batch is being synced the next one gathers; when the committer is idle everything gathered goes. A lone writer gets
//! a batch of one at once, and the busier it is the larger the batches.
//!
//! Few writers and a quick disk never wait for anything but the sync. But where many write and a sync is so quick that
//! little gathers meanwhile, most of what a batch costs is waking threads: then batches begin at a *pace*, no sooner than a
//! fixed short time after the one before, unless a full company waits already. It is the group commit of Gawlick and Kinkade
//! (IMS Fast Path, 1985) with the wait that PostgreSQL calls `commit_delay`, but only after a batch that shows a crowd.
//!
//! Invariant: what waits has a deadline of [`Shard::next_deadline`], so the pace delays a batch and never loses one.

use std::collections::VecDeque;

use super::table::{Body, Placed, Slot, Synced};
use super::{Life, Shard};
use crate::event::StoreEvent;
use crate::job::{CommitJob, Committed};
use crate::limits;
use crate::location::Location;
use crate::log::entry::{EntryBody, LogEntry};
use crate::request::Token;

/// An entry on its way into the log.
#[derive(Clone, Debug)]
struct Pending {
    slot: Slot,
    entry: LogEntry,
}

/// An entry of a sealed segment that is to be written again.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    /// `None` for the second copy of a marker, which nothing names.
    pub(crate) slot: Option<Slot>,
    pub(crate) from: Location,
    pub(crate) entry: LogEntry,
}

/// Whose entries the batch in work holds: those that move, then the others. Its vectors, and those that go to the committer
/// and come back, are used for every batch.
#[derive(Clone, Debug, Default)]
struct InFlight {
    is_out: bool,
    moves: Vec<Option<Slot>>,
    slots: Vec<Slot>,
    bytes: usize,
    entries: Vec<LogEntry>,
    locations: Vec<Location>,
}

/// The way into the log.
#[derive(Clone, Debug)]
pub(crate) struct Commits {
    next_sequence: u64,
    synced_sequence: u64,
    last_batch: u64,
    pending: VecDeque<Pending>,
    /// Bytes that are not synced yet, those in flight included.
    pending_bytes: usize,
    moves: VecDeque<Move>,
    in_flight: InFlight,
    /// When the last batch went to the committer, in monotonic nanoseconds, and how many writes it had: what compaction moves is no
    /// crowd.
    began_ns: u64,
    began_with: usize,
    /// Who waits for which sequence to be synced, ascending by sequence.
    waiting: VecDeque<(u64, Token)>,
    pub(super) batches: u64,
    pub(super) syncs: u64,
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Commits {
    pub(crate) fn new(next_sequence: u64, last_batch: u64) -> Commits {
        Commits {
            next_sequence,
            synced_sequence: next_sequence - 1,
            last_batch,
            pending: VecDeque::new(),
            pending_bytes: 0,
            moves: VecDeque::new(),
            in_flight: InFlight::default(),
            began_ns: 0,
            began_with: 0,
            waiting: VecDeque::new(),
            batches: 0,
            syncs: 0,
            entries: 0,
            bytes: 0,
        }
    }

    /// Gives out the next sequence.
    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    /// The highest sequence given out.
    pub(crate) fn newest(&self) -> u64 {
        self.next_sequence - 1
    }

    pub(crate) fn synced_sequence(&self) -> u64 {
        self.synced_sequence
    }

    pub(crate) fn last_batch(&self) -> u64 {
        self.last_batch
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Whether nothing waits for a sync.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.moves.is_empty() && !self.in_flight.is_out
    }

    /// Whether no move is on its way.
    pub(crate) fn no_moves(&self) -> bool {
        self.moves.is_empty() && self.in_flight.moves.is_empty()
    }

    /// The entries of which something is not synced yet.
    pub(crate) fn unsynced(&self) -> impl Iterator<Item = Slot> + '_ {
        let waiting = self.pending.iter().map(|pending| pending.slot);
        waiting.chain(self.in_flight.slots.iter().copied())
    }

    pub(crate) fn push(&mut self, slot: Slot, entry: LogEntry) {
        self.pending_bytes += entry.size_bound();
        self.pending.push_back(Pending { slot, entry });
    }

    pub(crate) fn push_move(&mut self, moved: Move) {
        self.moves.push_back(moved);
    }

    /// `token` is durable when the newest sequence is.
    pub(crate) fn await_newest(&mut self, token: Token) {
        self.waiting.push_back((self.newest(), token));
    }

    /// `token` is durable when this sequence is, which is not synced yet.
    pub(crate) fn await_sequence(&mut self, token: Token, sequence: u64) {
        let place = self.waiting.partition_point(|(other, _)| *other <= sequence);
        self.waiting.insert(place, (sequence, token));
    }

    /// Tokens whose sequence is reached.
    fn durable(&mut self, through: u64) -> impl Iterator<Item = StoreEvent> + '_ {
        let count = self.waiting.partition_point(|(sequence, _)| *sequence <= through);
        self.waiting.drain(..count).map(|(_, token)| StoreEvent::Durable { token })
    }
}

impl Shard {
    /// When the next batch may go, if it is the pace that holds it back. Nobody who closes the shard waits for company.
    pub(super) fn commit_deadline(&self) -> Option<u64> {
        let Commits { in_flight, pending, began_ns, began_with, .. } = &self.commits;
        let options = &self.options;
        let is_crowded = *began_with >= options.paced_entries;
        let gathers = !in_flight.is_out && !pending.is_empty();
        let is_paced = gathers && is_crowded && pending.len() < limits::PACED_COMPANY;
        (is_paced && self.life == Life::Open).then(|| began_ns.saturating_add(options.pace_ns))
    }

    /// The next batch, if the committer is idle and there is anything to commit.
    pub(super) fn commit_job(&mut self) -> Option<CommitJob> {
        let is_held_back = self.commit_deadline().is_some_and(|due| due > self.now.mono_ns);
        if self.commits.in_flight.is_out || is_held_back {
            return None;
        }
        let limit = self.options.batch_bytes();
        let mut batch = std::mem::take(&mut self.commits.in_flight);
        let mut entries = std::mem::take(&mut batch.entries);
        let mut bytes = 0;
        // Moves first: a marker of this batch must cover whatever is moved in it. A quarter of the batch is theirs, so that
        // neither side starves the other.
        while let Some(moved) = self.commits.moves.pop_front() {
            if self.is_still_newest(&moved) {
                bytes += moved.entry.size_bound();
                batch.moves.push(moved.slot);
                entries.push(moved.entry);
            }
            if bytes >= limit / 4 {
                break;
            }
        }
        while let Some(next) = self.commits.pending.front() {
            let size = next.entry.size_bound();
            if !entries.is_empty()
                && (bytes + size > limit || entries.len() >= limits::BATCH_ENTRIES)
            {
                break;
            }
            let Some(Pending { slot, entry }) = self.commits.pending.pop_front() else { break };
            bytes += size;
            batch.bytes += size;
            batch.slots.push(slot);
            entries.push(entry);
        }
        batch.is_out = !entries.is_empty();
        let locations = std::mem::take(&mut batch.locations);
        self.commits.in_flight = batch;
        if entries.is_empty() {
            self.commits.in_flight.entries = entries;
            self.commits.in_flight.locations = locations;
            return None;
        }
        self.commits.began_ns = self.now.mono_ns;
        self.commits.began_with = self.commits.in_flight.slots.len();
        #[cfg(feature = "planted")]
        if self.options.planted == Some(crate::Planted::AckBeforeSync) {
            let newest = entries[self.commits.in_flight.moves.len()..].last();
            let through = newest.map_or(0, |entry| entry.sequence);
            self.events.extend(self.commits.durable(through));
        }
        Some(CommitJob { entries, spares: self.space.spares().to_vec(), bytes, locations })
    }

    /// The compare of compare-and-set: a move is worth writing only while its entry is where it was read.
    fn is_still_newest(&mut self, moved: &Move) -> bool {
        let Some(slot) = moved.slot else { return !self.is_overtaken(&moved.entry) };
        let entry = self.table.entry_mut(slot);
        let here = Placed { sequence: moved.entry.sequence, location: moved.from };
        let newest = entry.sequence == here.sequence && entry.placed() == Some(here);
        if !newest {
            entry.moving = false;
        }
        newest
    }

    /// Whether the table has something newer of an entry's key: then a second copy of a marker covers nothing that this does not,
    /// and behind it in the log, where a start might read it alone, would hide it.
    fn is_overtaken(&self, entry: &LogEntry) -> bool {
        let key = match &entry.body {
            EntryBody::Record(record) => &record.key,
            EntryBody::Removal { key, .. } => key,
        };
        let newest = self.table.find(key).map(|slot| self.table.entry(slot).sequence);
        newest.is_some_and(|newest| newest > entry.sequence)
    }

    pub(super) fn committed(&mut self, committed: Committed) {
        let Committed { mut written, mut entries } = committed;
        let mut batch = std::mem::take(&mut self.commits.in_flight);
        self.commits.batches += 1;
        self.commits.syncs += u64::from(written.syncs);
        self.commits.bytes += written.bytes;
        self.commits.entries += batch.slots.len() as u64;
        self.commits.last_batch = written.batch;
        self.commits.pending_bytes -= batch.bytes;
        self.checkpoint.note_written(self.now, written.bytes);
        self.space.used(&written.spares_used);
        self.segments.extend(&written.extents);
        let newest = entries[batch.moves.len()..].last().map(|entry| entry.sequence);
        let mut logged = entries.drain(..).zip(written.locations.drain(..));
        for (slot, (moved, location)) in batch.moves.drain(..).zip(&mut logged) {
            self.moved(slot, Placed { sequence: moved.sequence, location });
        }
        for (slot, (entry, location)) in batch.slots.drain(..).zip(logged) {
            let placed = Placed { sequence: entry.sequence, location };
            let body = match entry.body {
                EntryBody::Record(record) => Body::Record(record),
                EntryBody::Removal { .. } => {
                    Body::Removed { covers_through: Some(written.newest_segment) }
                }
            };
            self.place(slot, placed, body);
        }
        let locations = std::mem::take(&mut written.locations);
        self.commits.in_flight = InFlight { is_out: false, bytes: 0, entries, locations, ..batch };
        if let Some(sequence) = newest {
            self.commits.synced_sequence = sequence;
            self.events.extend(self.commits.durable(sequence));
        }
    }

    /// An entry stands in another place.
    fn moved(&mut self, slot: Option<Slot>, placed: Placed) {
        let Some(slot) = slot else { return };
        let entry = self.table.entry_mut(slot);
        entry.moving = false;
        if let Some(body) = entry.synced.as_ref().map(|synced| synced.body.clone()) {
            self.place(slot, placed, body);
        }
    }

    /// An entry's version is on disk: what was there before is dead.
    fn place(&mut self, slot: Slot, placed: Placed, body: Body) {
        let entry = self.table.entry_mut(slot);
        if entry.sequence == placed.sequence && matches!(body, Body::Removed { .. }) {
            // A marker learns what it covers only now.
            entry.body = body.clone();
        }
        if let Some(before) = entry.synced.replace(Synced { placed, body }) {
            self.segments.release(before.placed.location);
        }
        self.segments.occupy(placed.location);
        self.note_unindexed(slot);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use kvorum_protocol::{Change, Key, OperationId, RecordKey, Replaces, Space};
    use kvorum_ring::{ClassId, NodeId, PartitionCount};

    use super::Move;
    use crate::clock::Now;
    use crate::job::Job;
    use crate::log::entry::{Copies, EntryBody, LogEntry};
    use crate::log::segment::SegmentKind;
    use crate::memory_index::{MemoryDisk, MemoryIndex};
    use crate::options::ShardOptions;
    use crate::recovery::{Opened, open};
    use crate::request::{Apply, Hint, StoreRequest, Token};
    use crate::sim_files::SimFiles;

    fn settle(opened: &mut Opened<SimFiles, MemoryIndex>) {
        while let Some(job) = opened.shard.poll_job() {
            let done = match job {
                Job::Commit(job) => opened.committer.run(job),
                Job::Read(job) => opened.reader.run(job),
                Job::Index(job) => opened.indexer.run(job),
                Job::Compact(job) => opened.compactor.run(job),
            };
            opened.shard.complete(Now::default(), done);
        }
    }

    fn hold(opened: &mut Opened<SimFiles, MemoryIndex>, key: &RecordKey, operation: u128) {
        let change = Change::Value { bytes: Bytes::from_static(b"v"), expires_at_ms: None };
        let (replaces, operation) = (Replaces::Latest, OperationId(operation));
        let change = Apply::Update { replaces, change, operation };
        let hint = Hint { targets: vec![NodeId(1)], spare: false };
        let (token, key) = (Token(operation.0 as u64), key.clone());
        opened.shard.submit(Now::default(), StoreRequest::Hold { token, key, hint, change });
        settle(opened);
    }

    #[test]
    fn the_second_copy_of_a_marker_is_not_moved_behind_what_is_newer() {
        let options = ShardOptions::small();
        let mut opened = open(Arc::new(SimFiles::new()), MemoryDisk::new(), options, 1).unwrap();
        let key = Key::new(Bytes::from_static(b"k")).unwrap();
        let bucket = "b".parse().unwrap();
        let key = RecordKey::new(ClassId(0), PartitionCount::default(), bucket, key);
        let key = key.in_space(Space::Hinted);
        hold(&mut opened, &key, 1);
        let request = StoreRequest::Remove { token: Token(2), key: key.clone() };
        opened.shard.submit(Now::default(), request);
        settle(&mut opened);
        let slot = opened.shard.table.find(&key).expect("it was just removed");
        let marker = opened.shard.table.entry(slot).placed().expect("it is synced");
        let copy = |key: &RecordKey| Move {
            slot: None,
            from: marker.location,
            entry: LogEntry {
                sequence: marker.sequence,
                body: EntryBody::Removal {
                    key: key.clone(),
                    copies: Copies::One(SegmentKind::Bulk),
                    covers_through: Some(marker.location.segment),
                },
            },
        };
        opened.shard.commits.push_move(copy(&key));
        assert!(matches!(opened.shard.poll_job(), Some(Job::Commit(_))), "nothing is newer");

        let options = ShardOptions::small();
        let mut opened = open(Arc::new(SimFiles::new()), MemoryDisk::new(), options, 1).unwrap();
        for operation in 1..=9 {
            hold(&mut opened, &key, operation);
        }
        opened.shard.commits.push_move(copy(&key));
        settle(&mut opened);
        let newest = opened.shard.table.find(&key).map(|slot| opened.shard.table.entry(slot));
        assert!(newest.is_some_and(|newest| newest.body.record().is_some()));
        let (batches, entries) = (opened.shard.stats().batches, opened.shard.stats().entries);
        assert_eq!((batches, entries), (9, 9), "the marker was not written");
    }
}
