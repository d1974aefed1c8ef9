//! What files there are.

use std::collections::BTreeMap;

use crate::files::{File, FileError, Files};
use crate::location::SegmentId;
use crate::log::manifest::Manifest;
use crate::log::segment::{
    FileName, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentKind, segment_name,
};

/// The segment and spare files of a directory.
pub(super) struct Listing {
    segments: BTreeMap<SegmentId, SegmentKind>,
    spares: Vec<u32>,
}

impl Listing {
    pub(super) fn read<F: Files>(files: &F) -> Result<Listing, FileError> {
        let mut listing = Listing { segments: BTreeMap::new(), spares: Vec::new() };
        for name in files.list()? {
            match FileName::parse(&name) {
                Some(FileName::Segment(id, kind)) => drop(listing.segments.insert(id, kind)),
                Some(FileName::Spare(number)) => listing.spares.push(number),
                None => {}
            }
        }
        Ok(listing)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn contains(&self, id: SegmentId) -> bool {
        self.segments.contains_key(&id)
    }

    /// All segments, ascending.
    pub(super) fn segments(&self) -> impl Iterator<Item = (SegmentId, SegmentKind)> + '_ {
        self.segments.iter().map(|(id, kind)| (*id, *kind))
    }

    /// Whose store the segments are, by the first readable header: for when the manifest is lost.
    pub(super) fn store_id<F: Files>(&self, files: &F) -> Result<Option<u128>, FileError> {
        for (id, kind) in self.segments() {
            let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
            files.open(&segment_name(id, kind))?.read_at(0, &mut bytes)?;
            if let Some(header) = SegmentHeader::decode(&bytes) {
                return Ok(Some(header.store_id));
            }
        }
        Ok(None)
    }

    /// Removes segments that the manifest had let go of: a crash came before their files were gone.
    pub(super) fn remove_leftovers<F: Files>(
        &mut self,
        files: &F,
        manifest: &Manifest,
    ) -> Result<(), FileError> {
        let listed = |id: SegmentId| manifest.segments.iter().any(|record| record.id == id);
        let leftovers: Vec<(SegmentId, SegmentKind)> =
            self.segments().filter(|(id, _)| *id < manifest.next_segment && !listed(*id)).collect();
        for (id, kind) in leftovers {
            files.remove(&segment_name(id, kind))?;
            self.segments.remove(&id);
        }
        Ok(())
    }

    /// The whole spares; half-made ones are removed.
    pub(super) fn take_spares<F: Files>(
        &self,
        files: &F,
        segment_bytes: u32,
    ) -> Result<Vec<u32>, FileError> {
        let mut whole = Vec::new();
        for spare in &self.spares {
            let name = FileName::Spare(*spare).to_string();
            if files.open(&name)?.len()? == u64::from(segment_bytes) {
                whole.push(*spare);
            } else {
                files.remove(&name)?;
            }
        }
        Ok(whole)
    }
}
