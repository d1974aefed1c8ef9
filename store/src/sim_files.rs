//! A disk that takes every liberty [`crate::files`] leaves it, deterministically.
//!
//! Each file keeps what is *synced* and, in order, every change since; the directory does the same for names. Reads see
//! all of it. A crash keeps the synced state and a chosen part of the rest: any subset of the unsynced changes, each whole
//! or torn at a sector. Two ways to choose: a seed ([`SimFiles::crash`]), or an exact cut through a recorded run
//! ([`Recording::prefix`]), which is what the exhaustive crash tests do.
//!
//! Faults: the n-th operation fails ([`SimFiles::fail_nth`]), nothing can be read ([`SimFiles::set_unreadable`]), the disk is full ([`SimFiles::set_capacity`]), bits flip
//! for good ([`SimFiles::flip`]). After a failed sync the unsynced bytes are gone although reads still show them, as on
//! Linux; syncing again says yes and saves nothing.

mod disk;
mod recording;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::files::{File, FileError, FileErrorKind, FileOperation, Files};
use crate::random::Stream;
use disk::{Change, Disk, FileId, NameChange};
pub use recording::{Recorded, Recording};

/// Bytes that a disk writes as one. Smaller than that nothing is torn.
pub const SECTOR_BYTES: u64 = 512;

/// What to do to one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It fails with an I/O error and has no effect.
    Eio,
    /// It fails for want of space and has no effect.
    NoSpace,
    /// Half of a write is written, then the disk is full. For anything but a write the same as `NoSpace`.
    ShortWrite,
    /// A read comes back with one bit wrong, once. No effect on anything but a read.
    FlipRead,
    /// The process dies in it, and its life on this disk is over. A write is under way then: a power cut keeps it, loses it
    /// or tears it. Anything else has no effect.
    Death,
}

impl Fault {
    /// The faults that report an error.
    pub const ERRORS: [Fault; 3] = [Fault::Eio, Fault::NoSpace, Fault::ShortWrite];
}

/// A simulated directory. Cloning shares it; a crash cuts off everything opened before it.
#[derive(Clone, Debug, Default)]
pub struct SimFiles {
    state: Arc<Mutex<State>>,
    /// Handles and clones of an earlier life only get errors.
    life: u64,
}

#[derive(Clone, Debug, Default)]
struct State {
    disk: Disk,
    life: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    unreadable: bool,
    capacity: Option<u64>,
    recording: Option<Vec<Recorded>>,
    syncs: u64,
    bytes_written: u64,
}

/// A disk at one moment, with who has it open.
#[derive(Clone, Debug)]
pub struct FilesMoment(State);

/// What the disk was asked for so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SimCounts {
    /// Operations of any kind.
    pub operations: u64,
    /// Syncs of files and of the directory.
    pub syncs: u64,
    /// Bytes of all writes.
    pub bytes_written: u64,
}

impl SimFiles {
    /// An empty disk.
    pub fn new() -> SimFiles {
        SimFiles::default()
    }

    fn from_disk(disk: Disk) -> SimFiles {
        let state = State { disk, ..State::default() };
        SimFiles { state: Arc::new(Mutex::new(state)), life: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk of its own that holds the same, synced and unsynced.
    pub fn snapshot(&self) -> SimFiles {
        SimFiles::from_disk(self.lock().disk.clone())
    }

    /// Cuts the power: keeps what was synced and a seeded part of the rest, and gives the disk of the next life. What
    /// was opened before only fails from now on.
    pub fn crash(&self, seed: u64) -> SimFiles {
        let mut stream = Stream::new(seed, "crash");
        self.end_life(|disk| disk.crashed(&mut |_| recording::Fate::drawn(&mut stream)))
    }

    /// Kills the process but not the machine: everything written comes back, synced or not, and what was not synced
    /// stays so.
    pub fn kill(&self) -> SimFiles {
        self.end_life(Disk::clone)
    }

    fn end_life(&self, next: impl FnOnce(&Disk) -> Disk) -> SimFiles {
        let mut state = self.lock();
        state.disk = next(&state.disk);
        state.life += 1;
        (state.fault, state.unreadable) = (None, false);
        SimFiles { state: self.state.clone(), life: state.life }
    }

    /// The present moment, for [`SimFiles::return_to`].
    pub fn moment(&self) -> FilesMoment {
        FilesMoment(self.lock().clone())
    }

    /// Goes back in time. What was open at that moment is of use again, what was opened after it is not.
    pub fn return_to(&self, moment: &FilesMoment) {
        *self.lock() = moment.0.clone();
    }

    /// Makes the n-th operation from now (0 is the next one) meet `fault`, once.
    pub fn fail_nth(&self, n: u64, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.operations + n, fault));
    }

