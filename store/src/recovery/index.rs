//! Opening the index with every suspicion.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kvorum_protocol::RecordKey;

use super::replay::{ReplayError, Tail};
use super::waiting::Waiting;
use super::{IndexFate, IndexFault, OpenError, Start};
use crate::files::Files;
use crate::index::{Index, IndexBatch, IndexEntry, IndexError, IndexOpener, Sentinel};
use crate::location::{Location, SegmentId};
use crate::log::entry::{Copies, EntryBody, LogEntry, Logged};
use crate::log::handles::Handles;
use crate::log::walk::Found;
use crate::log::writer::Written;
use crate::reindex::{Reindex, record_entry, removal_entry};
use crate::shard::table::Placed;
use crate::workers::count;

/// The index, and what waits for it: together they name everything in the log.
pub(super) struct OpenedIndex<I> {
    pub(super) index: I,
    pub(super) waiting: Waiting,
    pub(super) sentinel: Sentinel,
    /// Bytes of frames that the index names, by segment.
    pub(super) live: Vec<(SegmentId, u64)>,
    pub(super) tail: Tail,
    pub(super) fate: IndexFate,
}

/// An entry of the last batch and how it is written again.
pub(super) type Unproven = (Found, LogEntry);

/// Opens the index and reads what the log holds beyond it; whatever is wrong with it, deletes it and replays the whole log
/// into a new one. `waiting` makes room for what waits.
pub(super) fn open_index<F: Files, O: IndexOpener>(
    opener: &mut O,
    handles: &Handles<F>,
    start: &Start,
    waiting: impl Fn() -> Waiting,
    honours_markers: bool,
) -> Result<OpenedIndex<O::Index>, OpenError> {
    // An index engine may panic over damage instead of saying so.
    let attempt = catch_unwind(AssertUnwindSafe(|| use_index(opener, handles, start, waiting())));
    let fault = match attempt {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(Failure::File(error))) => return Err(error.into()),
        Ok(Err(Failure::Index(fault))) => fault,
        Err(_panic) => IndexFault::Unopenable,
    };
    opener.destroy()?;
    let index = opener.open()?;
    let sentinel = Sentinel { store_id: start.manifest.store_id.0, ..Sentinel::default() };
    let (sentinel, tail) = match rebuild(&index, sentinel, handles, start, honours_markers) {
        Ok(replayed) => replayed,
        Err(ReplayError::File(error)) => return Err(error.into()),
        Err(ReplayError::Index(error)) => return Err(error.into()),
    };
    let (_, live) = count(&index, |_, _| {})?;
    let (waiting, fate) = (waiting(), IndexFate::Rebuilt(fault));
    Ok(OpenedIndex { index, waiting, sentinel, live, tail, fate })
}

enum Failure {
    File(crate::files::FileError),
    Index(IndexFault),
}

impl From<IndexError> for Failure {
    fn from(_: IndexError) -> Failure {
        Failure::Index(IndexFault::Unopenable)
    }
}

fn use_index<F: Files, O: IndexOpener>(
    opener: &mut O,
    handles: &Handles<F>,
    start: &Start,
    mut waiting: Waiting,
) -> Result<OpenedIndex<O::Index>, Failure> {
    if start.is_damaged() {
        return Err(Failure::Index(IndexFault::LogDamaged));
    }
    let index = opener.open()?;
    let found = index.sentinel()?;
    let store_id = start.manifest.store_id.0;
    let (sentinel, fate) = match found {
        Some(found) if found.store_id == store_id => (found, IndexFate::Kept),
        None if start.created => (Sentinel { store_id, ..Sentinel::default() }, IndexFate::Created),
        Some(_) | None => return Err(Failure::Index(IndexFault::Foreign)),
    };
    if sentinel.batch < start.manifest.checkpoint_batch {
        return Err(Failure::Index(IndexFault::Stale));
    }
    if start.is_clean() {
        let live = start.manifest.segments.iter().map(|record| (record.id, record.live)).collect();
        return Ok(OpenedIndex { index, waiting, sentinel, live, tail: Tail::default(), fate });
    }
    let existing: BTreeSet<SegmentId> = start.listing.segments().map(|(id, _)| id).collect();
    let (sentinel, tail) = match catch_up(&index, sentinel, handles, start, &existing, &mut waiting)
    {
        Ok(replayed) => replayed,
        Err(ReplayError::File(error)) => return Err(Failure::File(error)),
        Err(ReplayError::Index(error)) => return Err(error.into()),
    };
    // What it names and the log does not hold hides what the log does hold.
    let unproven: BTreeSet<Location> = tail.unproven().map(|found| found.location).collect();
    let mut ahead = false;
    let mut comparing = waiting.comparing(&existing);
    let (sum, live) = count(&index, |key, entry| {
        let superseded = comparing.visit(key, entry);
        let lost = tail.is_behind_its_end(entry.location) && !unproven.contains(&entry.location);
        ahead |= lost && !superseded;
    })?;
    if sum != sentinel.sum {
        return Err(Failure::Index(IndexFault::Incomplete));
    }
    if ahead {
        return Err(Failure::Index(IndexFault::Ahead));
    }
    Ok(OpenedIndex { index, waiting, sentinel, live, tail, fate })
}

