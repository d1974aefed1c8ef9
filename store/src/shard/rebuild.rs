//! The index is damaged: a new run, and a rebuild from the segments before anything else.

use super::{Life, Shard};
use crate::event::{DamageNotice, PoisonReason, StoreEvent};
use crate::index::IndexError;
use crate::job::{Indexing, RebuildError, Rebuilt};
use crate::location::SegmentId;

/// Where a rebuild is. Until it is done, requests are refused as overloaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rebuilding {
    No,
    /// Waiting until everything applied is synced and every job is back.
    Wanted,
    /// The next index job.
    Ready,
    /// With the indexer.
    Running,
}

impl Shard {
    /// The index failed, or does not name what the log holds.
    pub(super) fn index_is_damaged(&mut self) {
        if self.rebuilding != Rebuilding::No {
            return;
        }
        self.rebuilding = Rebuilding::Wanted;
        self.events.push_back(StoreEvent::Damage(DamageNotice::IndexRebuildStarted));
        self.begin_new_run();
        self.refuse_queued();
        self.compaction.abandon();
    }

    pub(super) fn advance_rebuild(&mut self) {
        let still = self.is_quiet() && !self.feed.busy && !self.compaction.busy;
        if self.rebuilding == Rebuilding::Wanted && still {
            self.rebuilding = Rebuilding::Ready;
        }
    }

    pub(super) fn rebuild_job(&mut self) -> Indexing {
        self.rebuilding = Rebuilding::Running;
        Indexing::Rebuild { segments: self.segments.main_first() }
    }

    pub(super) fn rebuilt(&mut self, result: Result<Rebuilt, RebuildError>) {
        self.feed.busy = false;
        let rebuilt = match result {
            Ok(rebuilt) => rebuilt,
            Err(RebuildError::Index(error)) => return self.poison(PoisonReason::Index(error)),
            Err(RebuildError::File(error)) => return self.poison(PoisonReason::Segment(error)),
        };
        // Everything is synced, and the index names all of it: the table may begin anew.
        self.table.clear();
        self.forget_trees();
        self.unindexed.clear();
        self.sum = rebuilt.sum;
        self.segments.set_live(&rebuilt.live);
        self.find_hints(rebuilt.hinted);
        self.rebuilding = Rebuilding::No;
        self.checkpoint.demand();
        if rebuilt.damaged > 0 {
            let notice =
                DamageNotice::Segment { segment: SegmentId::default(), bytes: rebuilt.damaged };
            self.events.push_back(StoreEvent::Damage(notice));
        }
        self.events.push_back(StoreEvent::Damage(DamageNotice::IndexRebuilt {
            repaired: rebuilt.repaired,
        }));
        if self.life == Life::Closing {
            self.advance_checkpoint();
        }
    }

    /// An index that failed while it was read for compaction.
    pub(super) fn index_failed(&mut self, _error: IndexError) {
        self.index_is_damaged();
    }
}