    /// Whether a fault set by [`SimFiles::fail_nth`] has not been met yet.
    pub fn fault_is_pending(&self) -> bool {
        self.lock().fault.is_some()
    }

    /// Lets every reading of a file fail until it is told otherwise or the life ends, as a disk that takes writes and does not
    /// answer.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.lock().unreadable = unreadable;
    }

    /// Lets all files together hold at most so many bytes; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.lock().disk.used()
    }

    /// Flips bits of one byte for good, synced or not. Returns false when the file has no such byte.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) -> bool {
        self.lock().disk.flip(name, offset, mask)
    }

    /// Starts recording every change of this disk from its present synced state on.
    pub fn start_recording(&self) -> Recording {
        let mut state = self.lock();
        state.recording = Some(Vec::new());
        Recording { start: state.disk.clone(), files: self.clone() }
    }

    /// What the disk was asked for so far, in all lives.
    pub fn counts(&self) -> SimCounts {
        let state = self.lock();
        SimCounts {
            operations: state.operations,
            syncs: state.syncs,
            bytes_written: state.bytes_written,
        }
    }

    /// Runs one operation: counts it, lets a fault hit it, and hands the disk over.
    fn operate<T>(
        &self,
        operation: FileOperation,
        run: impl FnOnce(&mut State, Option<Fault>) -> Result<T, FileErrorKind>,
    ) -> Result<T, FileError> {
        let mut state = self.lock();
        if state.life != self.life {
            return Err(FileError::new(
                operation,
                FileErrorKind::Io(std::io::ErrorKind::NotConnected),
            ));
        }
        let number = state.operations;
        state.operations += 1;
        let fault = state.fault.take_if(|(at, _)| *at <= number).map(|(_, fault)| fault);
        // A sync that meets it must not take it for a failure.
        let fault =
            fault.filter(|fault| *fault != Fault::FlipRead || operation == FileOperation::Read);
        let failed = match fault {
            Some(Fault::Death) => return Err(state.die_in(operation, fault, run)),
            Some(Fault::Eio) => Some(FileErrorKind::Io(std::io::ErrorKind::Other)),
            Some(Fault::NoSpace) => Some(FileErrorKind::NoSpace),
            Some(Fault::ShortWrite) if operation != FileOperation::Write => {
                Some(FileErrorKind::NoSpace)
            }
            Some(Fault::ShortWrite | Fault::FlipRead) | None => {
                let fails = state.unreadable && operation == FileOperation::Read;
                fails.then_some(FileErrorKind::Io(std::io::ErrorKind::Other))
            }
        };
        if let Some(kind) = failed {
            // A sync that fails must forget what it failed to save; `run` sees the fault and does so.
            if operation == FileOperation::SyncData {
                let _ = run(&mut state, fault);
            }
            return Err(FileError::new(operation, kind));
        }
        run(&mut state, fault).map_err(|kind| FileError::new(operation, kind))
    }

    fn change_names(
        &self,
        operation: FileOperation,
        make: impl FnOnce(&Disk) -> Result<NameChange, FileErrorKind>,
    ) -> Result<(), FileError> {
        self.operate(operation, |state, _| {
            let change = make(&state.disk)?;
            state.record(Recorded::Names(change.clone()));
            state.disk.change_names(change);
            Ok(())
        })
    }
}

impl State {
    /// Ends the present life in the middle of an operation.
    fn die_in<T>(
        &mut self,
        operation: FileOperation,
        fault: Option<Fault>,
        run: impl FnOnce(&mut State, Option<Fault>) -> Result<T, FileErrorKind>,
    ) -> FileError {
        if operation == FileOperation::Write {
            // Whether it got as far as the disk is for the crash to say, as with everything that is not synced.
            let _ = run(self, fault);
        }
        self.life += 1;
        FileError::new(operation, FileErrorKind::Io(std::io::ErrorKind::NotConnected))
    }

