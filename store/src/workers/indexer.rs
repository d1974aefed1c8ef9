//! Feeds the index, and moves the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::files::Files;
use crate::index::{self, EntrySum, Index, IndexBatch, IndexEntry, IndexError, Sentinel};
use crate::job::{
    CheckpointError, Content, Done, Finished, IndexChange, IndexJob, Indexing, RebuildError,
    Rebuilt,
};
use crate::location::SegmentId;
use crate::log::handles::Handles;
use crate::log::manifest::{self, Manifest};
use crate::log::segment::{SEGMENT_HEADER_BYTES, SegmentKind};
use crate::log::walk::{Piece, read_bytes, walk};
use crate::reindex::{Reindex, record_entry, removal_entry};

/// The one writer of the index and of the manifest.
#[derive(Clone)]
pub struct Indexer<F: Files, I: Index> {
    handles: Handles<F>,
    index: Arc<I>,
    sentinel: Sentinel,
    /// Whether a rebuild honours removal markers. Always, but for the planted bug.
    honours_markers: bool,
}

impl<F: Files, I: Index> Indexer<F, I> {
    pub(crate) fn new(
        handles: Handles<F>,
        index: Arc<I>,
        sentinel: Sentinel,
        honours_markers: bool,
    ) -> Indexer<F, I> {
        Indexer { handles, index, sentinel, honours_markers }
    }

    /// Runs one job.
    pub fn run(&mut self, job: IndexJob) -> Done {
        Done(match job.0 {
            Indexing::Apply { changes } => Finished::Indexed(self.apply(changes)),
            Indexing::Checkpoint { batch, manifest } => {
                Finished::Checkpointed(self.checkpoint(batch, &manifest))
            }
            Indexing::Rebuild { segments } => Finished::Rebuilt(self.rebuild(&segments)),
        })
    }

    fn apply(&mut self, changes: Vec<IndexChange>) -> Result<EntrySum, IndexError> {
        let mut batch =
            IndexBatch { changes: Vec::with_capacity(changes.len()), sentinel: self.sentinel };
        let sum = &mut batch.sentinel.sum;
        for IndexChange { key, old, new } in changes {
            if let Some(old) = old {
                sum.subtract(&key, old);
            }
            let entry = new.map(|new| match &new.content {
                Content::Set(set) => record_entry(set, new.sequence, new.location),
                Content::Removed { covers_through } => {
                    removal_entry(*covers_through, new.sequence, new.location)
                }
            });
            if let Some(entry) = &entry {
                sum.add(&key, entry.sequence);
            }
            batch.changes.push((key, entry));
        }
        self.index.apply(&batch)?;
        self.sentinel = batch.sentinel;
        Ok(self.sentinel.sum)
    }

    /// The index first, then proof that it says what it should, and only then the manifest that relies on it.
    fn checkpoint(&mut self, batch: u64, manifest: &Manifest) -> Result<(), CheckpointError> {
        self.sentinel.batch = batch;
        let saved = IndexBatch { changes: Vec::new(), sentinel: self.sentinel };
        self.index.apply(&saved).map_err(CheckpointError::Index)?;
        self.index.flush().map_err(CheckpointError::Index)?;
        if self.index.sentinel().map_err(CheckpointError::Index)? != Some(self.sentinel) {
            return Err(CheckpointError::Index(IndexError::Damaged));
        }
        manifest::write(self.handles.files(), manifest).map_err(CheckpointError::Manifest)
    }

    /// Repairs the index in place: readers hold it open. What the segments hold and it does not is put in.
    fn rebuild(
        &mut self,
        segments: &[(SegmentId, SegmentKind, u32)],
    ) -> Result<Rebuilt, RebuildError> {
        let existing: BTreeSet<SegmentId> = segments.iter().map(|(id, ..)| *id).collect();
        let index = self.index.clone();
        let mut reindex = Reindex::new(&*index, &existing, self.sentinel);
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
        let (_, repaired) = reindex.finish(self.sentinel.batch).map_err(RebuildError::Index)?;
        self.count(repaired, damaged).map_err(RebuildError::Index)
    }

    /// Counts the index anew: what it had lost is still in the old sum.
    fn count(&mut self, repaired: u64, damaged: u32) -> Result<Rebuilt, IndexError> {
        let (sum, live) = count(&*self.index, |_| {})?;
        self.sentinel.sum = sum;
        self.index.apply(&IndexBatch { changes: Vec::new(), sentinel: self.sentinel })?;
        Ok(Rebuilt { repaired, sum, live, damaged })
    }
}

/// Adds up all entries of an index, and the bytes of frames that they name, by segment. `each` sees every entry.
pub(crate) fn count<I: Index>(
    index: &I,
    mut each: impl FnMut(&IndexEntry),
) -> Result<(EntrySum, Vec<(SegmentId, u64)>), IndexError> {
    let mut sum = EntrySum::default();
    let mut live: BTreeMap<SegmentId, u64> = BTreeMap::new();
    index::visit_all(index, |key, entry| {
        each(entry);
        sum.add(key, entry.sequence);
        *live.entry(entry.location.segment).or_default() += u64::from(entry.location.length);
    })?;
    Ok((sum, live.into_iter().collect()))
}
