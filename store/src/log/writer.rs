//! Appending batches: placing entries, changing segments, one sync for each file touched.
//!
//! The writer buffers a whole batch, so that one write and one sync carry it. Nothing of it is visible to others before
//! both have succeeded; after a failure the writer refuses to go on, because nobody knows what is on the disk.

use std::sync::Arc;

use super::entry::LogEntry;
use super::frame;
use super::handles::{Handle, Handles};
use super::scan::BatchHeader;
use super::segment::{FileName, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentKind, segment_name};
use crate::files::{File, FileError, Files, preallocate};
use crate::location::{Location, SegmentId};

/// A segment that the writer opened, and how far it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentExtent {
    pub(crate) id: SegmentId,
    pub(crate) kind: SegmentKind,
    pub(crate) first_batch: u64,
    pub(crate) last_batch: u64,
    /// Bytes written, header included.
    pub(crate) end: u32,
    /// Bytes of the file.
    pub(crate) size: u32,
}

#[derive(Clone)]
struct Active<F: Files> {
    extent: SegmentExtent,
    handle: Arc<Handle<F>>,
    /// The part of the batch in hand.
    buffer: Vec<u8>,
    frames: u32,
}

/// What a commit did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) batch: u64,
    /// The highest segment there was when the batch was written: what its removal markers cover through.
    pub(crate) newest_segment: SegmentId,
    /// Where each entry is, in the batch's order; a marker's copy in the main segment.
    pub(crate) locations: Vec<Location>,
    /// Segments touched, as they are now, in order of their ids.
    pub(crate) extents: Vec<SegmentExtent>,
    /// Preallocated files used up.
    pub(crate) spares_used: Vec<u32>,
    pub(crate) bytes: u64,
    pub(crate) syncs: u32,
}

/// How the log is cut into segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogShape {
    pub(crate) shard: u16,
    pub(crate) segment_bytes: u32,
}

/// Appends to the active segments.
#[derive(Clone)]
pub(crate) struct LogWriter<F: Files> {
    handles: Handles<F>,
    shape: LogShape,
    next_segment: SegmentId,
    next_batch: u64,
    first_of_run: u64,
    synced_sequence: u64,
    main: Option<Active<F>>,
    bulk: Option<Active<F>>,
}

impl<F: Files> LogWriter<F> {
    /// A writer that begins with segments of its own, whatever was written before.
    pub(crate) fn new(
        handles: Handles<F>,
        shape: LogShape,
        next_segment: SegmentId,
        next_batch: u64,
        synced_sequence: u64,
    ) -> LogWriter<F> {
        LogWriter {
            handles,
            shape,
            next_segment,
            next_batch,
            first_of_run: next_batch,
            synced_sequence,
            main: None,
            bulk: None,
        }
    }

    /// Writes and syncs a batch. `spares` are preallocated files that it may use, `locations` is room for where the entries
    /// are.
    ///
    /// # Errors
    /// What the disk says. Nothing of the batch may be acknowledged and nothing may be written after it.
    pub(crate) fn commit(
        &mut self,
        entries: &[LogEntry],
        mut spares: Vec<u32>,
        mut locations: Vec<Location>,
    ) -> Result<Written, FileError> {
        locations.clear();
        let mut written = Written { batch: self.next_batch, locations, ..Written::default() };
        let [main_bytes, bulk_bytes] = sizes(entries);
        for untouched in [&mut self.main, &mut self.bulk].into_iter().flatten() {
            untouched.frames = 0;
        }
        self.make_room(SegmentKind::Main, main_bytes, &mut spares, &mut written)?;
        if bulk_bytes > 0 {
            self.make_room(SegmentKind::Bulk, bulk_bytes, &mut spares, &mut written)?;
        }
        let newest = SegmentId(self.next_segment.0 - 1);
        written.newest_segment = newest;
        for entry in entries {
            written.locations.push(self.place(entry, entry.home(), newest));
            if entry.has_bulk_copy() {
                self.place(entry, SegmentKind::Bulk, newest);
            }
        }
        // The bulk part first: when the main part of a batch is there, the rest of it is only a sync away.
        if bulk_bytes > 0 {
            self.write_part(SegmentKind::Bulk, &mut written)?;
        }
        self.write_part(SegmentKind::Main, &mut written)?;
        self.next_batch += 1;
        let newest_sequence = entries.iter().map(|entry| entry.sequence).max();
        self.synced_sequence = self.synced_sequence.max(newest_sequence.unwrap_or(0));
        written.extents.sort_by_key(|extent| (extent.id, extent.end));
        Ok(written)
    }

    fn active(&mut self, kind: SegmentKind) -> &mut Active<F> {
        let active = match kind {
            SegmentKind::Main => &mut self.main,
            SegmentKind::Bulk => &mut self.bulk,
        };
        active.as_mut().expect("room was made in this segment")
    }

