//! Why a node does not start, or stops.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use kvorum_ring::{LayoutError, LayoutName, NodeId};
use kvorum_store::{OpenError, PoisonReason};

use crate::config::ConfigError;
use crate::identity::{ContextKeysError, CredentialsError, NameError, TlsError};
use crate::runtime::cluster::DeriveError;

/// Which of a node's ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// Other nodes, UDP.
    Peers,
    /// Clients, TCP.
    ClientsTcp,
    /// Clients, UDP.
    ClientsQuic,
    /// Figures and health, TCP.
    Admin,
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Listener::Peers => "peers (UDP)",
            Listener::ClientsTcp => "clients (TCP)",
            Listener::ClientsQuic => "clients (UDP)",
            Listener::Admin => "administration (TCP)",
        })
    }
}

/// A node that did not start or did not go on. What it had acknowledged is on its disk.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate or key cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// QUIC cannot use the TLS configuration.
    #[error("QUIC needs TLS 1.3")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The node's certificate stands for nobody.
    #[error("the node's certificate cannot be used: {0}")]
    Certificate(#[from] NameError),
    /// The node's certificate is another node's.
    #[error("kvorum.toml says this is node {configured}, its certificate says {certified}")]
    OtherNode {
        /// The id in the settings.
        configured: NodeId,
        /// The name in the certificate.
        certified: String,
    },
    /// Somebody else listens on the port.
    #[error("port for {listener} taken: {address} is in use by another process")]
    PortTaken {
        /// What the port is for.
        listener: Listener,
        /// The address.
        address: SocketAddr,
    },
    /// The port cannot be opened.
    #[error("cannot listen for {listener} on {address}: {error}")]
    Listen {
        /// What the port is for.
        listener: Listener,
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file or directory cannot be used.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Another process uses the node's directory.
    #[error("{path} is in use by process {holder}", path = path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote into it: its process id.
        holder: String,
    },
    /// Another process has this node's id and was there first.
    #[error("another process runs as node {0}; this one stops")]
    DuplicateNode(NodeId),
    /// The file with the context keys is wrong.
    #[error("{path}: {error}", path = path.display())]
    ContextKeys {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: ContextKeysError,
    },
    /// The members in the settings make no layout.
    #[error("no layout can be made of the members: {0}")]
    Layout(#[source] LayoutError),
    /// The settings make another layout than the one by which this node's data lies. Put the members' ids, zones and
    /// weights and the number of partitions back; this version changes no layout.
    #[error(
        "kvorum.toml makes layout {derived}, but the data of this node lies by {held}: put the members' ids, zones and \
         weights and the number of partitions back"
    )]
    LayoutChanged {
        /// The layout that holds.
        held: LayoutName,
        /// The layout that the settings make.
        derived: LayoutName,
    },
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    Store(#[from] OpenError),
    /// The store's disk failed while running. Nothing is acknowledged any more; start the node again once the disk works.
    #[error("the store stopped: {0}")]
    Poisoned(PoisonReason),
    /// A thread of the store panicked: a defect. Nothing acknowledged is lost.
    #[error("the store's {0} thread died")]
    WorkerDied(&'static str),
    /// The cluster facts could not be saved.
    #[error("the facts file could not be saved: {0}")]
    Facts(#[source] io::Error),
    /// The runtime itself could not be started.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
}

impl RunError {
    pub(crate) fn listen(listener: Listener, address: SocketAddr, error: io::Error) -> RunError {
        match error.kind() {
            io::ErrorKind::AddrInUse => RunError::PortTaken { listener, address },
            _ => RunError::Listen { listener, address, error },
        }
    }

    pub(crate) fn derive(error: DeriveError) -> RunError {
        match error {
            DeriveError::Layout(error) => RunError::Layout(error),
            DeriveError::LayoutChanged { held, derived } => {
                RunError::LayoutChanged { held, derived }
            }
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> RunError {
        let path = path.into();
        |error| RunError::File { path, error }
    }
}
