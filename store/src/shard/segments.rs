//! The segments that exist, and how much of each is alive.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use kvorum_protocol::RecordKey;

use crate::limits;
use crate::location::{Location, SegmentId};
use crate::log::manifest::SegmentRecord;
use crate::log::segment::{SEGMENT_HEADER_BYTES, SegmentKind};
use crate::log::writer::SegmentExtent;
use crate::options::ShardOptions;

/// What is going on with a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Being written to.
    Active,
    /// Complete.
    Sealed,
    /// Complete, and compaction could not read it: left alone until the next start.
    Unreadable,
    /// Nothing in it is needed once everything up to this sequence is synced, a checkpoint was made after that, and nothing
    /// names a frame in it. (A frame that compaction could not read is still named, and keeps the file until it is healed.)
    Emptied { after: u64 },
    /// No manifest names it any more; its file goes when the read jobs below this number are back.
    Retiring { reads_before: u64 },
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) extent: SegmentExtent,
    /// Bytes of frames that hold the newest synced version of their key.
    pub(crate) live: u64,
    pub(crate) state: State,
    /// Markers that covered nothing but this segment, with their sequences: to be forgotten when it is gone.
    pub(crate) spent_markers: Vec<(RecordKey, u64)>,
    /// Bytes of their frames, which are named until then.
    pub(crate) spent_bytes: u64,
}

impl Segment {
    fn written(&self) -> u64 {
        u64::from(self.extent.end.saturating_sub(SEGMENT_HEADER_BYTES))
    }

    fn dead(&self) -> u64 {
        self.written().saturating_sub(self.live)
    }
}

/// All segments of the shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    segments: BTreeMap<SegmentId, Segment>,
    next: SegmentId,
}

impl Segments {
    /// Segments of earlier runs, all complete.
    pub(crate) fn recovered(extents: Vec<SegmentExtent>, next: SegmentId) -> Segments {
        let sealed = |extent: SegmentExtent| {
            let segment = Segment {
                extent,
                live: 0,
                state: State::Sealed,
                spent_markers: Vec::new(),
                spent_bytes: 0,
            };
            (extent.id, segment)
        };
        Segments { segments: extents.into_iter().map(sealed).collect(), next }
    }

    /// Sets how much of each segment is alive.
    pub(crate) fn set_live(&mut self, live: &[(SegmentId, u64)]) {
        for segment in self.segments.values_mut() {
            segment.live = 0;
        }
        for (id, bytes) in live {
            if let Some(segment) = self.segments.get_mut(id) {
                segment.live = *bytes;
            }
        }
    }

    /// Takes in what a commit wrote. A new segment seals the one of its kind before it.
    pub(crate) fn extend(&mut self, extents: &[SegmentExtent]) {
        for extent in extents {
            if let Some(known) = self.segments.get_mut(&extent.id) {
                known.extent = *extent;
                continue;
            }
            for other in self.segments.values_mut() {
                if other.extent.kind == extent.kind && other.state == State::Active {
                    other.state = State::Sealed;
                }
            }
            self.next = self.next.max(SegmentId(extent.id.0 + 1));
            let segment = Segment {
                extent: *extent,
                live: 0,
                state: State::Active,
                spent_markers: Vec::new(),
                spent_bytes: 0,
            };
            self.segments.insert(extent.id, segment);
        }
    }

    /// A frame came to hold the newest synced version of its key.
    pub(crate) fn occupy(&mut self, location: Location) {
        if let Some(segment) = self.segments.get_mut(&location.segment) {
            segment.live += u64::from(location.length);
        }
    }

    /// A frame no longer does.
    pub(crate) fn release(&mut self, location: Location) {
        if let Some(segment) = self.segments.get_mut(&location.segment) {
            segment.live = segment.live.saturating_sub(u64::from(location.length));
        }
    }

    pub(crate) fn next(&self) -> SegmentId {
        self.next
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    pub(crate) fn get_mut(&mut self, id: SegmentId) -> Option<&mut Segment> {
        self.segments.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.segments.values()
    }

    pub(crate) fn remove(&mut self, id: SegmentId) -> Option<Segment> {
        self.segments.remove(&id)
    }

    /// Compaction begins with a segment anew: what an earlier, abandoned pass counted as spent is counted again.
    pub(crate) fn forget_spent(&mut self, id: SegmentId) {
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.spent_markers.clear();
            segment.spent_bytes = 0;
        }
    }

