//! Operations on keys that are not in the table: they wait, in order, until the key was read.

use std::collections::{BTreeSet, VecDeque};

use kvorum_protocol::{EncodedSet, RecordKey, Space};
use kvorum_ring::NodeId;

use super::table::{Body, Entry, KeyMap, Placed, Seeded, Slot};
use super::{Shard, apply};
use crate::event::{DamageNotice, ReadError, StoreEvent, StoreRefusal};
use crate::index::IndexEntry;
use crate::job::{Loaded, ReadJob, Reading};
use crate::limits;
use crate::location::Location;
use crate::log::entry::Logged;
use crate::request::{Apply, Hint, Token};

/// What is to be done to a key.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Apply {
        token: Token,
        change: Apply,
        /// Of a record that is held for others.
        hint: Option<Hint>,
    },
    /// An owner has what was held for it.
    Release {
        token: Token,
        target: NodeId,
        set: EncodedSet,
    },
    Read {
        token: Token,
    },
    /// Tell what is known of it.
    Inspect {
        token: Token,
        was_in_memory: bool,
    },
    Remove {
        token: Token,
    },
    /// Forget the marker of this sequence, if it is still the newest.
    DropMarker {
        sequence: u64,
    },
    /// List a hinted record of which only the key is known.
    LearnHint,
    /// End a hint that nobody needs, or under a planted bug any.
    DropHint {
        even_bearing: bool,
    },
}

impl Operation {
    fn bytes(&self) -> usize {
        match self {
            Operation::Apply { change, .. } => apply::change_bytes(change),
            _ => 0,
        }
    }

