//! The ordered index over sled. The only file that knows sled.
//!
//! What sled 0.34.7 does not promise is what this file is about:
//! - its `flush` ends in `sync_file_range`, which puts nothing behind a disk's write cache and no metadata: a power cut
//!   after it loses everything. So every flush is followed by our own fdatasync of its file and its directory;
//! - after a power cut it may open empty, without an error. The sentinel tells: an index without the one that the
//!   shard's manifest expects is damaged;
//! - on damaged or missing pages it panics, in opening and later. So every call is guarded, a panic is an error like any
//!   other, and the index is rebuilt from the segments. (This is why every build profile unwinds.)
//!
//! - after a write that found no space it refuses every other one for ever, but goes on reading. So it is opened again once there
//!   is space, and is behind then: what it held in memory is lost.
//!
//! Its own flusher is off: the checkpoint decides when entries become durable. Entries are small and fed in key order,
//! which is what it is good at. Each entry costs about 400 bytes of memory whatever the cache setting says.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::disk_files::sync_directory;
use crate::index::{Index, IndexBatch, IndexEntry, IndexError, IndexOpener, Sentinel};
use crate::index_value::{decode_entry, decode_sentinel, encode_entry, encode_sentinel};

/// The key of the sentinel: after every record's key, whose first byte is 0 or 1.
const SENTINEL_KEY: &[u8] = &[0xff];

/// sled's data file within its directory.
const DATA_FILE: &str = "db";

/// Opens sled in a directory of its own.
#[derive(Debug, Clone)]
pub struct SledOpener {
    directory: PathBuf,
    cache_bytes: u64,
}

impl SledOpener {
    /// The index in `directory`; `cache_bytes` is handed to sled, which treats it as a wish.
    pub fn new(directory: &Path, cache_bytes: u64) -> SledOpener {
        SledOpener { directory: directory.to_path_buf(), cache_bytes }
    }
}

impl SledOpener {
    fn open_db(&self) -> Result<sled::Db, IndexError> {
        let config = sled::Config::new()
            .path(&self.directory)
            .cache_capacity(self.cache_bytes)
            .flush_every_ms(None)
            .print_profile_on_drop(false);
        guarded(|| config.open()).map_err(|error| match error {
            IndexError::NoSpace => error,
            _ => IndexError::Unopenable,
        })
    }

    /// Whether there is space for some growth: tried out beside the index, because opening sled on a full disk may spoil it.
    fn has_room(&self) -> bool {
        let probe = self.directory.with_extension("probe");
        let fill = || {
            let mut file = File::create(&probe)?;
            for _ in 0..PROBE_BYTES / ZEROS.len() {
                file.write_all(&ZEROS)?;
            }
            file.sync_data()
        };
        let filled = fill();
        // What cannot be removed is overwritten by the next one.
        let _ = fs::remove_file(&probe);
        filled.is_ok()
    }
}

impl IndexOpener for SledOpener {
    type Index = SledIndex;

    fn open(&mut self) -> Result<SledIndex, IndexError> {
        let db = RwLock::new(Some(self.open_db()?));
        let (is_stuck, is_behind) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(SledIndex { db, opener: self.clone(), is_stuck, is_behind })
    }

    fn size_on_disk(&self) -> Option<u64> {
        fs::metadata(self.directory.join(DATA_FILE)).ok().map(|data| data.len())
    }

    fn destroy(&mut self) -> Result<(), IndexError> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&error)),
            _ => {}
        }
        // The removal itself must last: an old index that came back after a crash would carry a valid old sentinel.
        let parent = self.directory.parent();
        parent.map_or(Ok(()), sync_directory).map_err(|error| io_error(&error))
    }
}

/// What must fit on the disk before an index that found no space is opened again: some of its segments.
const PROBE_BYTES: usize = 8 * 1024 * 1024;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// An open sled database with one tree: all entries, and the sentinel behind them.
#[derive(Debug)]
pub struct SledIndex {
    /// None when it could not be opened again.
    db: RwLock<Option<sled::Db>>,
    opener: SledOpener,
    /// A write found no space.
    is_stuck: AtomicBool,
    /// It was opened again since.
    is_behind: AtomicBool,
}

