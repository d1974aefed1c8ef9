//! Walking over the frames of a segment, also when some of them are damaged.
//!
//! Behind a bad frame the walk looks for the next place where a valid one begins. Magic, offset and keyed checksum make it
//! as good as impossible that something else looks like a frame, so whatever it finds there was written there. If it finds
//! nothing, the segment ends at the bad frame. Whether a gap or an end is damage or only the torn tail of the last batch is
//! decided by recovery, which knows what came later.

use super::frame::{self, Frame, FrameKind, MAGIC_OFFSET, SegmentKey};

/// What stands at the next place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step<'a> {
    /// A valid frame.
    Frame(Frame<'a>),
    /// Bytes that are no frame, with a valid frame behind them.
    Gap {
        /// Bytes skipped.
        length: u32,
    },
    /// No valid frame from here on.
    End {
        /// Offset in the segment.
        offset: u32,
    },
}

/// A walk over bytes of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    key: &'a SegmentKey,
    base: u32,
    position: usize,
}

/// Zeros to compare with: preallocated and never written space is skipped in steps of this.
const ZEROS: [u8; 4096] = [0; 4096];

impl<'a> Scan<'a> {
    /// A walk over `bytes`, whose first one stands at offset `base` of the segment, where a frame begins.
    pub(crate) fn new(bytes: &'a [u8], key: &'a SegmentKey, base: u32) -> Scan<'a> {
        Scan { bytes, key, base, position: 0 }
    }

    fn at(&self, position: usize) -> Option<Frame<'a>> {
        frame::parse(self.bytes.get(position..)?, self.key, self.base + position as u32)
    }

    /// The next step. After [`Step::End`] it stays there.
    pub(crate) fn step(&mut self) -> Step<'a> {
        if let Some(frame) = self.at(self.position) {
            self.position += frame.length() as usize;
            return Step::Frame(frame);
        }
        match self.next_valid() {
            Some(position) => {
                let length = (position - self.position) as u32;
                self.position = position;
                Step::Gap { length }
            }
            None => Step::End { offset: self.base + self.position as u32 },
        }
    }

    fn next_valid(&self) -> Option<usize> {
        let magic = self.key.magic();
        let mut position = self.position + 1;
        while position + MAGIC_OFFSET < self.bytes.len() {
            let rest = &self.bytes[position + MAGIC_OFFSET..];
            if rest.starts_with(&ZEROS) {
                // The magic begins with a byte that is not zero, so it cannot begin within these.
                position += ZEROS.len();
                continue;
            }
            let step = rest.len().min(ZEROS.len());
            match rest[..step].iter().position(|byte| *byte == magic[0]) {
                None => position += step,
                Some(skip) => {
                    position += skip;
                    if self.at(position).is_some() {
                        return Some(position);
                    }
                    position += 1;
                }
            }
        }
        None
    }
}

/// The header of a batch's part in one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    /// The batch's number, counting from 1 without a gap.
    pub(crate) number: u64,
    /// The first batch that this run of the writer wrote. Every batch from that one up to this one, exclusive, was synced
    /// before this was written; of the last batch of an earlier run nothing is said.
    pub(crate) first_of_run: u64,
    /// Every sequence up to this one was synced before.
    pub(crate) synced_sequence: u64,
    /// Frames of the batch in this segment.
    pub(crate) frames: u32,
    /// Their bytes.
    pub(crate) bytes: u32,
    /// Frames of the batch in the other kind of segment.
    pub(crate) other_frames: u32,
}

impl BatchHeader {
    const PAYLOAD_BYTES: usize = 28;

    /// Bytes of the header's frame.
    pub(crate) const FRAME_BYTES: usize = frame::FRAME_HEADER_BYTES + BatchHeader::PAYLOAD_BYTES;

    /// Appends the header's frame.
    pub(crate) fn append(&self, out: &mut Vec<u8>, key: &SegmentKey, base: u32) {
        frame::append(out, key, base, FrameKind::Batch, self.number, |out| {
            out.extend_from_slice(&self.first_of_run.to_le_bytes());
            out.extend_from_slice(&self.synced_sequence.to_le_bytes());
            for number in [self.frames, self.bytes, self.other_frames] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        });
    }

    /// Reads a header from its frame; `None` when the payload has another length (a later format).
    pub(crate) fn parse(frame: &Frame<'_>) -> Option<BatchHeader> {
        let payload = <[u8; BatchHeader::PAYLOAD_BYTES]>::try_from(frame.payload).ok()?;
        let (first, rest) = payload.split_first_chunk::<8>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (numbers, _) = rest.as_chunks::<4>();
        let [frames, bytes, other_frames] =
            <[[u8; 4]; 3]>::try_from(numbers).ok()?.map(u32::from_le_bytes);
        let [first_of_run, synced_sequence] = [*first, *sequence].map(u64::from_le_bytes);
        Some(BatchHeader {
            number: frame.sequence,
            first_of_run,
            synced_sequence,
            frames,
            bytes,
            other_frames,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchHeader, Scan, Step};
    use crate::location::SegmentId;
    use crate::log::frame::{FrameKind, SegmentKey, append};

    fn segment(zeros_behind: usize) -> (Vec<u8>, SegmentKey) {
        let key = SegmentKey::new(9, SegmentId(1));
        let mut out = Vec::new();
        for sequence in 1..=3 {
            append(&mut out, &key, 100, FrameKind::Record, sequence, |out| {
                out.extend_from_slice(&[7; 40])
            });
        }
        out.resize(out.len() + zeros_behind, 0);
        (out, key)
    }

    fn walk(bytes: &[u8], key: &SegmentKey) -> (Vec<u64>, Vec<u32>, u32) {
        let (mut sequences, mut gaps) = (Vec::new(), Vec::new());
        let mut scan = Scan::new(bytes, key, 100);
        loop {
            match scan.step() {
                Step::Frame(frame) => sequences.push(frame.sequence),
                Step::Gap { length } => gaps.push(length),
                Step::End { offset } => return (sequences, gaps, offset),
            }
        }
    }

    #[test]
    fn a_walk_ends_where_the_frames_end() {
        for zeros in [0, 1, 31, 4_095, 20_000] {
            let (bytes, key) = segment(zeros);
            assert_eq!(walk(&bytes, &key), (vec![1, 2, 3], vec![], 100 + 3 * 72), "{zeros} zeros");
        }
    }

    #[test]
    fn a_bad_frame_costs_itself_only() {
        for byte in 72..144 {
            let (mut bytes, key) = segment(50);
            bytes[byte] ^= 0x40;
            assert_eq!(walk(&bytes, &key), (vec![1, 3], vec![72], 100 + 3 * 72), "byte {byte}");
        }
        let (mut bytes, key) = segment(50);
        bytes[3 * 72 - 1] ^= 1;
        assert_eq!(walk(&bytes, &key), (vec![1, 2], vec![], 100 + 2 * 72));
    }

    #[test]
    fn a_batch_header_reads_back() {
        let key = SegmentKey::new(9, SegmentId(1));
        let header = BatchHeader {
            number: 5,
            first_of_run: 2,
            synced_sequence: 1 << 50,
            frames: 3,
            bytes: 99,
            other_frames: 1,
        };
        let mut out = Vec::new();
        header.append(&mut out, &key, 0);
        assert_eq!(out.len(), BatchHeader::FRAME_BYTES);
        let Step::Frame(frame) = Scan::new(&out, &key, 0).step() else { panic!("no frame") };
        assert_eq!(BatchHeader::parse(&frame), Some(header));
    }
}
