//! Compaction: writing what is alive in a segment again, so that its file can go.
//!
//! The compactor reads a part of a sealed segment and drops what the index proves dead; here the rest is compared with the
//! table, which is newer, and what is still alive goes into the next batch under its own sequence. Whether it *is* still
//! alive is asked once more when the batch is made. A record that neither table nor index knows, and that no marker
//! covers, is never dropped: the index has lost it.

use kvorum_protocol::RecordKey;

use super::commit::Move;
use super::loads::Operation;
use super::rebuild::Rebuilding;
use super::segments::State;
use super::table::{Body, Entry, Placed, Slot};
use super::{Life, Shard};
use crate::event::{DamageNotice, PoisonReason, StoreEvent};
use crate::files::FileError;
use crate::job::{Candidate, CompactJob, Compacting, Step, StepError};
use crate::location::{Location, SegmentId};
use crate::log::entry::{Copies, EntryBody, LogEntry, Logged};
use crate::log::segment::{SEGMENT_HEADER_BYTES, SegmentKind};

/// The segment in work.
#[derive(Clone, Copy, Debug)]
struct Victim {
    segment: SegmentId,
    kind: SegmentKind,
    /// Where the next step begins.
    offset: u32,
    end: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Compaction {
    victim: Option<Victim>,
    /// Whether the compactor has a job, of whatever kind.
    pub(super) busy: bool,
    /// The index job since which what is fed must stay in the table: a step compares with the index, then with the table,
    /// and a change that has left the one for the other in between would be seen by neither, however old it is.
    pinned_from: Option<u64>,
    moved: u64,
}

/// What to do with a candidate.
enum Verdict {
    /// A higher sequence is known, or this is a second copy.
    Dead,
    /// Alive; the table has it in this slot.
    Alive(Slot),
    /// Alive; the table is to take it in.
    Unknown,
    /// The index does not know it, and nothing says that it is dead.
    Lost,
}

impl Compaction {
    pub(super) fn pinned_from(&self) -> u64 {
        self.pinned_from.unwrap_or(u64::MAX)
    }

    /// Whether what is fed now may not leave the table.
    pub(super) fn pins(&self) -> bool {
        self.pinned_from.is_some()
    }

    /// Entries moved since the opening.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Lets go of the segment in work.
    pub(super) fn abandon(&mut self) {
        self.victim = None;
    }
}

impl Shard {
    /// The compactor's next job.
    pub(super) fn compact_job(&mut self) -> Option<CompactJob> {
        // A rebuild reads the segments as they are now.
        if self.compaction.busy || self.rebuilding != Rebuilding::No {
            return None;
        }
        let job = self.retire_job().or_else(|| self.prepare_job()).or_else(|| self.step_job())?;
        self.compaction.busy = true;
        Some(job)
    }

    fn retire_job(&mut self) -> Option<CompactJob> {
        let ready = self.segments.iter().find(|segment| match segment.state {
            State::Retiring { reads_before } => self.loads.all_back_before(reads_before),
            _ => false,
        })?;
        let (segment, kind) = (ready.extent.id, ready.extent.kind);
        let keep_as = self.takes_spares().then(|| self.space.next_spare());
        let bytes = self.options.segment_bytes;
        Some(CompactJob(Compacting::Retire { segment, kind, keep_as, bytes }))
    }

    fn step_job(&mut self) -> Option<CompactJob> {
        let quiet = self.commits.no_moves()
            && self.commits.pending_bytes() <= self.options.pending_bytes / 2;
        // Without a spare the moves might find no room in the middle of a commit.
        let cramped = self.space.is_full() && self.space.spares().is_empty();
        if self.life != Life::Open || !quiet || cramped {
            return None;
        }
        if self.compaction.victim.is_none() {
            let extent = self.segments.victim(&self.options, self.space.is_full())?;
            self.segments.forget_spent(extent.id);
            self.compaction.victim = Some(Victim {
                segment: extent.id,
                kind: extent.kind,
                offset: SEGMENT_HEADER_BYTES,
                end: extent.end,
            });
        }
        let Victim { segment, kind, offset, end } = self.compaction.victim?;
        if offset >= end {
            self.empty(segment);
            return None;
        }
        self.compaction.pinned_from = Some(self.feed.next_back());
        let budget = self.options.compact_step_bytes;
        Some(CompactJob(Compacting::Step { segment, kind, offset, end, budget }))
    }

