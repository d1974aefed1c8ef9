//! What can be wrong with `kvorum.toml`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use kvorum_ring::NodeId;

/// A node that has no usable settings does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file was read and is not right.
    #[error("{path}: {error}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: Box<Invalid>,
    },
}

impl ConfigError {
    pub(crate) fn at(path: PathBuf, error: Invalid) -> ConfigError {
        ConfigError::Invalid { path, error: Box::new(error) }
    }
}

/// What is wrong with the content.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// Not TOML, a missing or unknown key, or a value of the wrong type or out of its range; names the key and the line.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A name is empty, too long, or not letters, digits, `-`, `_` and `.`.
    #[error("{key} = \"{name}\": a name is 1 to 63 of a-z A-Z 0-9 - _ .")]
    Name {
        /// The key.
        key: &'static str,
        /// The value.
        name: String,
    },
    /// An address of a member is not `host:port`.
    #[error("members: {key} = \"{address}\" of {member}: expected host:port")]
    Address {
        /// The member's name.
        member: String,
        /// The key.
        key: AddressKey,
        /// The value.
        address: String,
    },
    /// A node is listed twice.
    #[error("members: node {0} is listed twice")]
    MemberTwice(NodeId),
    /// Two members have one name.
    #[error("members: the name {0} is given twice")]
    NameTwice(String),
    /// This node is not in its own list of members.
    #[error("node.id = {0} is not among the members")]
    NotAMember(NodeId),
    /// This node goes by another name in the list of members.
    #[error("node.name = \"{name}\", but the members call it \"{listed}\"")]
    OtherName {
        /// The name of the node.
        name: String,
        /// The name in the list.
        listed: String,
    },
    /// Plaintext was asked for on an address that others can reach.
    #[error("listen.dev_plaintext = true needs listen.clients on 127.0.0.1, not {0}")]
    PlaintextBeyondLoopback(SocketAddr),
    /// Two listeners on one port.
    #[error("listen: {0} is given twice")]
    PortTwice(SocketAddr),
    /// A size that makes no sense.
    #[error("{key} = {value}: must be from {min} to {max}")]
    Range {
        /// The key.
        key: &'static str,
        /// The value.
        value: u64,
        /// The smallest value.
        min: u64,
        /// The largest value.
        max: u64,
    },
}

/// Which of a member's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKey {
    /// For nodes.
    Peers,
    /// For clients.
    Clients,
    /// For administration.
    Admin,
}

impl fmt::Display for AddressKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            AddressKey::Peers => "peers",
            AddressKey::Clients => "clients",
            AddressKey::Admin => "admin",
        })
    }
}
