//! Frames: how one thing stands in a segment, and how it is known to be whole and in its place.
//!
//! A frame is a 32-byte header and a payload. All numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | checksum of everything after it: the first 8 bytes of keyed BLAKE3 |
//! | 8..12 | the segment's magic |
//! | 12..16 | the frame's own offset in the segment |
//! | 16..20 | length of the payload |
//! | 20 | kind |
//! | 21..24 | zero |
//! | 24..32 | sequence (of a batch header: the batch's number) |
//!
//! Key and magic are derived from the store's id and the segment's. So a frame is valid at one place of one segment of one
//! store only: what a reused file held before is no frame, nor is a sector that the disk wrote to the wrong place, nor
//! bytes that a client made up to look like one.

use crate::location::SegmentId;

/// Bytes in front of a payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 32;
/// Where the magic is.
pub(crate) const MAGIC_OFFSET: usize = 8;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameKind {
    /// Begins the part of a batch that is in this segment.
    Batch,
    /// A record.
    Record,
    /// A removal marker.
    Removal,
}

impl FrameKind {
    fn to_byte(self) -> u8 {
        match self {
            FrameKind::Batch => 1,
            FrameKind::Record => 2,
            FrameKind::Removal => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<FrameKind> {
        match byte {
            1 => Some(FrameKind::Batch),
            2 => Some(FrameKind::Record),
            3 => Some(FrameKind::Removal),
            _ => None,
        }
    }
}

/// What a segment's frames are checked with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentKey {
    key: [u8; 32],
    magic: [u8; 4],
}

impl SegmentKey {
    pub(crate) fn new(store_id: u128, segment: SegmentId) -> SegmentKey {
        let mut material = [0; 20];
        material[..16].copy_from_slice(&store_id.to_be_bytes());
        material[16..].copy_from_slice(&segment.0.to_be_bytes());
        let key = blake3::derive_key("kvorum store 1: segment frames", &material);
        let [m0, m1, m2, m3] = [key[0] | 1, key[9], key[18], key[27]];
        SegmentKey { key, magic: [m0, m1, m2, m3] }
    }

    /// Four bytes that stand in every frame of the segment, never all zero.
    pub(crate) fn magic(&self) -> [u8; 4] {
        self.magic
    }

    fn checksum(&self, covered: &[u8]) -> [u8; 8] {
        let hash = blake3::keyed_hash(&self.key, covered);
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&hash.as_bytes()[..8]);
        checksum
    }
}

/// A valid frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) sequence: u64,
    pub(crate) payload: &'a [u8],
    /// Where the frame is in its segment.
    pub(crate) offset: u32,
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    pub(crate) fn length(&self) -> u32 {
        (FRAME_HEADER_BYTES + self.payload.len()) as u32
    }
}

/// Appends a frame to `out`, whose first byte stands at offset `base` of the segment. Returns the frame's offset and
/// length.
pub(crate) fn append(
    out: &mut Vec<u8>,
    key: &SegmentKey,
    base: u32,
    kind: FrameKind,
    sequence: u64,
    write_payload: impl FnOnce(&mut Vec<u8>),
) -> (u32, u32) {
    let start = out.len();
    let offset = base + start as u32;
    out.extend_from_slice(&[0; MAGIC_OFFSET]);
    out.extend_from_slice(&key.magic);
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[kind.to_byte(), 0, 0, 0]);
    out.extend_from_slice(&sequence.to_le_bytes());
    write_payload(out);
    let length = (out.len() - start - FRAME_HEADER_BYTES) as u32;
    out[start + 16..start + 20].copy_from_slice(&length.to_le_bytes());
    let checksum = key.checksum(&out[start + MAGIC_OFFSET..]);
    out[start..start + MAGIC_OFFSET].copy_from_slice(&checksum);
    (offset, length + FRAME_HEADER_BYTES as u32)
}

/// The frame at the start of `bytes`, which stand at `offset` of the segment; `None` when there is no valid one.
pub(crate) fn parse<'a>(bytes: &'a [u8], key: &SegmentKey, offset: u32) -> Option<Frame<'a>> {
    let (checksum, covered) = bytes.split_first_chunk::<MAGIC_OFFSET>()?;
    let header = covered.first_chunk::<{ FRAME_HEADER_BYTES - MAGIC_OFFSET }>()?;
    if header[..4] != key.magic || le_u32(&header[4..8]) != offset || header[13..16] != [0; 3] {
        return None;
    }
    let length = le_u32(&header[8..12]) as usize;
    let kind = FrameKind::from_byte(header[12])?;
    let covered = covered.get(..header.len().checked_add(length)?)?;
    if key.checksum(covered) != *checksum {
        return None;
    }
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&header[16..24]);
    Some(Frame {
        kind,
        sequence: u64::from_le_bytes(sequence),
        payload: &covered[header.len()..],
        offset,
    })
}

fn le_u32(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{Frame, FrameKind, SegmentKey, append, parse};
    use crate::location::SegmentId;

    fn written(base: u32) -> (Vec<u8>, SegmentKey) {
        let key = SegmentKey::new(1, SegmentId(2));
        let mut out = Vec::new();
        append(&mut out, &key, base, FrameKind::Record, 77, |out| {
            out.extend_from_slice(b"payload")
        });
        (out, key)
    }

    #[test]
    fn a_frame_reads_back_at_its_place_only() {
        let (bytes, key) = written(512);
        let frame =
            Frame { kind: FrameKind::Record, sequence: 77, payload: b"payload", offset: 512 };
        assert_eq!(parse(&bytes, &key, 512), Some(frame));
        assert_eq!(parse(&bytes, &key, 513), None, "another place");
        assert_eq!(parse(&bytes, &SegmentKey::new(1, SegmentId(3)), 512), None, "another segment");
        assert_eq!(parse(&bytes, &SegmentKey::new(2, SegmentId(2)), 512), None, "another store");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let (bytes, key) = written(0);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&flipped, &key, 0), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end], &key, 0), None, "cut at {end}");
        }
    }
}
