//! The manifest: what a shard knows of itself before it has read anything else.
//!
//! It names the segments (so that a lost one is noticed), where replay begins, and how much of the log is known to be on disk. Of
//! its two slots the one with the higher version counts.

use kvorum_protocol::codec::{DecodeError, Reader, Wire, Writer};
use kvorum_protocol::wire_struct;

use super::segment::SegmentKind;
use crate::files::{FileError, Files};
use crate::location::SegmentId;
use crate::sealed::Seal;

const SEAL: Seal = Seal { magic: b"kvorummf", slots: ["manifest-a", "manifest-b"] };

wire_struct! {
    /// The manifest's body.
    pub(crate) struct Manifest {
        /// Counts writes of the manifest; the highest valid one counts.
        pub(crate) version: u64,
        /// Drawn when the store was made; part of every frame's key.
        pub(crate) store_id: StoreId,
        /// This shard's number.
        pub(crate) shard: u16,
        /// How many shards the node's keys are spread over.
        pub(crate) shards: u16,
        /// No segment of this number or a higher one had ever been known.
        pub(crate) next_segment: SegmentId,
        /// Every batch up to this one is in the index and the index was on disk: replay begins behind it.
        pub(crate) checkpoint_batch: u64,
        /// Every batch up to this one was on disk, so that bad frames in it are damage and no torn tail.
        pub(crate) synced_batch: u64,
        /// No higher sequence had been given out.
        pub(crate) synced_sequence: u64,
        /// Nothing was written after this manifest, and the index agrees with it.
        pub(crate) clean: bool,
        /// Records may be missing here until every co-owner was compared with.
        pub(crate) refilling: bool,
        /// The segments that exist, ascending by id.
        pub(crate) segments: Vec<SegmentRecord>,
    }
}

wire_struct! {
    /// What the manifest says of a segment.
    pub(crate) struct SegmentRecord {
        /// Its number.
        pub(crate) id: SegmentId,
        /// What it is for.
        pub(crate) kind: SegmentKind,
        /// Its first batch.
        pub(crate) first_batch: u64,
        /// Its last batch so far.
        pub(crate) last_batch: u64,
        /// Bytes up to which the checkpoint covers it: replay begins here.
        pub(crate) covered: u32,
        /// Bytes written so far, header included. All of them were synced.
        pub(crate) end: u32,
        /// Bytes of frames that the index named at the checkpoint.
        pub(crate) live: u64,
    }
}

/// A store's random name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StoreId(pub(crate) u128);

impl Wire for StoreId {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0.to_be_bytes());
    }

    fn read(reader: &mut Reader) -> Result<StoreId, DecodeError> {
        let bytes = <[u8; 16]>::try_from(&*reader.bytes()?).map_err(|_| DecodeError::OutOfRange)?;
        Ok(StoreId(u128::from_be_bytes(bytes)))
    }
}

impl Wire for SegmentId {
    fn write(&self, writer: &mut Writer<'_>) {
        self.0.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<SegmentId, DecodeError> {
        u32::read(reader).map(SegmentId)
    }
}

impl Wire for SegmentKind {
    fn write(&self, writer: &mut Writer<'_>) {
        self.to_byte().write(writer);
    }

    fn read(reader: &mut Reader) -> Result<SegmentKind, DecodeError> {
        SegmentKind::from_byte(u8::read(reader)?).ok_or(DecodeError::OutOfRange)
    }
}

/// The newest valid manifest.
///
/// # Errors
/// What the disk says. A damaged slot is no error: it counts as absent.
pub(crate) fn read<F: Files>(files: &F) -> Result<Option<Manifest>, FileError> {
    let mut newest: Option<Manifest> = None;
    for slot in SEAL.slots {
        let found: Option<Manifest> = SEAL.read(files, slot)?;
        if found.as_ref().map(|found| found.version) > newest.as_ref().map(|newest| newest.version)
        {
            newest = found;
        }
    }
    Ok(newest)
}

/// Writes a manifest into its slot and makes it durable. The caller raises the version each time.
///
/// # Errors
/// What the disk says. The previous version still stands in the other slot.
pub(crate) fn write<F: Files>(files: &F, manifest: &Manifest) -> Result<(), FileError> {
    SEAL.write(files, manifest.version, manifest)
}

#[cfg(test)]
mod tests {
    use super::{Manifest, SEAL, SegmentRecord, StoreId, read, write};
    use crate::location::SegmentId;
    use crate::log::segment::SegmentKind;
    use crate::sim_files::SimFiles;

    fn manifest(version: u64) -> Manifest {
        let (id, kind) = (SegmentId(4), SegmentKind::Bulk);
        let record = SegmentRecord {
            id,
            kind,
            first_batch: 3,
            last_batch: 12,
            covered: 900,
            end: 4_096,
            live: 77,
        };
        Manifest {
            version,
            store_id: StoreId(7 << 99),
            shard: 0,
            shards: 1,
            next_segment: SegmentId(5),
            checkpoint_batch: 10,
            synced_batch: 12,
            synced_sequence: 99,
            clean: false,
            refilling: true,
            segments: vec![record],
        }
    }

    #[test]
    fn the_newest_whole_manifest_counts() {
        let files = SimFiles::new();
        assert_eq!(read(&files).unwrap(), None);
        for version in 1..=3 {
            write(&files, &manifest(version)).unwrap();
            assert_eq!(read(&files).unwrap(), Some(manifest(version)));
        }
        assert!(files.flip("manifest-b", 40, 1), "version 3 is damaged");
        assert_eq!(read(&files).unwrap(), Some(manifest(2)));
        assert!(files.flip("manifest-a", 40, 1));
        assert_eq!(read(&files).unwrap(), None);
    }

    #[test]
    fn a_power_cut_during_a_write_leaves_one_of_the_two() {
        for seed in 0..200 {
            let files = SimFiles::new();
            write(&files, &manifest(1)).unwrap();
            write(&files, &manifest(2)).unwrap();
            let recording = files.start_recording();
            write(&files, &manifest(3)).unwrap();
            for cut in 0..=recording.len() {
                let found = read(&recording.prefix(cut).torn(seed))
                    .unwrap()
                    .map(|manifest| manifest.version);
                assert!(found == Some(2) || found == Some(3), "seed {seed}, cut {cut}: {found:?}");
            }
        }
    }

    #[test]
    fn a_manifest_of_version_1_reads_back_as_it_was_written() {
        let mut bytes = b"kvorummf\x01\x00\x29\x00\x00\x00".to_vec();
        bytes
            .extend_from_slice(&[155, 1, 196, 16, 0, 0, 0, 56, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[0, 1, 5, 10, 12, 99, 194, 195, 145]);
        bytes.extend_from_slice(&[151, 4, 1, 3, 12, 205, 3, 132, 205, 16, 0, 77]);
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        assert_eq!(SEAL.encode(&manifest(1)), bytes);
        assert_eq!(SEAL.decode(bytes.into()), Some(manifest(1)));
    }
}
