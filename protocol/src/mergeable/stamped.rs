//! Values of `lossy-lww` buckets: of concurrent writes one wins, by the coordinators' clocks, and the others are lost.
//!
//! A write is stamped with the wall-clock time of its coordinator, or with the next millisecond after the newest stamp that it
//! replaces. Replicas keep concurrent versions side by side like those of any bucket; a reader is shown the one with the highest
//! stamp, and of equal stamps the one with the highest dot. All owners that hold the same versions thus show the same winner.
//!
//! A clock that is far ahead would win for as long as it is. So a coordinator asks its peers for theirs, and refuses to stamp
//! when its own is none that a majority shares.

use bytes::Bytes;

use crate::codec::{DecodeError, Reader, Writer};
use crate::version::{Dot, Version, VersionSet};

/// The format that this version writes.
pub const STAMP_FORMAT: u8 = 1;

/// A value with its stamp.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamped {
    /// Wall-clock milliseconds since 1970.
    pub at_ms: u64,
    /// The value.
    pub value: Bytes,
}

impl Stamped {
    /// The encoding: one byte of format, then `[stamp, value]`.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(16 + self.value.len());
        out.push(STAMP_FORMAT);
        let mut writer = Writer::new(&mut out);
        writer.array(2);
        writer.uint(self.at_ms);
        writer.bytes(&self.value);
        out.into()
    }

    /// Decodes bytes that hold one stamped value and nothing else.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(mut bytes: Bytes) -> Result<Stamped, DecodeError> {
        let format = *bytes.first().ok_or(DecodeError::Truncated)?;
        if format != STAMP_FORMAT {
            return Err(DecodeError::UnknownFormat(format));
        }
        let mut reader = Reader::new(bytes.split_off(1));
        let mut fields = reader.open()?;
        let stamped =
            Stamped { at_ms: reader.field(&mut fields)?, value: reader.field(&mut fields)? };
        reader.close_exactly(fields)?;
        reader.finish()?;
        Ok(stamped)
    }
}

/// The winner among the live versions, with its dot and its version; `None` when nothing is live, or nothing that is a stamped
/// value.
pub fn winner(set: &VersionSet) -> Option<(Dot, Stamped, &Version)> {
    let stamped = |(dot, version): &(Dot, Version)| {
        Some((*dot, Stamped::decode(version.value.clone()).ok()?))
    };
    let (dot, stamped) = set
        .versions()
        .iter()
        .filter_map(stamped)
        .max_by_key(|(dot, stamped)| (stamped.at_ms, *dot))?;
    Some((dot, stamped, set.version(dot)?))
}

/// The stamp of a write at `wall_ms` over what the set holds: later than any stamp that it replaces, so that a write wins against
/// those that its coordinator had seen, whatever the clocks were.
pub fn stamp(set: &VersionSet, wall_ms: u64) -> u64 {
    let newest = winner(set).map_or(0, |(_, stamped, _)| stamped.at_ms.saturating_add(1));
    wall_ms.max(newest)
}
