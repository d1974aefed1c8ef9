//! What a shard answers.

use kvorum_antientropy::{LEAVES, Sum};
use kvorum_protocol::mergeable::OperationRefusal;
use kvorum_protocol::{Dot, EncodedSet, RecordKey};
use kvorum_ring::NodeId;

use crate::files::FileError;
use crate::index::IndexError;
use crate::inspection::Inspection;
use crate::location::SegmentId;
use crate::request::{ContentsPage, ScanPage, Token};

/// An answer or a notice. The events of one token come in the order `Applied`, `Durable`.
#[derive(Clone, Debug)]
pub enum StoreEvent {
    /// The change is visible to later reads. Messages to other replicas may leave; acknowledgements may not.
    Applied {
        /// The request's.
        token: Token,
        /// What the key holds now.
        set: EncodedSet,
        /// What an update minted; `None` for a merge, and for an update whose operation the record knew already.
        minted: Option<MintedDot>,
        /// Whether the record changed. An update that minted always changes it.
        changed: bool,
    },
    /// What `Applied` said is on disk, and so is everything that it was built on.
    Durable {
        /// The request's.
        token: Token,
    },
    /// The answer to a read.
    Read {
        /// The request's.
        token: Token,
        /// The record's set; `None` when there is no record.
        result: Result<Option<EncodedSet>, ReadError>,
        /// The shard is refilling: that it has no record does not mean that there is none.
        refilling: bool,
    },
    /// The answer to [`crate::StoreRequest::Inspect`].
    Inspected {
        /// The request's.
        token: Token,
        /// What is known. Boxed, because it is rare and large.
        inspection: Box<Inspection>,
        /// The shard is refilling: that it has no record does not mean that there is none.
        refilling: bool,
    },
    /// The answer to a scan.
    Scanned {
        /// The request's.
        token: Token,
        /// The page.
        result: Result<ScanPage, ReadError>,
        /// The shard is refilling: keys may be missing from the page.
        refilling: bool,
    },
    /// The answer to [`crate::StoreRequest::ListHints`].
    Hints {
        /// The request's.
        token: Token,
        /// The keys, ascending.
        keys: Vec<RecordKey>,
        /// Whether there are keys behind the last one.
        more: bool,
        /// Whether it is not known yet of some records whom they are held for.
        unread: bool,
    },
    /// The answer to a request for roots.
    Roots {
        /// The request's.
        token: Token,
        /// The sum of each partition's tree, in the request's order; `None` while one of them is being counted.
        roots: Option<Vec<Sum>>,
    },
    /// The answer to a request for leaves.
    Leaves {
        /// The request's.
        token: Token,
        /// The leaves; `None` while they are being counted. Boxed, because every event is moved as if it were the largest.
        leaves: Option<Box<[Sum; LEAVES]>>,
    },
    /// The answer to a request for what a partition holds.
    Contents {
        /// The request's.
        token: Token,
        /// The page.
        result: Result<ContentsPage, ReadError>,
    },
    /// The request was refused: nothing was minted, applied or read.
    Refused {
        /// The request's.
        token: Token,
        /// Why.
        reason: StoreRefusal,
    },
    /// A spare hint was dropped for its age, or because its bytes are damaged.
    HintDropped {
        /// Its key.
        key: RecordKey,
    },
    /// A hint that could not be read has been read: it is listed again.
    HintReadable {
        /// Whom it is for.
        targets: Vec<NodeId>,
    },
    /// An append or a sync failed. The node must stop; no event follows, and requests are no longer answered.
    Poisoned {
        /// What failed.
        reason: PoisonReason,
    },
    /// The store noticed damage and has dealt with it as the notice says.
    Damage(DamageNotice),
    /// After [`crate::Shard::begin_close`]: everything is on disk and in the index. The last event.
    Closed,
}

