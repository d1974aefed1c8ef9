//! From files to a running shard.
//!
//! The manifest says which segments exist and from where to replay; the index is opened with every suspicion, and whatever
//! is wrong with it, it is deleted and rebuilt from the segments. What the log holds beyond it is not put into it before the
//! shard opens: it waits in the backlog as it did before, and the checkpoint stays where it was until the backlog is fed. Nobody was promised the last batch of the run before, so
//! what is left of it is written again before it counts: it may be in the page cache only, and a disk whose sync failed
//! will not say so a second time. New records go to new segments; the old ones are never appended to.

mod index;
mod listing;
mod replay;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::files::{File, FileError, Files};
use crate::index::{EntrySum, IndexError, IndexOpener};
use crate::known_keys::Known;
use crate::limits;
use crate::location::SegmentId;
use crate::log::entry::LogEntry;
use crate::log::handles::Handles;
use crate::log::manifest::{self, Manifest, SegmentRecord, StoreId};
use crate::log::writer::{LogShape, LogWriter, SegmentExtent};
use crate::options::{OptionsError, ShardOptions};
use crate::random::Stream;
use crate::saved_trees;
use crate::shard::segments::Segments;
use crate::shard::trees::Trees;
use crate::shard::{Recovered, Shard, Unindexed};
use crate::workers::{Committer, Compactor, Indexer, Reader, hinted_keys};
use index::{OpenedIndex, open_index, relocate};
use listing::Listing;
use replay::Tail;
use waiting::Waiting;

/// A shard with its workers.
#[derive(Clone)]
pub struct Opened<F: Files, I: crate::index::Index> {
    /// The core.
    pub shard: Shard,
    /// Appends and syncs.
    pub committer: Committer<F>,
    /// Reads; clone it for more than one.
    pub reader: Reader<F, I>,
    /// Feeds the index.
    pub indexer: Indexer<F, I>,
    /// Makes and frees space.
    pub compactor: Compactor<F, I>,
    /// What was found.
    pub report: RecoveryReport,
}

/// Why a shard cannot be opened. Nothing that was acknowledged was touched; opening may be tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is out of its range.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The files cannot be read or written.
    #[error("the log cannot be opened: {0}")]
    File(#[from] FileError),
    /// Not even an empty index can be made.
    #[error("the index cannot be made: {0}")]
    Index(#[from] IndexError),
    /// The directory is of another shard, or the number of shards was changed.
    #[error("the directory holds shard {shard} of {shards}")]
    OtherShard {
        /// Its number.
        shard: u16,
        /// How many there are.
        shards: u16,
    },
}

/// What became of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexFate {
    /// It was as it should be.
    Kept,
    /// It was new, with the store.
    Created,
    /// It was deleted and rebuilt.
    Rebuilt(IndexFault),
}

/// What was wrong with the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexFault {
    /// It could not be opened or read, or panicked.
    Unopenable,
    /// It was empty, or of another store.
    Foreign,
    /// It was older than the manifest.
    Stale,
    /// Its entries did not add up to what it said of itself.
    Incomplete,
    /// It named what the log does not hold: the last batch was damaged after its sync, or a start that failed had put into
    /// the index what a power cut then took. Nobody can tell which, so it counts as damage.
    Ahead,
    /// Segments or the manifest were missing, so nothing derived from them can be trusted.
    LogDamaged,
}

/// What was found at opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecoveryReport {
    /// There was nothing; an empty store was made.
    pub created: bool,
    /// The store had been closed properly: nothing was replayed or verified.
    pub clean: bool,
    /// What became of the index.
    pub index: IndexFate,
    /// Entries of the log that were looked at.
    pub replayed: u64,
    /// Entries of the last batch that were written again.
    pub relogged: u64,
    /// The last batch was torn: a part of it is missing. It had not been synced, so nobody had been promised any of it.
    pub torn: bool,
    /// Keys that the log holds in a newer version than the index names: they wait for it, as they would without a restart.
    pub waiting: u64,
    /// Keys, those in the index and those that wait.
    pub keys: u64,
    /// Bytes of what had been synced that are damaged.
    pub damaged_bytes: u64,
    /// Batches that had been synced and are not whole.
    pub damaged_batches: u64,
    /// Segments that should exist and do not.
    pub missing_segments: u64,
    /// Whether absences count for no quorum now.
    pub refilling: bool,
}

