//! The scrub: everything that is kept is read before somebody needs it, so that damage is found while there are other copies.
//!
//! ```text
//!   sums     the whole index adds up to what it says of itself
//!     │
//!   log      every frame of every segment is whole, and the index names it or something newer
//!     │
//!   index    what the index names can be read, and is what it says
//!     │
//!   trees    the hash tree of every partition is that of its records
//! ```
//!
//! In this order, because each step relies on the one before. An index that adds up names everything that is alive, so what is
//! damaged in the log and not named was dead: that is why a damaged frame whose key nobody can read makes nothing doubtful by
//! itself, and the third step says whose records were damaged. An index that does not add up is rebuilt, and what cannot be read
//! then makes the shard refilling.
//!
//! A pass goes at a low rate, in small steps of the readers and of the indexer, each only when nothing else waits for them. It is
//! due so long after the one before, or when somebody asks. After a clean start, which reads nothing, the first step is done at
//! once. What a step finds is asked again in the normal way before it is believed, since index and log change meanwhile.

use std::collections::VecDeque;

use super::loads::Operation;
use super::rebuild::Rebuilding;
use super::segments::State;
use super::table::{Body, Slot};
use super::{Life, Shard};
use crate::clock::{NS_PER_MS, Now};
use crate::event::{DamageNotice, StoreEvent};
use crate::index::{IndexError, IndexKey};
use crate::job::{
    Indexing, Missing, ReadJob, Reading, ScrubNext, Scrubbed, Scrubbing, StepError, Verified,
};
use crate::limits;
use crate::location::{Location, SegmentId};
use crate::log::segment::{SEGMENT_HEADER_BYTES, SegmentKind};
use crate::request::Token;
use crate::saved_trees::Counted;
use kvorum_protocol::{Record, RecordKey};

/// What a scrub is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ScrubPhase {
    /// Nothing: the next pass is not due.
    #[default]
    Idle,
    /// Whether the index adds up.
    Sums,
    /// The segments.
    Log,
    /// What the index names.
    Index,
    /// The hash trees.
    Trees,
}

/// How far a scrub is, and what came of all since the opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScrubProgress {
    /// What it is at.
    pub phase: ScrubPhase,
    /// Bytes of this pass that it has read, or of the last one.
    pub done_bytes: u64,
    /// Bytes that it has to read, about: twice what is alive, and what is dead once.
    pub total_bytes: u64,
    /// For how long this pass has been under way, in milliseconds.
    pub took_ms: u64,
    /// Passes that came to their end since the opening.
    pub passes: u64,
    /// What was found damaged since the opening: frames, records, entries of the index, trees.
    pub found: u64,
    /// Wall-clock time of the end of the last pass, in milliseconds since 1970; 0 for never.
    pub ended_at_ms: u64,
}

/// Where a pass is.
#[derive(Clone, Debug, Default)]
enum Place {
    #[default]
    Idle,
    Sums {
        begun: bool,
    },
    Log {
        left: VecDeque<(SegmentId, SegmentKind, u32)>,
        offset: u32,
    },
    Index {
        after: Option<IndexKey>,
    },
    Trees {
        left: VecDeque<Counted>,
    },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Scrub {
    place: Place,
    /// A job of it is out.
    busy: bool,
    /// What the job that is out finds is of an index that is no more.
    is_void: bool,
    /// When the next step may begin.
    next_ns: u64,
    /// Somebody wants a pass.
    demanded: bool,
    /// Only the sums, after a clean start.
    only_sums: bool,
    began_ns: u64,
    progress: ScrubProgress,
}

impl Scrub {
    /// Nothing under way. `ended_at_ms` is when the last pass ended; `checks_sums` begins with a look at the sums.
    pub(crate) fn new(ended_at_ms: u64, checks_sums: bool) -> Scrub {
        Scrub {
            place: if checks_sums { Place::Sums { begun: false } } else { Place::Idle },
            only_sums: checks_sums,
            progress: ScrubProgress { ended_at_ms, ..ScrubProgress::default() },
            ..Scrub::default()
        }
    }

    /// Wall-clock time of the end of the last pass.
    pub(super) fn ended_at_ms(&self) -> u64 {
        self.progress.ended_at_ms
    }

