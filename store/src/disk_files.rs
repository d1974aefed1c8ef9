//! [`Files`] over a real directory. One of the two files of the store that touch a disk; it holds no policy.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files::{File, FileError, FileErrorKind, FileOperation, Files};

/// A directory on a real disk.
#[derive(Debug, Clone)]
pub struct DiskFiles {
    directory: PathBuf,
}

impl DiskFiles {
    /// The files in `directory`, which is made (with its parents) when it does not exist.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(directory: &Path) -> Result<DiskFiles, FileError> {
        let failed = |error: std::io::Error| FileError::from_io(FileOperation::Create, &error);
        fs::create_dir_all(directory).map_err(failed)?;
        // The directory's own name must survive, too: without it every file in it is lost.
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent).map_err(sync_failed)?;
        }
        Ok(DiskFiles { directory: directory.to_path_buf() })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

fn sync_failed(error: io::Error) -> FileError {
    FileError::from_io(FileOperation::SyncDir, &error)
}

impl Files for DiskFiles {
    type File = DiskFile;

    fn create(&self, name: &str) -> Result<DiskFile, FileError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name));
        file.map(|file| DiskFile { file })
            .map_err(|error| FileError::from_io(FileOperation::Create, &error))
    }

    fn open(&self, name: &str) -> Result<DiskFile, FileError> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(name));
        file.map(|file| DiskFile { file })
            .map_err(|error| FileError::from_io(FileOperation::Open, &error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        fs::rename(self.path(from), self.path(to))
            .map_err(|error| FileError::from_io(FileOperation::Rename, &error))
    }

    fn remove(&self, name: &str) -> Result<(), FileError> {
        fs::remove_file(self.path(name))
            .map_err(|error| FileError::from_io(FileOperation::Remove, &error))
    }

    fn list(&self) -> Result<Vec<String>, FileError> {
        let failed = |error: std::io::Error| FileError::from_io(FileOperation::List, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A name that is not UTF-8 is none of ours.
            if let (true, Ok(name)) =
                (entry.file_type().map_err(failed)?.is_file(), entry.file_name().into_string())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self) -> Result<(), FileError> {
        sync_directory(&self.directory).map_err(sync_failed)
    }
}

/// An open file on a real disk.
#[derive(Debug)]
pub struct DiskFile {
    file: fs::File,
}

impl File for DiskFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all_at(bytes, offset).map_err(|error| match error.kind() {
            // A write of nothing means that there was no room.
            std::io::ErrorKind::WriteZero => {
                FileError::new(FileOperation::Write, FileErrorKind::NoSpace)
            }
            _ => FileError::from_io(FileOperation::Write, &error),
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::from_io(FileOperation::Read, &error)),
            }
        }
        Ok(filled)
    }

    fn sync_data(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(|error| FileError::from_io(FileOperation::SyncData, &error))
    }

    fn len(&self) -> Result<u64, FileError> {
        let metadata =
            self.file.metadata().map_err(|error| FileError::from_io(FileOperation::Len, &error))?;
        Ok(metadata.len())
    }

    fn truncate(&self, len: u64) -> Result<(), FileError> {
        self.file.set_len(len).map_err(|error| FileError::from_io(FileOperation::Truncate, &error))
    }
}
