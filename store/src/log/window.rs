//! Reading a segment part by part, each of whole frames.

use super::frame::FRAME_HEADER_BYTES;
use super::handles::Handle;
use super::walk::{Found, Piece, read_bytes, walk};
use crate::files::{FileError, Files};
use crate::location::SegmentId;

/// A part of a segment.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Its entries.
    pub(crate) found: Vec<Found>,
    /// Bytes of it that are no frame.
    pub(crate) damaged: u32,
    /// Where the next part begins.
    pub(crate) next: u32,
}

/// Reads about `budget` bytes of a segment from `offset`, where a frame begins, and more where one frame is longer than that.
/// `end` is where the segment ends.
pub(crate) fn read_window<F: Files>(
    handle: &Handle<F>,
    segment: SegmentId,
    (offset, end): (u32, u32),
    budget: usize,
) -> Result<Window, FileError> {
    let mut wanted = budget.max(FRAME_HEADER_BYTES);
    loop {
        let window_end = offset.saturating_add(u32::try_from(wanted).unwrap_or(u32::MAX)).min(end);
        let bytes = read_bytes(handle, offset, window_end)?;
        let mut window = Window::default();
        let reached = walk(segment, &handle.key, offset, &bytes, &mut |piece| match piece {
            Piece::Entry(entry) => window.found.push(entry),
            Piece::Gap { length, .. } => window.damaged += length,
            Piece::Batch { .. } => {}
        });
        if window_end < end && reached == offset {
            // Not even one whole frame: a large one, or damage that goes on beyond the window.
            wanted = wanted.saturating_mul(4);
            continue;
        }
        window.next = if window_end == end { end } else { reached };
        if window_end == end {
            window.damaged += end - reached;
        }
        return Ok(window);
    }
}