    /// Somebody wants everything looked at. A pass that is under way may have come past what is wanted.
    pub(super) fn demand(&mut self) {
        self.demanded = true;
    }

    /// The index or the log has become another one: what is under way is about nothing.
    pub(super) fn abandon(&mut self) {
        self.is_void = self.busy;
        self.place = Place::Idle;
        self.only_sums = false;
    }

    /// A job came back that cost so much. False if it is about nothing any more.
    fn came_back(&mut self, now: Now, bytes: u64, bytes_per_s: u64) -> bool {
        let pause_ns = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s.max(1));
        self.next_ns = now.mono_ns.saturating_add(pause_ns as u64);
        self.busy = false;
        !std::mem::take(&mut self.is_void)
    }
}

impl Shard {
    /// How far a scrub is.
    pub fn scrub_progress(&self) -> ScrubProgress {
        let phase = match self.scrub.place {
            Place::Idle => ScrubPhase::Idle,
            Place::Sums { .. } => ScrubPhase::Sums,
            Place::Log { .. } => ScrubPhase::Log,
            Place::Index { .. } => ScrubPhase::Index,
            Place::Trees { .. } => ScrubPhase::Trees,
        };
        let took_ns = self.now.mono_ns.saturating_sub(self.scrub.began_ns);
        let took_ms = if phase == ScrubPhase::Idle { 0 } else { took_ns / NS_PER_MS };
        ScrubProgress { phase, took_ms, ..self.scrub.progress }
    }

    /// Somebody wants everything looked at. A pass that is under way is gone on with.
    pub(super) fn demand_scrub(&mut self, token: Token) {
        self.scrub.demanded |= matches!(self.scrub.place, Place::Idle) || self.scrub.only_sums;
        self.events.push_back(StoreEvent::Scrubbing { token, progress: self.scrub_progress() });
    }

    fn may_scrub(&self) -> bool {
        self.life == Life::Open
            && self.rebuilding == Rebuilding::No
            && self.options.scrub_bytes_per_s > 0
            && !self.scrub.busy
    }

    /// When the next pass is due by itself.
    fn scrub_due_ns(&self) -> Option<u64> {
        let every_ms = self.options.scrub_every_ms;
        let due_at_ms = self.scrub.progress.ended_at_ms.saturating_add(every_ms);
        let left_ms = due_at_ms.saturating_sub(self.now.wall_ms).min(every_ms);
        (every_ms > 0).then(|| self.now.after_ms(left_ms))
    }

    /// When there is something to do for it.
    pub(super) fn scrub_deadline(&self) -> Option<u64> {
        let waits_for_worker = match &self.scrub.place {
            Place::Idle => false,
            Place::Sums { .. } | Place::Trees { .. } => self.feed.busy,
            Place::Log { .. } | Place::Index { .. } => self.readers_are_busy(),
        };
        match &self.scrub.place {
            _ if waits_for_worker || !self.may_scrub() => None,
            Place::Idle if self.scrub.demanded => Some(self.now.mono_ns),
            Place::Idle => self.scrub_due_ns(),
            _ => Some(self.scrub.next_ns.max(self.now.mono_ns)),
        }
    }

    /// Begins a pass that is due.
    pub(super) fn advance_scrub(&mut self) {
        if !self.may_scrub() || !matches!(self.scrub.place, Place::Idle) {
            return;
        }
        let is_due = self.scrub_due_ns().is_some_and(|due_ns| due_ns <= self.now.mono_ns);
        if !std::mem::take(&mut self.scrub.demanded) && !is_due {
            return;
        }
        let log: u64 = self.segments.iter().map(|segment| u64::from(segment.extent.end)).sum();
        let live: u64 = self.segments.iter().map(|segment| segment.live).sum();
        self.scrub.place = Place::Sums { begun: false };
        self.scrub.began_ns = self.now.mono_ns;
        self.scrub.progress.done_bytes = 0;
        self.scrub.progress.total_bytes = log + live;
    }

    fn scrub_step_bytes(&self) -> usize {
        let rate = usize::try_from(self.options.scrub_bytes_per_s).unwrap_or(usize::MAX);
        limits::SCRUB_STEP_BYTES.min(rate.div_ceil(4)).max(1)
    }

