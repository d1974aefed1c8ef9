//! What the engine asks of a shard.

use bytes::Bytes;
use kvorum_antientropy::Leaves;
use kvorum_protocol::{
    BucketName, Change, EncodedSet, Key, OperationId, RecordKey, Replaces, Space,
};
use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionId};

/// The engine's name for a request; it comes back in the events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// A request. Requests for one key take effect in the order in which they are submitted.
#[derive(Clone, Debug)]
pub enum StoreRequest {
    /// Change a record: answered by `Applied` and then `Durable`, or by `Refused`.
    Apply {
        /// Comes back in the events.
        token: Token,
        /// Which record.
        key: RecordKey,
        /// The change.
        change: Apply,
    },
    /// Change a record that is held for owners that were away: answered as [`StoreRequest::Apply`]. Its key is in the hinted
    /// space.
    Hold {
        /// Comes back in the events.
        token: Token,
        /// Which record.
        key: RecordKey,
        /// Whom it is for, in addition to those whom it was for before.
        hint: Hint,
        /// The change.
        change: Apply,
    },
    /// An owner has durably what was held for it. If the record is still what it was given, it is held for one owner less, and
    /// goes with the last: answered by `Durable`, or by `Refused`.
    Release {
        /// Comes back in the event.
        token: Token,
        /// Which record.
        key: RecordKey,
        /// The owner.
        target: NodeId,
        /// What it has.
        set: EncodedSet,
    },
    /// Which records are held for an owner? Answered by `Hints`, or by `Refused`.
    ListHints {
        /// Comes back in the event.
        token: Token,
        /// The owner.
        target: NodeId,
        /// Only keys behind this one.
        after: Option<RecordKey>,
        /// Most keys to return.
        limit: usize,
    },
    /// Read a record, durable or not: answered by `Read`, or by `Refused`.
    Read {
        /// Comes back in the event.
        token: Token,
        /// Which record.
        key: RecordKey,
    },
    /// Tell what is known of a key, and where it is: answered by `Inspected`, or by `Refused`.
    Inspect {
        /// Comes back in the event.
        token: Token,
        /// Which record.
        key: RecordKey,
    },
    /// List keys: answered by `Scanned`, or by `Refused`.
    Scan {
        /// Comes back in the event.
        token: Token,
        /// Which keys.
        range: ScanRange,
    },
    /// The sums of the hash trees of partitions that this node owns: answered by `Roots`, or by `Refused`.
    Roots {
        /// Comes back in the event.
        token: Token,
        /// The replication class.
        class: ClassId,
        /// The partitions.
        partitions: Vec<PartitionId>,
    },
    /// The leaves of a partition's hash tree: answered by `Leaves`, or by `Refused`.
    Leaves {
        /// Comes back in the event.
        token: Token,
        /// The replication class.
        class: ClassId,
        /// The partition.
        partition: PartitionId,
    },
    /// List what a partition holds, by the hashes of its keys: answered by `Contents`, or by `Refused`.
    Contents {
        /// Comes back in the event.
        token: Token,
        /// Which keys.
        range: ContentsRange,
    },
    /// Remove a record without leaving one (a reclaimed tombstone, a dropped partition): answered by
    /// `Durable` once the removal marker is, or by `Refused`.
    Remove {
        /// Comes back in the event.
        token: Token,
        /// Which record.
        key: RecordKey,
    },
}

impl StoreRequest {
    /// The request's token.
    pub fn token(&self) -> Token {
        match self {
            StoreRequest::Apply { token, .. }
            | StoreRequest::Hold { token, .. }
            | StoreRequest::Release { token, .. }
            | StoreRequest::ListHints { token, .. }
            | StoreRequest::Read { token, .. }
            | StoreRequest::Inspect { token, .. }
            | StoreRequest::Scan { token, .. }
            | StoreRequest::Roots { token, .. }
            | StoreRequest::Leaves { token, .. }
            | StoreRequest::Contents { token, .. }
            | StoreRequest::Remove { token, .. } => *token,
        }
    }
}

/// Whom a record is held for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Owners; at least one.
    pub targets: Vec<NodeId>,
    /// As many owners as the write needs have it already.
    pub spare: bool,
}

/// A change to a record.
#[derive(Clone, Debug)]
pub enum Apply {
    /// A client's write, coordinated here: a version is minted under the actor rule, unless the record knows the operation
    /// already; then nothing changes, and `Applied` says what is there.
    Update {
        /// What the write says that it replaces.
        replaces: Replaces,
        /// Value or delete.
        change: Change,
        /// The client's name for the operation.
        operation: OperationId,
    },
    /// Everything that arrives from other nodes.
    Merge {
        /// What the other node holds.
        set: EncodedSet,
    },
}

/// Keys of one bucket, in key order over all the partitions named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanRange {
    /// Records held as an owner, or for others.
    pub space: Space,
    /// The bucket's replication class.
    pub class: ClassId,
    /// The partitions to look at. At most [`crate::limits::SCAN_PARTITIONS`].
    pub partitions: Vec<PartitionId>,
    /// The bucket.
    pub bucket: BucketName,
    /// Keys that begin with these bytes; empty for all.
    pub prefix: Bytes,
    /// Only keys above this one: the last key of the page before.
    pub after: Option<Key>,
    /// Most keys to return, up to [`crate::limits::SCAN_KEYS`].
    pub limit: u32,
    /// Only keys with siblings. Then a page looks at [`crate::limits::SIBLINGS_LOOKED_FOR`] keys at most, whatever it finds.
    pub siblings_only: bool,
}

/// A page of keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScanPage {
    /// Ascending by key.
    pub keys: Vec<ScannedKey>,
    /// Whether there are keys beyond the last one.
    pub more: bool,
    /// How far the page looked, where that is farther than its last key.
    pub through: Option<Key>,
}

/// One key of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScannedKey {
    /// The key.
    pub key: Key,
    /// Live values: 0 for a tombstone, more than 1 for siblings. Expiry is not looked at.
    pub values: u16,
    /// Bytes of all live values together.
    pub value_bytes: u32,
}

/// Keys of a partition that this node holds as an owner, in the order of their hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentsRange {
    /// The replication class.
    pub class: ClassId,
    /// The partition.
    pub partition: PartitionId,
    /// Only keys of these leaves.
    pub leaves: Leaves,
    /// Only keys whose hash is at least this.
    pub from: KeyHash,
    /// And at most this.
    pub through: KeyHash,
    /// Most keys to return, up to [`crate::limits::CONTENTS_KEYS`].
    pub limit: u32,
}

/// A page of keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ContentsPage {
    /// Ascending by hash.
    pub keys: Vec<ContentsKey>,
    /// Whether there are keys beyond the last one.
    pub more: bool,
}

/// A key that this node holds a record of, be it a tombstone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentsKey {
    /// Its hash.
    pub hash: KeyHash,
    /// The record's key.
    pub key: RecordKey,
    /// What tells its live versions apart from others; `None` when nothing is live.
    pub tag: Option<u64>,
}