/// Opens the shard in a directory, or creates it. `seed` must never have been used before: from it the run and the actors
/// are drawn.
///
/// # Errors
/// An [`OpenError`]; nothing acknowledged was touched.
pub fn open<F: Files, O: IndexOpener>(
    files: Arc<F>,
    mut opener: O,
    options: ShardOptions,
    seed: u64,
) -> Result<Opened<F, O::Index>, OpenError> {
    options.check()?;
    let start = Start::read(&*files, &options, seed)?;
    let handles = Handles::new(files, start.manifest.store_id.0);
    let honours_markers = honours_markers(&options);
    let waiting = || Waiting::new(&options, seed);
    let mut index = open_index(&mut opener, &handles, &start, waiting, honours_markers)?;
    let tail = &index.tail;
    let is_ahead = index.fate == IndexFate::Rebuilt(IndexFault::Ahead);
    let damaged = index.tail.is_damaged() || start.is_damaged() || is_ahead;
    let mut report = RecoveryReport {
        created: start.created,
        clean: start.is_clean(),
        index: index.fate,
        replayed: tail.entries,
        relogged: 0,
        torn: tail.is_torn(),
        waiting: index.waiting.len() as u64,
        keys: index.sentinel.sum.entries + index.waiting.unknown(),
        damaged_bytes: tail.damaged_bytes,
        damaged_batches: tail.damaged_batches,
        missing_segments: start.missing,
        refilling: start.manifest.refilling || damaged || start.created && options.expects_existing,
    };
    let mut log = start.log(&handles, &options, tail);
    log.count_live(&index);
    let relogged = log.write_again(&mut index, start.spares.clone())?;
    report.relogged = relogged;
    let trees = trees(&handles, &options, &start, &index, damaged)?;
    let mark = log.save(&handles, &mut index, &start, &options, report.refilling)?;
    let hinted = hinted_keys(&index.index)?;
    let OpenedIndex { index, sentinel, waiting, .. } = index;
    let Mark { batch: checkpoint_batch, bytes, .. } = mark;
    let unindexed = Unindexed { table: waiting.into_table(), checkpoint_batch, bytes, hinted };
    let found = (sentinel.sum, trees, unindexed);
    let shard = log.shard(options, seed, &start, report.refilling, found);
    let index = Arc::new(Known::new(index));
    Ok(Opened {
        shard,
        committer: Committer::new(log.writer),
        reader: Reader::new(handles.clone(), index.clone()),
        indexer: Indexer::new(handles.clone(), index.clone(), sentinel, honours_markers),
        compactor: Compactor::new(handles, index),
        report,
    })
}

/// The hash trees that were saved, as far as they still hold. Of a store that lost anything there are none, and what was saved
/// goes for good: the next start would not know of the loss, and take it for the truth.
fn trees<F: Files, I: crate::index::Index>(
    handles: &Handles<F>,
    options: &ShardOptions,
    start: &Start,
    index: &OpenedIndex<I>,
    damaged: bool,
) -> Result<Trees, FileError> {
    if start.created {
        return Ok(Trees::empty(options));
    }
    let files = handles.files();
    if damaged || index.fate != IndexFate::Kept {
        let version = saved_trees::highest_version(files);
        #[cfg(feature = "planted")]
        if options.planted == Some(crate::Planted::TreeHidesLoss) {
            return Ok(Trees::unknown(options, version));
        }
        saved_trees::remove(files)?;
        return Ok(Trees::unknown(options, version));
    }
    Ok(match saved_trees::read(files, &start.manifest, options.leaf_key.id()) {
        Some(saved) => Trees::saved(options, &saved, index.waiting.touched()),
        None => Trees::unknown(options, saved_trees::highest_version(files)),
    })
}