    /// All of a segment was looked at and what was alive is synced elsewhere.
    fn empty(&mut self, segment: SegmentId) {
        self.compaction.victim = None;
        let after = self.commits.newest();
        if let Some(segment) = self.segments.get_mut(segment) {
            segment.state = State::Emptied { after };
        }
        // Its file can go after the next checkpoint. That is only worth having early when somebody waits for the space.
        if self.space.is_full() {
            self.checkpoint.demand();
            self.advance_checkpoint();
        }
    }

    pub(super) fn stepped(&mut self, segment: SegmentId, result: Result<Step, StepError>) {
        self.compaction.busy = false;
        self.compaction.pinned_from = None;
        let Some(victim) = self.compaction.victim else { return };
        if self.life != Life::Open {
            // A clean manifest may be on its way, and nothing may be written after it.
            return self.compaction.abandon();
        }
        let step = match result {
            Ok(step) => step,
            Err(StepError::Index(error)) => return self.index_failed(error),
            Err(StepError::File(_)) => {
                // Its records may still be readable one by one; moving them all is for a healthier disk.
                self.compaction.abandon();
                if let Some(segment) = self.segments.get_mut(segment) {
                    segment.state = State::Unreadable;
                }
                return;
            }
        };
        self.compaction.victim = Some(Victim { offset: step.next, ..victim });
        if step.damaged > 0 {
            let notice = DamageNotice::Segment { segment, bytes: step.damaged };
            self.events.push_back(StoreEvent::Damage(notice));
            self.begin_new_run();
        }
        for candidate in step.candidates {
            if !self.consider(victim, candidate) {
                return;
            }
        }
    }

    /// Decides about one candidate. False when the index turned out to be damaged.
    fn consider(&mut self, victim: Victim, candidate: Candidate) -> bool {
        let key = candidate.logged.key().clone();
        if let Logged::Removal { covers_through, .. } = candidate.logged {
            return self.consider_marker(victim, &key, covers_through, &candidate);
        }
        match self.judge(&key, &candidate) {
            Verdict::Dead => true,
            Verdict::Lost => self.lost(),
            Verdict::Alive(slot) => {
                self.heal(slot, &candidate);
                self.move_entry(slot, candidate.placed)
            }
            Verdict::Unknown => {
                let slot = self.bring_in(&key, &candidate);
                self.move_entry(slot, candidate.placed)
            }
        }
    }

    /// A record that a read could not make sense of has been read now.
    fn heal(&mut self, slot: Slot, candidate: &Candidate) {
        let Logged::Record(record) = &candidate.logged else { return };
        self.hint_is_readable(record);
        if matches!(self.table.entry(slot).body, Body::Damaged) {
            let body = Body::Record(record.clone().into());
            self.table.set_body(slot, body.clone(), candidate.sequence);
            if let Some(synced) = &mut self.table.entry_mut(slot).synced {
                synced.body = body;
            }
        }
    }

    fn lost(&mut self) -> bool {
        if self.compaction_trusts_index() {
            return true;
        }
        self.index_is_damaged();
        false
    }

    /// Whether absence from the index is taken for death. Never, but for the planted bugs. (The second one's index lacks
    /// markers, and that is not to be noticed here.)
    pub(super) fn compaction_trusts_index(&self) -> bool {
        #[cfg(feature = "planted")]
        {
            use crate::Planted::{CompactionTrustsIndex, RebuildResurrects};
            matches!(self.options.planted, Some(CompactionTrustsIndex | RebuildResurrects))
        }
        #[cfg(not(feature = "planted"))]
        false
    }

    fn judge(&self, key: &RecordKey, candidate: &Candidate) -> Verdict {
        let here = Placed { sequence: candidate.sequence, location: candidate.placed };
        let (sequence, placed, slot) = match self.table.find(key) {
            Some(slot) => {
                let entry = self.table.entry(slot);
                (entry.sequence, entry.placed(), Some(slot))
            }
            None => match candidate.index {
                Some(index) => {
                    let placed = Placed { sequence: index.sequence, location: index.location };
                    (index.sequence, Some(placed), None)
                }
                None => return Verdict::Lost,
            },
        };
        if sequence < candidate.sequence {
            Verdict::Lost
        } else if sequence > candidate.sequence || placed != Some(here) {
            Verdict::Dead
        } else {
            slot.map_or(Verdict::Unknown, Verdict::Alive)
        }
    }

