//! A recorded run of a disk, and the disks that a power cut at any point of it could have left.

use super::SimFiles;
use super::disk::{Change, Disk, FileId, NameChange};
use crate::random::Stream;

/// One recorded change or sync. Opaque: it is made and replayed here only.
#[derive(Clone, Debug)]
#[expect(
    private_interfaces,
    reason = "the variants are for this module; outside, a recording is only counted"
)]
pub enum Recorded {
    /// A file's bytes changed.
    Change(FileId, Change),
    /// A file was synced.
    SyncFile(FileId),
    /// The directory changed.
    Names(NameChange),
    /// The directory was synced.
    SyncNames,
}

/// What a power cut does to one unsynced change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Kept,
    Lost,
    Torn { seed: u64 },
}

impl Fate {
    pub(super) fn drawn(stream: &mut Stream) -> Fate {
        match stream.below(3) {
            0 => Fate::Kept,
            1 => Fate::Lost,
            _ => Fate::Torn { seed: stream.next_u64() },
        }
    }
}

/// A recording in progress.
#[derive(Debug)]
pub struct Recording {
    pub(super) start: Disk,
    pub(super) files: SimFiles,
}

/// The state of a disk after some prefix of a recording.
#[derive(Clone, Debug)]
pub struct Prefix {
    disk: Disk,
}

impl Recording {
    /// Changes and syncs recorded so far.
    pub fn len(&self) -> usize {
        self.files.lock().recording.as_ref().map_or(0, Vec::len)
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The disk as it was before its `n`-th recorded operation.
    pub fn prefix(&self, n: usize) -> Prefix {
        let mut disk = self.start.clone();
        let state = self.files.lock();
        for recorded in state.recording.iter().flatten().take(n) {
            match recorded {
                Recorded::Change(file, change) => disk.change_file(*file, change.clone()),
                Recorded::SyncFile(file) => disk.sync_file(*file),
                Recorded::Names(change) => disk.change_names(change.clone()),
                Recorded::SyncNames => disk.sync_names(),
            }
        }
        Prefix { disk }
    }
}

impl Prefix {
    /// Changes that no sync has covered yet.
    pub fn unsynced(&self) -> usize {
        self.disk.unsynced()
    }

    /// The disk that a killed process leaves: everything, synced or not.
    pub fn killed(&self) -> SimFiles {
        SimFiles::from_disk(self.disk.clone())
    }

    /// The disk after a power cut that keeps exactly the unsynced changes whose bit is set (the last bit stands for
    /// all further ones, too).
    pub fn cut(&self, kept: u64) -> SimFiles {
        let fate = &mut |change: usize| {
            if kept >> change.min(63) & 1 == 1 { Fate::Kept } else { Fate::Lost }
        };
        SimFiles::from_disk(self.disk.crashed(fate))
    }

    /// The disk after a power cut that keeps, loses or tears each unsynced change by a seed.
    pub fn torn(&self, seed: u64) -> SimFiles {
        let mut stream = Stream::new(seed, "torn");
        SimFiles::from_disk(self.disk.crashed(&mut |_| Fate::drawn(&mut stream)))
    }
}
