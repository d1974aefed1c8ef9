//! Reading segments back, and telling the torn end of the log from damage.
//!
//! A batch is *proven* when the manifest or a later batch of the same run says that it had been synced. Proven batches must
//! be whole: each one's parts say how many frames they have, here and in the other kind of segment, and their numbers
//! leave no gap. The last batch of a run is not proven; what is left of it is kept, but promised to nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::listing::Listing;
use super::{IndexError, Start};
use crate::files::{File, FileError, Files};
use crate::location::{Location, SegmentId};
use crate::log::handles::Handles;
use crate::log::manifest::Manifest;
use crate::log::scan::BatchHeader;
use crate::log::segment::{SEGMENT_HEADER_BYTES, SegmentKind};
use crate::log::walk::{Found, Piece, read_bytes, walk};
use crate::log::writer::SegmentExtent;

/// What stops a replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReplayError {
    File(FileError),
    Index(IndexError),
}

impl From<FileError> for ReplayError {
    fn from(error: FileError) -> ReplayError {
        ReplayError::File(error)
    }
}

/// One batch beyond the manifest.
#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    main: Option<Part>,
    bulk: Option<Part>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    header: BatchHeader,
    segment: SegmentId,
    start: u32,
    end: u32,
    frames: u32,
}

/// What was found behind the manifest's knowledge.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Entries read.
    pub(super) entries: u64,
    /// Bytes that they take in the log, about.
    pub(super) bytes: u64,
    pub(super) last_batch: u64,
    pub(super) last_sequence: u64,
    pub(super) damaged_bytes: u64,
    pub(super) damaged_batches: u64,
    /// Behind all that is proven there are bytes that make no frame, and frames behind them. What follows the last frame
    /// says nothing: a file that is used again holds older bytes there.
    ragged: bool,
    batches: BTreeMap<u64, Seen>,
    /// Entries of each segment's last batch, or of none, by segment.
    recent: Vec<Recent>,
    /// Segments read to their ends, as far as they are proven.
    ends: BTreeMap<SegmentId, SegmentExtent>,
    /// Those of them that may have been written to after the manifest.
    open_ended: BTreeSet<SegmentId>,
}

#[derive(Debug)]
struct Recent {
    batch: Option<u64>,
    found: Found,
}

/// What is to be read of a segment.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    id: SegmentId,
    kind: SegmentKind,
    from: u32,
    /// Everything before this was synced.
    proven: u32,
    first_batch: u64,
    last_batch: u64,
    /// Whether anything can follow what the manifest knows.
    open_ended: bool,
}

impl Start {
    /// What to read: all of every segment, or what the checkpoint does not cover.
    fn parts(&self, all: bool) -> Vec<Stretch> {
        let mut parts = Vec::new();
        for (id, kind) in self.listing.segments() {
            let known = self.manifest.segments.iter().find(|record| record.id == id);
            let newest = self
                .manifest
                .segments
                .iter()
                .filter(|record| record.kind == kind)
                .map(|record| record.id)
                .max();
            let open_ended = known.is_none() || newest == Some(id);
            let (covered, proven) = known
                .map_or((SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES), |record| {
                    (record.covered.min(record.end), record.end)
                });
            if all || open_ended || covered < proven {
                let from = if all { SEGMENT_HEADER_BYTES } else { covered };
                let first_batch = known.map_or(u64::MAX, |record| record.first_batch);
                let last_batch = known.map_or(0, |record| record.last_batch);
                parts.push(Stretch { id, kind, from, proven, first_batch, last_batch, open_ended });
            }
        }
        // Main segments first: of two copies of a marker the index names the first.
        parts.sort_by_key(|part| (part.kind, part.id));
        parts
    }
}

