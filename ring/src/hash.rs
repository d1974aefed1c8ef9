//! From a key to its partition.
//!
//! A partition is a range of hash prefixes: partition `p` of `2^b` holds the hashes whose top `b` bits are `p`. Keys
//! in hash order are therefore in partition order, and doubling the number of partitions splits each one into two
//! neighbours.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ValueError;
use crate::limits;

/// The first 128 bits of BLAKE3 over a bucket name and a key; where a key lives depends on nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(#[serde(with = "crate::sixteen")] pub u128);

/// A bucket name and a key of so many bytes with the length in front are hashed in one piece.
const GATHERED_BYTES: usize = 192;

impl KeyHash {
    /// Hashes (length of the bucket's name as one byte, bucket, key). The length keeps (`a`, `bc`) and (`ab`, `c`)
    /// apart.
    ///
    /// # Panics
    /// When the bucket's name is longer than [`limits::MAX_BUCKET_BYTES`], which the name's own type rules out.
    pub fn of(bucket: &[u8], key: &[u8]) -> KeyHash {
        let length = u8::try_from(bucket.len()).expect("a bucket name is at most 255 bytes long");
        let total = 1 + bucket.len() + key.len();
        let hash = if total <= GATHERED_BYTES {
            // Nearly every key. Gathered on the stack they cost a third of what a hasher with its two kilobytes does.
            let mut gathered = [0u8; GATHERED_BYTES];
            gathered[0] = length;
            gathered[1..=bucket.len()].copy_from_slice(bucket);
            gathered[1 + bucket.len()..total].copy_from_slice(key);
            blake3::hash(&gathered[..total])
        } else {
            blake3::Hasher::new().update(&[length]).update(bucket).update(key).finalize()
        };
        let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        KeyHash::from_bytes(*first)
    }

    /// The hash as 16 big-endian bytes: byte order is hash order.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The hash that [`KeyHash::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; 16]) -> KeyHash {
        KeyHash(u128::from_be_bytes(bytes))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "key-{:08x}", self.0 >> 96)
    }
}

/// A partition's number, from 0 to the layout's [`PartitionCount`], exclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u32);

impl fmt::Display for PartitionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How many partitions a layout has: a power of two from 1 to [`limits::MAX_PARTITIONS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PartitionCount(u32);

impl PartitionCount {
    /// A checked number of partitions.
    ///
    /// # Errors
    /// [`ValueError::PartitionCount`] when it is not a power of two within the limit.
    pub fn new(count: u32) -> Result<PartitionCount, ValueError> {
        if count.is_power_of_two() && count <= limits::MAX_PARTITIONS {
            Ok(PartitionCount(count))
        } else {
            Err(ValueError::PartitionCount(count))
        }
    }

    /// The number of partitions.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The partition that holds a hash: its top bits.
    pub fn partition_of(self, hash: KeyHash) -> PartitionId {
        // Two shifts, because a single partition asks for a shift by the whole width.
        let bits = self.0.trailing_zeros();
        PartitionId((hash.0 >> 64 >> (64 - bits)) as u32)
    }

    /// Whether a partition of this number exists.
    pub fn contains(self, partition: PartitionId) -> bool {
        partition.0 < self.0
    }

    /// All partitions in ascending order, which is hash order.
    pub fn partitions(self) -> impl ExactSizeIterator<Item = PartitionId> + Clone {
        // A range over u32 is not `ExactSizeIterator`; the count fits usize on every platform we run on.
        (0..self.0 as usize).map(|number| PartitionId(number as u32))
    }
}

impl Default for PartitionCount {
    fn default() -> PartitionCount {
        PartitionCount(limits::DEFAULT_PARTITIONS)
    }
}

impl TryFrom<u32> for PartitionCount {
    type Error = ValueError;

    fn try_from(count: u32) -> Result<PartitionCount, ValueError> {
        PartitionCount::new(count)
    }
}

impl From<PartitionCount> for u32 {
    fn from(count: PartitionCount) -> u32 {
        count.0
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyHash, PartitionCount, PartitionId};
    use crate::error::ValueError;

    #[test]
    fn the_hash_of_a_key_never_changes() {
        // Pinned: a change would move every stored key.
        assert_eq!(
            KeyHash::of(b"default", b"hello"),
            KeyHash(0xd681_1b4d_6aac_0ff0_30a8_db06_25fc_bf49)
        );
    }

    #[test]
    fn bucket_and_key_are_kept_apart() {
        assert_ne!(KeyHash::of(b"a", b"bc"), KeyHash::of(b"ab", b"c"));
        assert_ne!(KeyHash::of(b"", b"abc"), KeyHash::of(b"abc", b""));
    }

    #[test]
    fn the_top_bits_name_the_partition() {
        let one = PartitionCount::new(1).unwrap();
        let largest = PartitionCount::new(65_536).unwrap();
        assert_eq!(one.partition_of(KeyHash(u128::MAX)), PartitionId(0));
        assert_eq!(largest.partition_of(KeyHash(u128::MAX)), PartitionId(65_535));
        assert_eq!(largest.partition_of(KeyHash(3 << 112)), PartitionId(3));
        assert_eq!(PartitionCount::default().partition_of(KeyHash(1 << 127)), PartitionId(2_048));
    }

    #[test]
    fn every_partition_is_listed_once_and_in_order() {
        let count = PartitionCount::new(8).unwrap();
        let listed: Vec<u32> = count.partitions().map(|partition| partition.0).collect();
        assert_eq!(listed, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(count.contains(PartitionId(7)) && !count.contains(PartitionId(8)));
    }

    #[test]
    fn a_count_that_is_no_power_of_two_is_refused() {
        for count in [0, 3, 4_095, 131_072] {
            assert_eq!(PartitionCount::new(count), Err(ValueError::PartitionCount(count)));
        }
    }
}
