//! Feeds the index, asks it what a start did not ask, and moves the checkpoint.
//!
//! When the index fails, or does not hold what it should, the manifest says so before anything else happens: only a whole
//! visit, or a rebuild, makes it trusted again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use kvorum_protocol::{RecordKey, Space};

use crate::files::{FileError, Files};
use crate::index::{
    Boot, EntrySum, Index, IndexBatch, IndexEntry, IndexError, IndexKey, Sentinel, count,
};
use crate::job::{
    CheckpointError, Done, Finished, IndexChange, IndexJob, Indexed, Indexing, Named, RebuildError,
    Rebuilt,
};
use crate::location::SegmentId;
use crate::log::handles::Handles;
use crate::log::manifest::{self, Manifest};
use crate::log::segment::{SEGMENT_HEADER_BYTES, SegmentKind};
use crate::log::walk::{Piece, read_bytes, walk};
use crate::reindex::{Reindex, record_entry, removal_entry};
use crate::shard::table::{Placed, Slot};

/// The one writer of the index and of the manifest.
#[derive(Clone)]
pub struct Indexer<F: Files, I: Index> {
    handles: Handles<F>,
    index: Arc<I>,
    sentinel: Sentinel,
    /// The last one written.
    manifest: Manifest,
    /// The present stretch without a power cut.
    boot: Option<Boot>,
    /// Whether the index is what the sentinel says, as far as anybody knows.
    is_trusted: bool,
    /// Used for every batch, so that its memory is asked for once.
    batch: IndexBatch,
    /// Whether a rebuild honours removal markers. Always, but for the planted bug.
    honours_markers: bool,
}

impl<F: Files, I: Index> Indexer<F, I> {
    pub(crate) fn new(
        handles: Handles<F>,
        index: Arc<I>,
        sentinel: Sentinel,
        manifest: Manifest,
        honours_markers: bool,
    ) -> Indexer<F, I> {
        let (batch, boot) = (IndexBatch::default(), manifest.boot);
        Indexer {
            handles,
            index,
            sentinel,
            manifest,
            boot,
            is_trusted: true,
            batch,
            honours_markers,
        }
    }

    /// Runs one job.
    pub fn run(&mut self, job: IndexJob) -> Done {
        Done(match job.0 {
            Indexing::Apply { changes, names_through } => {
                let told = self.apply(changes, names_through);
                Finished::Indexed(told.inspect_err(|_| self.distrust()))
            }
            Indexing::Ask { keys } => {
                Finished::Asked(self.ask(keys).inspect_err(|_| self.distrust()))
            }
            Indexing::Checkpoint { batch, manifest } => {
                let saved = self.save(batch).inspect_err(|_| self.distrust());
                let checkpoint = saved
                    .map_err(CheckpointError::Index)
                    .and_then(|()| self.write(*manifest).map_err(CheckpointError::Manifest));
                Finished::Checkpointed(checkpoint)
            }
            Indexing::Rebuild { segments, names_through } => {
                self.distrust();
                let rebuilt = self.rebuild(&segments, names_through);
                self.is_trusted = rebuilt.is_ok();
                Finished::Rebuilt(rebuilt)
            }
        })
    }

    fn apply(
        &mut self,
        mut changes: Vec<IndexChange>,
        names_through: u64,
    ) -> Result<Indexed, IndexError> {
        let IndexBatch { changes: named, sentinel } = &mut self.batch;
        named.clear();
        sentinel.clone_from(&self.sentinel);
        sentinel.names_through = names_through;
        for IndexChange { old, new } in changes.drain(..) {
            let (key, entry) = entry_of(&new);
            if let Some(old) = old {
                sentinel.sum.subtract(&key, old.sequence, old.location);
            }
            if let Some(entry) = &entry {
                sentinel.sum.add(&key, entry.sequence, entry.location);
            }
            named.push((key, entry));
        }
        named.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        self.index.apply(&self.batch)?;
        self.sentinel.clone_from(&self.batch.sentinel);
        Ok(Indexed { entries: self.sentinel.sum.entries, room: changes })
    }

    fn ask(&self, keys: Vec<(Slot, RecordKey)>) -> Result<Vec<(Slot, Option<Placed>)>, IndexError> {
        let keyed = keys.into_iter().map(|(slot, key)| (key.to_index_bytes(), slot));
        let mut keyed: Vec<_> = keyed.collect();
        keyed.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let ask = |(key, slot): &(Vec<u8>, Slot)| {
            let named = self.index.get(key)?;
            let placed =
                |entry: IndexEntry| Placed { sequence: entry.sequence, location: entry.location };
            Ok((*slot, named.map(placed)))
        };
        keyed.iter().map(ask).collect()
    }