    fn is_scrub_due(&self) -> bool {
        self.may_scrub() && self.scrub.next_ns <= self.now.mono_ns
    }

    /// A step for a reader.
    pub(super) fn scrub_job(&mut self) -> Option<ReadJob> {
        if !self.is_scrub_due() {
            return None;
        }
        let budget = self.scrub_step_bytes();
        let step = match &mut self.scrub.place {
            Place::Log { left, offset } => {
                while left.front().is_some_and(|(_, _, end)| *offset >= *end) {
                    left.pop_front();
                    *offset = SEGMENT_HEADER_BYTES;
                }
                match left.front() {
                    Some((segment, kind, end)) => Scrubbing::Log {
                        segment: *segment,
                        kind: *kind,
                        offset: *offset,
                        end: *end,
                        budget,
                    },
                    None => {
                        self.scrub.place = Place::Index { after: None };
                        Scrubbing::Index { after: None, budget }
                    }
                }
            }
            Place::Index { after } => Scrubbing::Index { after: after.clone(), budget },
            Place::Idle | Place::Sums { .. } | Place::Trees { .. } => return None,
        };
        self.scrub.busy = true;
        Some(ReadJob(Reading::Scrub(step)))
    }

    /// A step for the indexer.
    pub(super) fn scrub_index_job(&mut self) -> Option<Indexing> {
        if !self.is_scrub_due() {
            return None;
        }
        match &mut self.scrub.place {
            Place::Sums { begun } => {
                let begins = !std::mem::replace(begun, true);
                self.scrub.busy = true;
                Some(Indexing::Verify { begins, most: limits::SCRUB_SUMMED })
            }
            Place::Trees { left } => {
                let mut left = std::mem::take(left);
                let job = std::iter::from_fn(|| left.pop_front()).find_map(|of| self.check_job(of));
                match job.is_some() {
                    true => {
                        self.scrub.place = Place::Trees { left };
                        self.scrub.busy = true;
                    }
                    false => self.end_scrub(),
                }
                job
            }
            Place::Idle | Place::Log { .. } | Place::Index { .. } => None,
        }
    }

    fn end_scrub(&mut self) {
        self.scrub.place = Place::Idle;
        self.scrub.progress.passes += 1;
        self.scrub.progress.ended_at_ms = self.now.wall_ms;
    }

    pub(super) fn verified(&mut self, result: Result<Verified, IndexError>) {
        self.feed.busy = false;
        let entries = result.as_ref().map_or(0, |verified| verified.entries as u64);
        let bytes = entries * limits::SCRUB_ENTRY_BYTES;
        if !self.scrub.came_back(self.now, bytes, self.options.scrub_bytes_per_s) {
            return;
        }
        match result {
            Ok(Verified { adds_up: None, .. }) => {}
            Ok(Verified { adds_up: Some(true), .. }) => {
                let is_all = std::mem::take(&mut self.scrub.only_sums);
                self.scrub.place = match is_all {
                    true => Place::Idle,
                    false => Place::Log {
                        left: self.segments.main_first().into(),
                        offset: SEGMENT_HEADER_BYTES,
                    },
                };
            }
            Ok(Verified { adds_up: Some(false), .. }) | Err(_) => {
                self.scrub.progress.found += 1;
                self.index_is_damaged();
            }
        }
    }

    pub(super) fn scrubbed(&mut self, result: Result<Scrubbed, StepError>) {
        let bytes = result.as_ref().map_or(0, |scrubbed| scrubbed.bytes);
        if !self.scrub.came_back(self.now, bytes, self.options.scrub_bytes_per_s)
            || self.life != Life::Open
        {
            return;
        }
        let scrubbed = match result {
            Ok(scrubbed) => scrubbed,
            Err(StepError::Index(_)) => {
                self.scrub.progress.found += 1;
                return self.index_is_damaged();
            }
            Err(StepError::File(_)) => return self.pass_segment_over(),
        };
        self.scrub.progress.done_bytes += bytes;
        if !self.go_on_scrubbing(&scrubbed) {
            return;
        }
        let Scrubbed { missing, unreadable, doubted, wrong, .. } = scrubbed;
        if wrong > 0 {
            self.scrub.progress.found += wrong;
            return self.index_is_damaged();
        }
        for missing in missing {
            let key = missing.key.clone();
            self.operate(key, Operation::Confirm(Some(missing)));
        }
        for (key, location) in unreadable {
            self.operate(key, Operation::Mend { location });
        }
        // Reading it is enough: it says by itself that it is in doubt.
        doubted.into_iter().for_each(|key| self.operate(key, Operation::Confirm(None)));
    }

