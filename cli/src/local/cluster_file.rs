//! `cluster.toml`: what a cluster on this machine consists of, next to its nodes' directories.
//!
//! It is how `kv dev --dir` finds its nodes and ports again, and how others find free ports that were chosen at the
//! start.

use std::fs;
use std::path::Path;

use kvorum_client::Endpoint;
use kvorum_ring::NodeId;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};

/// The file's name in the cluster's directory.
pub(crate) const NAME: &str = "cluster.toml";

/// The version of the file's format.
const FORMAT: u32 = 1;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterFile {
    /// The version of this format.
    pub(crate) format: u32,
    /// The cluster's name.
    pub(crate) name: String,
    /// Its nodes, in order.
    #[serde(rename = "node")]
    pub(crate) nodes: Vec<LocalNode>,
}

/// One node of a cluster on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalNode {
    /// What people call it; also its directory, beside `cluster.toml`.
    pub(crate) name: String,
    /// Its id, 32 hex digits.
    pub(crate) id: String,
    /// Its UDP port for peers.
    pub(crate) peer_port: u16,
    /// Its TCP and UDP port for clients.
    pub(crate) client_port: u16,
    /// Its TCP port for administration.
    pub(crate) admin_port: u16,
}

impl LocalNode {
    /// A node at the three ports from `base` on.
    pub(crate) fn at(name: String, id: NodeId, base: u16) -> LocalNode {
        LocalNode {
            name,
            id: id.to_string(),
            peer_port: base,
            client_port: base + 1,
            admin_port: base + 2,
        }
    }

    /// Where clients of this machine reach it in plaintext.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::loopback(self.client_port)
    }
}

impl ClusterFile {
    /// A file of this format.
    pub(crate) fn new(name: &str, nodes: Vec<LocalNode>) -> ClusterFile {
        ClusterFile { format: FORMAT, name: name.to_owned(), nodes }
    }

    /// Reads the file in `directory`; `None` when there is none.
    ///
    /// # Errors
    /// A usage failure when it is there and cannot be understood.
    pub(crate) fn read(directory: &Path) -> Outcome<Option<ClusterFile>> {
        let path = directory.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file("read", &path, &error)),
        };
        let file: ClusterFile = toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        if file.format != FORMAT || file.nodes.is_empty() {
            let problem = format!(
                "{}: format {} is not known here, or no node is in it",
                path.display(),
                file.format
            );
            return Err(Failure::usage(problem));
        }
        Ok(Some(file))
    }

    /// Writes the file into `directory`, whole or not at all.
    ///
    /// # Errors
    /// A failure that names the file.
    pub(crate) fn write(&self, directory: &Path) -> Outcome<()> {
        let path = directory.join(NAME);
        let body = toml::to_string(self)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        let text = format!(
            "# Written by kv dev. The nodes are the directories beside this file.\n\n{body}"
        );
        let fresh = directory.join(format!("{NAME}.new"));
        let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path));
        written.map_err(|error| Failure::file("write", &path, &error))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use kvorum_ring::NodeId;

    use super::{ClusterFile, LocalNode, NAME};

    #[test]
    fn a_cluster_file_reads_back_and_a_missing_one_is_none() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(ClusterFile::read(directory.path()), Ok(None));
        let file = ClusterFile::new("dev", vec![LocalNode::at("n1".to_owned(), NodeId(7), 7400)]);
        file.write(directory.path()).expect("written");
        assert_eq!(ClusterFile::read(directory.path()), Ok(Some(file)));
    }

    #[test]
    fn an_unknown_format_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join(NAME), "format = 9\nname = \"dev\"\nnode = []")
            .expect("written");
        assert!(ClusterFile::read(directory.path()).is_err());
    }
}
