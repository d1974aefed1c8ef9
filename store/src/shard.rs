//! The core of a shard: a pure state machine between the engine and the workers.
//!
//! Requests come in through [`Shard::submit`], finished jobs through [`Shard::complete`]; events and new jobs go out
//! through `poll_event` and `poll_job`. The life of a write: *applied* in the table (a sequence is given, the new version
//! is visible), *committed* in the next batch (acknowledged when its sync is done), *indexed* later with others in key
//! order, and then, if nobody asks for it, *evicted*.
//!
//! Invariants: one batch is with the committer at a time, so what is synced is always a prefix of the sequences; the index
//! is told of synced versions only; a request is refused, if at all, before it has had any effect.

mod apply;
mod backlog;
mod checkpoint;
mod commit;
mod compaction;
mod feed;
mod hints;
mod inspect;
mod loads;
mod rebuild;
pub(crate) mod segments;
mod space;
mod stats;
pub(crate) mod table;
pub(crate) mod trees;

use std::collections::VecDeque;

use kvorum_protocol::{Run, Space as KeySpace};

use crate::clock::Now;
use crate::event::{PoisonReason, StoreEvent, StoreRefusal};
use crate::index::EntrySum;
use crate::job::{Done, Finished, HintedKey, Job, Overlay, ReadJob, Reading};
use crate::limits;
use crate::log::entry::record_bytes;
use crate::options::ShardOptions;
use crate::random::Stream;
use crate::reindex::summary;
use crate::request::{ContentsRange, ScanRange, StoreRequest, Token};
use backlog::{Backlog, Region};
use checkpoint::Checkpointing;
use commit::Commits;
use compaction::Compaction;
use feed::Feed;
use hints::Hints;
pub use hints::{HintStats, TargetHints};
use loads::Loads;
use rebuild::Rebuilding;
use segments::Segments;
use space::Space;
pub use stats::ShardStats;
use table::{Seeded, Slot, Table};
use trees::Trees;

/// What the index does not name of what recovery found.
#[derive(Debug)]
pub(crate) struct Unindexed {
    /// The keys, with their newest versions.
    pub(crate) table: Table,
    /// The batch from which on a start would replay.
    pub(crate) checkpoint_batch: u64,
    /// Bytes of log that it would replay.
    pub(crate) bytes: u64,
    /// Hinted records that the index names.
    pub(crate) hinted: Vec<HintedKey>,
}

/// What recovery hands over: where the log stands.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) store_id: u128,
    pub(crate) segments: Segments,
    pub(crate) spares: Vec<u32>,
    pub(crate) next_sequence: u64,
    pub(crate) last_batch: u64,
    pub(crate) manifest_version: u64,
    pub(crate) unindexed: Unindexed,
    pub(crate) refilling: bool,
    pub(crate) sum: EntrySum,
    pub(crate) trees: Trees,
}

/// The core. Pure: it reads no clock, touches no file and draws its numbers from the seed given at opening. A copy goes on by
/// itself from the same state, so that a check can try every next step.
#[derive(Clone, Debug)]
pub struct Shard {
    options: ShardOptions,
    store_id: u128,
    run: Run,
    runs: Stream,
    actors: Stream,
    table: Table,
    /// Keys whose newest version the index does not name yet, synced or not.
    unindexed: Backlog,
    commits: Commits,
    loads: Loads,
    feed: Feed,
    hints: Hints,
    checkpoint: Checkpointing,
    segments: Segments,
    compaction: Compaction,
    space: Space,
    rebuilding: Rebuilding,
    trees: Trees,
    sum: EntrySum,
    refilling: bool,
    life: Life,
    events: VecDeque<StoreEvent>,
    scans: VecDeque<(Token, Listing)>,
    scans_out: usize,
    now: Now,
}

/// A list that waits for a reader.
#[derive(Clone, Debug)]
enum Listing {
    Scan(ScanRange),
    Contents(ContentsRange),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Open,
    Closing,
    Closed,
    Poisoned,
}