impl Tail {
    /// Reads the segments and hands every entry to `each`.
    pub(super) fn read<F: Files>(
        start: &Start,
        handles: &Handles<F>,
        all: bool,
        each: &mut dyn FnMut(&Found) -> Result<(), IndexError>,
    ) -> Result<Tail, ReplayError> {
        let mut tail = Tail { last_batch: start.manifest.synced_batch, ..Tail::default() };
        for part in start.parts(all) {
            tail.read_segment(start.manifest.synced_batch, handles, part, each)?;
        }
        // Without a manifest nobody knows which batches there should be.
        if !start.manifest_lost {
            tail.damaged_batches = tail.count_broken(start.manifest.synced_batch);
        }
        tail.settle_ends();
        Ok(tail)
    }

    fn read_segment<F: Files>(
        &mut self,
        synced_batch: u64,
        handles: &Handles<F>,
        part: Stretch,
        each: &mut dyn FnMut(&Found) -> Result<(), IndexError>,
    ) -> Result<(), ReplayError> {
        let handle = handles.open(part.id, part.kind)?;
        let end = match part.open_ended {
            true => u32::try_from(handle.file.len()?).unwrap_or(u32::MAX),
            false => part.proven,
        };
        let bytes = read_bytes(&handle, part.from, end)?;
        let mut current: Option<(u64, u32)> = None;
        let mut recent: Vec<Recent> = Vec::new();
        let mut failed = None;
        let reached = walk(part.id, &handle.key, part.from, &bytes, &mut |piece| match piece {
            Piece::Batch { offset, header } => {
                recent.clear();
                current = Some((header.number, header.frames));
                self.note_batch(synced_batch, part, offset, header);
            }
            Piece::Entry(found) => {
                let batch = self.note_entry(part.kind, &mut current, &found);
                if failed.is_none() {
                    failed = each(&found).err();
                }
                if found.location.offset >= part.proven {
                    recent.push(Recent { batch, found });
                }
            }
            Piece::Gap { offset, length } => {
                if offset < part.proven {
                    self.damaged_bytes += u64::from(length);
                } else {
                    self.ragged = true;
                }
            }
        });
        if let Some(error) = failed {
            return Err(ReplayError::Index(error));
        }
        self.damaged_bytes += u64::from(part.proven.saturating_sub(reached.max(part.from)));
        self.recent.append(&mut recent);
        if part.open_ended {
            self.open_ended.insert(part.id);
        }
        let Stretch { id, kind, first_batch, last_batch, proven, .. } = part;
        self.ends.insert(
            id,
            SegmentExtent { id, kind, first_batch, last_batch, end: proven, size: proven },
        );
        Ok(())
    }

    fn note_batch(&mut self, synced_batch: u64, part: Stretch, offset: u32, header: BatchHeader) {
        self.last_batch = self.last_batch.max(header.number);
        if header.number <= synced_batch {
            return;
        }
        let end =
            offset.saturating_add(BatchHeader::FRAME_BYTES as u32).saturating_add(header.bytes);
        let seen = self.batches.entry(header.number).or_default();
        let part_seen = Some(Part { header, segment: part.id, start: offset, end, frames: 0 });
        match part.kind {
            SegmentKind::Main => seen.main = part_seen,
            SegmentKind::Bulk => seen.bulk = part_seen,
        }
    }

    /// Counts an entry for its batch and returns the batch's number, if it has one.
    fn note_entry(
        &mut self,
        kind: SegmentKind,
        current: &mut Option<(u64, u32)>,
        found: &Found,
    ) -> Option<u64> {
        self.entries += 1;
        self.bytes += u64::from(found.location.length);
        self.last_sequence = self.last_sequence.max(found.sequence);
        let (number, left) = current.as_mut().filter(|(_, left)| *left > 0)?;
        *left -= 1;
        if let Some(seen) = self.batches.get_mut(number) {
            let part = match kind {
                SegmentKind::Main => &mut seen.main,
                SegmentKind::Bulk => &mut seen.bulk,
            };
            if let Some(part) = part {
                part.frames += 1;
            }
        }
        Some(*number)
    }