    /// Appends an entry to the part of the batch that goes to `kind`.
    fn place(&mut self, entry: &LogEntry, kind: SegmentKind, newest: SegmentId) -> Location {
        let Active { extent, handle, buffer, frames } = self.active(kind);
        let (offset, length) = frame::append(
            buffer,
            &handle.key,
            extent.end,
            entry.frame_kind(),
            entry.sequence,
            |out| {
                entry.write_payload(newest, out);
            },
        );
        *frames += 1;
        Location { segment: extent.id, offset, length }
    }

    /// Sees to it that `bytes` of frames fit into the active segment of this kind, and begins the batch's part there.
    fn make_room(
        &mut self,
        kind: SegmentKind,
        bytes: usize,
        spares: &mut Vec<u32>,
        written: &mut Written,
    ) -> Result<(), FileError> {
        let needed = BatchHeader::FRAME_BYTES + bytes;
        let slot = match kind {
            SegmentKind::Main => &mut self.main,
            SegmentKind::Bulk => &mut self.bulk,
        };
        let fits = slot
            .as_ref()
            .is_some_and(|active| (active.extent.size - active.extent.end) as usize >= needed);
        if !fits {
            let mut buffer = Vec::new();
            if let Some(full) = slot {
                written.extents.push(full.extent);
                buffer = std::mem::take(&mut full.buffer);
            }
            let opened = self.open_segment(kind, needed, spares, written)?;
            let opened = Active { buffer, ..opened };
            match kind {
                SegmentKind::Main => self.main = Some(opened),
                SegmentKind::Bulk => self.bulk = Some(opened),
            }
        }
        let active = self.active(kind);
        active.buffer.clear();
        // The header is filled in when the part is complete; its length is known.
        active.buffer.resize(BatchHeader::FRAME_BYTES, 0);
        active.frames = 0;
        Ok(())
    }

    fn open_segment(
        &mut self,
        kind: SegmentKind,
        needed: usize,
        spares: &mut Vec<u32>,
        written: &mut Written,
    ) -> Result<Active<F>, FileError> {
        let id = self.next_segment;
        self.next_segment = SegmentId(id.0 + 1);
        let name = segment_name(id, kind);
        let files = self.handles.files();
        let wanted = SEGMENT_HEADER_BYTES as usize + needed;
        let (file, size) = if wanted > self.shape.segment_bytes as usize {
            // A single giant gets a segment of its own size.
            let file = files.create(&name)?;
            preallocate(&file, wanted as u64)?;
            (file, wanted as u32)
        } else if let Some(spare) = spares.pop() {
            written.spares_used.push(spare);
            files.rename(&FileName::Spare(spare).to_string(), &name)?;
            (files.open(&name)?, self.shape.segment_bytes)
        } else {
            let file = files.create(&name)?;
            preallocate(&file, u64::from(self.shape.segment_bytes))?;
            (file, self.shape.segment_bytes)
        };
        let (shard, store_id, first_batch) =
            (self.shape.shard, self.handles.store_id(), written.batch);
        let header = SegmentHeader { kind, shard, id, store_id, first_batch };
        file.write_at(0, &header.encode())?;
        files.sync_dir()?;
        written.syncs += 1;
        let end = SEGMENT_HEADER_BYTES;
        let extent = SegmentExtent { id, kind, first_batch, last_batch: first_batch, end, size };
        Ok(Active { extent, handle: self.handles.adopt(id, file), buffer: Vec::new(), frames: 0 })
    }

    fn write_part(&mut self, kind: SegmentKind, written: &mut Written) -> Result<(), FileError> {
        let other = match kind {
            SegmentKind::Main => &self.bulk,
            SegmentKind::Bulk => &self.main,
        };
        let other_frames = other.as_ref().map_or(0, |active| active.frames);
        let (first_of_run, synced_sequence) = (self.first_of_run, self.synced_sequence);
        let Active { extent, handle, buffer, frames } = self.active(kind);
        let bytes = (buffer.len() - BatchHeader::FRAME_BYTES) as u32;
        let header = BatchHeader {
            number: written.batch,
            first_of_run,
            synced_sequence,
            frames: *frames,
            bytes,
            other_frames,
        };
        let mut head = Vec::with_capacity(BatchHeader::FRAME_BYTES);
        header.append(&mut head, &handle.key, extent.end);
        buffer[..BatchHeader::FRAME_BYTES].copy_from_slice(&head);
        handle.file.write_at(u64::from(extent.end), buffer)?;
        handle.file.sync_data()?;
        extent.end += buffer.len() as u32;
        extent.last_batch = written.batch;
        written.extents.push(*extent);
        written.bytes += buffer.len() as u64;
        written.syncs += 1;
        Ok(())
    }
}

/// Bytes that the entries take at most in the main and in the bulk segment.
fn sizes(entries: &[LogEntry]) -> [usize; 2] {
    let mut sizes = [0; 2];
    for entry in entries {
        let bytes = entry.size_bound();
        match entry.home() {
            SegmentKind::Main => sizes[0] += bytes,
            SegmentKind::Bulk => sizes[1] += bytes,
        }
        if entry.has_bulk_copy() {
            sizes[1] += bytes;
        }
    }
    sizes
}
