//! How a shard behaves. Parsed and validated by whoever opens it; nothing here is read from the environment.

use kvorum_antientropy::LeafKey;

use crate::limits;
#[cfg(feature = "planted")]
use crate::planted::Planted;

/// A shard's settings. The defaults are for production; [`ShardOptions::small`] is for tests and simulations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardOptions {
    /// This shard's number, below `shards`.
    pub shard: u16,
    /// How many shards the node's keys are spread over. Written when the shard is made and never changed after.
    pub shards: u16,
    /// Whether the node knows that this shard held data before. If there is none, the shard opens empty and *refilling*:
    /// its absences mean nothing until every co-owner was compared with.
    pub expects_existing: bool,
    /// Bytes of a segment file, from [`limits::SEGMENT_BYTES_MIN`] to [`limits::SEGMENT_BYTES_MAX`].
    pub segment_bytes: u32,
    /// Most segment files, spares included; `None` for as many as the disk holds. Client writes stop before it is reached.
    pub max_segments: Option<usize>,
    /// Preallocated segments that client writes may not use up.
    pub reserve_segments: usize,
    /// Bytes of records kept in memory, counting those that must be.
    pub table_bytes: usize,
    /// Bytes of records that may wait for their sync before requests are refused.
    pub pending_bytes: usize,
    /// Writes of a batch from which on the next one begins at a pace, to gather company.
    pub paced_entries: usize,
    /// That pace, from the beginning of a batch to that of the next, in nanoseconds; 0 for none.
    pub pace_ns: u64,
    /// Records that may be synced and not yet indexed before requests are refused.
    pub unindexed_records: usize,
    /// Records that tell their hash trees what they hold in one go, when somebody asks for a tree.
    pub told_at_once: usize,
    /// Records up to which they do so for one answer about many partitions while there are writes.
    pub told_for_an_answer: usize,
    /// The secret of the hash trees, the same on all owners.
    pub leaf_key: LeafKey,
    /// Operations that may wait for reads from the disk before requests are refused.
    pub queued_operations: usize,
    /// Entries of one index job.
    pub index_batch: usize,
    /// Log bytes after which a checkpoint is due.
    pub checkpoint_bytes: u64,
    /// Longest time between checkpoints while anything is written, in milliseconds.
    pub checkpoint_ms: u64,
    /// Longest time over which a checkpoint spreads what it feeds to the index, in milliseconds; 0 for all at once.
    pub spread_ms: u64,
    /// Sealed segments below which compaction leaves the log alone while there is space.
    pub compact_segments: usize,
    /// Bytes of a segment that one compaction step reads.
    pub compact_step_bytes: usize,
    /// Bytes of records that are held for owners that are away and that may not be dropped; the next one is refused.
    pub bearing_bytes: usize,
    /// The same of those that may be dropped.
    pub spare_bytes: usize,
    /// How long one that may be dropped is kept, in milliseconds.
    pub spare_ms: u64,
    /// The known bug to plant.
    #[cfg(feature = "planted")]
    pub planted: Option<Planted>,
}

impl Default for ShardOptions {
    fn default() -> ShardOptions {
        ShardOptions {
            shard: 0,
            shards: 1,
            expects_existing: false,
            segment_bytes: limits::SEGMENT_BYTES,
            max_segments: None,
            reserve_segments: limits::RESERVE_SEGMENTS,
            table_bytes: limits::TABLE_BYTES,
            pending_bytes: limits::PENDING_BYTES,
            paced_entries: limits::PACED_ENTRIES,
            pace_ns: limits::PACE_NS,
            unindexed_records: limits::UNINDEXED_RECORDS,
            told_at_once: limits::TOLD_AT_ONCE,
            told_for_an_answer: limits::TOLD_FOR_AN_ANSWER,
            leaf_key: LeafKey::new([0; 32]),
            queued_operations: limits::QUEUED_OPERATIONS,
            index_batch: limits::INDEX_BATCH,
            checkpoint_bytes: limits::CHECKPOINT_BYTES,
            checkpoint_ms: limits::CHECKPOINT_MS,
            spread_ms: limits::SPREAD_MS,
            compact_segments: limits::COMPACT_SEGMENTS,
            compact_step_bytes: limits::COMPACT_STEP_BYTES,
            bearing_bytes: limits::BEARING_BYTES,
            spare_bytes: limits::SPARE_BYTES,
            spare_ms: limits::SPARE_MS,
            #[cfg(feature = "planted")]
            planted: None,
        }
    }
}

/// A setting out of its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OptionsError {
    /// The shard's number is not below the number of shards.
    #[error("shard {shard} of {shards} does not exist")]
    Shard {
        /// The number given.
        shard: u16,
        /// How many there are.
        shards: u16,
    },
    /// The segment size.
    #[error("segments of {0} bytes: must be from {min} to {max}", min = limits::SEGMENT_BYTES_MIN, max = limits::SEGMENT_BYTES_MAX)]
    SegmentBytes(u32),
    /// A queue without room for anything.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// Fewer segments than the log needs to move anything.
    #[error("{0} segments at most: needs room for two active ones, the reserve and one more")]
    MaxSegments(usize),
}

impl ShardOptions {
    /// Small segments and queues, so that a short run meets every boundary. Batches have no pace, so
    /// that a test need not let time pass.
    pub fn small() -> ShardOptions {
        ShardOptions {
            segment_bytes: 8 * 1024,
            table_bytes: 8 * 1024,
            pending_bytes: 16 * 1024,
            pace_ns: 0,
            unindexed_records: 64,
            told_at_once: 4,
            told_for_an_answer: 24,
            queued_operations: 256,
            index_batch: 16,
            checkpoint_bytes: 4 * 1024,
            checkpoint_ms: 500,
            spread_ms: 20,
            compact_segments: 1,
            compact_step_bytes: 4 * 1024,
            bearing_bytes: 16 * 1024,
            spare_bytes: 8 * 1024,
            spare_ms: 5_000,
            ..ShardOptions::default()
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), OptionsError> {
        if self.shard >= self.shards {
            return Err(OptionsError::Shard { shard: self.shard, shards: self.shards });
        }
        if !(limits::SEGMENT_BYTES_MIN..=limits::SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(OptionsError::SegmentBytes(self.segment_bytes));
        }
        if let Some(max) = self.max_segments.filter(|max| *max < self.reserve_segments + 3) {
            return Err(OptionsError::MaxSegments(max));
        }
        let bounds = [
            ("pending_bytes", self.pending_bytes),
            ("unindexed_records", self.unindexed_records),
            ("queued_operations", self.queued_operations),
            ("index_batch", self.index_batch),
            ("compact_step_bytes", self.compact_step_bytes),
        ];
        match bounds.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(OptionsError::Zero(name)),
            None => Ok(()),
        }
    }

    /// Most bytes of one batch.
    pub(crate) fn batch_bytes(&self) -> usize {
        limits::BATCH_BYTES.min((self.segment_bytes / limits::BATCH_SEGMENT_SHARE) as usize)
    }
}
