//! What two owners ask and answer each other in an exchange.
//!
//! The one that asks leads: every question says all that its answer depends on, so whoever answers keeps nothing from one
//! question to the next. Tags are pinned and fields are only ever appended.

use bytes::Bytes;
use kvorum_protocol::codec::{DecodeError, Reader, Wire, Writer};
use kvorum_protocol::{BucketName, Clock, EncodedSet, Key, RecordKey, wire_enum};
use kvorum_ring::{ClassId, KeyHash, PartitionId};

use crate::tree::{LEAVES, Sum};

wire_enum! {
    /// A question about what the other owner holds.
    pub enum Question {
        /// Do the trees of these partitions, of those that we both own, add up to the same at yours?
        1 = Range {
            /// The replication class.
            class: ClassId,
            /// By what the trees were made, and the partitions shared out.
            scope: u64,
            /// The first of the shared partitions, counted from 0 in ascending order.
            first: u32,
            /// How many of them.
            count: u32,
            /// The sum of their trees.
            sum: Sum,
        },
        /// Which leaves of this partition differ?
        2 = Leaves {
            /// The replication class.
            class: ClassId,
            /// The partition.
            partition: PartitionId,
            /// As in a range.
            scope: u64,
            /// The asker's leaves, sixteen bytes each.
            leaves: Bytes,
        },
        /// Which of these keys do you hold otherwise, and which others do you hold?
        3 = Contents {
            /// The replication class.
            class: ClassId,
            /// The partition.
            partition: PartitionId,
            /// As in a range.
            scope: u64,
            /// The leaves concerned, one bit for each.
            leaves: u16,
            /// The lowest hash concerned.
            from: KeyHash,
            /// The highest.
            through: KeyHash,
            /// All that the asker holds live between them: hash (16 bytes) and tag (8) of each, ascending.
            keys: Bytes,
        },
        /// I hold this of a key. What do you lack of it, and what do I?
        4 = Offer {
            /// The record.
            key: RecordKey,
            /// All that the asker has seen of it; empty for no record.
            clock: Clock,
            /// The digest of what is live, big-endian; zero for nothing.
            digest: Sum,
        },
    }
}

wire_enum! {
    /// The answer to a [`Question`].
    pub enum Answer {
        /// It is the same here.
        1 = Equal,
        /// The range, cut into equal parts (the last may be shorter), adds up to these.
        2 = Parts {
            /// One for each part.
            sums: Vec<Sum>,
        },
        /// These leaves differ, one bit for each.
        3 = Leaves {
            /// The leaves.
            leaves: u16,
        },
        /// How the contents differ.
        4 = Contents {
            /// Of the keys listed, by their places from 0, those of which there is no record here.
            lacking: Vec<u32>,
            /// And those of which there is another.
            differing: Vec<u32>,
            /// Keys that are live here and were not listed.
            extra: Vec<(BucketName, Key)>,
            /// The hash up to which this is all.
            through: KeyHash,
        },
        /// What there is to exchange of a key.
        5 = Offered {
            /// What the asker lacks.
            set: Option<EncodedSet>,
            /// Whether something is lacking here.
            wants: bool,
        },
        /// No answer.
        6 = Refused {
            /// Why.
            reason: Refusal,
        },
    }
}

wire_enum! {
    /// Why a question was not answered. The asker goes on with something else.
    #[derive(Copy)]
    pub enum Refusal {
        /// The two make their trees under different keys, or share out partitions differently.
        1 = OtherScope,
        /// The trees are being counted.
        2 = Unknown,
        /// The partition is being compared with another owner: what differs now may be on its way from there.
        3 = Busy,
        /// By its layout the node does not own the partition.
        4 = NotShared,
        /// It has too much to do.
        5 = Overloaded,
        /// It is stopping.
        6 = Stopping,
        /// It cannot read its index or its record.
        7 = Damaged,
    } else {
        /// A reason that a later version added.
        Other
    }
}

impl Wire for Sum {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0.to_be_bytes());
    }

    fn read(reader: &mut Reader) -> Result<Sum, DecodeError> {
        reader.sixteen().map(Sum)
    }
}

/// Bytes of one key in a list of contents.
const LISTED_BYTES: usize = 24;

/// A list of keys with their tags as it travels.
pub fn pack_keys(keys: impl Iterator<Item = (KeyHash, u64)>) -> Bytes {
    let mut packed = Vec::with_capacity(keys.size_hint().0 * LISTED_BYTES);
    for (hash, tag) in keys {
        packed.extend_from_slice(&hash.to_bytes());
        packed.extend_from_slice(&tag.to_be_bytes());
    }
    packed.into()
}

/// The keys in a list; `None` when it is cut short, too long or not ascending.
pub fn unpack_keys(packed: &[u8]) -> Option<Vec<(KeyHash, u64)>> {
    let (listed, rest) = packed.as_chunks::<LISTED_BYTES>();
    if !rest.is_empty() || listed.len() > crate::limits::PAGE_KEYS {
        return None;
    }
    let key = |listed: &[u8; LISTED_BYTES]| {
        let (hash, tag) = listed.split_first_chunk::<16>()?;
        Some((KeyHash::from_bytes(*hash), u64::from_be_bytes(*tag.first_chunk()?)))
    };
    let keys: Vec<(KeyHash, u64)> = listed.iter().map(key).collect::<Option<_>>()?;
    keys.is_sorted_by(|left, right| left.0 < right.0).then_some(keys)
}

/// Leaves as they travel.
pub fn pack_leaves(leaves: &[Sum; LEAVES]) -> Bytes {
    leaves.iter().flat_map(|sum| sum.0.to_be_bytes()).collect::<Vec<u8>>().into()
}

/// The leaves that [`pack_leaves`] packed; `None` when they are not sixteen.
pub fn unpack_leaves(packed: &[u8]) -> Option<[Sum; LEAVES]> {
    let (leaves, rest) = packed.as_chunks::<16>();
    let leaves: [[u8; 16]; LEAVES] = leaves.try_into().ok()?;
    rest.is_empty().then(|| leaves.map(|bytes| Sum(u128::from_be_bytes(bytes))))
}