    fn token(&self) -> Option<Token> {
        match self {
            Operation::Apply { token, .. }
            | Operation::Release { token, .. }
            | Operation::Read { token }
            | Operation::Inspect { token, .. }
            | Operation::Remove { token } => Some(*token),
            Operation::DropMarker { .. } | Operation::LearnHint | Operation::DropHint { .. } => {
                None
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Waiting {
    /// The job that reads the key; `None` while it waits for one.
    job: Option<u64>,
    operations: VecDeque<Operation>,
}

/// Keys that are being read.
#[derive(Clone, Debug)]
pub(crate) struct Loads {
    keys: KeyMap<Waiting>,
    wanted: VecDeque<RecordKey>,
    next_job: u64,
    jobs: BTreeSet<u64>,
    queued: usize,
    queued_bytes: usize,
}

impl Loads {
    pub(crate) fn new(hasher: Seeded) -> Loads {
        Loads {
            keys: KeyMap::with_hasher(hasher),
            wanted: VecDeque::new(),
            next_job: 0,
            jobs: BTreeSet::new(),
            queued: 0,
            queued_bytes: 0,
        }
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub(crate) fn jobs_out(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.jobs.is_empty()
    }

    /// The number that the next job will have: what was read before it is older than now.
    pub(crate) fn next_job(&self) -> u64 {
        self.next_job
    }

    /// Whether every job below `number` has come back.
    pub(crate) fn all_back_before(&self, number: u64) -> bool {
        self.jobs.first().is_none_or(|first| *first >= number)
    }

    /// A job that reads keys, if any are wanted.
    pub(crate) fn job(&mut self) -> Option<ReadJob> {
        let number = self.next_job;
        let mut keys = Vec::new();
        while keys.len() < limits::LOADS_PER_JOB {
            let Some(key) = self.wanted.pop_front() else { break };
            // A key that compaction happened to bring in is not wanted any more.
            if let Some(waiting) = self.keys.get_mut(&key).filter(|waiting| waiting.job.is_none()) {
                waiting.job = Some(number);
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return None;
        }
        self.next_job += 1;
        self.jobs.insert(number);
        Some(ReadJob(Reading::Load { number, keys }))
    }

    fn queue(&mut self, key: RecordKey, operation: Operation) {
        self.queued += 1;
        self.queued_bytes += operation.bytes();
        match self.keys.get_mut(&key) {
            Some(waiting) => waiting.operations.push_back(operation),
            None => {
                // The key outlives the frame that it came in.
                let key = key.detached();
                self.wanted.push_back(key.clone());
                self.keys
                    .insert(key, Waiting { job: None, operations: VecDeque::from([operation]) });
            }
        }
    }

    /// Takes what waits for a key: by the job that read it, or whatever job there is.
    pub(crate) fn take(&mut self, key: &RecordKey, job: Option<u64>) -> VecDeque<Operation> {
        let mine = self.keys.get(key).is_some_and(|waiting| job.is_none() || waiting.job == job);
        let operations = match mine {
            true => self.keys.remove(key).map(|waiting| waiting.operations).unwrap_or_default(),
            false => VecDeque::new(),
        };
        self.queued -= operations.len();
        self.queued_bytes -= operations.iter().map(Operation::bytes).sum::<usize>();
        operations
    }
}

/// Why operations cannot be done.
enum Unserved {
    /// The index is damaged.
    Index,
    /// The record cannot be read now.
    Record,
}

/// An entry whose bytes are damaged.
fn damaged(key: &RecordKey, entry: &IndexEntry) -> Entry {
    let placed = Placed { sequence: entry.sequence, location: entry.location };
    Entry::loaded(key.clone(), Body::Damaged, placed, entry.digest)
}

impl Shard {
    /// Does an operation now if the key is known, else when it was read.
    pub(super) fn operate(&mut self, key: RecordKey, operation: Operation) {
        match self.table.find(&key) {
            Some(slot) => self.perform(Some(slot), key, operation),
            None => self.loads.queue(key, operation),
        }
    }

    pub(super) fn loaded(&mut self, number: u64, found: Vec<(RecordKey, Loaded)>) {
        self.loads.jobs.remove(&number);
        for (key, loaded) in found {
            let operations = self.loads.take(&key, Some(number));
            if operations.is_empty() {
                continue;
            }
            match self.take_in(&key, loaded) {
                Ok(()) => self.perform_all(&key, operations),
                Err(Unserved::Index) => self.refuse_all(operations),
                Err(Unserved::Record) => self.tell_unreadable(operations),
            }
        }
    }

    /// Puts what was read into the table; an absent key stays out of it, and so does one that may be readable later.
    fn take_in(&mut self, key: &RecordKey, loaded: Loaded) -> Result<(), Unserved> {
        let (entry, body) = match loaded {
            Loaded::Absent if self.holds_hint(key) => {
                // What is listed has a record or a marker, so the index has lost it.
                self.index_is_damaged();
                return Err(Unserved::Index);
            }
            Loaded::Absent => return Ok(()),
            Loaded::Found { entry, logged } => match *logged {
                Logged::Record(record) => (entry, Body::Record(record.into())),
                Logged::Removal { covers_through, .. } => {
                    (entry, Body::Removed { covers_through: Some(covers_through) })
                }
            },
            Loaded::Removed { entry, covers_through } => {
                (entry, Body::Removed { covers_through: Some(covers_through) })
            }
            Loaded::Damaged { entry } | Loaded::Unreadable { entry }
                if key.space == Space::Hinted && self.gives_up_unreadable() =>
            {
                let slot = self.table.insert(damaged(key, &entry));
                self.remove(None, Some(slot), key);
                return Ok(());
            }
            Loaded::Damaged { entry } if key.space == Space::Hinted => {
                return self.hint_is_damaged(key, &entry);
            }
            Loaded::Damaged { entry } => {
                self.record_is_damaged(&entry);
                (entry, Body::Damaged)
            }
            Loaded::Unreadable { entry } => {
                if key.space == Space::Owned || self.set_hint_aside(key) {
                    let Location { segment, offset, .. } = entry.location;
                    let notice = DamageNotice::Unreadable { segment, offset };
                    self.events.push_back(StoreEvent::Damage(notice));
                }
                return Err(Unserved::Record);
            }
            Loaded::IndexFailed => {
                self.index_is_damaged();
                return Err(Unserved::Index);
            }
        };
        if let Body::Record(record) = &body {
            self.hint_is_readable(record);
        }
        let placed = Placed { sequence: entry.sequence, location: entry.location };
        self.table.insert(Entry::loaded(key.clone(), body, placed, entry.digest));
        Ok(())
    }

    /// The bytes of a hinted record are damaged. It is given up if enough owners have it, and else set aside: whether another
    /// read finds it whole or not, it is a copy that was counted.
    fn hint_is_damaged(&mut self, key: &RecordKey, entry: &IndexEntry) -> Result<(), Unserved> {
        if self.may_give_up(key) {
            self.record_is_damaged(entry);
            let slot = self.table.insert(damaged(key, entry));
            self.give_up_hint(slot, key);
            return Ok(());
        }
        if self.set_hint_aside(key) {
            self.record_is_damaged(entry);
        }
        Err(Unserved::Record)
    }

    fn record_is_damaged(&mut self, entry: &IndexEntry) {
        let notice =
            DamageNotice::Record { segment: entry.location.segment, offset: entry.location.offset };
        self.events.push_back(StoreEvent::Damage(notice));
        self.begin_new_run();
    }

    /// Answers operations that cannot be done now.
    pub(super) fn refuse_all(&mut self, operations: VecDeque<Operation>) {
        let is_learning = |operation: &&Operation| matches!(operation, Operation::LearnHint);
        self.hint_reads_failed(operations.iter().filter(is_learning).count());
        for token in operations.iter().filter_map(Operation::token) {
            self.refuse(token, StoreRefusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS });
        }
    }

    /// Answers operations on a record that cannot be read now. Nothing is changed: what would be written could not be made from
    /// what is there.
    fn tell_unreadable(&mut self, operations: VecDeque<Operation>) {
        let (reads, others): (VecDeque<Operation>, VecDeque<Operation>) = operations
            .into_iter()
            .partition(|operation| matches!(operation, Operation::Read { .. }));
        for token in reads.iter().filter_map(Operation::token) {
            let (result, refilling) = (Err(ReadError::Unreadable), self.refilling);
            self.events.push_back(StoreEvent::Read { token, result, refilling });
        }
        self.refuse_all(others);
    }

    /// Refuses everything that waits for a read.
    pub(super) fn refuse_queued(&mut self) {
        let wanted = std::mem::take(&mut self.loads.wanted);
        for key in wanted {
            let operations = self.loads.take(&key, None);
            self.refuse_all(operations);
        }
    }

    /// Does operations that waited for a key, in order.
    pub(super) fn perform_all(&mut self, key: &RecordKey, operations: VecDeque<Operation>) {
        for operation in operations {
            // The first one may have brought an absent key into the table.
            let slot = self.table.find(key);
            self.perform(slot, key.clone(), operation);
        }
    }

    /// Does an operation on a key that is in the table, or known to be absent.
    fn perform(&mut self, slot: Option<Slot>, key: RecordKey, operation: Operation) {
        if let Some(slot) = slot {
            self.table.touch(slot);
        }
        match operation {
            Operation::Apply { token, change, hint } => {
                self.apply(token, slot, key, change, hint.as_ref());
            }
            Operation::Release { token, target, set } => {
                self.release(token, slot, &key, target, &set);
            }
            Operation::Read { token } => self.read(token, slot),
            Operation::Inspect { token, was_in_memory } => {
                self.inspect(token, slot, &key, was_in_memory);
            }
            Operation::Remove { token } => self.remove(Some(token), slot, &key),
            Operation::LearnHint => self.learn_hint(slot, &key),
            Operation::DropHint { even_bearing } => self.drop_hint(slot, &key, even_bearing),
            Operation::DropMarker { sequence } => self.drop_marker(slot, sequence),
        }
    }

    fn read(&mut self, token: Token, slot: Option<Slot>) {
        let result = match slot.map(|slot| &self.table.entry(slot).body) {
            Some(Body::Record(record)) => Ok(Some(record.set.clone())),
            Some(Body::Damaged) => Err(ReadError::Damaged),
            Some(Body::Removed { .. } | Body::Gone) | None => Ok(None),
        };
        self.events.push_back(StoreEvent::Read { token, result, refilling: self.refilling });
    }
}