impl SledIndex {
    /// Calls sled.
    fn with<T>(
        &self,
        call: impl FnOnce(&sled::Db) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        if self.is_behind.load(Ordering::Acquire) {
            return Err(IndexError::Behind);
        }
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.as_ref().map_or(Err(IndexError::Unopenable), call)
    }

    /// Has sled write something.
    fn write<T>(&self, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, IndexError> {
        if self.is_stuck.load(Ordering::Acquire) {
            self.open_again()?;
        }
        let written = self.with(|db| guarded(|| call(db)));
        if matches!(written, Err(IndexError::NoSpace)) {
            self.is_stuck.store(true, Ordering::Release);
        }
        written
    }

    /// Opens sled again if there is space. Nobody reads it before it is caught up with the log.
    fn open_again(&self) -> Result<(), IndexError> {
        if !self.opener.has_room() {
            return Err(IndexError::NoSpace);
        }
        self.is_behind.store(true, Ordering::Release);
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // The old one first: it holds the lock of the file.
        drop(db.take());
        *db = Some(self.opener.open_db()?);
        self.is_stuck.store(false, Ordering::Release);
        Ok(())
    }
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<IndexEntry>, IndexError> {
        self.with(|db| guarded(|| db.get(key))?.map(|bytes| decode_entry(&bytes)).transpose())
    }

    fn apply(&self, batch: &IndexBatch) -> Result<(), IndexError> {
        let mut changes = sled::Batch::default();
        let mut bytes = Vec::with_capacity(64);
        for (key, entry) in &batch.changes {
            match entry {
                Some(entry) => {
                    bytes.clear();
                    encode_entry(entry, &mut bytes);
                    changes.insert(&key[..], &bytes[..]);
                }
                None => changes.remove(&key[..]),
            }
        }
        changes.insert(SENTINEL_KEY, encode_sentinel(&batch.sentinel));
        self.write(|db| db.apply_batch(changes))
    }

    fn scan(
        &self,
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &IndexEntry) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        self.with(|db| {
            let mut range = db.range(start..SENTINEL_KEY);
            // Only sled's own step is guarded: a panic of the visitor is the caller's.
            while let Some((key, bytes)) = guarded(|| range.next().transpose())? {
                if visit(&key, &decode_entry(&bytes)?).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn sentinel(&self) -> Result<Option<Sentinel>, IndexError> {
        let found = self.with(|db| guarded(|| db.get(SENTINEL_KEY)))?;
        found.map(|bytes| decode_sentinel(&bytes)).transpose()
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.write(|db| db.flush())?;
        let directory = &self.opener.directory;
        let data = File::open(directory.join(DATA_FILE)).map_err(|error| io_error(&error))?;
        data.sync_data().map_err(|error| io_error(&error))?;
        sync_directory(directory).map_err(|error| io_error(&error))
    }

    fn size_on_disk(&self) -> Result<u64, IndexError> {
        self.with(|db| guarded(|| db.size_on_disk()))
    }

    fn catch_up(&self) {
        self.is_behind.store(false, Ordering::Release);
    }
}

/// Runs a call of sled's; a panic counts as damage. Nothing of ours is borrowed mutably across it but sled's own state,
/// which the caller gives up after an error.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| sled_error(&error)),
        Err(_) => Err(IndexError::Damaged),
    }
}

fn sled_error(error: &sled::Error) -> IndexError {
    match error {
        sled::Error::Io(error) => io_error(error),
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => IndexError::Damaged,
        sled::Error::CollectionNotFound(_) | sled::Error::Unsupported(_) => IndexError::Io,
    }
}

fn io_error(error: &io::Error) -> IndexError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => IndexError::NoSpace,
        _ => IndexError::Io,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use tempfile::TempDir;

    use super::{DATA_FILE, SledOpener};
    use crate::conformance::index_checks;
    use crate::index::{
        EntryState, EntrySum, Index, IndexBatch, IndexEntry, IndexError, IndexOpener, Sentinel,
        verify,
    };
    use crate::location::Location;

    const CACHE_BYTES: u64 = 1 << 20;
    const ENTRIES: u64 = 2_000;

    #[test]
    fn sled_keeps_the_contract_of_an_index() {
        let root = TempDir::new().unwrap();
        let mut made = 0;
        index_checks::check_all(|| {
            made += 1;
            SledOpener::new(&root.path().join(made.to_string()), CACHE_BYTES)
        });
    }

    fn filled(directory: &Path) -> Sentinel {
        let index = SledOpener::new(directory, CACHE_BYTES).open().unwrap();
        let mut sum = EntrySum::default();
        let mut sentinel = Sentinel::default();
        for batch in 0..10 {
            let keys = (batch * ENTRIES / 10)..((batch + 1) * ENTRIES / 10);
            let changes = keys.map(|number| {
                let key = number.to_be_bytes();
                sum.add(&key, number);
                (key[..].into(), Some(entry(number)))
            });
            let changes = changes.collect();
            sentinel = Sentinel { store_id: 9, batch, sum };
            index.apply(&IndexBatch { changes, sentinel }).unwrap();
        }
        index.flush().unwrap();
        sentinel
    }

    fn entry(sequence: u64) -> IndexEntry {
        let location = Location::default();
        IndexEntry {
            sequence,
            location,
            state: EntryState::Record,
            values: 1,
            value_bytes: 9,
            digest: 3,
        }
    }

    /// Whether the index at `directory` opens and agrees with the sentinel, which is what the shard asks before it trusts it.
    fn is_trusted(directory: &Path, sentinel: Sentinel) -> bool {
        let Ok(index) = SledOpener::new(directory, CACHE_BYTES).open() else { return false };
        index.sentinel() == Ok(Some(sentinel)) && verify(&index, |_, _| {}) == Ok(true)
    }

    #[test]
    fn a_flushed_index_is_trusted_after_reopening() {
        let root = TempDir::new().unwrap();
        let directory = root.path().join("index");
        let sentinel = filled(&directory);
        assert!(is_trusted(&directory, sentinel));
    }

    #[test]
    fn an_index_that_found_no_space_is_opened_again_and_answers_nothing_before_it_is_caught_up() {
        let root = TempDir::new().unwrap();
        let directory = root.path().join("index");
        let sentinel = filled(&directory);
        let index = SledOpener::new(&directory, CACHE_BYTES).open().unwrap();
        let more = Sentinel { batch: 99, ..sentinel };
        index.apply(&IndexBatch { changes: Vec::new(), sentinel: more }).unwrap();
        index.is_stuck.store(true, Ordering::Release);
        assert_eq!(index.sentinel(), Ok(Some(more)), "it goes on reading");
        let batch = IndexBatch { changes: Vec::new(), sentinel: more };
        assert_eq!(index.apply(&batch), Err(IndexError::Behind));
        assert_eq!(index.get(&7_u64.to_be_bytes()), Err(IndexError::Behind));
        index.catch_up();
        assert!(index.get(&7_u64.to_be_bytes()).unwrap().is_some());
        index.apply(&batch).unwrap();
        index.flush().unwrap();
        assert_eq!(index.sentinel(), Ok(Some(more)));
    }

    #[test]
    fn a_damaged_data_file_is_never_trusted_silently_and_never_a_panic() {
        let root = TempDir::new().unwrap();
        let directory = root.path().join("index");
        let sentinel = filled(&directory);
        let data_file = directory.join(DATA_FILE);
        let whole = fs::read(&data_file).unwrap();
        let zeroed_from = |from: usize| {
            let mut bytes = whole.clone();
            bytes[from..].fill(0);
            bytes
        };
        let spoiled = [
            ("emptied", Vec::new()),
            ("cut to a third", whole[..whole.len() / 3].to_vec()),
            ("zeroed", zeroed_from(0)),
            ("zeroed behind its first sector", zeroed_from(512)),
        ];
        for (what, bytes) in spoiled {
            fs::write(&data_file, bytes).unwrap();
            assert!(!is_trusted(&directory, sentinel), "trusted although {what}");
            // Out of the way it goes, and an empty one takes its place.
            let mut opener = SledOpener::new(&directory, CACHE_BYTES);
            opener.destroy().unwrap();
            assert_eq!(opener.open().unwrap().sentinel(), Ok(None));
            fs::write(&data_file, &whole).unwrap();
        }
    }
}