impl Shard {
    pub(crate) fn new(options: ShardOptions, seed: u64, recovered: Recovered) -> Shard {
        let mut runs = Stream::new(seed, "run");
        let next_sequence = recovered.next_sequence;
        let Unindexed { mut table, checkpoint_batch, bytes, hinted } = recovered.unindexed;
        let mut hints = Hints::default();
        let mut unindexed = Backlog::default();
        for slot in table.occupied().collect::<Vec<Slot>>() {
            unindexed.note(&mut table, slot);
            let entry = table.entry_mut(slot);
            entry.change();
            if let Some(record) =
                entry.body.record().filter(|_| entry.key.space == KeySpace::Hinted)
            {
                hints.find([HintedKey { key: entry.key.clone(), bytes: record_bytes(record) }]);
            }
        }
        // What the table has of a key is newer.
        hints.find(hinted.into_iter().filter(|found| table.find(&found.key).is_none()));
        Shard {
            store_id: recovered.store_id,
            run: Run(runs.next_u64()),
            runs,
            actors: Stream::new(seed, "actor"),
            table,
            unindexed,
            commits: Commits::new(next_sequence, recovered.last_batch),
            loads: Loads::new(Seeded::from_seed(seed)),
            feed: Feed::default(),
            hints,
            checkpoint: Checkpointing::new(
                recovered.manifest_version,
                checkpoint_batch,
                bytes,
                options.checkpoint_bytes,
            ),
            segments: recovered.segments,
            compaction: Compaction::default(),
            space: Space::new(recovered.spares),
            rebuilding: Rebuilding::No,
            trees: recovered.trees,
            sum: recovered.sum,
            refilling: recovered.refilling,
            life: Life::Open,
            events: VecDeque::new(),
            scans: VecDeque::new(),
            scans_out: 0,
            now: Now::default(),
            options,
        }
    }

    /// Takes a request. Its answers come out of [`Shard::poll_event`]. After `Poisoned` or `Closed` it is ignored.
    pub fn submit(&mut self, now: Now, request: StoreRequest) {
        self.now = now;
        let token = request.token();
        match self.admission(&request) {
            Some(_) if matches!(self.life, Life::Closed | Life::Poisoned) => {}
            Some(reason) => {
                if let (StoreRequest::Hold { hint, .. }, StoreRefusal::HintsFull) =
                    (&request, reason)
                {
                    self.hint_refused(hint);
                }
                self.refuse(token, reason);
            }
            None => match request {
                StoreRequest::Apply { token, key, change } => {
                    self.operate(key, loads::Operation::Apply { token, change, hint: None });
                }
                StoreRequest::Hold { token, key, hint, change } => {
                    assert!(key.space == KeySpace::Hinted, "what is held for others is hinted");
                    #[cfg(feature = "planted")]
                    self.make_room_for(&hint, apply::change_bytes(&change));
                    let hint = Some(hint);
                    self.operate(key, loads::Operation::Apply { token, change, hint });
                }
                StoreRequest::Release { token, key, target, set } => {
                    self.operate(key, loads::Operation::Release { token, target, set });
                }
                StoreRequest::ListHints { token, target, after, limit } => {
                    self.list_hints(token, target, after.as_ref(), limit);
                }
                StoreRequest::Read { token, key } => {
                    self.operate(key, loads::Operation::Read { token })
                }
                StoreRequest::Inspect { token, key } => {
                    let was_in_memory = self.table.find(&key).is_some();
                    self.operate(key, loads::Operation::Inspect { token, was_in_memory });
                }
                StoreRequest::Remove { token, key } => {
                    self.operate(key, loads::Operation::Remove { token })
                }
                StoreRequest::Scan { token, range } => {
                    self.scans.push_back((token, Listing::Scan(range)));
                }
                StoreRequest::Contents { token, range } => {
                    self.scans.push_back((token, Listing::Contents(range)));
                }
                StoreRequest::Roots { token, class, partitions } => {
                    self.answer_roots(token, class, partitions);
                }
                StoreRequest::Leaves { token, class, partition } => {
                    self.answer_leaves(token, class, partition);
                }
            },
        }
    }

    /// Takes the result of a job.
    pub fn complete(&mut self, now: Now, done: Done) {
        self.now = now;
        if self.life == Life::Poisoned {
            return;
        }
        match done.0 {
            Finished::Committed(Ok(committed)) => self.committed(committed),
            Finished::Committed(Err(error)) => self.poison(PoisonReason::Log(error)),
            Finished::Loaded { number, found } => self.loaded(number, found),
            Finished::Scanned { token, result } => {
                self.scans_out -= 1;
                if result.is_err() {
                    self.index_is_damaged();
                }
                let refilling = self.refilling;
                self.events.push_back(StoreEvent::Scanned { token, result, refilling });
            }
            Finished::Contents { token, result } => {
                self.scans_out -= 1;
                if result.is_err() {
                    self.index_is_damaged();
                }
                self.events.push_back(StoreEvent::Contents { token, result });
            }
            Finished::Digested(digests) => self.digested(digests),
            Finished::Counted(result) => self.trees_counted(result),
            Finished::Indexed(Ok(indexed)) => self.indexed(indexed),
            Finished::Indexed(Err(error)) => self.poison(PoisonReason::Index(error)),
            Finished::Checkpointed(result) => self.checkpointed(result),
            Finished::Rebuilt(result) => self.rebuilt(result),
            Finished::Stepped { segment, result } => self.stepped(segment, result),
            Finished::Prepared { spare, result } => self.prepared(spare, result),
            Finished::Retired { segment, keep_as, result } => {
                self.retired(segment, keep_as, result)
            }
        }
        self.advance();
    }

