//! Reading a segment back, entry by entry, with the batch that each belongs to.

use bytes::Bytes;

use super::entry::Logged;
use super::frame::{Frame, FrameKind, SegmentKey};
use super::handles::Handle;
use super::scan::{BatchHeader, Scan, Step};
use crate::files::{File, FileError, Files};
use crate::location::{Location, SegmentId};

/// One piece of a segment.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A batch begins.
    Batch { offset: u32, header: BatchHeader },
    /// An entry.
    Entry(Found),
    /// Bytes that are no frame, or a frame that this version cannot read; something valid follows.
    Gap { offset: u32, length: u32 },
}

/// An entry found in a segment.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) location: Location,
    pub(crate) sequence: u64,
    pub(crate) logged: Logged,
}

/// Reads `end - start` bytes of a segment, fewer if the file is shorter. Reads them again and, where the two readings
/// differ or one fails, a third time: what looks damaged is given up for good, and a bit that was lost on its way from the
/// disk must not pass for one that the disk lost.
pub(crate) fn read_bytes<F: Files>(
    handle: &Handle<F>,
    start: u32,
    end: u32,
) -> Result<Bytes, FileError> {
    let first = read_once(handle, start, end);
    match (first, read_once(handle, start, end)) {
        (Ok(first), Ok(second)) if first == second => Ok(first),
        _ => read_once(handle, start, end),
    }
}

fn read_once<F: Files>(handle: &Handle<F>, start: u32, end: u32) -> Result<Bytes, FileError> {
    let mut bytes = vec![0; end.saturating_sub(start) as usize];
    let read = handle.file.read_at(u64::from(start), &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes.into())
}

/// Visits all pieces of `bytes`, which stand at offset `base` of the segment, and returns the offset behind the last one.
pub(crate) fn walk(
    segment: SegmentId,
    key: &SegmentKey,
    base: u32,
    bytes: &Bytes,
    visit: &mut dyn FnMut(Piece),
) -> u32 {
    let mut scan = Scan::new(bytes, key, base);
    let mut position = base;
    loop {
        match scan.step() {
            Step::Frame(frame) => {
                visit(piece(segment, &frame, bytes));
                position = frame.offset + frame.length();
            }
            Step::Gap { length } => {
                visit(Piece::Gap { offset: position, length });
                position += length;
            }
            Step::End { offset } => return offset,
        }
    }
}

fn piece(segment: SegmentId, frame: &Frame<'_>, bytes: &Bytes) -> Piece {
    let (offset, length) = (frame.offset, frame.length());
    let read = match frame.kind {
        FrameKind::Batch => BatchHeader::parse(frame).map(|header| Piece::Batch { offset, header }),
        FrameKind::Record | FrameKind::Removal => Logged::read(frame, bytes).map(|logged| {
            let location = Location { segment, offset, length };
            Piece::Entry(Found { location, sequence: frame.sequence, logged })
        }),
    };
    read.unwrap_or(Piece::Gap { offset, length })
}
