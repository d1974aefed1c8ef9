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
//! Its own flusher is off: the checkpoint decides when entries become durable. Entries are small and fed in key order,
//! which is what it is good at. Each entry costs about 400 bytes of memory whatever the cache setting says.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

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

impl IndexOpener for SledOpener {
    type Index = SledIndex;

    fn open(&mut self) -> Result<SledIndex, IndexError> {
        let config = sled::Config::new()
            .path(&self.directory)
            .cache_capacity(self.cache_bytes)
            .flush_every_ms(None)
            .print_profile_on_drop(false);
        let db = guarded(|| config.open()).map_err(|error| match error {
            IndexError::NoSpace => error,
            _ => IndexError::Unopenable,
        })?;
        Ok(SledIndex { db, directory: self.directory.clone() })
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

/// An open sled database with one tree: all entries, and the sentinel behind them.
#[derive(Debug)]
pub struct SledIndex {
    db: sled::Db,
    directory: PathBuf,
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<IndexEntry>, IndexError> {
        guarded(|| self.db.get(key))?.map(|bytes| decode_entry(&bytes)).transpose()
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
        guarded(|| self.db.apply_batch(changes))
    }

    fn scan(
        &self,
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &IndexEntry) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        let mut range = self.db.range(start..SENTINEL_KEY);
        // Only sled's own step is guarded: a panic of the visitor is the caller's.
        while let Some((key, bytes)) = guarded(|| range.next().transpose())? {
            if visit(&key, &decode_entry(&bytes)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn sentinel(&self) -> Result<Option<Sentinel>, IndexError> {
        guarded(|| self.db.get(SENTINEL_KEY))?.map(|bytes| decode_sentinel(&bytes)).transpose()
    }

    fn flush(&self) -> Result<(), IndexError> {
        guarded(|| self.db.flush())?;
        let data = File::open(self.directory.join(DATA_FILE)).map_err(|error| io_error(&error))?;
        data.sync_data().map_err(|error| io_error(&error))?;
        sync_directory(&self.directory).map_err(|error| io_error(&error))
    }

    fn size_on_disk(&self) -> Result<u64, IndexError> {
        guarded(|| self.db.size_on_disk())
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

    use tempfile::TempDir;

    use super::{DATA_FILE, SledOpener};
    use crate::conformance::index_checks;
    use crate::index::{
        EntryState, EntrySum, Index, IndexBatch, IndexEntry, IndexOpener, Sentinel, verify,
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