    /// The next event, in order.
    pub fn poll_event(&mut self) -> Option<StoreEvent> {
        self.events.pop_front()
    }

    /// The next job for a worker. To be asked until there is none, after every `submit`, `complete` and `tick`.
    pub fn poll_job(&mut self) -> Option<Job> {
        if matches!(self.life, Life::Closed | Life::Poisoned) {
            return None;
        }
        self.commit_job()
            .map(Job::Commit)
            .or_else(|| self.read_job().map(Job::Read))
            .or_else(|| self.index_job().map(Job::Index))
            .or_else(|| self.compact_job().map(Job::Compact))
    }

    /// When [`Shard::tick`] wants to be called next, in monotonic nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        match self.life {
            Life::Closed | Life::Poisoned => None,
            Life::Open | Life::Closing => {
                let log = [self.commit_deadline(), self.checkpoint_deadline()];
                let rest =
                    [self.space_deadline(), self.hints_deadline(), self.questions_deadline()];
                log.into_iter().chain(rest).flatten().min()
            }
        }
    }

    /// Lets time pass: a deadline may have been reached.
    pub fn tick(&mut self, now: Now) {
        self.now = now;
        self.advance();
    }

    /// Begins to close: nothing new is taken, everything taken is finished, synced and indexed, and `Closed` follows. The
    /// next start replays nothing.
    pub fn begin_close(&mut self, now: Now) {
        self.now = now;
        if self.life == Life::Open {
            self.life = Life::Closing;
            self.advance();
        }
    }

    /// This run: marks of other runs are not trusted. It changes when damage is found.
    pub fn run(&self) -> Run {
        self.run
    }

    /// Whether records may be missing here, so that absences count for no quorum.
    pub fn is_refilling(&self) -> bool {
        self.refilling
    }

    /// Ends refilling, after every co-owner was compared with. Durable with the next checkpoint, which begins now.
    pub fn finish_refilling(&mut self, now: Now) {
        self.now = now;
        self.refilling = false;
        self.checkpoint.demand();
        self.advance();
    }

    /// Why the request cannot be taken, if so.
    fn admission(&self, request: &StoreRequest) -> Option<StoreRefusal> {
        let overloaded = StoreRefusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS };
        if self.life != Life::Open {
            return Some(StoreRefusal::Closing);
        }
        if self.rebuilding != Rebuilding::No
            || self.loads.queued() >= self.options.queued_operations
        {
            return Some(overloaded);
        }
        match request {
            StoreRequest::Read { .. }
            | StoreRequest::Inspect { .. }
            | StoreRequest::ListHints { .. } => None,
            StoreRequest::Leaves { .. } => (!self.takes_questions()).then_some(overloaded),
            StoreRequest::Roots { partitions, .. } => {
                let is_too_long = partitions.len() > limits::SCAN_PARTITIONS;
                (is_too_long || !self.takes_questions()).then_some(overloaded)
            }
            StoreRequest::Contents { range, .. } => {
                let is_full = self.scans.len() >= self.options.queued_operations;
                (range.limit > limits::CONTENTS_KEYS || is_full).then_some(overloaded)
            }
            StoreRequest::Scan { range, .. } => {
                let too_large = range.partitions.len() > limits::SCAN_PARTITIONS
                    || range.limit > limits::SCAN_KEYS;
                (too_large || self.scans.len() >= self.options.queued_operations)
                    .then_some(overloaded)
            }
            StoreRequest::Remove { .. } | StoreRequest::Release { .. } => {
                self.no_credit(0).then_some(overloaded)
            }
            StoreRequest::Hold { hint, change, .. } => {
                let bytes = apply::change_bytes(change);
                if self.no_credit(bytes) {
                    return Some(overloaded);
                }
                if self.has_no_place_for(hint, bytes) && !self.drops_bearing() {
                    return Some(StoreRefusal::HintsFull);
                }
                self.has_no_room_for(change).then_some(StoreRefusal::DiskFull)
            }
            StoreRequest::Apply { change, .. } => {
                if self.no_credit(apply::change_bytes(change)) {
                    return Some(overloaded);
                }
                self.has_no_room_for(change).then_some(StoreRefusal::DiskFull)
            }
        }
    }

    /// Whether a change of so many bytes would exceed what may wait. One change alone is always taken.
    fn no_credit(&self, bytes: usize) -> bool {
        let waiting = self.commits.pending_bytes() + self.loads.queued_bytes();
        let bytes_full = waiting > 0 && waiting + bytes > self.options.pending_bytes;
        let pinned = !self.unindexed.is_empty() || self.compaction.pins();
        bytes_full
            || (pinned && self.table.is_overfull())
            || self.unindexed.len() + self.loads.queued() >= self.options.unindexed_records
    }

    fn refuse(&mut self, token: Token, reason: StoreRefusal) {
        self.events.push_back(StoreEvent::Refused { token, reason });
    }

    fn poison(&mut self, reason: PoisonReason) {
        self.life = Life::Poisoned;
        self.events.push_back(StoreEvent::Poisoned { reason });
    }

    /// Moves on whatever can move on without a new input.
    fn advance(&mut self) {
        if matches!(self.life, Life::Closed | Life::Poisoned) {
            return;
        }
        self.advance_rebuild();
        self.advance_hints();
        self.advance_checkpoint();
        self.advance_questions();
        self.table.shrink(self.compaction.pinned_from());
        if self.life == Life::Closing && self.is_quiet() && self.checkpoint.is_clean() {
            self.life = Life::Closed;
            self.events.push_back(StoreEvent::Closed);
        }
    }

    /// Whether nothing waits for a disk but what the shard does of its own accord.
    fn is_quiet(&self) -> bool {
        self.commits.is_idle()
            && self.loads.is_idle()
            && self.scans.is_empty()
            && self.scans_out == 0
            && self.has_no_questions()
    }

    /// Begins a new run: from here on no mark is trusted, and absences here do not count.
    fn begin_new_run(&mut self) {
        self.run = Run(self.runs.next_u64());
        if !self.refilling {
            self.refilling = true;
            self.checkpoint.demand();
        }
    }

    /// What the table knows better than the index of a scan's keys.
    fn overlays(&self, range: &ScanRange) -> Vec<Overlay> {
        let mut overlay = Vec::new();
        for partition in &range.partitions {
            let region = Region::new(range.space, range.class, *partition);
            let entries = self.unindexed.region(region).iter().map(|slot| self.table.entry(*slot));
            let wanted = entries.filter(|entry| {
                let (bucket, key) = (&entry.key.bucket, &entry.key.key);
                let is_after = range.after.as_ref().is_none_or(|after| key > after);
                is_after && *bucket == range.bucket && key.as_bytes().starts_with(&range.prefix)
            });
            overlay.extend(wanted.map(|entry| Overlay {
                key: entry.key.to_index_bytes().into(),
                values: entry.body.record().map(|record| summary(&record.set)),
            }));
        }
        overlay.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        overlay
    }

    fn read_job(&mut self) -> Option<ReadJob> {
        if self.loads.jobs_out() + self.scans_out >= limits::READ_JOBS {
            return None;
        }
        if let Some(job) = self.loads.job().or_else(|| self.digest_job()) {
            return Some(job);
        }
        // A list may take long, and must not be in the way of reads.
        if self.scans_out >= limits::LIST_JOBS {
            return None;
        }
        let (token, listing) = self.scans.pop_front()?;
        self.scans_out += 1;
        // Overlays only now, because they may be large: few listings are out at once, but many may wait.
        Some(ReadJob(match listing {
            Listing::Scan(range) => {
                let overlay = self.overlays(&range);
                Reading::Scan { token, range, overlay }
            }
            Listing::Contents(range) => {
                let (by, overlay) = (self.options.leaf_key, self.contents_overlays(&range));
                Reading::Contents { token, range, by, overlay }
            }
        }))
    }

    /// Notes that the newest version of an entry is not in the index yet.
    fn note_unindexed(&mut self, slot: Slot) {
        self.unindexed.note(&mut self.table, slot);
    }
}
