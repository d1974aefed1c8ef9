//! Checkpoints: how far a restart need not look back.
//!
//! A checkpoint is one whole sweep of the feed (then everything synced before it began is in the index), a flush of the
//! index that is proven by reading its sentinel back, and the manifest that relies on it. It also frees emptied segments:
//! once no manifest and no index entry can lead to them, their files may go.

use std::collections::{BTreeMap, BTreeSet};

use super::segments::State;
use super::{Life, Shard};
use crate::clock::{NS_PER_MS, Now};
use crate::event::PoisonReason;
use crate::files::FileOperation;
use crate::job::{CheckpointError, Indexing};
use crate::limits;
use crate::location::SegmentId;
use crate::log::manifest::{Manifest, StoreId};

/// Where a checkpoint is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Idle,
    /// Feeding everything that was synced when it began.
    Sweeping {
        target: Target,
        ended: bool,
    },
    /// With the indexer.
    Flushing {
        batch: u64,
        gone: BTreeSet<SegmentId>,
        clean: bool,
    },
}

/// What was synced when the sweep began.
#[derive(Clone, Debug)]
pub(super) struct Target {
    batch: u64,
    sequence: u64,
    ends: BTreeMap<SegmentId, u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Checkpointing {
    pub(super) phase: Phase,
    /// The version of the last manifest written.
    version: u64,
    /// The batch of the last checkpoint.
    batch: u64,
    /// Whether the last manifest written is a clean one, with nothing written after it.
    clean: bool,
    demanded: bool,
    bytes: u64,
    written_since: Option<u64>,
    retry_at: Option<u64>,
}

impl Checkpointing {
    /// After a start that left `bytes` of log to be replayed again, behind `batch`.
    pub(crate) fn new(version: u64, batch: u64, bytes: u64) -> Checkpointing {
        Checkpointing {
            phase: Phase::Idle,
            version,
            batch,
            clean: false,
            demanded: false,
            bytes,
            // It was written before any moment of this life.
            written_since: (bytes > 0).then_some(0),
            retry_at: None,
        }
    }

    pub(super) fn note_written(&mut self, now: Now, bytes: u64) {
        self.clean = false;
        self.bytes += bytes;
        self.written_since.get_or_insert(now.mono_ns);
    }

    /// Asks for a checkpoint as soon as possible.
    pub(super) fn demand(&mut self) {
        self.demanded = true;
    }

    /// Whether the manifest says that nothing was written after it, and rightly so.
    pub(super) fn is_clean(&self) -> bool {
        self.clean
    }

    /// The feed reached the last key.
    pub(super) fn sweep_ended(&mut self) {
        if let Phase::Sweeping { ended, .. } = &mut self.phase {
            *ended = true;
        }
    }
}

impl Shard {
    pub(super) fn checkpoint_deadline(&self) -> Option<u64> {
        if !matches!(self.checkpoint.phase, Phase::Idle) {
            return None;
        }
        let regular = self
            .checkpoint
            .written_since
            .map(|since| since + self.options.checkpoint_ms * NS_PER_MS);
        self.checkpoint.retry_at.or(regular)
    }

    /// Begins a checkpoint when one is due.
    pub(super) fn advance_checkpoint(&mut self) {
        let closing = self.life == Life::Closing && self.is_quiet() && !self.checkpoint.clean;
        let state = &mut self.checkpoint;
        if !matches!(state.phase, Phase::Idle) {
            return;
        }
        let waits = state.retry_at.is_some_and(|at| at > self.now.mono_ns);
        let timed = self.checkpoint_deadline().is_some_and(|at| at <= self.now.mono_ns);
        let state = &mut self.checkpoint;
        let due =
            state.demanded || closing || timed || state.bytes >= self.options.checkpoint_bytes;
        if waits || !due {
            return;
        }
        *state = Checkpointing {
            phase: Phase::Sweeping {
                target: Target {
                    batch: self.commits.last_batch(),
                    sequence: self.commits.synced_sequence(),
                    ends: self.segments.ends(),
                },
                ended: false,
            },
            demanded: false,
            bytes: 0,
            written_since: None,
            retry_at: None,
            ..*state
        };
        self.unindexed.restart();
    }

    /// The flush, when the sweep has ended and the last of it is in the index.
    pub(super) fn checkpoint_job(&mut self) -> Option<Indexing> {
        let Phase::Sweeping { target, ended: true } = &self.checkpoint.phase else { return None };
        let target = target.clone();
        let quiet = self.life == Life::Closing && self.is_quiet();
        let clean = quiet && self.unindexed.is_empty() && target.batch == self.commits.last_batch();
        let gone = self.segments.needless(target.sequence, self.compaction_trusts_index());
        let manifest = Manifest {
            version: self.checkpoint.version + 1,
            store_id: StoreId(self.store_id),
            shard: self.options.shard,
            shards: self.options.shards,
            next_segment: self.segments.next(),
            checkpoint_batch: target.batch,
            synced_batch: self.commits.last_batch(),
            synced_sequence: self.commits.synced_sequence(),
            clean,
            refilling: self.refilling,
            segments: self.segments.records(&target.ends, &gone),
        };
        self.checkpoint.phase = Phase::Flushing { batch: target.batch, gone, clean };
        Some(Indexing::Checkpoint { batch: target.batch, manifest: Box::new(manifest) })
    }

    pub(super) fn checkpointed(&mut self, result: Result<(), CheckpointError>) {
        self.feed.busy = false;
        let Phase::Flushing { batch, gone, clean } =
            std::mem::replace(&mut self.checkpoint.phase, Phase::Idle)
        else {
            return;
        };
        match result {
            Ok(()) => {
                self.checkpoint.version += 1;
                self.checkpoint.batch = batch;
                self.checkpoint.clean = clean;
                let reads_before = self.loads.next_job();
                for id in gone {
                    if let Some(segment) = self.segments.get_mut(id) {
                        segment.state = State::Retiring { reads_before };
                    }
                }
            }
            Err(CheckpointError::Index(error)) => self.poison(PoisonReason::Index(error)),
            Err(CheckpointError::Manifest(error)) => {
                // A manifest that found no space leaves the one before it standing; compaction may make room.
                let may_wait = error.is_no_space() && error.operation != FileOperation::SyncData;
                if may_wait && self.life == Life::Open {
                    self.checkpoint.demanded = true;
                    self.checkpoint.retry_at = Some(self.now.after_ms(limits::SPACE_RETRY_MS));
                } else {
                    self.poison(PoisonReason::Manifest(error));
                }
            }
        }
    }

    /// The batch of the last checkpoint: what a restart would replay begins behind it.
    pub(super) fn checkpoint_batch(&self) -> u64 {
        self.checkpoint.batch
    }
}
