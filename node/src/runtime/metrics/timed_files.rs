//! The store's files with a watch beside every sync.
//!
//! A sync is what an acknowledgement waits for, so its time is the first thing to look at when writes are slow. The store
//! itself reads no clock; this stands between it and the disk.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use kvorum_store::{File, FileError, Files};

use crate::runtime::metrics::histogram::Histogram;

/// The thread whose syncs clients wait for.
const COMMITTER: &str = "kv-committer";

/// Times of syncs since the process began.
#[derive(Default, Debug)]
pub(crate) struct SyncTimes {
    /// By the committer: one for each batch of writes.
    pub(crate) commits: Histogram,
    /// By everybody else: new segments, the manifest, directories.
    pub(crate) others: Histogram,
}

impl SyncTimes {
    fn time<T>(&self, sync: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = sync();
        let is_commit = thread::current().name() == Some(COMMITTER);
        let histogram = if is_commit { &self.commits } else { &self.others };
        histogram.record(begun.elapsed());
        done
    }
}

/// Files whose syncs are timed.
#[derive(Debug)]
pub(crate) struct TimedFiles<F> {
    files: F,
    times: Arc<SyncTimes>,
}

impl<F> TimedFiles<F> {
    pub(crate) fn new(files: F, times: Arc<SyncTimes>) -> TimedFiles<F> {
        TimedFiles { files, times }
    }

    fn timed<T>(&self, file: T) -> TimedFile<T> {
        TimedFile { file, times: Arc::clone(&self.times) }
    }
}

impl<F: Files> Files for TimedFiles<F> {
    type File = TimedFile<F::File>;

    fn create(&self, name: &str) -> Result<Self::File, FileError> {
        self.files.create(name).map(|file| self.timed(file))
    }

    fn open(&self, name: &str) -> Result<Self::File, FileError> {
        self.files.open(name).map(|file| self.timed(file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), FileError> {
        self.files.remove(name)
    }

    fn list(&self) -> Result<Vec<String>, FileError> {
        self.files.list()
    }

    fn sync_dir(&self) -> Result<(), FileError> {
        self.times.time(|| self.files.sync_dir())
    }
}

/// An open file whose syncs are timed.
#[derive(Debug)]
pub(crate) struct TimedFile<F> {
    file: F,
    times: Arc<SyncTimes>,
}

impl<F: File> File for TimedFile<F> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        self.file.read_at(offset, buffer)
    }

    fn sync_data(&self) -> Result<(), FileError> {
        self.times.time(|| self.file.sync_data())
    }

    fn len(&self) -> Result<u64, FileError> {
        self.file.len()
    }

    fn truncate(&self, len: u64) -> Result<(), FileError> {
        self.file.truncate(len)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use kvorum_store::{DiskFiles, File, Files};

    use super::{COMMITTER, SyncTimes, TimedFiles};

    #[test]
    fn a_sync_is_counted_for_the_thread_that_waited_for_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let times = Arc::new(SyncTimes::default());
        let disk = DiskFiles::new(directory.path()).expect("files");
        let files = TimedFiles::new(disk, Arc::clone(&times));
        let file = files.create("a").expect("a new file");
        file.write_at(0, b"bytes").expect("written");
        thread::scope(|scope| {
            let committer = thread::Builder::new().name(COMMITTER.to_owned());
            committer.spawn_scoped(scope, || file.sync_data().expect("synced")).expect("a thread");
        });
        files.sync_dir().expect("synced");
        let sum = |counts: [u64; 42]| counts.iter().sum::<u64>();
        assert_eq!((sum(times.commits.counts()), sum(times.others.counts())), (1, 1));
    }
}
