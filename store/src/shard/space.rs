//! Room for the log: spare files, and the watermark.
//!
//! Segments are preallocated, so the disk is found full while a spare is made, with nobody waiting, and not in the middle
//! of a commit. When no further spare can be made, those in stock are rationed: client writes stop first, then what peers
//! and deletes write; the last one is compaction's, because only compaction can make room.

use super::apply::change_bytes;
use super::segments::State;
use super::{Life, Shard};
use crate::clock::Now;
use crate::files::FileError;
use crate::job::{CompactJob, Compacting};
use crate::limits;
use crate::log::segment::SegmentKind;
use crate::request::Apply;
use kvorum_protocol::Change;

/// Spare files in stock.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    spares: Vec<u32>,
    next_spare: u32,
    full: bool,
    retry_at: Option<u64>,
}

impl Space {
    pub(crate) fn new(spares: Vec<u32>) -> Space {
        let next_spare = spares.iter().max().map_or(0, |last| last + 1);
        Space { spares, next_spare, full: false, retry_at: None }
    }

    pub(super) fn spares(&self) -> &[u32] {
        &self.spares
    }

    /// Whether the disk gave no room for another spare.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn used(&mut self, spares: &[u32]) {
        self.spares.retain(|spare| !spares.contains(spare));
    }

    fn ran_out(&mut self, now: Now) {
        self.full = true;
        self.retry_at = Some(now.after_ms(limits::SPACE_RETRY_MS));
    }

    fn gained(&mut self, spare: u32, reserve: usize) {
        self.spares.push(spare);
        self.full &= self.spares.len() <= reserve;
    }

    /// A name for a new spare.
    pub(super) fn next_spare(&mut self) -> u32 {
        self.next_spare += 1;
        self.next_spare - 1
    }
}

impl Shard {
    /// How many spares to keep: the reserve, and one for clients.
    pub(super) fn lacks_spares(&self) -> bool {
        self.space.spares.len() <= self.options.reserve_segments
    }

    /// Whether a segment's file is worth keeping as a spare. Several are, because those that a checkpoint frees come together,
    /// and making one anew means writing it twice.
    pub(super) fn takes_spares(&self) -> bool {
        self.space.spares.len() <= self.options.reserve_segments + limits::KEPT_SEGMENTS
    }

    /// When to ask the disk for space again. Not while the compactor, which asks, is at work: its return is soon enough.
    pub(super) fn space_deadline(&self) -> Option<u64> {
        let may_ask = !self.compaction.busy && self.lacks_spares() && self.life == Life::Open;
        self.space.retry_at.filter(|_| may_ask)
    }

    /// Whether there is no room for this change. Clients may not touch the reserve; peers and deletes may use half of it
    /// up, and what the active segment of their kind still holds.
    pub(super) fn has_no_room_for(&self, change: &Apply) -> bool {
        if !self.space.full {
            return false;
        }
        let (spares, reserve) = (self.space.spares.len(), self.options.reserve_segments);
        match change {
            Apply::Update {
                change: Change::Value { .. } | Change::Stamped(_) | Change::Operation(_),
                ..
            } => spares <= reserve,
            Apply::Update { change: Change::Delete, .. } | Apply::Merge { .. } => {
                self.lacks_room_for_set(change_bytes(change))
            }
        }
    }

    /// Whether what peers and deletes may use up has no room for a record with an encoded set of so many bytes. A merge is
    /// asked about twice: its record may turn out larger than what came, and belong to the other kind of segment.
    pub(super) fn lacks_room_for_set(&self, bytes: usize) -> bool {
        let is_large = bytes > limits::BULK_RECORD_BYTES;
        self.lacks_room(if is_large { SegmentKind::Bulk } else { SegmentKind::Main }, bytes)
    }

    /// The same for a removal marker, which is written to both kinds of segments.
    pub(super) fn lacks_room_for_marker(&self) -> bool {
        self.lacks_room(SegmentKind::Main, 0) || self.lacks_room(SegmentKind::Bulk, 0)
    }

    fn lacks_room(&self, kind: SegmentKind, bytes: usize) -> bool {
        let waiting = self.commits.pending_bytes() + self.loads.queued_bytes() + bytes;
        let is_last = self.space.spares.len() <= self.options.reserve_segments / 2;
        self.space.full && is_last && waiting + limits::ROOM_SLACK_BYTES > self.segments.room(kind)
    }

    /// Makes a spare when the stock is short.
    pub(super) fn prepare_job(&mut self) -> Option<CompactJob> {
        let waits = self.space.retry_at.is_some_and(|at| at > self.now.mono_ns);
        if !self.lacks_spares() || waits || self.life != Life::Open {
            return None;
        }
        let files = self.segments.len() + self.space.spares.len();
        if self.options.max_segments.is_some_and(|max| files >= max) {
            self.ran_out();
            return None;
        }
        self.space.retry_at = None;
        let spare = self.space.next_spare();
        Some(CompactJob(Compacting::Prepare { spare, bytes: self.options.segment_bytes }))
    }

    pub(super) fn prepared(&mut self, spare: u32, result: Result<(), FileError>) {
        self.compaction.busy = false;
        match result {
            Ok(()) => self.space.gained(spare, self.options.reserve_segments),
            Err(error) if error.is_no_space() => self.ran_out(),
            // Nothing was promised on this file. If the disk is really failing, the next commit will say so.
            Err(_) => self.space.retry_at = Some(self.now.after_ms(limits::SPACE_RETRY_MS)),
        }
    }

    /// The disk has no room. A checkpoint gives back what compaction has emptied before.
    fn ran_out(&mut self) {
        self.space.ran_out(self.now);
        if self.segments.iter().any(|segment| matches!(segment.state, State::Emptied { .. })) {
            self.checkpoint.demand();
        }
    }

    /// A segment's file is gone, or has become a spare.
    pub(super) fn freed(&mut self, spare: Option<u32>) {
        self.space.retry_at = None;
        if let Some(spare) = spare {
            self.space.gained(spare, self.options.reserve_segments);
        }
    }
}