    fn record(&mut self, recorded: Recorded) {
        if let Some(recording) = &mut self.recording {
            recording.push(recorded);
        }
    }

    fn change_file(&mut self, file: FileId, change: Change) {
        self.record(Recorded::Change(file, change.clone()));
        self.disk.change_file(file, change);
    }

    fn write(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Result<(), FileErrorKind> {
        let end = offset + bytes.len() as u64;
        let grown = end.saturating_sub(self.disk.len(file));
        if self.capacity.is_some_and(|capacity| self.disk.used() + grown > capacity) {
            return Err(FileErrorKind::NoSpace);
        }
        self.bytes_written += bytes.len() as u64;
        self.change_file(file, Change::Write { offset, bytes: bytes.into() });
        Ok(())
    }
}

impl Files for SimFiles {
    type File = SimFile;

    fn create(&self, name: &str) -> Result<SimFile, FileError> {
        let mut made = None;
        self.change_names(FileOperation::Create, |disk| {
            if disk.lookup(name).is_some() {
                return Err(FileErrorKind::AlreadyExists);
            }
            let file = disk.next_file();
            made = Some(file);
            Ok(NameChange::Create { name: name.into(), file })
        })?;
        let file = made.ok_or(FileError::new(FileOperation::Create, FileErrorKind::NotFound))?;
        Ok(SimFile { files: self.clone(), file })
    }

    fn open(&self, name: &str) -> Result<SimFile, FileError> {
        let file = self.operate(FileOperation::Open, |state, _| {
            state.disk.lookup(name).ok_or(FileErrorKind::NotFound)
        })?;
        Ok(SimFile { files: self.clone(), file })
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.change_names(FileOperation::Rename, |disk| {
            let file = disk.lookup(from).ok_or(FileErrorKind::NotFound)?;
            Ok(NameChange::Rename { from: from.into(), to: to.into(), file })
        })
    }

    fn remove(&self, name: &str) -> Result<(), FileError> {
        self.change_names(FileOperation::Remove, |disk| {
            disk.lookup(name).ok_or(FileErrorKind::NotFound)?;
            Ok(NameChange::Remove { name: name.into() })
        })
    }

    fn list(&self) -> Result<Vec<String>, FileError> {
        self.operate(FileOperation::List, |state, _| Ok(state.disk.list()))
    }

    fn sync_dir(&self) -> Result<(), FileError> {
        self.operate(FileOperation::SyncDir, |state, _| {
            state.syncs += 1;
            state.record(Recorded::SyncNames);
            state.disk.sync_names();
            Ok(())
        })
    }
}

/// An open file of [`SimFiles`].
#[derive(Debug)]
pub struct SimFile {
    files: SimFiles,
    file: FileId,
}

impl File for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.files.operate(FileOperation::Write, |state, fault| {
            if fault == Some(Fault::ShortWrite) {
                state.write(self.file, offset, &bytes[..bytes.len() / 2])?;
                return Err(FileErrorKind::NoSpace);
            }
            state.write(self.file, offset, bytes)
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        self.files.operate(FileOperation::Read, |state, fault| {
            let read = state.disk.read(self.file, offset, buffer);
            if let (Some(Fault::FlipRead), true) = (fault, read > 0) {
                buffer[read / 2] ^= 0x10;
            }
            Ok(read)
        })
    }

    fn sync_data(&self) -> Result<(), FileError> {
        self.files.operate(FileOperation::SyncData, |state, fault| {
            state.syncs += 1;
            if fault.is_some_and(|fault| Fault::ERRORS.contains(&fault)) {
                state.disk.forget_unsynced(self.file);
            } else {
                state.record(Recorded::SyncFile(self.file));
                state.disk.sync_file(self.file);
            }
            Ok(())
        })
    }

    fn len(&self) -> Result<u64, FileError> {
        self.files.operate(FileOperation::Len, |state, _| Ok(state.disk.len(self.file)))
    }

    fn truncate(&self, len: u64) -> Result<(), FileError> {
        self.files.operate(FileOperation::Truncate, |state, _| {
            state.change_file(self.file, Change::Truncate { len });
            Ok(())
        })
    }
}