    /// Where the next step begins. False when the segment that was read has gone meanwhile, and what was found with it.
    fn go_on_scrubbing(&mut self, scrubbed: &Scrubbed) -> bool {
        match (&mut self.scrub.place, &scrubbed.next) {
            (Place::Log { left, offset }, ScrubNext::Offset(next)) => {
                *offset = *next;
                let Some(segment) = left.front().map(|(segment, ..)| *segment) else {
                    return false;
                };
                let is_there = self.exists(segment);
                if !is_there {
                    self.pass_segment_over();
                } else if scrubbed.damaged > 0 {
                    self.scrub.progress.found += 1;
                    let notice = DamageNotice::Segment { segment, bytes: scrubbed.damaged };
                    self.events.push_back(StoreEvent::Damage(notice));
                }
                is_there
            }
            (Place::Index { after }, ScrubNext::Behind(key)) => {
                *after = Some(key.clone());
                true
            }
            (Place::Index { .. }, ScrubNext::IndexEnd) => {
                self.scrub.place = Place::Trees { left: self.trees.known().into() };
                true
            }
            _ => false,
        }
    }

    /// The segment in work cannot be read, or has gone.
    fn pass_segment_over(&mut self) {
        if let Place::Log { left, offset } = &mut self.scrub.place {
            left.pop_front();
            *offset = SEGMENT_HEADER_BYTES;
        }
    }

    /// Whether a segment is there, and its file will not go at any moment.
    fn exists(&self, id: SegmentId) -> bool {
        let found = self.segments.iter().find(|segment| segment.extent.id == id);
        found.is_some_and(|segment| !matches!(segment.state, State::Retiring { .. }))
    }

    /// A scrub did not find in the index what the log holds of a key, which was read since.
    pub(super) fn confirm(&mut self, slot: Option<Slot>, missing: Option<&Missing>) {
        let Some(Missing { sequence, segment, covers_through, .. }) = missing else { return };
        let is_known = slot.is_some_and(|slot| self.table.entry(slot).sequence >= *sequence);
        // A marker that covers nothing any more is rightly forgotten.
        let is_spent =
            covers_through.is_some_and(|through| !self.segments.any_through(through, *segment));
        if !is_known && !is_spent && self.exists(*segment) {
            self.scrub.progress.found += 1;
            self.index_is_damaged();
        }
    }

    /// A scrub could not read what the index names of a key, which was looked up since. What memory still has of it is written
    /// again; a record that cannot be read said so when it was looked up.
    pub(super) fn mend(&mut self, slot: Option<Slot>, key: &RecordKey, location: Location) {
        let Some(slot) = slot else { return };
        let entry = self.table.entry(slot);
        let is_there = entry.is_synced()
            && !entry.moving
            && entry.placed().is_some_and(|placed| placed.location == location);
        if !is_there {
            return;
        }
        match &entry.body {
            Body::Record(record) if !self.lacks_room_for_set(record.set.encoded().len()) => {
                let record = Record::clone(record);
                self.is_saved();
                self.log_record(Some(slot), record);
            }
            Body::Removed { .. } if !self.lacks_room_for_marker() => {
                self.log_marker(Some(slot), key);
            }
            Body::Record(_) | Body::Removed { .. } | Body::Damaged => {}
            Body::Gone => return,
        }
        self.scrub.progress.found += 1;
    }

    /// The tree of a partition was counted anew.
    pub(super) fn tree_was_checked(&mut self, is_right: bool) {
        let bytes = limits::SCRUB_STEP_BYTES as u64 / 16;
        self.scrub.came_back(self.now, bytes, self.options.scrub_bytes_per_s);
        self.scrub.progress.found += u64::from(!is_right);
    }
}
