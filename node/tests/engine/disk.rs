//! A node's store under test control: the real shard and its real workers over a simulated disk, with one difference.
//! Batches wait for the test's word before they are written and synced.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kvorum_node::engine::Now;
use kvorum_protocol::{EncodedSet, RecordKey, VersionSet};
use kvorum_store::memory_index::{IndexDamage, IndexMoment, MemoryDisk, MemoryIndex};
use kvorum_store::sim_files::{FilesMoment, SimFiles};
use kvorum_store::{
    Apply, CommitJob, Job, Opened, ReadError, ShardOptions, StoreEvent, StoreRefusal, StoreRequest,
    Token, open,
};

/// Name what the test itself asks; the slots of an engine's tokens are far below.
const PEEK: Token = Token(u64::MAX);
const FORGET: Token = Token(u64::MAX - 1);

/// One node's store.
#[derive(Clone)]
pub(crate) struct Disk {
    node: u64,
    run: u64,
    options: ShardOptions,
    now: Now,
    files: SimFiles,
    index: MemoryDisk,
    opened: Opened<SimFiles, MemoryIndex>,
    /// What waits to be written and synced.
    commit: Option<CommitJob>,
    events: VecDeque<StoreEvent>,
    /// What every key was when the disk was last synced; the test's own note.
    synced: BTreeMap<RecordKey, Option<VersionSet>>,
    image: Option<(FilesMoment, IndexMoment)>,
    pub(crate) damaged: bool,
    pub(crate) refilling: bool,
    pub(crate) refuses: Option<StoreRefusal>,
    /// Refuses what it is to merge, and mints all the same.
    pub(crate) refuses_merges: Option<StoreRefusal>,
    pub(crate) refuses_scans: bool,
    /// Records that cannot be read for now.
    pub(crate) unreadable: Vec<RecordKey>,
    /// What is read is not told before this is false again and something else happens.
    pub(crate) holds_reads: bool,
    held_reads: VecDeque<StoreEvent>,
}

impl Disk {
    pub(crate) fn new(node: usize, options: ShardOptions) -> Disk {
        let (node, run) = (node as u64, 1);
        let (files, index) = (SimFiles::new(), MemoryDisk::new());
        Disk {
            node,
            run,
            now: Now::default(),
            opened: open_shard(&files, &index, &options, seed(node, run)),
            options,
            files,
            index,
            commit: None,
            events: VecDeque::new(),
            synced: BTreeMap::new(),
            image: None,
            damaged: false,
            refilling: false,
            refuses: None,
            refuses_merges: None,
            refuses_scans: false,
            unreadable: Vec::new(),
            holds_reads: false,
            held_reads: VecDeque::new(),
        }
    }

    pub(crate) fn submit(&mut self, now: Now, request: StoreRequest) {
        self.now = now;
        let token = request.token();
        let refuses = match &request {
            StoreRequest::Apply { change: Apply::Merge { .. }, .. }
            | StoreRequest::Hold { change: Apply::Merge { .. }, .. } => {
                self.refuses.or(self.refuses_merges)
            }
            _ => self.refuses,
        };
        let answer = match (&request, refuses) {
            (StoreRequest::Apply { .. } | StoreRequest::Hold { .. }, Some(reason)) => {
                Some(StoreEvent::Refused { token, reason })
            }
            (StoreRequest::Read { .. }, _) if self.damaged => {
                let refilling = self.refilling;
                Some(StoreEvent::Read { token, result: Err(ReadError::Damaged), refilling })
            }
            (StoreRequest::Read { key, .. }, _) if self.unreadable.contains(key) => {
                let refilling = self.refilling;
                Some(StoreEvent::Read { token, result: Err(ReadError::Unreadable), refilling })
            }
            (StoreRequest::Scan { .. }, _) if self.refuses_scans => Some(StoreEvent::Scanned {
                token,
                result: Err(ReadError::IndexDamaged),
                refilling: false,
            }),
            _ => None,
        };
        if let StoreRequest::Apply { key, .. } | StoreRequest::Hold { key, .. } = &request {
            self.synced.entry(key.clone()).or_default();
        }
        match answer {
            Some(event) => self.events.push_back(event),
            None => self.opened.shard.submit(now, request),
        }
        self.work();
    }

    /// Runs every job but the writing of a batch, which waits for [`Disk::sync`].
    fn work(&mut self) {
        while let Some(job) = self.opened.shard.poll_job() {
            let done = match job {
                Job::Commit(job) => {
                    assert!(self.commit.replace(job).is_none(), "one batch is written at a time");
                    continue;
                }
                Job::Read(job) => self.opened.reader.run(job),
                Job::Index(job) => self.opened.indexer.run(job),
                Job::Compact(job) => self.opened.compactor.run(job),
            };
            self.opened.shard.complete(self.now, done);
        }
        self.collect();
    }

