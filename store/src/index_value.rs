//! How an index entry and the sentinel look as bytes: for indexes that keep bytes.
//!
//! A version byte, then variable-length integers (7 bits a byte, low first), then the digest. An entry takes about 30
//! bytes, which matters more than speed here: the index keeps every entry in memory.

use crate::index::{EntryState, EntrySum, IndexEntry, IndexError, Sentinel};
use crate::location::{Location, SegmentId};

/// The version of both encodings. Old versions stay readable.
const VERSION: u8 = 1;
/// Set in an entry's second byte for a removal marker.
const REMOVED: u8 = 1;

/// Bytes of an encoded sentinel.
const SENTINEL_BYTES: usize = 1 + 16 + 3 * 8;

/// Appends the entry's bytes to `out`.
pub fn encode_entry(entry: &IndexEntry, out: &mut Vec<u8>) {
    let (flags, covers_through) = match entry.state {
        EntryState::Record => (0, None),
        EntryState::Removed { covers_through } => (REMOVED, Some(covers_through)),
    };
    out.extend_from_slice(&[VERSION, flags]);
    put_varint(out, entry.sequence);
    put_varint(out, u64::from(entry.location.segment.0));
    put_varint(out, u64::from(entry.location.offset));
    put_varint(out, u64::from(entry.location.length));
    put_varint(out, u64::from(entry.values));
    put_varint(out, u64::from(entry.value_bytes));
    if let Some(segment) = covers_through {
        put_varint(out, u64::from(segment.0));
    }
    out.extend_from_slice(&entry.digest.to_be_bytes());
}

/// Reads what [`encode_entry`] wrote.
///
/// # Errors
/// [`IndexError::Damaged`] for anything else.
pub fn decode_entry(bytes: &[u8]) -> Result<IndexEntry, IndexError> {
    let mut reader = Reader { bytes };
    let [version, flags] = reader.array()?;
    if version != VERSION || flags & !REMOVED != 0 {
        return Err(IndexError::Damaged);
    }
    let sequence = reader.varint()?;
    let location = Location {
        segment: SegmentId(reader.small()?),
        offset: reader.small()?,
        length: reader.small()?,
    };
    let values = u16::try_from(reader.small()?).map_err(|_| IndexError::Damaged)?;
    let value_bytes = reader.small()?;
    let state = match flags {
        REMOVED => EntryState::Removed { covers_through: SegmentId(reader.small()?) },
        _ => EntryState::Record,
    };
    let digest = u128::from_be_bytes(reader.array()?);
    match reader.bytes {
        [] => Ok(IndexEntry { sequence, location, state, values, value_bytes, digest }),
        _ => Err(IndexError::Damaged),
    }
}

/// The sentinel's bytes.
pub fn encode_sentinel(sentinel: &Sentinel) -> Vec<u8> {
    let mut out = Vec::with_capacity(SENTINEL_BYTES);
    out.push(VERSION);
    out.extend_from_slice(&sentinel.store_id.to_be_bytes());
    for number in [sentinel.batch, sentinel.sum.entries, sentinel.sum.hash] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out
}

/// Reads what [`encode_sentinel`] wrote.
///
/// # Errors
/// [`IndexError::Damaged`] for anything else.
pub fn decode_sentinel(bytes: &[u8]) -> Result<Sentinel, IndexError> {
    let mut reader = Reader { bytes };
    if reader.array::<1>()? != [VERSION] || bytes.len() != SENTINEL_BYTES {
        return Err(IndexError::Damaged);
    }
    let store_id = u128::from_be_bytes(reader.array()?);
    let batch = u64::from_be_bytes(reader.array()?);
    let entries = u64::from_be_bytes(reader.array()?);
    let hash = u64::from_be_bytes(reader.array()?);
    Ok(Sentinel { store_id, batch, sum: EntrySum { entries, hash } })
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let (head, rest) = self.bytes.split_first_chunk().ok_or(IndexError::Damaged)?;
        self.bytes = rest;
        Ok(*head)
    }

    fn varint(&mut self) -> Result<u64, IndexError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(IndexError::Damaged)
    }

    fn small(&mut self) -> Result<u32, IndexError> {
        u32::try_from(self.varint()?).map_err(|_| IndexError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::{decode_entry, decode_sentinel, encode_entry, encode_sentinel};
    use crate::index::{EntryState, EntrySum, IndexEntry, IndexError, Sentinel};
    use crate::location::{Location, SegmentId};

    fn entry(state: EntryState) -> IndexEntry {
        let location = Location { segment: SegmentId(3), offset: 4_096, length: 300 };
        IndexEntry {
            sequence: 1 << 40,
            location,
            state,
            values: 2,
            value_bytes: 512,
            digest: 7 << 100,
        }
    }

    #[test]
    fn entries_and_sentinels_read_back() {
        for state in
            [EntryState::Record, EntryState::Removed { covers_through: SegmentId(u32::MAX) }]
        {
            let mut bytes = Vec::new();
            encode_entry(&entry(state), &mut bytes);
            assert_eq!(decode_entry(&bytes), Ok(entry(state)));
        }
        let sentinel = Sentinel { store_id: 5, batch: 6, sum: EntrySum { entries: 7, hash: 8 } };
        assert_eq!(decode_sentinel(&encode_sentinel(&sentinel)), Ok(sentinel));
    }

    #[test]
    fn an_entry_written_by_version_1_stays_readable() {
        let mut bytes = vec![1, 0, 9, 3, 0x80, 0x20, 0xac, 2, 1, 5];
        bytes.extend_from_slice(&[0; 15]);
        bytes.push(2);
        let entry = decode_entry(&bytes).unwrap();
        assert_eq!((entry.sequence, entry.digest, entry.value_bytes), (9, 2, 5));
        assert_eq!(entry.location, Location { segment: SegmentId(3), offset: 4_096, length: 300 });
    }

    #[test]
    fn cut_surplus_and_unknown_bytes_are_damage_and_never_a_panic() {
        let mut bytes = Vec::new();
        encode_entry(&entry(EntryState::Record), &mut bytes);
        for end in 0..bytes.len() {
            assert_eq!(decode_entry(&bytes[..end]), Err(IndexError::Damaged), "cut at {end}");
        }
        bytes.push(0);
        assert_eq!(decode_entry(&bytes), Err(IndexError::Damaged));
        bytes[0] = 2;
        assert_eq!(decode_entry(&bytes), Err(IndexError::Damaged));
        assert_eq!(
            decode_entry(&[1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]),
            Err(IndexError::Damaged)
        );
        assert_eq!(decode_sentinel(&[1; 12]), Err(IndexError::Damaged));
    }
}