    /// Bytes that the active segment of a kind still takes.
    pub(crate) fn room(&self, kind: SegmentKind) -> usize {
        let active = self
            .segments
            .values()
            .find(|segment| segment.state == State::Active && segment.extent.kind == kind);
        active.map_or(0, |active| active.extent.size.saturating_sub(active.extent.end) as usize)
    }

    /// Every segment's end: what is written so far.
    pub(crate) fn ends(&self) -> BTreeMap<SegmentId, u32> {
        self.segments.iter().map(|(id, segment)| (*id, segment.extent.end)).collect()
    }

    /// Whether a segment other than `but` exists that can hold what a marker covers.
    pub(crate) fn any_through(&self, covers_through: SegmentId, but: SegmentId) -> bool {
        self.segments.range(..=covers_through).any(|(id, _)| *id != but)
    }

    /// All segments with their ends, main ones first, but for those whose files may go at any moment.
    pub(crate) fn main_first(&self) -> Vec<(SegmentId, SegmentKind, u32)> {
        let stays = |segment: &&Segment| !matches!(segment.state, State::Retiring { .. });
        let all = self.segments.values().filter(stays).map(|segment| segment.extent);
        let mut all: Vec<_> = all.map(|extent| (extent.id, extent.kind, extent.end)).collect();
        all.sort_by_key(|(id, kind, _)| (*kind, *id));
        all
    }

    /// The segment that compaction should take next, if any. Waiting is cheap and moving is not: as long as the dead are
    /// not more than the living, segments mostly empty themselves. So the deadest is taken only when there are a few, and
    /// the log as a whole is half dead (a fifth, when space is short), or for nothing when nothing in it is alive. Else, when short segments of
    /// many starts have gathered, the shortest.
    pub(crate) fn victim(
        &self,
        options: &ShardOptions,
        space_is_short: bool,
    ) -> Option<SegmentExtent> {
        let sealed = || self.segments.values().filter(|segment| segment.state == State::Sealed);
        let deadest =
            sealed().max_by_key(|segment| (segment.dead(), Reverse(segment.extent.id)))?;
        if let Some(empty) = sealed().find(|segment| segment.live == 0) {
            return Some(empty.extent);
        }
        let dead: u64 = sealed().map(Segment::dead).sum();
        let written: u64 = sealed().map(Segment::written).sum();
        let share = if space_is_short {
            limits::COMPACT_DEAD_SHARE_FULL
        } else {
            limits::COMPACT_DEAD_SHARE
        };
        let many = space_is_short || sealed().count() >= options.compact_segments;
        if many && dead.saturating_mul(share) >= written && deadest.dead() > 0 {
            return Some(deadest.extent);
        }
        let short = || sealed().filter(|segment| segment.extent.end < options.segment_bytes / 4);
        if short().count() <= limits::SHORT_SEGMENTS {
            return None;
        }
        short().min_by_key(|segment| segment.extent.end).map(|segment| segment.extent)
    }

    /// What the manifest says of the segments: those that no checkpoint up to `synced` has made needless.
    pub(crate) fn records(
        &self,
        covered: &BTreeMap<SegmentId, u32>,
        gone: &BTreeSet<SegmentId>,
    ) -> Vec<SegmentRecord> {
        let kept = self.segments.values().filter(|segment| {
            !matches!(segment.state, State::Retiring { .. }) && !gone.contains(&segment.extent.id)
        });
        kept.map(|Segment { extent, live, .. }| SegmentRecord {
            id: extent.id,
            kind: extent.kind,
            first_batch: extent.first_batch,
            last_batch: extent.last_batch,
            covered: covered.get(&extent.id).copied().unwrap_or(SEGMENT_HEADER_BYTES),
            end: extent.end,
            live: *live,
        })
        .collect()
    }

    /// Emptied segments that a checkpoint begun when `synced` was synced makes needless.
    pub(crate) fn needless(&self, synced: u64, trust_index: bool) -> BTreeSet<SegmentId> {
        let needless = |segment: &&Segment| {
            let unnamed = trust_index || segment.live <= segment.spent_bytes;
            matches!(segment.state, State::Emptied { after } if after <= synced) && unnamed
        };
        self.segments.values().filter(needless).map(|segment| segment.extent.id).collect()
    }
}
