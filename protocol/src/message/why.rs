//! Why a key holds what it holds: the question, and what each node testifies.
//!
//! The node that is asked collects a testimony of every owner and fallback of the key and adds nothing of its own. What follows
//! from them is told by [`explain`](crate::explain), which is the same code for whoever reads the answer. Values do not travel.
//!
//! Times are ages, in milliseconds before the testimony was given, by a clock that nobody sets: a wall clock that jumped shows
//! nowhere but in `now_ms`.

use kvorum_ring::{NodeId, PartitionId};

use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::key::{BucketName, Key};
use crate::message::error::{OwnerCause, OwnerFailure};
use crate::message::request::RequestOptions;
use crate::message::topology::LayoutLabel;
use crate::version::{Actor, Clock, Dot, OperationId};

crate::wire_struct! {
    /// Asks why a key holds what it holds.
    pub struct Why {
        /// The bucket.
        pub bucket: BucketName,
        /// The key.
        pub key: Key,
        /// How the question wants to be served; of these only the deadline counts.
        pub options: RequestOptions,
    }
}

crate::wire_struct! {
    /// What the owners and fallbacks of a key testify.
    pub struct WhyDone {
        /// The key's partition.
        pub partition: PartitionId,
        /// Its owners in preference order, by the layout of the node that answers.
        pub owners: Vec<NodeId>,
        /// Its fallbacks in their order.
        pub fallbacks: Vec<NodeId>,
        /// What those that answered say.
        pub testimonies: Vec<Testimony>,
        /// Those that did not, and why.
        pub silent: Vec<OwnerFailure>,
    }
}

crate::wire_struct! {
    /// What one node knows of a key, and of the others.
    pub struct Testimony {
        /// The node.
        pub node: NodeId,
        /// Its wall clock in milliseconds since 1970.
        pub now_ms: u64,
        /// For how long it has been running.
        pub up_ms: u64,
        /// How far its memory of events goes back: whatever happened to the key since then is told.
        pub remembers_ms: u64,
        /// The layout that it goes by.
        pub layout: LayoutLabel,
        /// It lost records and is being refilled: that it holds nothing does not mean that there was nothing.
        pub refilling: bool,
        /// What it holds as an owner.
        pub owned: KeptCopy,
        /// What it holds for others.
        pub hinted: KeptCopy,
        /// The sum of the key's leaf in its hash tree; absent of a node that is no owner, or that does not know it.
        pub leaf: Option<LeafSum>,
        /// How it sees the others.
        pub peers: Vec<PeerSight>,
        /// What happened to the key there, the newest last.
        pub events: Vec<KeyEvent>,
    }
}

crate::wire_enum! {
    /// What there is of a key in one place.
    pub enum KeptCopy {
        /// Nothing.
        1 = Absent,
        /// The marker of a record that was removed.
        2 = Removed {
            /// The marker's sequence.
            sequence: u64,
        },
        /// A record whose bytes cannot be read. It counts as missing, and heals with the next merge.
        3 = Damaged {
            /// The record's sequence.
            sequence: u64,
            /// Where it stands.
            place: Option<LogPlace>,
        },
        /// A record.
        4 = Record(record: KeptRecord),
        /// The store did not look.
        5 = Unread {
            /// Why.
            cause: OwnerCause,
        },
    } else {
        /// Something that a later version added.
        Other
    }
}

crate::wire_struct! {
    /// A record without its values.
    pub struct KeptRecord {
        /// Every event that it has seen.
        pub clock: Clock,
        /// Its live versions, ascending by dot; at most [`WHY_VERSIONS`](crate::limits::WHY_VERSIONS) of them.
        pub versions: Vec<KeptVersion>,
        /// How many there are.
        pub live: u32,
        /// Its deletes that nothing has replaced.
        pub deletions: Vec<KeptDeletion>,
        /// A digest of what is live: equal where the same versions are.
        pub digest: LeafSum,
        /// Its sequence in the store.
        pub sequence: u64,
        /// Whether it is on the disk.
        pub synced: bool,
        /// Whether it was in memory.
        pub in_memory: bool,
        /// Where its newest version that is on the disk stands; none before the first sync.
        pub place: Option<LogPlace>,
        /// Whether the index names that place.
        pub indexed: bool,
        /// The actor that the node minted under last, as far as the record tells.
        pub actor: Option<Actor>,
        /// The owners that it is held for; none of a record that is held as an owner.
        pub held_for: Vec<NodeId>,
        /// Whether enough owners have it: such a hint may be dropped.
        pub spare: bool,
        /// For how long it has been held for others, as far as the process knows.
        pub held_ms: Option<u64>,
    }
}

crate::wire_struct! {
    /// A live version without its value.
    #[derive(Copy)]
    pub struct KeptVersion {
        /// Its dot.
        pub dot: Dot,
        /// The operation that made it.
        pub operation: OperationId,
        /// Bytes of its value.
        pub bytes: u64,
        /// Wall-clock time in milliseconds since 1970 from which on it reads as deleted.
        pub expires_at_ms: Option<u64>,
    }
}

