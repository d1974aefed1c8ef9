//! A shard with its workers called inline, over a simulated disk and index.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod history;
pub(crate) mod trees;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kvorum_antientropy::{LEAVES, Sum};
use kvorum_protocol::{
    BucketName, Change, EncodedSet, Key, OperationId, RecordKey, Replaces, VersionSet,
};
use kvorum_ring::{ClassId, NodeId, PartitionCount};
use kvorum_store::memory_index::{MemoryDisk, MemoryIndex};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{
    Apply, DamageNotice, Done, Job, MintedDot, Now, OpenError, Opened, PoisonReason, ReadError,
    ShardOptions, StoreEvent, StoreRefusal, StoreRequest, Token, open,
};

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) applied: Option<EncodedSet>,
    pub(crate) minted: Option<MintedDot>,
    pub(crate) changed: bool,
    pub(crate) durable: bool,
    pub(crate) read: Option<Result<Option<EncodedSet>, ReadError>>,
    pub(crate) inspection: Option<kvorum_store::Inspection>,
    pub(crate) scanned: Option<Result<kvorum_store::ScanPage, ReadError>>,
    pub(crate) roots: Option<Option<Vec<Sum>>>,
    pub(crate) leaves: Option<Option<Box<[Sum; LEAVES]>>>,
    pub(crate) held: Option<Result<kvorum_store::ContentsPage, ReadError>>,
    pub(crate) refused: Option<StoreRefusal>,
    /// Keys of a page of hints, and whether some are unread.
    pub(crate) hints: Option<(Vec<RecordKey>, bool)>,
}

/// An opened shard and all that it said.
pub(crate) struct Store {
    pub(crate) opened: Opened<SimFiles, MemoryIndex>,
    pub(crate) outcomes: BTreeMap<Token, Outcome>,
    pub(crate) damage: Vec<DamageNotice>,
    pub(crate) poisoned: Option<PoisonReason>,
    pub(crate) closed: bool,
    /// Hints that were dropped.
    pub(crate) dropped: Vec<RecordKey>,
    /// Owners whose hints can be read again.
    pub(crate) readable: Vec<NodeId>,
    pub(crate) now: Now,
    next_token: u64,
    /// Operations of one opening are not those of another.
    operations: u128,
}

pub(crate) fn bucket() -> BucketName {
    "b".parse().unwrap()
}

pub(crate) fn key(name: &str) -> RecordKey {
    let key = Key::new(name.as_bytes().to_vec()).unwrap();
    RecordKey::new(ClassId(0), PartitionCount::new(4).unwrap(), bucket(), key)
}

pub(crate) fn value(text: &str) -> Change {
    Change::Value { bytes: Bytes::copy_from_slice(text.as_bytes()), expires_at_ms: None }
}

pub(crate) fn update(replaces: Replaces, change: Change, operation: u128) -> Apply {
    Apply::Update { replaces, change, operation: OperationId(operation) }
}

/// The live values of a set, as text.
pub(crate) fn texts(set: &VersionSet) -> Vec<String> {
    let values = set
        .versions()
        .iter()
        .map(|(_, version)| String::from_utf8(version.value.to_vec()).unwrap());
    let mut values: Vec<String> = values.collect();
    values.sort();
    values
}

impl Store {
    pub(crate) fn open(
        files: &SimFiles,
        disk: &MemoryDisk,
        options: ShardOptions,
        seed: u64,
    ) -> Result<Store, OpenError> {
        let opened = open(Arc::new(files.clone()), disk.clone(), options, seed)?;
        Ok(Store {
            opened,
            outcomes: BTreeMap::new(),
            damage: Vec::new(),
            poisoned: None,
            closed: false,
            dropped: Vec::new(),
            readable: Vec::new(),
            now: Now { mono_ns: 1, wall_ms: 1 },
            next_token: 0,
            operations: u128::from(seed) << 64,
        })
    }

    pub(crate) fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Submits without running any job.
    pub(crate) fn submit(&mut self, make: impl FnOnce(Token) -> StoreRequest) -> Token {
        let token = self.token();
        self.opened.shard.submit(self.now, make(token));
        self.collect();
        token
    }

    pub(crate) fn apply(&mut self, name: &str, change: Apply) -> Token {
        let key = key(name);
        self.submit(|token| StoreRequest::Apply { token, key, change })
    }

    pub(crate) fn put(&mut self, name: &str, text: &str) -> Token {
        let operation = self.operations + u128::from(self.next_token) + 1;
        self.apply(name, update(Replaces::Latest, value(text), operation))
    }

