//! Checkpoints: how far a restart need not look back.
//!
//! A checkpoint is one whole sweep of the feed (then everything synced before it began is in the index), a flush of the
//! index that is proven by reading its sentinel back, and the manifest that relies on it. It also frees emptied segments:
//! once no manifest and no index entry can lead to them, their files may go.

use std::collections::{BTreeMap, BTreeSet};

use super::rebuild::Rebuilding;
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
        /// `None` when somebody waits for it.
        pace: Option<Pace>,
    },
    /// With the indexer.
    Flushing {
        batch: u64,
        gone: BTreeSet<SegmentId>,
        clean: bool,
    },
}

/// How far a sweep may be by now: as far as the time or the log has come, whichever is further.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    began_ns: u64,
    /// Over what it is spread.
    spread_ns: u64,
    spread_bytes: u64,
    /// Keys that waited when it began, at least one, and how many were looked at since.
    keys: u64,
    seen: u64,
}

impl Pace {
    /// When the next keys are due if nothing is written until then.
    fn due_ns(&self) -> u64 {
        let share = u128::from(self.spread_ns) * self.share() / u128::from(self.keys);
        self.began_ns.saturating_add(share as u64)
    }

    /// Whether more keys are due, after so many bytes.
    fn is_due(&self, now: Now, bytes: u64) -> bool {
        let written = u128::from(bytes) * u128::from(self.keys);
        self.due_ns() <= now.mono_ns || written >= u128::from(self.spread_bytes) * self.share()
    }

    /// Keys looked at. Those that came meanwhile do not make it longer.
    fn share(&self) -> u128 {
        u128::from(self.seen.min(self.keys))
    }
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
    /// After a start that left `bytes` of log to be replayed again, behind `batch`. More than `bytes_max` are not spread over
    /// time: a node that dies again and again would replay more and more.
    pub(crate) fn new(version: u64, batch: u64, bytes: u64, bytes_max: u64) -> Checkpointing {
        Checkpointing {
            phase: Phase::Idle,
            version,
            batch,
            clean: false,
            demanded: bytes >= bytes_max,
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

    /// Whether a sweep has keys to feed now. Of one that nobody waits for not all at once, so that the indexer is never in
    /// everybody's way.
    pub(super) fn feeds_now(&self, now: Now) -> bool {
        match &self.phase {
            Phase::Sweeping { ended: false, pace: Some(pace), .. } => {
                self.demanded || pace.is_due(now, self.bytes)
            }
            Phase::Sweeping { ended, .. } => !ended,
            Phase::Idle | Phase::Flushing { .. } => false,
        }
    }

    /// The sweep looked at so many keys.
    pub(super) fn swept(&mut self, keys: u64) {
        if let Phase::Sweeping { pace: Some(pace), .. } = &mut self.phase {
            pace.seen += keys;
        }
    }

    /// Whether a sweep goes at its own pace, and nobody waits for it.
    pub(super) fn is_paced(&self) -> bool {
        !self.demanded && matches!(self.phase, Phase::Sweeping { pace: Some(_), .. })
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
        match &self.checkpoint.phase {
            Phase::Idle => {}
            Phase::Sweeping { ended: false, pace: Some(pace), .. } => {
                let can_feed = !self.feed.busy && self.rebuilding == Rebuilding::No;
                return can_feed.then(|| pace.due_ns());
            }
            Phase::Sweeping { .. } | Phase::Flushing { .. } => return None,
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
        let spread_bytes = match self.options.spread_ms {
            0 => 0,
            _ => self.options.checkpoint_bytes / limits::SPREAD_SHARE,
        };
        let is_urgent = state.demanded || closing;
        let large = state.bytes >= self.options.checkpoint_bytes - spread_bytes;
        if waits || !(is_urgent || timed || large) {
            return;
        }
        let is_spread = !is_urgent && spread_bytes > 0 && !self.unindexed.is_empty();
        let pace = is_spread.then(|| Pace {
            began_ns: self.now.mono_ns,
            spread_ns: self.options.spread_ms * NS_PER_MS,
            spread_bytes,
            keys: self.unindexed.len() as u64,
            seen: 0,
        });
        *state = Checkpointing {
            phase: Phase::Sweeping {
                target: Target {
                    batch: self.commits.last_batch(),
                    sequence: self.commits.synced_sequence(),
                    ends: self.segments.ends(),
                },
                ended: false,
                pace,
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
        let Phase::Sweeping { target, ended: true, .. } = &self.checkpoint.phase else {
            return None;
        };
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
        let trees = self.trees_to_save(target.batch);
        self.checkpoint.phase = Phase::Flushing { batch: target.batch, gone, clean };
        Some(Indexing::Checkpoint { batch: target.batch, manifest: Box::new(manifest), trees })
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
