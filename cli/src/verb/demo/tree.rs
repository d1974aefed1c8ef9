//! The directory tree that the demo stores: which files, and what is left out and why.
//!
//! Left out are version control and build output (`.git`, `target`), links, what cannot be read, files over the inline
//! limit, and whatever comes after the demo's own limits. Each is counted, and every count is said: a demo that skips
//! silently proves nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::output::units;

/// Most files, so that the demo ends within its minute.
const MAX_FILES: usize = 5_000;

/// Most bytes of files: three copies of this are written and read back.
const MAX_BYTES: u64 = 64 << 20;

/// One file to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its key: the path relative to the root, with slashes.
    pub(crate) key: String,
    /// Its length when it was found.
    pub(crate) length: u64,
}

/// What was left out, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Skipped {
    /// Directories called `.git` or `target`.
    pub(crate) ignored_directories: u64,
    /// Symbolic links, sockets, pipes, devices.
    pub(crate) links_and_special: u64,
    /// Files over the inline limit.
    pub(crate) too_large: u64,
    /// Files and directories that could not be read, or whose name is not text.
    pub(crate) unreadable: u64,
    /// Files after the demo's limit of files or bytes was reached.
    pub(crate) over_limit: u64,
}

impl Skipped {
    /// The counts that are not zero, in words.
    pub(crate) fn in_words(&self) -> String {
        let too_large =
            format!("over {}", units::bytes(kvorum_protocol::limits::INLINE_VALUE_BYTES as u64));
        let counts = [
            (self.ignored_directories, ".git or target directories"),
            (self.links_and_special, "links and special files"),
            (self.too_large, too_large.as_str()),
            (self.unreadable, "unreadable"),
            (self.over_limit, "beyond the demo's limit of 5,000 files and 64 MiB"),
        ];
        let said = counts.iter().filter(|(count, _)| *count > 0);
        let said: Vec<String> =
            said.map(|(count, reason)| format!("{} {reason}", units::count(*count))).collect();
        if said.is_empty() {
            "nothing skipped".to_owned()
        } else {
            format!("skipped: {}", said.join(", "))
        }
    }
}

/// The files below a root, in order of their paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    /// What will be stored.
    pub(crate) files: Vec<TreeFile>,
    /// How many bytes that is.
    pub(crate) bytes: u64,
    /// What will not.
    pub(crate) skipped: Skipped,
}

impl Tree {
    /// Walks the tree below `root`, a directory or a single file.
    ///
    /// # Errors
    /// A usage failure when `root` itself cannot be read.
    pub(crate) fn walk(root: &Path) -> Outcome<Tree> {
        let kind = fs::metadata(root).map_err(|error| Failure::file("read", root, &error))?;
        let mut tree = Tree::default();
        if kind.is_file() {
            let name =
                root.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
            tree.take(root.to_owned(), name.into_owned(), kind.len());
            return Ok(tree);
        }
        fs::read_dir(root).map_err(|error| Failure::file("read", root, &error))?;
        let mut pending = vec![(root.to_owned(), String::new())];
        while let Some((directory, prefix)) = pending.pop() {
            let Ok(listing) = fs::read_dir(&directory) else {
                tree.skipped.unreadable += 1;
                continue;
            };
            let mut entries: Vec<fs::DirEntry> = listing.flatten().collect();
            entries.sort_by_key(fs::DirEntry::file_name);
            let mut below = Vec::new();
            for entry in entries {
                tree.enter(&entry, &prefix, &mut below);
            }
            // The stack is popped from its end: the first directory must be pushed last.
            pending.extend(below.into_iter().rev());
        }
        Ok(tree)
    }

    fn enter(&mut self, entry: &fs::DirEntry, prefix: &str, below: &mut Vec<(PathBuf, String)>) {
        let name = entry.file_name();
        let (Some(name), Ok(kind)) = (name.to_str(), entry.file_type()) else {
            self.skipped.unreadable += 1;
            return;
        };
        let key = format!("{prefix}{name}");
        if kind.is_dir() {
            if matches!(name, ".git" | "target") {
                self.skipped.ignored_directories += 1;
            } else {
                below.push((entry.path(), format!("{key}/")));
            }
        } else if kind.is_file() {
            match entry.metadata() {
                Ok(metadata) => self.take(entry.path(), key, metadata.len()),
                Err(_) => self.skipped.unreadable += 1,
            }
        } else {
            self.skipped.links_and_special += 1;
        }
    }

    fn take(&mut self, path: PathBuf, key: String, length: u64) {
        if length > kvorum_protocol::limits::INLINE_VALUE_BYTES as u64 {
            self.skipped.too_large += 1;
        } else if key.len() > kvorum_protocol::limits::KEY_BYTES {
            self.skipped.unreadable += 1;
        } else if self.files.len() == MAX_FILES || self.bytes + length > MAX_BYTES {
            self.skipped.over_limit += 1;
        } else {
            self.bytes += length;
            self.files.push(TreeFile { path, key, length });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{Skipped, Tree};

    #[test]
    fn every_file_is_either_taken_or_counted_as_skipped() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let at = |path: &str| root.path().join(path);
        for directory in [".git", "target", "src/deep"] {
            fs::create_dir_all(at(directory)).expect("created");
        }
        fs::write(at(".git/HEAD"), "ref").expect("written");
        fs::write(at("a.txt"), "a").expect("written");
        fs::write(at("src/deep/b.txt"), "bb").expect("written");
        fs::write(at("empty"), "").expect("written");
        fs::write(at("large"), vec![0; kvorum_protocol::limits::INLINE_VALUE_BYTES + 1])
            .expect("written");
        symlink(at("a.txt"), at("link")).expect("linked");

        let tree = Tree::walk(root.path()).expect("walked");
        let keys: Vec<&str> = tree.files.iter().map(|file| file.key.as_str()).collect();
        assert_eq!(keys, ["a.txt", "empty", "src/deep/b.txt"]);
        assert_eq!(tree.bytes, 3);
        let skipped = Skipped {
            ignored_directories: 2,
            links_and_special: 1,
            too_large: 1,
            ..Skipped::default()
        };
        assert_eq!(tree.skipped, skipped);
        assert!(skipped.in_words().contains("1 over 1.0 MiB"), "{}", skipped.in_words());
    }

    #[test]
    fn the_limits_hold_and_what_is_beyond_them_is_counted() {
        let mut tree = Tree::default();
        for number in 0..5_003 {
            tree.take(format!("{number}").into(), format!("{number}"), 1);
        }
        assert_eq!((tree.files.len(), tree.skipped.over_limit), (5_000, 3));
        let mut heavy = Tree::default();
        for number in 0..70 {
            heavy.take(format!("{number}").into(), format!("{number}"), 1 << 20);
        }
        assert_eq!((heavy.files.len(), heavy.skipped.over_limit), (64, 6));
    }

    #[test]
    fn a_missing_root_is_an_error() {
        assert!(Tree::walk("/nonexistent/kvorum".as_ref()).is_err());
    }
}
