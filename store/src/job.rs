//! What the core hands to the workers and what comes back.
//!
//! A job carries all that its worker needs; a worker keeps no state that a restart could not rebuild. At most one job is
//! with the committer, the indexer and the compactor each; the readers may have a few.

use std::sync::Arc;

use kvorum_antientropy::{LeafKey, Tree};
use kvorum_protocol::{Record, RecordKey};

use crate::event::ReadError;
use crate::files::FileError;
use crate::index::{EntrySum, IndexEntry, IndexError, IndexKey};
use crate::location::{Location, SegmentId};
use crate::log::entry::{LogEntry, Logged};
use crate::log::manifest::Manifest;
use crate::log::segment::SegmentKind;
use crate::log::writer::Written;
use crate::request::{ContentsPage, ContentsRange, ScanPage, ScanRange, Token};
use crate::saved_trees::{Counted, SavedTrees};
use crate::shard::table::{Placed, Slot};

/// A job for one of the workers.
#[derive(Debug)]
pub enum Job {
    /// For the [`crate::Committer`].
    Commit(CommitJob),
    /// For a [`crate::Reader`].
    Read(ReadJob),
    /// For the [`crate::Indexer`].
    Index(IndexJob),
    /// For the [`crate::Compactor`].
    Compact(CompactJob),
}

/// A batch to append and sync.
#[derive(Clone, Debug)]
pub struct CommitJob {
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) spares: Vec<u32>,
    pub(crate) bytes: usize,
    /// For the answer: a vector that has the size already.
    pub(crate) locations: Vec<Location>,
}

impl CommitJob {
    /// Entries in the batch.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Bytes to be written, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Something to read.
#[derive(Clone, Debug)]
pub struct ReadJob(pub(crate) Reading);

#[derive(Clone, Debug)]
pub(crate) enum Reading {
    Load { number: u64, keys: Vec<RecordKey> },
    Scan { token: Token, range: ScanRange, overlay: Vec<Overlay> },
    Contents { token: Token, range: ContentsRange, by: LeafKey, overlay: Vec<ContentsOverlay> },
    Digest { records: Vec<Undigested> },
}

/// A record whose hash tree is to be told of it.
#[derive(Clone, Debug)]
pub(crate) struct Undigested {
    pub(crate) slot: Slot,
    pub(crate) sequence: u64,
    pub(crate) record: Arc<Record>,
}

/// The same with the digest of its live versions.
#[derive(Clone, Debug)]
pub(crate) struct Digested {
    pub(crate) slot: Slot,
    pub(crate) sequence: u64,
    pub(crate) record: Arc<Record>,
    pub(crate) digest: u128,
}

/// What the table knows better than the index, for a list of what a partition holds.
#[derive(Clone, Debug)]
pub(crate) struct ContentsOverlay {
    pub(crate) key: IndexKey,
    /// The record, if there is one.
    pub(crate) record: Option<Arc<Record>>,
    /// Of what is live, if its hash tree was told of that.
    pub(crate) digest: Option<u128>,
}

/// What the table knows better than the index, for a scan.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    pub(crate) key: IndexKey,
    /// Live values and their bytes; `None` when there is no record.
    pub(crate) values: Option<(u16, u32)>,
}

/// What a load found.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    /// The index does not know the key.
    Absent,
    Found {
        entry: IndexEntry,
        logged: Box<Logged>,
    },
    /// The index names a removal marker; its frame is not read.
    Removed {
        entry: IndexEntry,
        covers_through: SegmentId,
    },
    /// The frame is not valid, or is not of this key and sequence.
    Damaged {
        entry: IndexEntry,
    },
    /// The file could not be read: nothing is known of the frame.
    Unreadable {
        entry: IndexEntry,
    },
    /// The index failed.
    IndexFailed,
}

/// Something to do for the index.
#[derive(Debug)]
pub struct IndexJob(pub(crate) Indexing);

#[derive(Debug)]
pub(crate) enum Indexing {
    Apply {
        changes: Vec<IndexChange>,
    },
    Checkpoint {
        batch: u64,
        manifest: Box<Manifest>,
        trees: Box<SavedTrees>,
    },
    /// Count the trees of partitions from the index, but for keys that wait for it, ascending.
    Count {
        by: LeafKey,
        partitions: Vec<Counted>,
        waiting: Vec<IndexKey>,
    },
    Rebuild {
        segments: Vec<(SegmentId, SegmentKind, u32)>,
    },
}

