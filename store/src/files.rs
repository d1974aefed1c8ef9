//! The seam to the disk: everything the store asks of a file system, and nothing more.
//!
//! A shard's log lives in one flat directory. The contract is the weak one that real disks keep:
//! - written bytes are visible to reads at once, but survive a power cut only after `sync_data` of *that file*;
//! - a new name, a rename or a removal survives only after `sync_dir`, whatever was synced in the file;
//! - a write that was not synced may survive whole, torn at a sector, or not at all, in any order;
//! - a failed `sync_data` says that the writes before it may be gone for good: trying again proves nothing.
//!
//! [`crate::disk_files`] is the real one; [`crate::sim_files`] takes every liberty the contract leaves.

use std::io;

/// What went wrong in a file operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FileErrorKind {
    /// The disk (or a quota) is full. Nothing can be assumed about how much was written.
    #[error("no space left")]
    NoSpace,
    /// No file has this name.
    #[error("no such file")]
    NotFound,
    /// A file of this name exists already.
    #[error("the file exists already")]
    AlreadyExists,
    /// Anything else, as the operating system named it.
    #[error("{0}")]
    Io(io::ErrorKind),
}

/// The operation that failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum FileOperation {
    /// Make a new file.
    Create,
    /// Open an existing file.
    Open,
    /// Read at an offset.
    Read,
    /// Write at an offset.
    Write,
    /// Make a file's bytes durable.
    SyncData,
    /// Make names durable.
    SyncDir,
    /// Give a file another name.
    Rename,
    /// Remove a name.
    Remove,
    /// List the names.
    List,
    /// Ask for a file's length.
    Len,
    /// Shorten a file.
    Truncate,
}

/// A failed file operation. A failed write or sync leaves the file in an unknown state: the store that made it stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{operation:?} failed: {kind}")]
pub struct FileError {
    /// What was asked for.
    pub operation: FileOperation,
    /// Why it failed.
    pub kind: FileErrorKind,
}

impl FileError {
    /// An error of `operation`.
    pub fn new(operation: FileOperation, kind: FileErrorKind) -> FileError {
        FileError { operation, kind }
    }

    /// The error that the operating system's `error` stands for.
    pub fn from_io(operation: FileOperation, error: &io::Error) -> FileError {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => FileErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => FileErrorKind::AlreadyExists,
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => FileErrorKind::NoSpace,
            other => FileErrorKind::Io(other),
        };
        FileError { operation, kind }
    }

    /// Whether the disk was full.
    pub fn is_no_space(&self) -> bool {
        self.kind == FileErrorKind::NoSpace
    }

    /// Whether the file does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == FileErrorKind::NotFound
    }
}

/// One flat directory.
pub trait Files: Send + Sync + 'static {
    /// An open file. Dropping it closes it and makes nothing durable.
    type File: File;

    /// Makes a new empty file and opens it.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken; otherwise what the disk says.
    fn create(&self, name: &str) -> Result<Self::File, FileError>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is none; otherwise what the disk says.
    fn open(&self, name: &str) -> Result<Self::File, FileError>;

    /// Gives a file another name, replacing what had that name before. A crash leaves the one or the other, never
    /// neither.
    ///
    /// # Errors
    /// What the disk says.
    fn rename(&self, from: &str, to: &str) -> Result<(), FileError>;

    /// Removes a name. Open files stay readable.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, name: &str) -> Result<(), FileError>;

    /// All names, in ascending order.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self) -> Result<Vec<String>, FileError>;

    /// Makes all creations, renames and removals so far durable.
    ///
    /// # Errors
    /// What the disk says. The names may be lost in the next power cut.
    fn sync_dir(&self) -> Result<(), FileError>;
}

/// An open file with positioned reads and writes. Shared between the threads of a shard.
pub trait File: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`; a gap before it reads as zeros.
    ///
    /// # Errors
    /// What the disk says. Any part may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError>;

    /// Fills `buffer` from `offset` and says how many bytes there were; fewer than asked for only at the file's end.
    ///
    /// # Errors
    /// What the disk says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError>;

    /// Makes all bytes written to this file so far durable, and its length with them (fdatasync).
    ///
    /// # Errors
    /// What the disk says. The bytes written before are in doubt for ever.
    fn sync_data(&self) -> Result<(), FileError>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn len(&self) -> Result<u64, FileError>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn is_empty(&self) -> Result<bool, FileError> {
        Ok(self.len()? == 0)
    }

    /// Shortens the file to `len` bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn truncate(&self, len: u64) -> Result<(), FileError>;
}

/// How many zeros one preallocating write carries: large enough to stream, small enough not to matter in memory.
static ZEROS: [u8; 128 * 1024] = [0; 128 * 1024];

/// How many of them are made durable at a time. A batch that is synced meanwhile waits for no more than this.
const PREALLOCATED_PART: u64 = 1024 * 1024;

/// Writes `len` zeros from the file's start and makes them durable, so that later writes into them can neither run out of
/// space nor change the file's metadata (which is what makes their fdatasync cheap).
///
/// # Errors
/// What the disk says; the caller removes the file.
pub fn preallocate<F: File>(file: &F, len: u64) -> Result<(), FileError> {
    let mut offset = 0;
    while offset < len {
        let part = (len - offset).min(ZEROS.len() as u64);
        file.write_at(offset, &ZEROS[..part as usize])?;
        offset += part;
        if offset == len || offset % PREALLOCATED_PART == 0 {
            file.sync_data()?;
        }
    }
    Ok(())
}