    /// Says of the index how far it is, makes it durable, and has it prove that.
    fn save(&mut self, batch: u64) -> Result<(), IndexError> {
        self.sentinel.batch = batch;
        let saved = IndexBatch { changes: Vec::new(), sentinel: self.sentinel.clone() };
        self.index.apply(&saved)?;
        self.index.flush()?;
        match self.index.sentinel()? == Some(saved.sentinel) {
            true => Ok(()),
            false => Err(IndexError::Damaged),
        }
    }

    /// Writes a manifest that relies on what was saved.
    fn write(&mut self, manifest: Manifest) -> Result<(), FileError> {
        let version = self.manifest.version + 1;
        let boot = self.boot.filter(|_| self.is_trusted);
        let manifest = Manifest { version, boot, ..manifest };
        manifest::write(self.handles.files(), &manifest)?;
        self.manifest = manifest;
        Ok(())
    }

    /// Has the next start visit the index. If this is not written either, the disk has failed as a whole, and nothing that
    /// this process could write would change what the next one finds.
    fn distrust(&mut self) {
        self.is_trusted = false;
        let _ = self.write(self.manifest.clone());
    }

    /// Repairs the index in place: readers hold it open. What the segments hold and it does not is put in.
    fn rebuild(
        &mut self,
        segments: &[(SegmentId, SegmentKind, u32)],
        names_through: u64,
    ) -> Result<Rebuilt, RebuildError> {
        let existing: BTreeSet<SegmentId> = segments.iter().map(|(id, ..)| *id).collect();
        let index = self.index.clone();
        let mut reindex = Reindex::new(&*index, &existing, self.sentinel.clone());
        let mut damaged = 0;
        for (id, kind, end) in segments {
            let handle = self.handles.open(*id, *kind).map_err(RebuildError::File)?;
            let bytes =
                read_bytes(&handle, SEGMENT_HEADER_BYTES, *end).map_err(RebuildError::File)?;
            let mut failed = None;
            let reached =
                walk(*id, &handle.key, SEGMENT_HEADER_BYTES, &bytes, &mut |piece| match piece {
                    Piece::Entry(found) if self.honours_markers || !found.logged.is_removal() => {
                        failed = failed.or(reindex.add(&found).err());
                    }
                    Piece::Gap { length, .. } => damaged += length,
                    Piece::Entry(_) | Piece::Batch { .. } => {}
                });
            if let Some(error) = failed {
                return Err(RebuildError::Index(error));
            }
            damaged += end.saturating_sub(reached);
        }
        let (_, repaired) = reindex.finish().map_err(RebuildError::Index)?;
        let sum = self.recount(names_through).map_err(RebuildError::Index)?;
        let hinted = hinted_keys(&*self.index).map_err(RebuildError::Index)?;
        Ok(Rebuilt { repaired, sum, damaged, hinted })
    }

    /// Counts the index anew: what it had lost is still in the old sum.
    fn recount(&mut self, names_through: u64) -> Result<EntrySum, IndexError> {
        let sum = count(&*self.index, |_, _| {})?;
        self.sentinel = Sentinel { sum: sum.clone(), names_through, ..self.sentinel };
        let sentinel = self.sentinel.clone();
        self.index.apply(&IndexBatch { changes: Vec::new(), sentinel })?;
        Ok(sum)
    }
}

/// What the index is to hold, and under which key.
fn entry_of(named: &Named) -> (IndexKey, Option<IndexEntry>) {
    let (key, entry) = match named {
        Named::Record { record, placed: Placed { sequence, location } } => {
            (&record.key, Some(record_entry(&record.set, *sequence, *location)))
        }
        Named::Removed { key, covers_through, placed: Placed { sequence, location } } => {
            (key, Some(removal_entry(*covers_through, *sequence, *location)))
        }
        Named::Nothing { key } => (key, None),
    };
    (key.to_index_bytes().into(), entry)
}

/// The keys of all records that are held for others: they stand at the end of the index.
pub(crate) fn hinted_keys<I: Index>(index: &I) -> Result<Vec<RecordKey>, IndexError> {
    let mut keys = Vec::new();
    let mut is_damaged = false;
    index.scan(&RecordKey::space_bytes(Space::Hinted), &mut |key, entry| {
        if !entry.is_removed() {
            match RecordKey::from_index_bytes(&Bytes::copy_from_slice(key)) {
                Ok(key) => keys.push(key),
                Err(_) => is_damaged = true,
            }
        }
        ControlFlow::Continue(())
    })?;
    if is_damaged { Err(IndexError::Damaged) } else { Ok(keys) }
}
