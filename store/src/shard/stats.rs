//! What a shard says of itself.

use kvorum_protocol::Run;

use super::hints::HintStats;
use super::rebuild::Rebuilding;
use super::{Life, Shard};

/// Figures of a shard at one moment. Counters count from the opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardStats {
    /// Keys, removal markers included.
    pub keys: u64,
    /// Segments, active ones included.
    pub segments: usize,
    /// Preallocated files in stock.
    pub spares: usize,
    /// Bytes written in all segments, headers included.
    pub log_bytes: u64,
    /// Bytes of frames that hold the newest synced version of their key.
    pub live_bytes: u64,
    /// Keys whose newest version the index does not name yet.
    pub index_backlog: usize,
    /// Changes that the index was told of since the opening.
    pub indexed: u64,
    /// Keys that may still join the backlog before requests are refused.
    pub record_credits: usize,
    /// Bytes that wait for their sync.
    pub pending_bytes: usize,
    /// Operations that wait for a read.
    pub queued: usize,
    /// Keys in the table.
    pub table_keys: usize,
    /// Bytes of the table, about.
    pub table_bytes: usize,
    /// Batches synced.
    pub batches: u64,
    /// Syncs of files and of the directory for them.
    pub syncs: u64,
    /// Entries synced; entries / batches is the size of a batch.
    pub entries: u64,
    /// Bytes appended.
    pub bytes: u64,
    /// The last batch synced.
    pub last_batch: u64,
    /// The batch behind which a restart would replay.
    pub checkpoint_batch: u64,
    /// Entries that compaction moved.
    pub moved: u64,
    /// Partitions that hold something and whose hash trees are not known yet.
    pub trees_unknown: usize,
    /// Partitions whose trees were counted anew since the opening.
    pub trees_counted: u64,
    /// Records whose values were hashed because somebody asked for hash trees, since the opening. All others are hashed with
    /// the index, once however often they change meanwhile.
    pub trees_digested: u64,
    /// The disk has no room for another spare file.
    pub disk_full: bool,
    /// Absences here count for no quorum.
    pub refilling: bool,
    /// What is held for owners that were away.
    pub hints: HintStats,
    /// The index is being rebuilt.
    pub rebuilding: bool,
    /// A write or sync failed: the shard has stopped.
    pub poisoned: bool,
    /// This run.
    pub run: Run,
}

impl Shard {
    /// The figures now.
    pub fn stats(&self) -> ShardStats {
        let backlog = self.unindexed.len();
        ShardStats {
            keys: self.sum.entries + self.unindexed.unknown() as u64,
            segments: self.segments.len(),
            spares: self.space.spares().len(),
            log_bytes: self.segments.iter().map(|segment| u64::from(segment.extent.end)).sum(),
            live_bytes: self.segments.iter().map(|segment| segment.live).sum(),
            index_backlog: backlog,
            indexed: self.feed.fed,
            record_credits: self
                .options
                .unindexed_records
                .saturating_sub(backlog + self.loads.queued()),
            pending_bytes: self.commits.pending_bytes(),
            queued: self.loads.queued(),
            table_keys: self.table.len(),
            table_bytes: self.table.bytes(),
            batches: self.commits.batches,
            syncs: self.commits.syncs,
            entries: self.commits.entries,
            bytes: self.commits.bytes,
            last_batch: self.commits.last_batch(),
            checkpoint_batch: self.checkpoint_batch(),
            moved: self.compaction.moved(),
            trees_unknown: self.trees_unknown(),
            trees_counted: self.trees.counted(),
            trees_digested: self.trees.digested(),
            disk_full: self.space.is_full(),
            refilling: self.refilling,
            hints: self.hint_stats(),
            rebuilding: self.rebuilding != Rebuilding::No,
            poisoned: self.life == Life::Poisoned,
            run: self.run,
        }
    }
}