impl StoreEvent {
    /// The token of the request that this answers; none for a notice.
    pub fn token(&self) -> Option<Token> {
        match self {
            StoreEvent::Applied { token, .. }
            | StoreEvent::Durable { token }
            | StoreEvent::Read { token, .. }
            | StoreEvent::Inspected { token, .. }
            | StoreEvent::Scanned { token, .. }
            | StoreEvent::Hints { token, .. }
            | StoreEvent::Roots { token, .. }
            | StoreEvent::Leaves { token, .. }
            | StoreEvent::Contents { token, .. }
            | StoreEvent::Refused { token, .. } => Some(*token),
            StoreEvent::HintDropped { .. }
            | StoreEvent::HintReadable { .. }
            | StoreEvent::Poisoned { .. }
            | StoreEvent::Damage(_)
            | StoreEvent::Closed => None,
        }
    }
}

/// A minted version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MintedDot {
    /// Its name.
    pub dot: Dot,
    /// The live versions it replaced, ascending.
    pub replaced: Vec<Dot>,
}

/// Why a read has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// The record is damaged. It counts as missing and heals with the next merge; this holder is refilling.
    #[error("the record is damaged")]
    Damaged,
    /// The index failed to answer; the shard rebuilds it.
    #[error("the index is damaged")]
    IndexDamaged,
    /// The file could not be read. Nothing is known of the record, and nothing was given up: a later read may succeed.
    #[error("the record cannot be read now")]
    Unreadable,
}

/// Why a request was refused. Nothing was minted or applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreRefusal {
    /// A queue is full, or the index is being rebuilt.
    #[error("the store is overloaded; try again in {retry_after_ms} ms")]
    Overloaded {
        /// When to try again.
        retry_after_ms: u32,
    },
    /// The disk is full. Deletes and merges may still be taken.
    #[error("the disk is full")]
    DiskFull,
    /// The key has too many siblings for a write that replaces none of them.
    #[error("the key has too many siblings")]
    TooManySiblings,
    /// A delete that replaces nothing.
    #[error("there is nothing to delete")]
    NothingToDelete,
    /// An operation that does not fit the mergeable value that is there, or would make too much of it.
    #[error("{0}")]
    Operation(OperationRefusal),
    /// The record would have more clock entries or versions than any reader takes. No correct node's writes come near it.
    #[error("the record would be too large")]
    Oversized,
    /// As much is held for owners that are away as may be.
    #[error("there is no room for more hints")]
    HintsFull,
    /// The store is closing.
    #[error("the store is closing")]
    Closing,
}

/// What stopped the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PoisonReason {
    /// The log could not be written or synced.
    #[error("the log failed: {0}")]
    Log(FileError),
    /// The manifest could not be written or synced.
    #[error("the manifest failed: {0}")]
    Manifest(FileError),
    /// The index could not be written or synced; it is rebuilt at the next start.
    #[error("the index failed: {0}")]
    Index(IndexError),
    /// A segment could not be read for a rebuild, renamed or removed.
    #[error("a segment failed: {0}")]
    Segment(FileError),
}

/// Damage that was noticed while running. The marks of all records are void from here on, and absences do not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DamageNotice {
    /// A record that the index names cannot be read. It counts as missing.
    Record {
        /// The segment that holds it.
        segment: SegmentId,
        /// Where.
        offset: u32,
    },
    /// The file of a record that the index names could not be read. Nothing is void: it is tried again.
    Unreadable {
        /// The segment that holds it.
        segment: SegmentId,
        /// Where.
        offset: u32,
    },
    /// Bytes of a sealed segment that are no frame.
    Segment {
        /// The segment.
        segment: SegmentId,
        /// How many.
        bytes: u32,
    },
    /// The log holds a record that the index does not name, or the index failed to answer: it is rebuilt from the
    /// segments, and requests are refused as overloaded until then.
    IndexRebuildStarted,
    /// The rebuild is done.
    IndexRebuilt {
        /// Entries that were missing or stale.
        repaired: u64,
    },
}