    /// Takes a candidate into the table as if it had been read; whoever waits for the key is served.
    fn bring_in(&mut self, key: &RecordKey, candidate: &Candidate) -> Slot {
        let body = match &candidate.logged {
            Logged::Record(record) => Body::Record(record.clone().into()),
            Logged::Removal { covers_through, .. } => {
                Body::Removed { covers_through: Some(*covers_through) }
            }
        };
        if let Body::Record(record) = &body {
            self.hint_is_readable(record);
        }
        let placed = Placed { sequence: candidate.sequence, location: candidate.placed };
        let digest = candidate.index.map_or(0, |index| index.digest);
        let slot = self.table.insert(Entry::loaded(key.clone(), body, placed, digest));
        let operations = self.loads.take(key, None);
        self.perform_all(key, operations);
        slot
    }

    fn move_entry(&mut self, slot: Slot, from: Location) -> bool {
        let entry = self.table.entry_mut(slot);
        let Some(synced) = &entry.synced else { return true };
        let body = match &synced.body {
            Body::Record(record) => EntryBody::Record(record.clone()),
            Body::Removed { covers_through } => EntryBody::Removal {
                key: entry.key.clone(),
                copies: Copies::One(SegmentKind::Main),
                covers_through: *covers_through,
            },
            Body::Gone | Body::Damaged => return true,
        };
        let sequence = synced.placed.sequence;
        entry.moving = true;
        self.compaction.moved += 1;
        self.commits.push_move(Move { slot: Some(slot), from, entry: LogEntry { sequence, body } });
        true
    }

    /// A marker is needed as long as another segment exists that can hold what it covers. Of its two copies the index
    /// names one; the other moves without anybody noticing.
    fn consider_marker(
        &mut self,
        victim: Victim,
        key: &RecordKey,
        covers_through: SegmentId,
        candidate: &Candidate,
    ) -> bool {
        let verdict = self.judge(key, candidate);
        let newest = match self.table.find(key) {
            Some(slot) => Some(self.table.entry(slot).sequence),
            None => candidate.index.map(|index| index.sequence),
        };
        let superseded = newest.is_some_and(|newest| newest > candidate.sequence);
        let named = matches!(verdict, Verdict::Alive(_) | Verdict::Unknown);
        if superseded {
            return true;
        }
        if !self.segments.any_through(covers_through, victim.segment) {
            if named && let Some(segment) = self.segments.get_mut(victim.segment) {
                segment.spent_markers.push((key.clone(), candidate.sequence));
                segment.spent_bytes += u64::from(candidate.placed.length);
            }
            return true;
        }
        match verdict {
            Verdict::Alive(slot) => self.move_entry(slot, candidate.placed),
            Verdict::Unknown => {
                let slot = self.bring_in(key, candidate);
                self.move_entry(slot, candidate.placed)
            }
            Verdict::Lost => self.lost(),
            // A main copy that the index does not name was moved already.
            Verdict::Dead if victim.kind == SegmentKind::Main => true,
            Verdict::Dead => {
                let copies = Copies::One(victim.kind);
                let covers_through = Some(covers_through);
                let body = EntryBody::Removal { key: key.clone(), copies, covers_through };
                let entry = LogEntry { sequence: candidate.sequence, body };
                self.commits.push_move(Move { slot: None, from: candidate.placed, entry });
                true
            }
        }
    }

    pub(super) fn retired(
        &mut self,
        segment: SegmentId,
        keep_as: Option<u32>,
        result: Result<bool, FileError>,
    ) {
        self.compaction.busy = false;
        match result {
            Ok(kept) => {
                let gone = self.segments.remove(segment);
                self.freed(keep_as.filter(|_| kept));
                for (key, sequence) in gone.into_iter().flat_map(|gone| gone.spent_markers) {
                    self.operate(key, Operation::DropMarker { sequence });
                }
            }
            Err(error) => self.poison(PoisonReason::Segment(error)),
        }
    }

    /// Lets the index forget a marker that covers nothing any more.
    pub(super) fn drop_marker(&mut self, slot: Option<Slot>, sequence: u64) {
        let Some(slot) = slot else { return };
        let entry = self.table.entry(slot);
        let same = entry.sequence == sequence
            && matches!(entry.body, Body::Removed { .. })
            && entry.is_synced();
        if same {
            self.table.set_body(slot, Body::Gone, sequence);
            self.note_unindexed(slot);
        }
    }
}