    fn collect(&mut self) {
        if !self.holds_reads {
            self.events.append(&mut self.held_reads);
        }
        while let Some(event) = self.opened.shard.poll_event() {
            if self.holds_reads && matches!(event, StoreEvent::Read { .. }) {
                self.held_reads.push_back(event);
                continue;
            }
            self.events.push_back(match event {
                StoreEvent::Read { token, result, refilling } => {
                    StoreEvent::Read { token, result, refilling: refilling || self.refilling }
                }
                StoreEvent::Scanned { token, result, refilling } => {
                    StoreEvent::Scanned { token, result, refilling: refilling || self.refilling }
                }
                event => event,
            });
        }
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) {
        self.work();
        if self.commit.is_none() {
            return;
        }
        while let Some(job) = self.commit.take() {
            let done = self.opened.committer.run(job);
            self.opened.shard.complete(self.now, done);
            self.work();
        }
        let keys: Vec<RecordKey> = self.synced.keys().cloned().collect();
        for key in keys {
            let held = self.peek(&key);
            self.synced.insert(key, held);
        }
    }

    pub(crate) fn tick(&mut self, now: Now) {
        self.now = now;
        self.opened.shard.tick(now);
        self.work();
    }

    /// The power fails and the process starts again: what was not durable is gone, and a new run begins.
    pub(crate) fn crash(&mut self) {
        self.run += 1;
        let seed = seed(self.node, self.run);
        self.files = self.files.crash(seed);
        self.index.crash(IndexDamage::None, seed);
        self.opened = open_shard(&self.files, &self.index, &self.options, seed);
        self.commit = None;
        self.events.clear();
    }

    pub(crate) fn poll_event(&mut self) -> Option<StoreEvent> {
        self.events.pop_front()
    }

    /// Loses one record as if it had never been written. Nothing may be waiting to be synced.
    pub(crate) fn forget(&mut self, key: &RecordKey) {
        assert!(!self.has_unsynced(), "a loss must not make anything else durable");
        self.opened
            .shard
            .submit(self.now, StoreRequest::Remove { token: FORGET, key: key.clone() });
        self.sync();
        self.events.retain(|event| event.token() != Some(FORGET));
        self.synced.insert(key.clone(), None);
    }

    /// What a reader sees here.
    pub(crate) fn peek(&mut self, key: &RecordKey) -> Option<VersionSet> {
        self.opened.shard.submit(self.now, StoreRequest::Read { token: PEEK, key: key.clone() });
        self.work();
        let is_ours = |event: &StoreEvent| event.token() == Some(PEEK);
        let at = self
            .events
            .iter()
            .position(is_ours)
            .expect("a read is answered once its jobs are done");
        match self.events.remove(at) {
            Some(StoreEvent::Read { result, .. }) => {
                result.expect("nothing is damaged").map(|set: EncodedSet| set.set().clone())
            }
            other => panic!("not the answer of a read: {other:?}"),
        }
    }

    /// What a crash would leave.
    pub(crate) fn peek_durable(&mut self, key: &RecordKey) -> Option<VersionSet> {
        match self.has_unsynced() {
            true => self.synced.get(key).cloned().flatten(),
            false => self.peek(key),
        }
    }

    /// Everything that is stored, as text.
    pub(crate) fn describe(&mut self) -> String {
        let keys: Vec<RecordKey> = self.synced.keys().cloned().collect();
        let held = |key: &RecordKey, disk: &mut Disk| (disk.peek(key), disk.peek_durable(key));
        keys.iter().map(|key| format!("{key:?} {:?}\n", held(key, self))).collect()
    }

    /// Keys that are held here for owners that were away.
    pub(crate) fn hints(&self) -> usize {
        self.opened.shard.hint_stats().keys
    }

    /// Whether a crash would lose anything.
    pub(crate) fn has_unsynced(&self) -> bool {
        self.commit.is_some()
    }

    /// Keeps what the files hold, so that a copy of this disk can go on from here.
    pub(crate) fn freeze(&mut self) {
        self.image = Some((self.files.moment(), self.index.moment()));
    }

    /// Puts the files back to what they held when this copy was frozen.
    pub(crate) fn thaw(&self) {
        let (files, index) = self.image.as_ref().expect("frozen before");
        self.files.return_to(files);
        self.index.return_to(index);
    }
}

fn open_shard(
    files: &SimFiles,
    index: &MemoryDisk,
    options: &ShardOptions,
    seed: u64,
) -> Opened<SimFiles, MemoryIndex> {
    open(Arc::new(files.clone()), index.clone(), options.clone(), seed).expect("the disk is whole")
}

/// Never the same for two openings.
fn seed(node: u64, run: u64) -> u64 {
    node << 32 | run
}