/// Reads what the checkpoint does not cover. What the index names of it is told apart later.
fn catch_up<F: Files, I: Index>(
    index: &I,
    sentinel: Sentinel,
    handles: &Handles<F>,
    start: &Start,
    existing: &BTreeSet<SegmentId>,
    waiting: &mut Waiting,
) -> Result<(Sentinel, Tail), ReplayError> {
    let mut reindex = Reindex::new(index, existing, sentinel);
    let tail = Tail::read(start, handles, false, &mut |found| {
        waiting.add(found);
        match waiting.is_full() {
            true => waiting.relieve(index, existing, &mut reindex),
            false => Ok(()),
        }
    })?;
    Ok((reindex.sentinel(), tail))
}

/// Replays the whole log into an empty index. Only the planted bug passes over removal markers.
fn rebuild<F: Files, I: Index>(
    index: &I,
    sentinel: Sentinel,
    handles: &Handles<F>,
    start: &Start,
    honours_markers: bool,
) -> Result<(Sentinel, Tail), ReplayError> {
    let existing: BTreeSet<SegmentId> = start.listing.segments().map(|(id, _)| id).collect();
    let mut reindex = Reindex::new(index, &existing, sentinel);
    let tail = Tail::read(start, handles, true, &mut |found| {
        let counts = honours_markers || !found.logged.is_removal();
        if counts { reindex.add(found) } else { Ok(()) }
    })?;
    let batch = tail.last_batch.max(sentinel.batch);
    let (sum, _) = reindex.finish(batch).map_err(ReplayError::Index)?;
    Ok((Sentinel { batch, sum, ..sentinel }, tail))
}

impl<I: Index> OpenedIndex<I> {
    /// What is left of batches that are not proven, as far as it is the newest of its key.
    pub(super) fn unproven_entries(&self) -> Result<Vec<Unproven>, IndexError> {
        let mut entries: Vec<Unproven> = Vec::new();
        for found in self.tail.unproven() {
            let here = Placed { sequence: found.sequence, location: found.location };
            if self.newest(found.logged.key())? == Some(here) {
                let body = match found.logged.clone() {
                    Logged::Record(record) => EntryBody::Record(record.into()),
                    Logged::Removal { key, .. } => {
                        EntryBody::Removal { key, copies: Copies::Both, covers_through: None }
                    }
                };
                entries.push((found.clone(), LogEntry { sequence: found.sequence, body }));
            }
        }
        entries.sort_by_key(|(found, _)| found.sequence);
        Ok(entries)
    }

    /// Where the newest version of a key is.
    fn newest(&self, key: &RecordKey) -> Result<Option<Placed>, IndexError> {
        if let Some(placed) = self.waiting.placed(key) {
            return Ok(Some(placed));
        }
        let named = self.index.get(&key.to_index_bytes())?;
        Ok(named.map(|IndexEntry { sequence, location, .. }| Placed { sequence, location }))
    }

    /// Says in the index that everything up to `batch` is reflected, and makes it durable.
    pub(super) fn checkpoint(&mut self, batch: u64) -> Result<(), IndexError> {
        self.sentinel.batch = batch;
        let sentinel = self.sentinel;
        self.index.apply(&IndexBatch { changes: Vec::new(), sentinel })?;
        self.index.flush()?;
        match self.index.sentinel()? == Some(sentinel) {
            true => Ok(()),
            false => Err(IndexError::Damaged),
        }
    }
}

/// Notes the new places of entries that were written again: where they wait, or else in the index.
pub(super) fn relocate<I: Index>(
    opened: &mut OpenedIndex<I>,
    entries: &[Unproven],
    written: &Written,
) -> Result<(), IndexError> {
    let mut changes = Vec::with_capacity(entries.len());
    for ((found, _), location) in entries.iter().zip(&written.locations) {
        let placed = Placed { sequence: found.sequence, location: *location };
        if opened.waiting.relocate(found.logged.key(), placed, written.newest_segment) {
            continue;
        }
        let entry = match &found.logged {
            Logged::Record(record) => record_entry(&record.set, found.sequence, *location),
            Logged::Removal { .. } => {
                removal_entry(written.newest_segment, found.sequence, *location)
            }
        };
        changes.push((found.logged.key().to_index_bytes().into(), Some(entry)));
    }
    changes.sort_by(|left: &(crate::IndexKey, _), right| left.0.cmp(&right.0));
    opened.index.apply(&IndexBatch { changes, sentinel: opened.sentinel })
}
