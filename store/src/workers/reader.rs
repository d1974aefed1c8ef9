//! Reads records and lists keys.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use kvorum_protocol::{Key, RecordKey};
use kvorum_ring::PartitionId;

use crate::event::ReadError;
use crate::files::{File, Files};
use crate::index::{EntryState, Index, IndexEntry, IndexError};
use crate::job::{Digested, Done, Finished, Loaded, Overlay, ReadJob, Reading, Undigested};
use crate::known_keys::Known;
use crate::limits;
use crate::log::entry::Logged;
use crate::log::frame;
use crate::log::handles::Handles;
use crate::log::segment::SegmentKind;
use crate::request::{ScanPage, ScanRange, ScannedKey};
use crate::workers::contents;

/// A reader. There may be several; cloning makes another.
pub struct Reader<F: Files, I: Index> {
    handles: Handles<F>,
    index: Arc<Known<I>>,
}

impl<F: Files, I: Index> Clone for Reader<F, I> {
    fn clone(&self) -> Reader<F, I> {
        Reader { handles: self.handles.clone(), index: self.index.clone() }
    }
}

impl<F: Files, I: Index> Reader<F, I> {
    pub(crate) fn new(handles: Handles<F>, index: Arc<Known<I>>) -> Reader<F, I> {
        Reader { handles, index }
    }

    /// Runs one job.
    pub fn run(&self, job: ReadJob) -> Done {
        Done(match job.0 {
            Reading::Load { number, keys } => {
                let found = keys.into_iter().map(|key| (key.clone(), self.load(&key))).collect();
                Finished::Loaded { number, found }
            }
            Reading::Scan { token, range, overlay } => {
                let result = self.scan(&range, overlay).map_err(|_| ReadError::IndexDamaged);
                Finished::Scanned { token, result }
            }
            Reading::Contents { token, range, by, overlay } => {
                let result = contents::page(&*self.index, &range, &by, &overlay);
                let result = result.map_err(|_| ReadError::IndexDamaged);
                Finished::Contents { token, result }
            }
            Reading::Digest { records } => Finished::Digested(
                records
                    .into_iter()
                    .map(|Undigested { slot, sequence, record }| {
                        let digest = record.set.live_digest().0;
                        Digested { slot, sequence, record, digest }
                    })
                    .collect(),
            ),
        })
    }

    fn load(&self, key: &RecordKey) -> Loaded {
        match self.index.get(&key.to_index_bytes()) {
            Err(_) => Loaded::IndexFailed,
            Ok(None) => Loaded::Absent,
            Ok(Some(entry)) => match entry.state {
                EntryState::Removed { covers_through } => Loaded::Removed { entry, covers_through },
                EntryState::Record => {
                    let again = |first| self.read(key, &entry).map_err(|second| (first, second));
                    match self.read(key, &entry).or_else(again) {
                        Ok(logged) => Loaded::Found { entry, logged: Box::new(logged) },
                        // What is called damaged is given up, so one bad read is not believed.
                        Err((Unread::Frame, Unread::Frame)) => Loaded::Damaged { entry },
                        Err(_) => Loaded::Unreadable { entry },
                    }
                }
            },
        }
    }

    /// The record that the entry names.
    fn read(&self, key: &RecordKey, entry: &IndexEntry) -> Result<Logged, Unread> {
        let location = entry.location;
        let handle = match self.handles.get(location.segment) {
            Some(handle) => handle,
            // Which kind it is decides its name only.
            None => [SegmentKind::Main, SegmentKind::Bulk]
                .into_iter()
                .find_map(|kind| self.handles.open(location.segment, kind).ok())
                .ok_or(Unread::File)?,
        };
        let mut bytes = vec![0; location.length as usize];
        let read = handle.file.read_at(u64::from(location.offset), &mut bytes);
        bytes.truncate(read.map_err(|_| Unread::File)?);
        let bytes = Bytes::from(bytes);
        let frame = frame::parse(&bytes, &handle.key, location.offset).ok_or(Unread::Frame)?;
        let logged = Logged::read(&frame, &bytes).ok_or(Unread::Frame)?;
        let is_named = frame.sequence == entry.sequence && logged.key() == key;
        is_named.then_some(logged).ok_or(Unread::Frame)
    }

    /// The lowest keys over all partitions: each partition is read only as far as it can still contribute.
    fn scan(&self, range: &ScanRange, overlay: Vec<Overlay>) -> Result<ScanPage, IndexError> {
        let mut page = Page::new(range);
        for partition in &range.partitions {
            self.scan_partition(range, *partition, &overlay, &mut page)?;
        }
        Ok(page.finish(range.limit as usize))
    }