/// Whether a rebuild honours removal markers: always, but for the planted bug.
fn honours_markers(_options: &ShardOptions) -> bool {
    #[cfg(feature = "planted")]
    if _options.planted == Some(crate::Planted::RebuildResurrects) {
        return false;
    }
    true
}

/// What the directory says before any segment is read.
struct Start {
    manifest: Manifest,
    listing: Listing,
    spares: Vec<u32>,
    created: bool,
    /// There are segments, and no manifest.
    manifest_lost: bool,
    missing: u64,
}

impl Start {
    fn read<F: Files>(files: &F, options: &ShardOptions, seed: u64) -> Result<Start, OpenError> {
        let found = manifest::read(files)?;
        let mut listing = Listing::read(files)?;
        let (created, manifest_lost) =
            (found.is_none() && listing.is_empty(), found.is_none() && !listing.is_empty());
        let manifest = match found {
            Some(manifest) => manifest,
            None => {
                let drawn = || {
                    let mut stream = Stream::new(seed, "store");
                    u128::from(stream.next_u64()) << 64 | u128::from(stream.next_u64())
                };
                let store_id = listing.store_id(files)?.unwrap_or_else(drawn);
                empty_manifest(store_id, options)
            }
        };
        if (manifest.shard, manifest.shards) != (options.shard, options.shards) {
            return Err(OpenError::OtherShard { shard: manifest.shard, shards: manifest.shards });
        }
        listing.remove_leftovers(files, &manifest)?;
        let spares = listing.take_spares(files, options.segment_bytes)?;
        let missing =
            manifest.segments.iter().filter(|record| !listing.contains(record.id)).count() as u64;
        Ok(Start { manifest, listing, spares, created, manifest_lost, missing })
    }

    /// Whether nothing was written after the manifest, so that nothing needs to be read.
    fn is_clean(&self) -> bool {
        let unlisted = self.listing.segments().any(|(id, _)| id >= self.manifest.next_segment);
        self.created || self.manifest.clean && self.missing == 0 && !unlisted
    }

    /// Whether something that was there is gone.
    fn is_damaged(&self) -> bool {
        self.manifest_lost || self.missing > 0
    }

    fn log<F: Files>(&self, handles: &Handles<F>, options: &ShardOptions, tail: &Tail) -> Log<F> {
        let last_batch = tail.last_batch.max(self.manifest.synced_batch);
        let highest = tail.last_sequence.max(self.manifest.synced_sequence);
        let next_sequence =
            if self.is_clean() { highest + 1 } else { highest + limits::SEQUENCE_JUMP };
        let above = self.listing.segments().map(|(id, _)| SegmentId(id.0 + 1)).max();
        let next = self.manifest.next_segment.max(above.unwrap_or_default());
        let shape = LogShape { shard: options.shard, segment_bytes: options.segment_bytes };
        let writer =
            LogWriter::new(handles.clone(), shape, next, last_batch + 1, next_sequence - 1);
        let segments = Segments::recovered(tail.extents(&self.manifest, &self.listing), next);
        Log { writer, segments, last_batch, next_sequence, spares: self.spares.clone() }
    }
}

fn empty_manifest(store_id: u128, options: &ShardOptions) -> Manifest {
    Manifest {
        version: 0,
        store_id: StoreId(store_id),
        shard: options.shard,
        shards: options.shards,
        next_segment: SegmentId(0),
        checkpoint_batch: 0,
        synced_batch: 0,
        synced_sequence: 0,
        clean: false,
        refilling: false,
        segments: Vec::new(),
    }
}

/// How far the index is.
struct Mark {
    /// Everything up to this batch is in it.
    batch: u64,
    /// The same by segment: what is covered of each.
    covered: BTreeMap<SegmentId, u32>,
    /// Bytes of log behind it.
    bytes: u64,
}