crate::wire_struct! {
    /// A delete that nothing has replaced.
    #[derive(Copy)]
    pub struct KeptDeletion {
        /// Its dot.
        pub dot: Dot,
        /// The operation that deleted.
        pub operation: OperationId,
    }
}

crate::wire_struct! {
    /// A place in a node's log.
    #[derive(Copy)]
    pub struct LogPlace {
        /// The segment's number.
        pub segment: u32,
        /// Bytes from its beginning.
        pub offset: u32,
        /// Bytes of the whole frame.
        pub length: u32,
    }
}

/// A sum or digest of 128 bits, to be compared and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct LeafSum(pub u128);

impl Wire for LeafSum {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0.to_be_bytes());
    }

    fn read(reader: &mut Reader) -> Result<LeafSum, DecodeError> {
        reader.sixteen().map(LeafSum)
    }
}

crate::wire_struct! {
    /// How a node sees another one.
    #[derive(Copy)]
    pub struct PeerSight {
        /// The other node.
        pub node: NodeId,
        /// Whether it can be reached.
        pub up: bool,
        /// How long ago it could not be reached any more, the last time.
        pub fell_ms: Option<u64>,
        /// How long ago it could be reached again, the last time.
        pub rose_ms: Option<u64>,
        /// How long ago an exchange with it that this node asked for came to its end, the last time.
        pub compared_ms: Option<u64>,
    }
}

crate::wire_struct! {
    /// Something that happened to a key.
    #[derive(Copy)]
    pub struct KeyEvent {
        /// How long ago.
        pub ago_ms: u64,
        /// What.
        pub what: Happened,
    }
}

crate::wire_enum! {
    /// What happened to a key on a node.
    #[derive(Copy)]
    pub enum Happened {
        /// The node coordinated a write, and its store minted a version, or a delete.
        1 = Minted {
            /// Its dot.
            dot: Dot,
            /// The operation.
            operation: OperationId,
            /// What the write said that it replaces.
            mode: WriteMode,
            /// Live versions that it replaced.
            replaced: u32,
            /// Live versions behind it: more than one are siblings.
            live: u32,
            /// Milliseconds in which it is carried to the other owners; then whoever has not acknowledged it is left behind.
            within_ms: u32,
            /// The node is no owner, and holds it for the owners.
            stands_in: bool,
        },
        /// What came from elsewhere changed the record.
        2 = Merged {
            /// Who sent it.
            from: NodeId,
            /// On which way it came.
            way: Way,
            /// Live versions since.
            live: u32,
        },
        /// A write that the node coordinated ended, and this owner had not acknowledged it.
        3 = LeftBehind {
            /// The owner.
            node: NodeId,
            /// Why not.
            cause: OwnerCause,
            /// The write.
            dot: Dot,
        },
        /// What came from elsewhere was not taken.
        4 = Refused {
            /// Who sent it.
            from: NodeId,
            /// On which way it came.
            way: Way,
            /// Why.
            cause: OwnerCause,
        },
        /// What was held for an owner is durable there.
        5 = HintDelivered {
            /// The owner.
            to: NodeId,
        },
        /// What is held for an owner could not be delivered, and is tried again.
        6 = HintUndelivered {
            /// The owner.
            to: NodeId,
            /// Why.
            cause: OwnerCause,
        },
        /// What was held for owners was dropped for its age; enough owners had it.
        7 = HintDropped,
        /// The record could not be read.
        8 = FoundDamaged,
        /// The record was reclaimed: nobody needs it any more.
        9 = Reclaimed,
        /// A write that the node coordinated ended before its own store had answered. It may have been minted since.
        10 = Unanswered {
            /// The operation.
            operation: OperationId,
        },
    } else {
        /// Something that a later version added.
        Other
    }
}

crate::wire_enum! {
    /// What a write says that it replaces.
    #[derive(Copy)]
    pub enum WriteMode {
        /// Whatever its coordinator holds.
        1 = Latest,
        /// Nothing: it adds a sibling.
        2 = Beside,
        /// What its client has read.
        3 = Context,
    } else {
        /// A mode that a later version added.
        Other
    }
}

crate::wire_enum! {
    /// On which way a record comes to a node.
    #[derive(Copy)]
    pub enum Way {
        /// Its coordinator sends a write.
        1 = Write,
        /// A read found the owner behind.
        2 = ReadRepair,
        /// An exchange found the owners different.
        3 = Exchange,
        /// It was held for this owner.
        4 = Hint,
        /// It is to be held for an owner.
        5 = Hold,
        /// A retry found it with another node, and sends it again.
        6 = Retry,
    } else {
        /// A way that a later version added, or one that the sender did not tell.
        Other
    }
}
