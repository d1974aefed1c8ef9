//! What nodes say to each other on the requests connection.
//!
//! Every request carries the token of the machine that asked, and its answer carries it back; there is no other request
//! id. Messages may be lost with their connection and may arrive twice; none may do harm when it does. Tags are pinned and
//! fields are only ever appended (see [`kvorum_protocol::codec`]), because nodes of two releases talk to each other during
//! every upgrade.
//!
//! `deadline_ms` is what is left of the request's time when the message is sent. A replica does not begin what is past it.

use bytes::Bytes;
use kvorum_antientropy::{Answer, Question};
use kvorum_protocol::message::request::Request;
use kvorum_protocol::message::response::Response;
use kvorum_protocol::message::{Testimony, Way};
use kvorum_protocol::{BucketName, EncodedSet, Key, RecordKey, SetDigest, wire_enum, wire_struct};
use kvorum_ring::{ClassId, NodeId, PartitionId};

wire_enum! {
    /// One message between two nodes.
    pub enum PeerMessage {
        /// Merge this set into your record. A put's set is encoded once, and every replica is sent the same bytes.
        1 = Replicate {
            /// The asking machine.
            token: u64,
            /// The record.
            key: RecordKey,
            /// What to merge.
            set: EncodedSet,
            /// Milliseconds left.
            deadline_ms: u32,
            /// Why it is sent.
            way: Way = Way::Other(0),
        },
        /// The answer to [`PeerMessage::Replicate`].
        2 = Replicated {
            /// The asking machine.
            token: u64,
            /// What became of it.
            outcome: ReplicateOutcome,
            /// Of [`PeerMessage::Hold`]: how many of its targets it is held for, the first so many of what the coordinator asked for.
            held_for: u8 = 0,
        },
        /// What do you hold of this key?
        3 = Fetch {
            /// The asking machine.
            token: u64,
            /// The record.
            key: RecordKey,
            /// A digest does in place of the set. A release that does not know this answers with the set.
            digest_only: bool,
            /// Milliseconds left.
            deadline_ms: u32,
        },
        /// The answer to [`PeerMessage::Fetch`].
        4 = Fetched {
            /// The asking machine.
            token: u64,
            /// What the replica holds.
            outcome: FetchOutcome,
            /// The replica lost records and is being refilled: that it holds nothing does not mean that there is nothing.
            refilling: bool,
            /// Of what is held for others: a number that changes whenever something of it was handed over there; 0 if that is not
            /// told.
            handovers: u64 = 0,
        },
        /// Coordinate this client's request for me.
        5 = Forward {
            /// The asking machine.
            token: u64,
            /// How often the request has been passed on, this time included.
            hops: u8,
            /// The request. Boxed like whatever is rare and large here: every message is moved as if it were the largest.
            request: Box<Request>,
            /// Milliseconds left.
            deadline_ms: u32,
        },
        /// The answer to [`PeerMessage::Forward`].
        6 = Forwarded {
            /// The asking machine.
            token: u64,
            /// What the client is to be told.
            response: Box<Response>,
        },
        /// Which keys do you hold in these partitions?
        7 = Scan {
            /// The asking machine.
            token: u64,
            /// Which of the machine's scans this is; it has several under way.
            scan: u32,
            /// Which keys.
            range: Box<PeerScan>,
            /// Milliseconds left.
            deadline_ms: u32,
        },
        /// The answer to [`PeerMessage::Scan`].
        8 = Scanned {
            /// The asking machine.
            token: u64,
            /// Which of the machine's scans this is.
            scan: u32,
            /// The keys.
            outcome: ScanOutcome,
        },
        /// Merge this set into what you keep for these owners: they are away. Answered by [`PeerMessage::Replicated`].
        12 = Hold {
            /// The asking machine.
            token: u64,
            /// What is to be held.
            held: Box<PeerHold>,
            /// Milliseconds left.
            deadline_ms: u32,
        },
        /// Merge this set into your record: I have kept it for you.
        13 = Deliver {
            /// The asking machine.
            token: u64,
            /// The record, in the owner's space.
            key: RecordKey,
            /// What to merge.
            set: EncodedSet,
            /// Milliseconds left.
            deadline_ms: u32,
        },
        /// The answer to [`PeerMessage::Deliver`].
        14 = Delivered {
            /// The asking machine.
            token: u64,
            /// What became of it.
            outcome: ReplicateOutcome,
            /// How many deliveries the sender may have under way here.
            credit: u32,
        },
        /// A question of an exchange: what do you hold of what we both own?
        20 = Ask {
            /// The asking machine.
            token: u64,
            /// Which of the machine's questions this is.
            number: u32,
            /// The question.
            question: Box<Question>,
        },
        /// The answer to [`PeerMessage::Ask`].
        21 = Answered {
            /// The asking machine.
            token: u64,
            /// Which of the machine's questions this is.
            number: u32,
            /// The answer.
            answer: Box<Answer>,
        },
        /// What time is it there?
        30 = AskClock {
            /// The asking machine.
            token: u64,
        },
        /// The answer to [`PeerMessage::AskClock`].
        31 = Clock {
            /// The asking machine.
            token: u64,
            /// Wall-clock milliseconds since 1970.
            wall_ms: u64,
        },
        /// What do you know of this key? Answered by [`PeerMessage::Explained`] or [`PeerMessage::NotExplained`].
        40 = Explain {
            /// The asking machine.
            token: u64,
            /// The record, in the owner's space.
            key: RecordKey,
            /// Milliseconds left.
            deadline_ms: u32,
        },
        /// What a node knows of a key.
        41 = Explained {
            /// The asking machine.
            token: u64,
            /// What it knows.
            testimony: Box<Testimony>,
        },
        /// It did not look.
        42 = NotExplained {
            /// The asking machine.
            token: u64,
            /// Why.
            reason: ReplicaRefusal,
        },
    }
}