    /// The last batch of each run, by the run's first one.
    fn runs(&self) -> BTreeMap<u64, u64> {
        let mut runs: BTreeMap<u64, u64> = BTreeMap::new();
        for (number, seen) in &self.batches {
            for part in [seen.main, seen.bulk].into_iter().flatten() {
                let last = runs.entry(part.header.first_of_run).or_default();
                *last = (*last).max(*number);
            }
        }
        runs
    }

    fn count_broken(&self, synced_batch: u64) -> u64 {
        let mut broken = 0;
        for (first, last) in self.runs() {
            for number in first.max(synced_batch + 1)..last {
                broken += u64::from(!self.batches.get(&number).is_some_and(Seen::is_whole));
            }
        }
        broken
    }

    fn is_proven(runs: &BTreeMap<u64, u64>, number: u64) -> bool {
        runs.range(..=number).next_back().is_some_and(|(_, last)| number < *last)
    }

    /// Where each segment ends: before its last batch if that is not proven, else behind it. What stands further on is
    /// written again, or nobody knows it.
    fn settle_ends(&mut self) {
        let runs = self.runs();
        for (number, seen) in &self.batches {
            for part in [seen.main, seen.bulk].into_iter().flatten() {
                let Some(extent) = self.ends.get_mut(&part.segment) else { continue };
                let proven = Tail::is_proven(&runs, *number);
                let end = if proven { part.end } else { part.start };
                extent.end = extent.end.max(end);
                extent.first_batch = extent.first_batch.min(*number);
                if proven {
                    extent.last_batch = extent.last_batch.max(*number);
                }
            }
        }
    }

    /// Entries of batches that are not proven.
    pub(super) fn unproven(&self) -> impl Iterator<Item = &Found> {
        let runs = self.runs();
        let unproven = move |recent: &&Recent| {
            recent.batch.is_none_or(|number| !Tail::is_proven(&runs, number))
        };
        self.recent.iter().filter(unproven).map(|recent| &recent.found)
    }

    /// Whether a place is behind what is proven of its segment.
    pub(super) fn is_behind_its_end(&self, location: Location) -> bool {
        self.ends.get(&location.segment).is_some_and(|extent| location.offset >= extent.end)
    }

    /// Whether something that had been synced is not whole.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged_bytes > 0 || self.damaged_batches > 0
    }

    /// Whether a part of the last batch is missing, which nobody had been promised.
    pub(super) fn is_torn(&self) -> bool {
        let runs = self.runs();
        let torn =
            |(number, seen): (&u64, &Seen)| !Tail::is_proven(&runs, *number) && !seen.is_whole();
        self.ragged || self.batches.iter().any(torn)
    }

    /// All segments as they are from now on.
    pub(super) fn extents(&self, manifest: &Manifest, listing: &Listing) -> Vec<SegmentExtent> {
        let known = |id: SegmentId, kind: SegmentKind| {
            let record = manifest.segments.iter().find(|record| record.id == id);
            let (first_batch, last_batch, end) = record
                .map_or((0, 0, SEGMENT_HEADER_BYTES), |record| {
                    (record.first_batch, record.last_batch, record.end)
                });
            SegmentExtent { id, kind, first_batch, last_batch, end, size: end }
        };
        listing
            .segments()
            .map(|(id, kind)| self.ends.get(&id).copied().unwrap_or_else(|| known(id, kind)))
            .collect()
    }

    /// Segments whose files may be longer than what counts of them.
    pub(super) fn cut(&self) -> impl Iterator<Item = &SegmentExtent> {
        self.ends.values().filter(|extent| self.open_ended.contains(&extent.id))
    }
}

impl Seen {
    fn is_whole(&self) -> bool {
        let Some(main) = self.main else { return false };
        let bulk = self.bulk.map_or(0, |bulk| bulk.frames);
        main.frames == main.header.frames && bulk == main.header.other_frames
    }
}
