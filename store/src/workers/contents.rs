//! What a partition holds: every key of it, of whatever bucket, in the order of the index or of the keys' hashes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use kvorum_antientropy::{Digest, LeafKey};
use kvorum_protocol::{BucketName, Key, RecordKey, Space};
use kvorum_ring::{ClassId, KeyHash, PartitionId};

use crate::index::{Index, IndexEntry, IndexError};
use crate::job::ContentsOverlay;
use crate::request::{ContentsKey, ContentsPage, ContentsRange};

/// Bytes of an index key in front of its bucket: space, class, partition, and the length of the bucket's name.
const HEAD_BYTES: usize = 7;

/// What the index keys of a partition begin with.
fn prefix(class: ClassId, partition: PartitionId) -> Vec<u8> {
    let bucket = BucketName::from_bytes(Bytes::from_static(b"b")).expect("a letter is a name");
    let key = Key::new(Bytes::from_static(&[0])).expect("one byte is a key");
    let any = RecordKey { space: Space::Owned, class, partition, bucket, key };
    let mut prefix = any.to_index_bytes();
    prefix.truncate(HEAD_BYTES - 1);
    prefix
}

/// The hash of the bucket and key in an index key; `None` when it is none.
pub(crate) fn hash_of(index_key: &[u8]) -> Option<KeyHash> {
    let (head, rest) = index_key.split_first_chunk::<HEAD_BYTES>()?;
    let (bucket, key) = rest.split_at_checked(usize::from(head[HEAD_BYTES - 1]))?;
    Some(KeyHash::of(bucket, key))
}

/// Visits what the index names of a partition's own records, ascending by index key.
pub(crate) fn visit<I: Index>(
    index: &I,
    class: ClassId,
    partition: PartitionId,
    each: &mut dyn FnMut(&[u8], &IndexEntry),
) -> Result<(), IndexError> {
    let prefix = prefix(class, partition);
    index.scan(&prefix, &mut |key, entry| {
        if !key.starts_with(&prefix) {
            return ControlFlow::Break(());
        }
        each(key, entry);
        ControlFlow::Continue(())
    })
}

/// The lowest keys of a range by their hashes, never more than wanted and one.
struct Lowest {
    range: ContentsRange,
    keys: BTreeMap<KeyHash, (Box<[u8]>, Option<Digest>)>,
}

impl Lowest {
    /// Takes in a key of the partition that a record is held of.
    fn add(&mut self, key: &[u8], digest: impl FnOnce() -> u128) {
        let ContentsRange { leaves, from, through, limit, .. } = self.range;
        let Some(hash) = hash_of(key) else { return };
        if !leaves.contain(hash) || hash < from || hash > through {
            return;
        }
        self.keys.insert(hash, (key.into(), Digest::new(digest())));
        if self.keys.len() > limit as usize + 1 {
            self.keys.pop_last();
        }
    }
}

/// A page of what a partition holds. `overlay`, ascending by index key, is known better than the index.
pub(crate) fn page<I: Index>(
    index: &I,
    range: &ContentsRange,
    by: &LeafKey,
    overlay: &[ContentsOverlay],
) -> Result<ContentsPage, IndexError> {
    let mut lowest = Lowest { range: *range, keys: BTreeMap::new() };
    for ContentsOverlay { key, record, digest } in overlay {
        if let Some(record) = record {
            lowest.add(key, || digest.unwrap_or_else(|| record.set.live_digest().0));
        }
    }
    visit(index, range.class, range.partition, &mut |key, entry| {
        let is_known = overlay.binary_search_by(|known| (*known.key).cmp(key)).is_ok();
        if !is_known && !entry.is_removed() {
            lowest.add(key, || entry.digest);
        }
    })?;
    let more = lowest.keys.len() > range.limit as usize;
    let mut keys = Vec::with_capacity(lowest.keys.len());
    for (hash, (key, digest)) in lowest.keys.into_iter().take(range.limit as usize) {
        let key =
            RecordKey::from_index_bytes(&Bytes::from(key)).map_err(|_| IndexError::Damaged)?;
        let tag = digest.map(|digest| by.term(hash, digest, range.class).tag());
        keys.push(ContentsKey { hash, key, tag });
    }
    Ok(ContentsPage { keys, more })
}