/// The log as it goes on.
struct Log<F: Files> {
    writer: LogWriter<F>,
    segments: Segments,
    last_batch: u64,
    next_sequence: u64,
    spares: Vec<u32>,
}

impl<F: Files> Log<F> {
    /// Writes what the last batch left once more, as far as it is the newest of its key.
    fn write_again<I: crate::index::Index>(
        &mut self,
        index: &mut OpenedIndex<I>,
        spares: Vec<u32>,
    ) -> Result<u64, OpenError> {
        let entries = index.unproven_entries()?;
        if entries.is_empty() {
            return Ok(0);
        }
        let logged: Vec<LogEntry> = entries.iter().map(|(_, entry)| entry.clone()).collect();
        let written = self.writer.commit(&logged, spares, Vec::new())?;
        self.last_batch = written.batch;
        self.spares.retain(|spare| !written.spares_used.contains(spare));
        self.segments.extend(&written.extents);
        for ((found, _), location) in entries.iter().zip(&written.locations) {
            self.segments.release(found.location);
            self.segments.occupy(*location);
        }
        relocate(index, &entries, &written)?;
        Ok(entries.len() as u64)
    }

    /// How much of each segment holds the newest version of a key.
    fn count_live<I: crate::index::Index>(&mut self, index: &OpenedIndex<I>) {
        self.segments.set_live(&index.live);
        for (placed, indexed) in index.waiting.places() {
            indexed.into_iter().for_each(|indexed| self.segments.release(indexed.location));
            placed.into_iter().for_each(|placed| self.segments.occupy(placed.location));
        }
    }

    /// How far the index is: at the end of the log, or, when anything waits for it, where it was before.
    fn mark<I: crate::index::Index>(&self, index: &OpenedIndex<I>, start: &Start) -> Mark {
        if index.waiting.is_empty() {
            return Mark { batch: self.last_batch, covered: self.segments.ends(), bytes: 0 };
        }
        let known = start.manifest.segments.iter();
        let covered = known.map(|record| (record.id, record.covered)).collect();
        Mark { batch: start.manifest.checkpoint_batch, covered, bytes: index.tail.bytes }
    }

    /// Makes the index durable, then the manifest that says so, and cuts off what no longer counts.
    fn save<I: crate::index::Index>(
        &mut self,
        handles: &Handles<F>,
        index: &mut OpenedIndex<I>,
        start: &Start,
        options: &ShardOptions,
        refilling: bool,
    ) -> Result<Mark, OpenError> {
        let mark = self.mark(index, start);
        index.checkpoint(mark.batch)?;
        let segments: Vec<SegmentRecord> = self.segments.records(&mark.covered, &BTreeSet::new());
        let manifest = Manifest {
            version: start.manifest.version + 1,
            next_segment: self.segments.next(),
            checkpoint_batch: mark.batch,
            synced_batch: self.last_batch,
            synced_sequence: self.next_sequence - 1,
            clean: false,
            refilling,
            segments,
            shard: options.shard,
            shards: options.shards,
            store_id: start.manifest.store_id,
        };
        manifest::write(handles.files(), &manifest)?;
        for SegmentExtent { id, kind, end, .. } in index.tail.cut() {
            let handle = handles.open(*id, *kind)?;
            if handle.file.len()? > u64::from(*end) {
                handle.file.truncate(u64::from(*end))?;
            }
        }
        Ok(mark)
    }

    fn shard(
        &self,
        options: ShardOptions,
        seed: u64,
        start: &Start,
        refilling: bool,
        (sum, trees, unindexed): (EntrySum, Trees, Unindexed),
    ) -> Shard {
        let recovered = Recovered {
            store_id: start.manifest.store_id.0,
            segments: self.segments.clone(),
            spares: self.spares.clone(),
            next_sequence: self.next_sequence,
            last_batch: self.last_batch,
            manifest_version: start.manifest.version + 1,
            unindexed,
            refilling,
            sum,
            trees,
        };
        Shard::new(options, seed, recovered)
    }
}
