//! A directory that goes with the last process that uses it.
//!
//! `kv dev` without `--dir` removes its temporary directory when it ends, unless it is killed: then its nodes, who end
//! because it did, do it. Each of them holds a shared lock on a file there; who leaves and can then have the lock for itself
//! was the last one. The kernel takes the locks of those who were killed, so nobody counts wrong.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// The file that says that the directory goes with its last user. Without it the directory stays.
const MARK: &str = "temporary";

/// Marks a directory as one that goes with its last user.
///
/// # Errors
/// A failure that names the file.
pub(crate) fn mark(directory: &Path) -> Outcome<()> {
    let path = directory.join(MARK);
    File::create(&path).map(drop).map_err(|error| Failure::file("create", &path, &error))
}

/// Lets a marked directory stay.
pub(crate) fn keep(directory: &Path) {
    // One that was never marked stays anyway.
    let _ = fs::remove_file(directory.join(MARK));
}

/// A process that uses a marked directory.
#[derive(Debug)]
pub(crate) struct Occupant {
    directory: PathBuf,
    lock: File,
}

impl Occupant {
    /// Uses the directory from now on; `None` when it is not marked, or is being removed.
    pub(crate) fn enter(directory: &Path) -> Option<Occupant> {
        let lock = File::open(directory.join(MARK)).ok()?;
        lock.try_lock_shared().ok()?;
        Some(Occupant { directory: directory.to_owned(), lock })
    }

    /// Does not use it any more, and removes it if nobody else does. What cannot be removed stays: nobody is left to be
    /// told.
    pub(crate) fn leave(self) {
        let is_last = self.lock.unlock().is_ok() && self.lock.try_lock().is_ok();
        if is_last && self.directory.join(MARK).exists() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Occupant, keep, mark};

    #[test]
    fn the_last_one_out_removes_a_marked_directory() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let directory = root.path().join("cluster");
        std::fs::create_dir(&directory).expect("created");
        assert!(Occupant::enter(&directory).is_none(), "not marked");
        mark(&directory).expect("marked");
        let enter = || Occupant::enter(&directory).expect("marked");
        let (first, killed, last) = (enter(), enter(), enter());
        first.leave();
        drop(killed);
        assert!(directory.exists());
        last.leave();
        assert!(!directory.exists());
    }

    #[test]
    fn a_directory_that_is_kept_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        mark(directory.path()).expect("marked");
        let occupant = Occupant::enter(directory.path()).expect("marked");
        keep(directory.path());
        occupant.leave();
        assert!(directory.path().exists());
    }
}
