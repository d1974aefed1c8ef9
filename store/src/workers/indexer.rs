//! Feeds the index, and moves the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use kvorum_antientropy::{Digest, LeafKey, Tree};
use kvorum_protocol::{RecordKey, Space};

use crate::files::Files;
use crate::index::{self, EntrySum, Index, IndexBatch, IndexEntry, IndexError, IndexKey, Sentinel};
use crate::job::{
    CheckpointError, CountedTree, Done, Finished, HintedKey, IndexChange, IndexJob, Indexed,
    Indexing, Named, RebuildError, Rebuilt,
};
use crate::known_keys::Known;
use crate::location::SegmentId;
use crate::log::handles::Handles;
use crate::log::manifest::{self, Manifest};
use crate::log::segment::{SEGMENT_HEADER_BYTES, SegmentKind};
use crate::log::walk::{Piece, read_bytes, walk};
use crate::reindex::{Reindex, digested_entry, removal_entry};
use crate::saved_trees::{self, Counted, SavedTrees};
use crate::shard::table::Placed;
use crate::workers::contents;

/// The one writer of the index and of the manifest.
#[derive(Clone)]
pub struct Indexer<F: Files, I: Index> {
    handles: Handles<F>,
    index: Arc<Known<I>>,
    sentinel: Sentinel,
    /// Used for every batch, so that its memory is asked for once.
    batch: IndexBatch,
    /// After which key to go on learning what the index holds; `None` once all is known.
    unlearned: Option<Vec<u8>>,
    /// Whether a rebuild honours removal markers. Always, but for the planted bug.
    honours_markers: bool,
}

impl<F: Files, I: Index> Indexer<F, I> {
    pub(crate) fn new(
        handles: Handles<F>,
        index: Arc<Known<I>>,
        sentinel: Sentinel,
        honours_markers: bool,
    ) -> Indexer<F, I> {
        let (batch, unlearned) = (IndexBatch::default(), Some(Vec::new()));
        Indexer { handles, index, sentinel, batch, unlearned, honours_markers }
    }

    /// Runs one job.
    pub fn run(&mut self, job: IndexJob) -> Done {
        Done(match job.0 {
            Indexing::Apply { changes } => Finished::Indexed(self.apply(changes)),
            Indexing::Checkpoint { batch, manifest, trees } => {
                Finished::Checkpointed(self.checkpoint(batch, &manifest, &trees))
            }
            Indexing::Count { by, partitions, waiting } => {
                Finished::Counted(self.count_trees(&by, &partitions, &waiting))
            }
            Indexing::Rebuild { segments } => Finished::Rebuilt(self.rebuild(&segments)),
        })
    }

    fn apply(&mut self, mut changes: Vec<IndexChange>) -> Result<Indexed, IndexError> {
        let mut digests = Vec::with_capacity(changes.len());
        let IndexBatch { changes: named, sentinel } = &mut self.batch;
        named.clear();
        *sentinel = self.sentinel;
        for IndexChange { old, new } in changes.drain(..) {
            let (key, entry) = entry_of(&new);
            if let Some(old) = old {
                sentinel.sum.subtract(&key, old);
            }
            if let Some(entry) = &entry {
                sentinel.sum.add(&key, entry.sequence);
            }
            digests.push(entry.as_ref().map_or(0, |entry| entry.digest));
            named.push((key, entry));
        }
        named.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        self.index.apply(&self.batch)?;
        self.sentinel = self.batch.sentinel;
        if let Some(after) = self.unlearned.take() {
            // Not to know something only makes lookups slower; what is wrong with the index shows where it counts.
            self.unlearned = self.index.learn(&after).unwrap_or(Some(after));
        }
        Ok(Indexed { sum: self.sentinel.sum, digests, room: changes })
    }

