//! Segment files: their names and their headers.

use crate::location::SegmentId;

/// Bytes of the header at the start of a segment; frames begin behind it. One sector, so that it is never torn.
pub(crate) const SEGMENT_HEADER_BYTES: u32 = 512;

const MAGIC: &[u8; 8] = b"kvorumsg";
/// The version of the segment format: header, frames, batches.
const FORMAT: u16 = 1;
/// Bytes of the header that its checksum covers.
const COVERED: usize = 8 + 2 + 1 + 1 + 4 + 4 + 16 + 8;

/// What a segment is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum SegmentKind {
    /// Records of ordinary size, and one copy of each removal marker.
    Main,
    /// Large records, and the other copy of each removal marker.
    Bulk,
}

impl SegmentKind {
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            SegmentKind::Main => 0,
            SegmentKind::Bulk => 1,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<SegmentKind> {
        match byte {
            0 => Some(SegmentKind::Main),
            1 => Some(SegmentKind::Bulk),
            _ => None,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            SegmentKind::Main => ".main",
            SegmentKind::Bulk => ".bulk",
        }
    }
}

/// A file's name, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileName {
    Segment(SegmentId, SegmentKind),
    /// A preallocated file that waits to become a segment.
    Spare(u32),
}

impl FileName {
    /// What a name stands for; `None` for files that are no segments.
    pub(crate) fn parse(name: &str) -> Option<FileName> {
        let (stem, suffix) = name.split_at_checked(8)?;
        let number = u32::from_str_radix(stem, 16).ok()?;
        let parsed = match suffix {
            ".main" => FileName::Segment(SegmentId(number), SegmentKind::Main),
            ".bulk" => FileName::Segment(SegmentId(number), SegmentKind::Bulk),
            ".spare" => FileName::Spare(number),
            _ => return None,
        };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FileName::Segment(id, kind) => write!(formatter, "{id}{}", kind.suffix()),
            FileName::Spare(number) => write!(formatter, "{number:08x}.spare"),
        }
    }
}

/// A segment's file name.
pub(crate) fn segment_name(id: SegmentId, kind: SegmentKind) -> String {
    FileName::Segment(id, kind).to_string()
}

/// What a segment says of itself. Frames do not need it; it tells which store a stray file is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) kind: SegmentKind,
    pub(crate) shard: u16,
    pub(crate) id: SegmentId,
    pub(crate) store_id: u128,
    /// The number of its first batch.
    pub(crate) first_batch: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES as usize);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[self.kind.to_byte(), 0]);
        out.extend_from_slice(&u32::from(self.shard).to_le_bytes());
        out.extend_from_slice(&self.id.0.to_le_bytes());
        out.extend_from_slice(&self.store_id.to_be_bytes());
        out.extend_from_slice(&self.first_batch.to_le_bytes());
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out.resize(SEGMENT_HEADER_BYTES as usize, 0);
        out
    }

    /// Reads a header; `None` when it is damaged or of another format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<SegmentHeader> {
        let covered = bytes.get(..COVERED)?;
        if bytes.get(COVERED..COVERED + 32)? != blake3::hash(covered).as_bytes() {
            return None;
        }
        let (magic, rest) = covered.split_first_chunk::<8>()?;
        let (format, rest) = rest.split_first_chunk::<2>()?;
        let ([kind, _], rest) = rest.split_first_chunk::<2>()?;
        let (shard, rest) = rest.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_first_chunk::<4>()?;
        let (store_id, rest) = rest.split_first_chunk::<16>()?;
        let (first_batch, _) = rest.split_first_chunk::<8>()?;
        if magic != MAGIC || u16::from_le_bytes(*format) != FORMAT {
            return None;
        }
        Some(SegmentHeader {
            kind: SegmentKind::from_byte(*kind)?,
            shard: u16::try_from(u32::from_le_bytes(*shard)).ok()?,
            id: SegmentId(u32::from_le_bytes(*id)),
            store_id: u128::from_be_bytes(*store_id),
            first_batch: u64::from_le_bytes(*first_batch),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{COVERED, FileName, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentKind};
    use crate::location::SegmentId;

    #[test]
    fn names_read_back_and_others_are_left_alone() {
        for name in ["0000001f.main", "ffffffff.bulk", "00000000.spare"] {
            assert_eq!(FileName::parse(name).unwrap().to_string(), name);
        }
        for name in ["0000001F.main", "1f.main", "0000001f.tmp", "manifest-a", "", "äöüäöü.main"]
        {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_header_reads_back_and_a_flipped_bit_is_seen() {
        let header = SegmentHeader {
            kind: SegmentKind::Bulk,
            shard: 3,
            id: SegmentId(9),
            store_id: 1 << 127,
            first_batch: 12,
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES as usize);
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..(COVERED + 32) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), None, "bit {bit}");
        }
    }
}