wire_struct! {
    /// Something for a fallback to keep.
    pub struct PeerHold {
        /// The record, in the space of what is held for others.
        pub key: RecordKey,
        /// What to merge.
        pub set: EncodedSet,
        /// The owners that it is for.
        pub targets: Vec<NodeId>,
        /// As many owners as the write needs have it already.
        pub spare: bool,
    }
}

wire_enum! {
    /// What became of a replicated set.
    pub enum ReplicateOutcome {
        /// It is merged, and what was merged is durable here.
        1 = Durable,
        /// Nothing was merged.
        2 = Refused {
            /// Why.
            reason: ReplicaRefusal,
        },
    }
}

wire_enum! {
    /// What a replica holds of a key.
    pub enum FetchOutcome {
        /// This.
        1 = Held {
            /// Its set: live versions, or a tombstone.
            set: EncodedSet,
        },
        /// No record.
        2 = Absent,
        /// A record that cannot be read. It counts as missing and is healed by the next merge.
        3 = Damaged,
        /// It did not look.
        4 = Refused {
            /// Why.
            reason: ReplicaRefusal,
        },
        /// A set with this digest. Only said to who asked for a digest.
        5 = Digest {
            /// Of the set's encoding.
            digest: SetDigest,
        },
    }
}

wire_struct! {
    /// Keys of one bucket in some partitions, in key order.
    pub struct PeerScan {
        /// The bucket's replication class.
        pub class: ClassId,
        /// The partitions, strictly ascending.
        pub partitions: Vec<PartitionId>,
        /// The bucket.
        pub bucket: BucketName,
        /// What the keys begin with; may be empty.
        pub prefix: Bytes,
        /// Only keys behind this one.
        pub after: Option<Key>,
        /// Keys on the page at most, tombstones included.
        pub limit: u32,
        /// Only keys with siblings. A release that does not know this tells of all keys.
        pub siblings_only: bool = false,
    }
}

wire_enum! {
    /// What a scan found.
    pub enum ScanOutcome {
        /// These keys.
        1 = Page(page: PeerPage),
        /// A part of the index or log cannot be read.
        2 = Damaged,
        /// It did not look.
        3 = Refused {
            /// Why.
            reason: ReplicaRefusal,
        },
    }
}

wire_struct! {
    /// One page of a replica's keys.
    pub struct PeerPage {
        /// The keys in ascending order.
        pub entries: Vec<PeerEntry>,
        /// Whether more may follow behind the last key.
        pub more: bool,
        /// How far the page looked, where that is farther than its last key.
        pub through: Option<Key> = None,
    }
}

wire_struct! {
    /// One key of a replica.
    pub struct PeerEntry {
        /// The key.
        pub key: Key,
        /// Its live versions; none for a tombstone.
        pub siblings: u32,
        /// Bytes of their values.
        pub value_bytes: u64,
    }
}

wire_enum! {
    /// Why a replica did nothing of what it was asked. Nothing was applied there.
    #[derive(Copy)]
    pub enum ReplicaRefusal {
        /// It has too much to do.
        1 = Overloaded {
            /// When to try again.
            retry_after_ms: u32,
        },
        /// Its disk is full.
        2 = DiskFull,
        /// By its layout it neither owns the partition nor stands in for an owner.
        3 = NotAnOwner,
        /// The deadline had passed.
        4 = Late,
        /// It is stopping.
        5 = Stopping,
        /// It lost records and is being refilled: what it lists would have gaps.
        6 = Refilling,
        /// The key does not belong to the partition that it came under: the sender counts partitions differently.
        7 = Misplaced,
        /// With what is held here it would be more than one record can be.
        8 = Oversized,
        /// A scan whose partitions are not strictly ascending: named twice, one would be read twice.
        9 = Unordered,
        /// As much is held for owners that are away as may be.
        10 = HintsFull,
    } else {
        /// A reason that a later version added.
        Other
    }
}

#[cfg(test)]
mod tests;
