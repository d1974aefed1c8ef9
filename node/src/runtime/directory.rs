//! A node's directory: who uses it, and what is kept in it besides the store.
//!
//! `LOCK` is held for the life of the process, by the operating system's lock and not by the file's existence, so a
//! killed process leaves nothing to clean up. `STARTS` counts the starts: it gives each life of the node a higher number
//! than the one before, and its existence says that a store was here, so that a log that is gone is known to be lost.
//! `facts` holds the cluster facts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use kvorum_gossip::FactSet;
use kvorum_gossip::facts::decode_file;

use crate::runtime::error::RunError;

const LOCK_FILE: &str = "LOCK";
const STARTS_FILE: &str = "STARTS";
const FACTS_FILE: &str = "facts";

/// A directory that this process, and no other, uses.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    starts: u64,
    _lock: File,
}

impl Directory {
    /// Takes a directory into use.
    ///
    /// # Errors
    /// [`RunError::Locked`] names the process that uses it already.
    pub(crate) fn open(root: &Path) -> Result<Directory, RunError> {
        let lock = lock(&root.join(LOCK_FILE))?;
        let starts = read_starts(&root.join(STARTS_FILE))?;
        Ok(Directory { root: root.to_owned(), starts, _lock: lock })
    }

    /// A path of the settings, seen from this directory.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// Whether a store was opened here before.
    pub(crate) fn has_started_before(&self) -> bool {
        self.starts > 0
    }

    /// Notes, durably, that the store is open. Returns how many starts that makes.
    pub(crate) fn note_start(&mut self) -> Result<u64, RunError> {
        let starts = self.starts + 1;
        let path = self.root.join(STARTS_FILE);
        replace(&path, format!("{starts}\n").as_bytes()).map_err(RunError::file(path))?;
        self.starts = starts;
        Ok(starts)
    }

    /// The facts that were saved here. A damaged file is set aside: every other node has them too.
    pub(crate) fn load_facts(&self) -> Result<FactSet, RunError> {
        let path = self.facts_path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FactSet::default()),
            Err(error) => return Err(RunError::file(path)(error)),
        };
        match decode_file(&bytes) {
            Ok(facts) => Ok(facts),
            Err(error) => {
                let aside = path.with_extension("damaged");
                tracing::warn!(path = %path.display(), %error, "setting the facts file aside; peers have the facts");
                fs::rename(&path, aside).map_err(RunError::file(path))?;
                Ok(FactSet::default())
            }
        }
    }

    /// Where the facts are saved.
    pub(crate) fn facts_path(&self) -> PathBuf {
        self.root.join(FACTS_FILE)
    }
}

/// Replaces a file's content so that after a crash it is the old or the new one, whole.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&next)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    // Without it the new name may be lost although the content is not.
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn lock(path: &Path) -> Result<File, RunError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(RunError::file(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(RunError::file(path))?;
            return Err(RunError::Locked {
                path: path.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
        Err(fs::TryLockError::Error(error)) => return Err(RunError::file(path)(error)),
    }
    let write_holder = |file: &mut File| {
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())
    };
    write_holder(&mut file).map_err(RunError::file(path))?;
    Ok(file)
}

fn read_starts(path: &Path) -> Result<u64, RunError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not a number");
            text.trim().parse().map_err(|_| RunError::file(path)(malformed()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(RunError::file(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Directory, replace};
    use crate::runtime::RunError;
    use kvorum_gossip::facts::encode_file;
    use kvorum_gossip::{Fact, FactKey, FactSet, FactVersion};
    use kvorum_ring::NodeId;

    #[test]
    fn a_second_user_of_a_directory_is_refused_and_told_who_holds_it() {
        let root = tempfile::tempdir().unwrap();
        let first = Directory::open(root.path()).unwrap();
        let Err(RunError::Locked { holder, .. }) = Directory::open(root.path()) else {
            panic!("refused")
        };
        assert_eq!(holder, std::process::id().to_string());
        drop(first);
        Directory::open(root.path()).unwrap();
    }

    #[test]
    fn starts_are_counted_across_lives() {
        let root = tempfile::tempdir().unwrap();
        for life in 1..=3 {
            let mut directory = Directory::open(root.path()).unwrap();
            assert_eq!(directory.has_started_before(), life > 1);
            assert_eq!(directory.note_start().unwrap(), life);
        }
    }

    #[test]
    fn saved_facts_are_found_again_and_damaged_ones_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let mut facts = FactSet::default();
        facts.merge(Fact::new(
            FactKey::bucket("a"),
            FactVersion { lamport: 1, node: NodeId(1) },
            "x",
        ));
        let mut file = encode_file(&facts);
        replace(&directory.facts_path(), &file).unwrap();
        assert_eq!(directory.load_facts().unwrap(), facts);
        file[20] ^= 1;
        replace(&directory.facts_path(), &file).unwrap();
        assert!(directory.load_facts().unwrap().is_empty());
        assert!(root.path().join("facts.damaged").exists() && !directory.facts_path().exists());
    }
}
