//! Where a record is in the log.

use std::fmt;

/// The number of a segment. Never used twice in a shard's life, also when a file is reused: it is the generation that
/// tells a segment's frames from what the file held before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SegmentId(pub u32);

impl fmt::Display for SegmentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

/// The place of one frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Location {
    /// The segment.
    pub segment: SegmentId,
    /// Byte offset of the frame's header in the segment's file.
    pub offset: u32,
    /// Bytes of the whole frame, header included.
    pub length: u32,
}