/// A change to one entry of the index. Its bytes are made on the indexer's thread.
#[derive(Clone, Debug)]
pub(crate) struct IndexChange {
    /// The sequence that the index names now.
    pub(crate) old: Option<u64>,
    /// What it is to name.
    pub(crate) new: Named,
}

/// What the index is to name.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    Record {
        record: Arc<Record>,
        placed: Placed,
        /// Of what is live, if its hash tree was told it already.
        digest: Option<u128>,
    },
    Removed {
        key: RecordKey,
        covers_through: SegmentId,
        placed: Placed,
    },
    /// The key is to be forgotten.
    Nothing {
        key: RecordKey,
    },
}

/// What came of a batch.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) written: Written,
    /// The job's own entries, which go on into the table.
    pub(crate) entries: Vec<LogEntry>,
}

/// A tree as the index has it.
#[derive(Clone, Debug)]
pub(crate) struct CountedTree {
    pub(crate) of: Counted,
    pub(crate) tree: Tree,
}

/// What came of a job that told the index of changes.
#[derive(Debug)]
pub(crate) struct Indexed {
    pub(crate) sum: EntrySum,
    /// Of what is live at each change, in the job's order; 0 for nothing.
    pub(crate) digests: Vec<u128>,
    /// The job's own vector, emptied: the next job needs as large a one.
    pub(crate) room: Vec<IndexChange>,
}

/// Something to do for the space that the log takes.
#[derive(Debug)]
pub struct CompactJob(pub(crate) Compacting);

#[derive(Debug)]
pub(crate) enum Compacting {
    /// Read a part of a sealed segment and say what may be alive in it.
    Step { segment: SegmentId, kind: SegmentKind, offset: u32, end: u32, budget: usize },
    /// Preallocate a file.
    Prepare { spare: u32, bytes: u32 },
    /// Remove a segment's file, or keep it as a spare.
    Retire { segment: SegmentId, kind: SegmentKind, keep_as: Option<u32>, bytes: u32 },
}

/// What may be alive in a part of a segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) candidates: Vec<Candidate>,
    /// Where the next step begins.
    pub(crate) next: u32,
    /// Bytes that are no frame.
    pub(crate) damaged: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) placed: Location,
    pub(crate) sequence: u64,
    pub(crate) logged: Logged,
    /// What the index said when the step was read.
    pub(crate) index: Option<IndexEntry>,
}

/// A finished job.
#[derive(Debug)]
pub struct Done(pub(crate) Finished);

#[derive(Debug)]
pub(crate) enum Finished {
    Committed(Result<Committed, FileError>),
    Loaded { number: u64, found: Vec<(RecordKey, Loaded)> },
    Scanned { token: Token, result: Result<ScanPage, ReadError> },
    Contents { token: Token, result: Result<ContentsPage, ReadError> },
    Digested(Vec<Digested>),
    Indexed(Result<Indexed, IndexError>),
    Checkpointed(Result<(), CheckpointError>),
    Counted(Result<Vec<CountedTree>, IndexError>),
    Rebuilt(Result<Rebuilt, RebuildError>),
    Stepped { segment: SegmentId, result: Result<Step, StepError> },
    Prepared { spare: u32, result: Result<(), FileError> },
    Retired { segment: SegmentId, keep_as: Option<u32>, result: Result<bool, FileError> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CheckpointError {
    Index(IndexError),
    Manifest(FileError),
}

/// A hinted record that the index names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HintedKey {
    pub(crate) key: RecordKey,
    /// Bytes of its frame.
    pub(crate) bytes: usize,
}

/// What a rebuild of the index found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rebuilt {
    /// Entries that were missing or stale.
    pub(crate) repaired: u64,
    pub(crate) sum: EntrySum,
    /// Bytes of frames that the index names, by segment.
    pub(crate) live: Vec<(SegmentId, u64)>,
    /// Bytes that are no frame.
    pub(crate) damaged: u32,
    /// All hinted keys.
    pub(crate) hinted: Vec<HintedKey>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RebuildError {
    Index(IndexError),
    File(FileError),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StepError {
    Index(IndexError),
    File(FileError),
}