    /// The index first, then proof that it says what it should, and only then the manifest that relies on it.
    fn checkpoint(
        &mut self,
        batch: u64,
        manifest: &Manifest,
        trees: &SavedTrees,
    ) -> Result<(), CheckpointError> {
        self.sentinel.batch = batch;
        let saved = IndexBatch { changes: Vec::new(), sentinel: self.sentinel };
        self.index.apply(&saved).map_err(CheckpointError::Index)?;
        self.index.flush().map_err(CheckpointError::Index)?;
        if self.index.sentinel().map_err(CheckpointError::Index)? != Some(self.sentinel) {
            return Err(CheckpointError::Index(IndexError::Damaged));
        }
        let files = self.handles.files();
        // Trees that cannot be saved are counted by the next start: nothing else depends on them.
        let _ = saved_trees::write(files, trees);
        manifest::write(files, manifest).map_err(CheckpointError::Manifest)
    }

    /// The trees of some partitions, without the keys that wait for the index.
    fn count_trees(
        &self,
        by: &LeafKey,
        partitions: &[Counted],
        waiting: &[IndexKey],
    ) -> Result<Vec<CountedTree>, IndexError> {
        let mut trees = Vec::with_capacity(partitions.len());
        for of in partitions {
            let mut tree = Tree::default();
            contents::visit(&*self.index, of.class, of.partition, &mut |key, entry| {
                let is_new = waiting.binary_search_by(|waiting| (**waiting).cmp(key)).is_err();
                if let Some(hash) = contents::hash_of(key).filter(|_| is_new) {
                    tree.change(by, of.class, hash, (None, Digest::new(entry.digest)));
                }
            })?;
            trees.push(CountedTree { of: *of, tree });
        }
        Ok(trees)
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
        let (sum, live) = count(&*self.index, |_, _| {})?;
        self.sentinel.sum = sum;
        self.index.apply(&IndexBatch { changes: Vec::new(), sentinel: self.sentinel })?;
        let hinted = hinted_keys(&*self.index)?;
        Ok(Rebuilt { repaired, sum, live, damaged, hinted })
    }
}

/// What the index is to hold, and under which key.
fn entry_of(named: &Named) -> (IndexKey, Option<IndexEntry>) {
    let (key, entry) = match named {
        Named::Record { record, placed: Placed { sequence, location }, digest } => {
            let digest = digest.unwrap_or_else(|| record.set.live_digest().0);
            (&record.key, Some(digested_entry(&record.set, digest, *sequence, *location)))
        }
        Named::Removed { key, covers_through, placed: Placed { sequence, location } } => {
            (key, Some(removal_entry(*covers_through, *sequence, *location)))
        }
        Named::Nothing { key } => (key, None),
    };
    (key.to_index_bytes().into(), entry)
}

/// All records that are held for others: they stand at the end of the index.
pub(crate) fn hinted_keys<I: Index>(index: &I) -> Result<Vec<HintedKey>, IndexError> {
    let mut keys = Vec::new();
    let mut is_damaged = false;
    index.scan(&RecordKey::space_bytes(Space::Hinted), &mut |key, entry| {
        if !entry.is_removed() {
            match RecordKey::from_index_bytes(&Bytes::copy_from_slice(key)) {
                Ok(key) => keys.push(HintedKey { key, bytes: entry.location.length as usize }),
                Err(_) => is_damaged = true,
            }
        }
        ControlFlow::Continue(())
    })?;
    if is_damaged { Err(IndexError::Damaged) } else { Ok(keys) }
}

/// Adds up all entries of an index, and the bytes of frames that they name, by segment. `each` sees every entry.
pub(crate) fn count<I: Index>(
    index: &I,
    mut each: impl FnMut(&[u8], &IndexEntry),
) -> Result<(EntrySum, Vec<(SegmentId, u64)>), IndexError> {
    let mut sum = EntrySum::default();
    let mut live: BTreeMap<SegmentId, u64> = BTreeMap::new();
    index::visit_all(index, |key, entry| {
        each(key, entry);
        sum.add(key, entry.sequence);
        *live.entry(entry.location.segment).or_default() += u64::from(entry.location.length);
    })?;
    Ok((sum, live.into_iter().collect()))
}