    pub(crate) fn remove(&mut self, name: &str) -> Token {
        let key = key(name);
        self.submit(|token| StoreRequest::Remove { token, key })
    }

    /// Takes all events.
    pub(crate) fn collect(&mut self) {
        while let Some(event) = self.opened.shard.poll_event() {
            assert!(
                self.poisoned.is_none() && !self.closed,
                "an event after the last one: {event:?}"
            );
            match event {
                StoreEvent::Applied { token, set, minted, changed } => {
                    let outcome = self.outcomes.entry(token).or_default();
                    assert!(!outcome.durable, "Applied comes before Durable");
                    (outcome.applied, outcome.minted, outcome.changed) =
                        (Some(set), minted, changed);
                }
                StoreEvent::Durable { token } => {
                    self.outcomes.entry(token).or_default().durable = true
                }
                StoreEvent::Read { token, result, .. } => {
                    self.outcomes.entry(token).or_default().read = Some(result)
                }
                StoreEvent::Inspected { token, inspection, .. } => {
                    self.outcomes.entry(token).or_default().inspection = Some(*inspection);
                }
                StoreEvent::Scanned { token, result, .. } => {
                    self.outcomes.entry(token).or_default().scanned = Some(result);
                }
                StoreEvent::Roots { token, roots } => {
                    self.outcomes.entry(token).or_default().roots = Some(roots);
                }
                StoreEvent::Leaves { token, leaves } => {
                    self.outcomes.entry(token).or_default().leaves = Some(leaves);
                }
                StoreEvent::Contents { token, result } => {
                    self.outcomes.entry(token).or_default().held = Some(result);
                }
                StoreEvent::Refused { token, reason } => {
                    self.outcomes.entry(token).or_default().refused = Some(reason);
                }
                StoreEvent::Hints { token, keys, unread, .. } => {
                    self.outcomes.entry(token).or_default().hints = Some((keys, unread));
                }
                StoreEvent::HintDropped { key } => self.dropped.push(key),
                StoreEvent::HintReadable { targets } => self.readable.extend(targets),
                StoreEvent::Poisoned { reason } => self.poisoned = Some(reason),
                StoreEvent::Damage(notice) => self.damage.push(notice),
                StoreEvent::Closed => self.closed = true,
            }
        }
    }

    /// Runs one job, if there is any.
    pub(crate) fn step(&mut self) -> bool {
        let Some(job) = self.poll_job() else { return false };
        self.run(job);
        true
    }

    /// The next job, with whatever the shard says before it is run.
    pub(crate) fn poll_job(&mut self) -> Option<Job> {
        let job = self.opened.shard.poll_job();
        self.collect();
        job
    }

    /// Has the worker do its part, of which the shard is not told.
    pub(crate) fn work(&mut self, job: Job) -> Done {
        match job {
            Job::Commit(job) => self.opened.committer.run(job),
            Job::Read(job) => self.opened.reader.run(job),
            Job::Index(job) => self.opened.indexer.run(job),
            Job::Compact(job) => self.opened.compactor.run(job),
        }
    }

    pub(crate) fn run(&mut self, job: Job) {
        let done = self.work(job);
        self.now.mono_ns += 1_000;
        self.opened.shard.complete(self.now, done);
        self.collect();
    }

    /// Runs jobs until there is none.
    pub(crate) fn settle(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 100_000, "the shard never comes to rest");
        }
    }

    /// Lets time pass and runs what it brings.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.now.mono_ns += ms * 1_000_000;
        self.opened.shard.tick(self.now);
        self.collect();
        self.settle();
    }

    /// Closes properly.
    pub(crate) fn close(&mut self) {
        self.opened.shard.begin_close(self.now);
        self.collect();
        self.settle();
    }

    pub(crate) fn outcome(&self, token: Token) -> Outcome {
        self.outcomes.get(&token).cloned().unwrap_or_default()
    }

    /// Reads a key through, and gives its live values; panics when it cannot be read.
    pub(crate) fn get(&mut self, name: &str) -> Vec<String> {
        let set = self.get_set(name);
        set.map(|set| texts(&set)).unwrap_or_default()
    }

    pub(crate) fn get_set(&mut self, name: &str) -> Option<EncodedSet> {
        let key = key(name);
        let token = self.submit(|token| StoreRequest::Read { token, key });
        self.settle();
        let outcome = self.outcome(token);
        outcome
            .read
            .clone()
            .unwrap_or_else(|| panic!("{name} was not read: {outcome:?}"))
            .unwrap_or_else(|error| {
                panic!("{name}: {error}, {:?}, {:?}", self.damage, self.opened.report)
            })
    }
}
