//! Repair that somebody orders: the owners of a key, or of a partition, are made to hold the same, now, and it is told who
//! held what.
//!
//! A partition is repaired in steps, each a request of its own with a deadline. The answer to one says where the next one
//! begins, so a repair can be watched, broken off after any step, and taken up again by whoever knows how far it came; the
//! nodes remember nothing between two steps.

use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionId};

use crate::encoded::SetDigest;
use crate::key::{BucketName, Key};
use crate::message::causes::OwnerCause;
use crate::message::request::RequestOptions;

crate::wire_enum! {
    /// What is to be repaired.
    pub enum RepairTarget {
        /// One key. Any node passes it on to an owner.
        1 = Key {
            /// Its bucket.
            bucket: BucketName,
            /// The key.
            key: Key,
        },
        /// Keys of one partition, in the order of their hashes, as many as one step takes. Only an owner does that.
        2 = Partition {
            /// The replication class.
            class: ClassId,
            /// The partition.
            partition: PartitionId,
            /// The lowest hash concerned: 0 at first, then [`RepairDone::next`].
            from: KeyHash,
        },
    }
}

crate::wire_struct! {
    /// Makes the owners of something hold the same.
    pub struct Repair {
        /// What is repaired.
        pub target: RepairTarget,
        /// Of these, the deadline counts. What cannot be done before it is left to the next step.
        pub options: RequestOptions,
    }
}

crate::wire_enum! {
    /// What an owner holds of a key.
    #[derive(Copy)]
    pub enum RepairHolding {
        /// No record.
        1 = Nothing,
        /// This.
        2 = Record {
            /// Live versions; none for a delete.
            values: u32,
            /// Bytes of the record.
            bytes: u64,
            /// Of the record: equal records have equal digests.
            digest: SetDigest,
        },
        /// A record that it cannot read.
        3 = Damaged,
    }
}

crate::wire_struct! {
    /// What a repair found and did at one owner.
    #[derive(Copy)]
    pub struct RepairedOwner {
        /// The owner.
        pub node: NodeId,
        /// Of a key: what it held when it was asked; nil when it did not say.
        pub before: Option<RepairHolding>,
        /// Keys of which it was given something that it lacked, and has it durably.
        pub given: u64,
        /// Bytes of their records.
        pub bytes: u64,
        /// Why it is not known to hold what the others hold; nil when it does, durably.
        pub cause: Option<OwnerCause>,
    }
}

crate::wire_struct! {
    /// What a repair found and did.
    pub struct RepairDone {
        /// Each owner, in preference order.
        pub owners: Vec<RepairedOwner>,
        /// Of a key: what every owner without a cause holds now, or more, if somebody wrote meanwhile. Nil of a partition.
        pub after: Option<RepairHolding>,
        /// Keys that were compared.
        pub compared: u64,
        /// Keys among them that owners held differently.
        pub differing: u64,
        /// Keys among these that not all owners hold alike now.
        pub left: u64,
        /// The hash from which on the rest of the partition is to be repaired; nil behind the last key.
        pub next: Option<KeyHash>,
    }
}

impl RepairDone {
    /// Whether all owners are known to hold the same, durably, as far as this went.
    pub fn all_agree(&self) -> bool {
        self.left == 0 && self.owners.iter().all(|owner| owner.cause.is_none())
    }
}
