//! Whose log a directory holds, and what becomes of one that cannot be read.
//!
//! A log that cannot be read any more is *set aside*: its directory is renamed, with the reason in its name, and never deleted,
//! and the node begins with an empty one. It knows that it lost what it had, so its absences count for nothing until the other
//! owners have given it everything. An error of the disk is no such case: the disk may come back, and so the node stops.
//!
//! A file in the log's directory says which node's it is. A node never opens another's, nor sets it aside: two nodes that were
//! given each other's disks would each lose what the other one still has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kvorum_ring::NodeId;

use crate::config::Config;
use crate::runtime::directory::{replace, sync_directory};
use crate::runtime::error::RunError;
use crate::runtime::limits;

/// The file that says whose log it is.
const OWNER_FILE: &str = "owner";

/// What stands behind a log's name when it was set aside.
const ASIDE: &str = ".set-aside-";

fn owner_of(config: &Config) -> (NodeId, &str) {
    (config.node.id, &config.cluster.name)
}

/// Checks that a log is this node's, or nobody's yet.
///
/// # Errors
/// [`RunError::OtherOwner`] names whose it is.
pub(crate) fn check_owner(log: &Path, config: &Config) -> Result<(), RunError> {
    let path = log.join(OWNER_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(RunError::file(path)(error)),
    };
    // A damaged file names nobody. It is written again once the log is open.
    let text = String::from_utf8_lossy(&text);
    let named = text.lines().next().and_then(|line| line.split_once(" of "));
    let owner = named.and_then(|(node, cluster)| Some((node.parse().ok()?, cluster)));
    match owner {
        Some(owner) if owner != owner_of(config) => {
            let (node, cluster) = (owner.0, owner.1.to_owned());
            Err(RunError::OtherOwner { path: log.to_owned(), node, cluster })
        }
        _ => Ok(()),
    }
}

/// Notes that a log is this node's.
pub(crate) fn note_owner(log: &Path, config: &Config) -> Result<(), RunError> {
    let path = log.join(OWNER_FILE);
    let (node, cluster) = owner_of(config);
    let text = format!("{node} of {cluster}\n");
    match fs::read(&path) {
        Ok(noted) if noted == text.as_bytes() => Ok(()),
        _ => replace(&path, text.as_bytes()).map_err(RunError::file(path)),
    }
}

/// The names of logs that were set aside beside this one, ascending.
pub(crate) fn found(log: &Path) -> Result<Vec<String>, RunError> {
    let (Some(parent), Some(name)) = (log.parent(), log.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}{ASIDE}", name.to_string_lossy());
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RunError::file(parent)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(RunError::file(parent))?.file_name();
        names.extend(name.to_str().filter(|name| name.starts_with(&prefix)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Sets a log aside and says where it is now.
///
/// # Errors
/// [`RunError::TooManySetAside`] when it has happened too often: then a person should look before the disk is full of them.
pub(crate) fn set_aside(log: &Path, reason: &str) -> Result<PathBuf, RunError> {
    let earlier = found(log)?;
    if earlier.len() >= limits::SET_ASIDE {
        return Err(RunError::TooManySetAside { path: log.to_owned(), count: earlier.len() });
    }
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    let free = (1..).find(|number| {
        let taken = format!("{name}{ASIDE}{number}-");
        !earlier.iter().any(|name| name.starts_with(&taken))
    });
    let number = free.unwrap_or(earlier.len() + 1);
    let aside = log.with_file_name(format!("{name}{ASIDE}{number}-{reason}"));
    fs::rename(log, &aside).map_err(RunError::file(log))?;
    sync_directory(log.parent()).map_err(RunError::file(log))?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{found, set_aside};
    use crate::runtime::RunError;
    use crate::runtime::limits;

    #[test]
    fn what_is_set_aside_stays_beside_with_its_reason_and_only_a_few_times() {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("log");
        for number in 1..=limits::SET_ASIDE {
            fs::create_dir(&log).unwrap();
            fs::write(log.join("0.main"), b"kept").unwrap();
            let aside = set_aside(&log, "unreadable").unwrap();
            assert_eq!(aside, root.path().join(format!("log.set-aside-{number}-unreadable")));
            assert_eq!(fs::read(aside.join("0.main")).unwrap(), b"kept");
            assert!(!log.exists());
            assert_eq!(found(&log).unwrap().len(), number);
        }
        fs::create_dir(&log).unwrap();
        let refused = set_aside(&log, "unreadable");
        assert!(
            matches!(refused, Err(RunError::TooManySetAside { count, .. }) if count == limits::SET_ASIDE)
        );
        assert!(log.exists(), "and nothing was touched");
    }
}