    fn scan_partition(
        &self,
        range: &ScanRange,
        partition: PartitionId,
        overlay: &[Overlay],
        page: &mut Page,
    ) -> Result<(), IndexError> {
        let bounds = Bounds::of(range, partition);
        // The overlay is in the order of the index, so a partition's share of it is one stretch.
        let first = overlay.partition_point(|known| known.key[..] < bounds.start[..]);
        for known in
            overlay[first..].iter().take_while(|known| known.key.starts_with(&bounds.prefix))
        {
            if let (Some(values), Some(key)) = (known.values, bounds.key(&known.key))
                && page.add(key, values).is_break()
            {
                break;
            }
        }
        let known = |key: &[u8]| overlay.binary_search_by(|known| (*known.key).cmp(key)).is_ok();
        let mut looked = 0;
        self.index.scan(&bounds.start, &mut |bytes, entry| {
            if !bytes.starts_with(&bounds.prefix) {
                return ControlFlow::Break(());
            }
            if bounds.is_passed(bytes) {
                return ControlFlow::Continue(());
            }
            looked += 1;
            if page.looks_no_further(looked, || bounds.key(bytes)) {
                return ControlFlow::Break(());
            }
            if known(bytes) || entry.is_removed() {
                return ControlFlow::Continue(());
            }
            let Some(key) = bounds.key(bytes) else { return ControlFlow::Continue(()) };
            page.add(key, (entry.values, entry.value_bytes))
        })
    }
}

/// Why a record was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unread {
    /// The file could not be opened or read, which says nothing about what is in it.
    File,
    /// The bytes that came are not the record's.
    Frame,
}

/// The lowest keys seen so far, never more than wanted.
struct Page {
    keys: BTreeMap<Key, (u16, u32)>,
    wanted: usize,
    /// Live values that a key has to have.
    values: u16,
    /// Keys of one partition that are looked at.
    looks_at: usize,
    /// Some partition was looked at only up to this key, so nothing behind it is told.
    bound: Option<Key>,
}

impl Page {
    fn new(range: &ScanRange) -> Page {
        let share = limits::SIBLINGS_LOOKED_FOR / range.partitions.len().max(1);
        let (values, looks_at) = match range.siblings_only {
            true => (2, share.max(limits::SIBLINGS_LOOKED_FOR_LEAST)),
            false => (0, usize::MAX),
        };
        let (keys, wanted) = (BTreeMap::new(), range.limit as usize + 1);
        Page { keys, wanted, values, looks_at, bound: None }
    }

    /// Whether a partition is looked at no further than before this key, its key number `looked`: because another one was not
    /// looked at as far, or it has itself been looked at for long enough.
    fn looks_no_further(&mut self, looked: usize, key: impl FnOnce() -> Option<Key>) -> bool {
        if self.looks_at == usize::MAX {
            return false;
        }
        let Some(key) = key() else { return false };
        if self.bound.as_ref().is_some_and(|bound| key > *bound) {
            return true;
        }
        if looked == self.looks_at {
            self.bound = Some(key);
        }
        false
    }

    /// Adds a key; breaks when neither it nor a higher one has a place any more.
    fn add(&mut self, key: Key, values: (u16, u32)) -> ControlFlow<()> {
        if values.0 < self.values {
            return ControlFlow::Continue(());
        }
        if self.keys.len() >= self.wanted {
            match self.keys.last_key_value() {
                Some((last, _)) if *last <= key => return ControlFlow::Break(()),
                _ => drop(self.keys.pop_last()),
            }
        }
        self.keys.insert(key, values);
        ControlFlow::Continue(())
    }

    /// The page, of so many keys at most.
    fn finish(mut self, limit: usize) -> ScanPage {
        if let Some(bound) = &self.bound {
            self.keys.retain(|key, _| key <= bound);
        }
        let is_full = self.keys.len() > limit;
        let more = is_full || self.bound.is_some();
        let keys = self.keys.into_iter().take(limit);
        let keys = keys
            .map(|(key, (values, value_bytes))| ScannedKey { key, values, value_bytes })
            .collect();
        ScanPage { keys, more, through: self.bound.filter(|_| !is_full) }
    }
}

/// Where one partition's keys of a range are in the index.
struct Bounds {
    /// What every key begins with, and how much of it is not the client's key.
    prefix: Vec<u8>,
    head: usize,
    /// Where to begin.
    start: Vec<u8>,
    /// The page before ended with exactly the key at the start. Without a page before, a key there is the first.
    starts_behind: bool,
}

impl Bounds {
    fn of(range: &ScanRange, partition: PartitionId) -> Bounds {
        // A key of one byte stands for "any key": what is in front of it is the head.
        let any = Key::new(Bytes::from_static(&[0])).expect("one byte is a key");
        let (space, class, bucket) = (range.space, range.class, range.bucket.clone());
        let mut prefix = RecordKey { space, class, partition, bucket, key: any }.to_index_bytes();
        prefix.pop();
        let head = prefix.len();
        let mut after = prefix.clone();
        prefix.extend_from_slice(&range.prefix);
        after.extend_from_slice(range.after.as_ref().map_or(&[][..], Key::as_bytes));
        let starts_behind = range.after.is_some() && after >= prefix;
        let start = if starts_behind { after } else { prefix.clone() };
        Bounds { prefix, head, start, starts_behind }
    }

    /// Whether a key of the index is the one that the page before ended with.
    fn is_passed(&self, key: &[u8]) -> bool {
        self.starts_behind && key == self.start
    }

    /// The client's key.
    fn key(&self, index_key: &[u8]) -> Option<Key> {
        Key::new(Bytes::copy_from_slice(&index_key[self.head..])).ok()
    }
}
