//! What is logged: records and removal markers.

use std::sync::Arc;

use bytes::Bytes;
use kvorum_protocol::{Record, RecordKey};

use super::frame::{Frame, FrameKind};
use super::segment::SegmentKind;
use crate::limits;
use crate::location::SegmentId;

/// One entry of a batch.
#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    /// Shard-wide; the highest of a key is its newest. Kept when the entry is moved.
    pub(crate) sequence: u64,
    pub(crate) body: EntryBody,
}

#[derive(Clone, Debug)]
pub(crate) enum EntryBody {
    Record(Arc<Record>),
    Removal {
        key: RecordKey,
        copies: Copies,
        /// `None` in a new marker: the writer fills in the highest segment there is when it is written, after which no
        /// older record can be put anywhere.
        covers_through: Option<SegmentId>,
    },
}

/// Which segments a removal marker is written to: both kinds, so that one bad sector cannot bring the removed back; one
/// kind when a copy is moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Copies {
    Both,
    One(SegmentKind),
}

impl LogEntry {
    /// The kind of segment in which a reader finds the entry.
    pub(crate) fn home(&self) -> SegmentKind {
        match &self.body {
            EntryBody::Record(record) if is_bulk(record) => SegmentKind::Bulk,
            EntryBody::Removal { copies: Copies::One(kind), .. } => *kind,
            EntryBody::Record(_) | EntryBody::Removal { .. } => SegmentKind::Main,
        }
    }

    /// Whether a second copy goes to the bulk segment.
    pub(crate) fn has_bulk_copy(&self) -> bool {
        matches!(self.body, EntryBody::Removal { copies: Copies::Both, .. })
    }

    /// Bytes of the frame, never too few.
    pub(crate) fn size_bound(&self) -> usize {
        match &self.body {
            EntryBody::Record(record) => record_bytes(record),
            EntryBody::Removal { key, .. } => key_bytes(key) + 64,
        }
    }

    /// Writes the payload of the entry's frame.
    pub(crate) fn write_payload(&self, newest_segment: SegmentId, out: &mut Vec<u8>) {
        match &self.body {
            EntryBody::Record(record) => record.encode(out),
            EntryBody::Removal { key, covers_through, .. } => {
                out.extend_from_slice(&covers_through.unwrap_or(newest_segment).0.to_le_bytes());
                out.extend_from_slice(&key.to_index_bytes());
            }
        }
    }

    pub(crate) fn frame_kind(&self) -> FrameKind {
        match self.body {
            EntryBody::Record(_) => FrameKind::Record,
            EntryBody::Removal { .. } => FrameKind::Removal,
        }
    }
}

/// Whether a record is too large for a main segment.
pub(crate) fn is_bulk(record: &Record) -> bool {
    record.set.encoded().len() > limits::BULK_RECORD_BYTES
}

/// Bytes of a record's frame and of the record in memory, never too few for the frame.
pub(crate) fn record_bytes(record: &Record) -> usize {
    // Head, mark and the tags of all fields stay below a hundred bytes; a hint names its owner in eighteen.
    let fixed = super::frame::FRAME_HEADER_BYTES + 100;
    let surplus = record.surplus.encoded().len();
    fixed
        + key_bytes(&record.key)
        + record.set.encoded().len()
        + record.hinted_for.len() * 18
        + surplus
}

fn key_bytes(key: &RecordKey) -> usize {
    key.bucket.as_bytes().len() + key.key.as_bytes().len()
}

/// An entry read back from its frame.
#[derive(Clone, Debug)]
pub(crate) enum Logged {
    Record(Record),
    Removal { key: RecordKey, covers_through: SegmentId },
}

impl Logged {
    pub(crate) fn key(&self) -> &RecordKey {
        match self {
            Logged::Record(record) => &record.key,
            Logged::Removal { key, .. } => key,
        }
    }

    pub(crate) fn is_removal(&self) -> bool {
        matches!(self, Logged::Removal { .. })
    }

    /// The entry in memory of its own, so that it does not hold the segment's bytes.
    pub(crate) fn detached(self) -> Logged {
        match self {
            Logged::Record(record) => {
                let (key, set) = (record.key.detached(), record.set.detached());
                Logged::Record(Record { key, set, ..record })
            }
            Logged::Removal { key, covers_through } => {
                Logged::Removal { key: key.detached(), covers_through }
            }
        }
    }

    /// Reads a frame's payload, which lies within `bytes`; `None` when it is no entry or does not decode.
    pub(crate) fn read(frame: &Frame<'_>, bytes: &Bytes) -> Option<Logged> {
        match frame.kind {
            FrameKind::Batch => None,
            FrameKind::Record => {
                Record::decode(bytes.slice_ref(frame.payload)).ok().map(Logged::Record)
            }
            FrameKind::Removal => {
                let (segment, key) = frame.payload.split_first_chunk::<4>()?;
                let key = RecordKey::from_index_bytes(&bytes.slice_ref(key)).ok()?;
                Some(Logged::Removal {
                    key,
                    covers_through: SegmentId(u32::from_le_bytes(*segment)),
                })
            }
        }
    }
}
