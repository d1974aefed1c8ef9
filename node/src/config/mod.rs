//! A node's settings: `kvorum.toml`, parsed once into a type whose values have all been checked.
//!
//! Nothing else in the node parses text or reads the environment. An unknown key is an error that names it, because a
//! misspelt key that is silently ignored is a setting that silently does not hold. [`Config::render`] writes the file
//! with every key and what it means; parsing it gives the same settings.

mod error;
mod parse;
mod render;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kvorum_gossip::facts::NodeAddresses;
use kvorum_ring::{NodeId, PartitionCount, Weight, Zone};

pub use error::{AddressKey, ConfigError, Invalid};

/// The file's name in a node's directory.
pub const CONFIG_FILE: &str = "kvorum.toml";

/// All settings of one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Who this node is.
    pub node: NodeConfig,
    /// Which cluster it belongs to.
    pub cluster: ClusterConfig,
    /// Where it listens.
    pub listen: ListenConfig,
    /// Where it keeps what.
    pub paths: PathsConfig,
    /// How much it keeps where.
    pub store: StoreConfig,
    /// What it reports.
    pub log: LogConfig,
}

/// Who a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeConfig {
    /// Its id; its certificate carries the same.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
}

/// The cluster as `kv cluster init` made it. Every node derives the first layout from these, so they are the same in
/// every node's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterConfig {
    /// What people call it.
    pub name: String,
    /// Partitions of the first layout.
    pub partitions: PartitionCount,
    /// The members that it began with, this node among them, in ascending order of their ids.
    pub members: Vec<MemberConfig>,
}

/// One member of the first layout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberConfig {
    /// The node.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where other nodes and clients reach it.
    pub addresses: NodeAddresses,
    /// Its failure domain.
    pub zone: Zone,
    /// How much it carries.
    pub weight: Weight,
}

/// Where a node listens. Address `0.0.0.0` means all interfaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenConfig {
    /// For other nodes: QUIC over UDP.
    pub peers: SocketAddr,
    /// For clients: TLS over TCP, and QUIC over UDP on the same port.
    pub clients: SocketAddr,
    /// For figures and health over HTTP: plain on loopback, under mutual TLS elsewhere.
    pub admin: SocketAddr,
    /// Speak to TCP clients without TLS and without asking who they are. Only together with `clients` on 127.0.0.1.
    pub dev_plaintext: bool,
}

/// Where a node keeps what. Relative paths start from the node's directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathsConfig {
    /// The directory with `authority.pem`, `node.pem` and `node.key`.
    pub certificates: PathBuf,
    /// The cluster's context keys: the same file on every node.
    pub context_keys: PathBuf,
    /// The log: what must not be lost.
    pub log: PathBuf,
    /// The index: can be rebuilt from the log.
    pub index: PathBuf,
}

/// How much a node keeps where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreConfig {
    /// Size of one log segment in MiB.
    pub segment_mib: u64,
    /// Memory for the newest and the hottest records in MiB.
    pub table_mib: u64,
    /// Memory for the index's page cache in MiB.
    pub index_cache_mib: u64,
    /// Room for records that are held for owners that are away while they count as copies, in MiB.
    pub bearing_hints_mib: u64,
    /// Room for those that the owners do not depend on, in MiB.
    pub spare_hints_mib: u64,
    /// How long those are kept, in minutes.
    pub spare_hints_minutes: u64,
}

/// What a node reports on standard error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or a filter such as `info,kvorum_node=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads `kvorum.toml` in a node's directory.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and what is wrong with it.
    pub fn load(directory: &Path) -> Result<Config, ConfigError> {
        let path = directory.join(CONFIG_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Config::parse(&text).map_err(|error| ConfigError::at(path, error)),
            Err(error) => Err(ConfigError::Read { path, error }),
        }
    }

    /// Parses and checks the file's content.
    ///
    /// # Errors
    /// [`Invalid`] says what is wrong.
    pub fn parse(text: &str) -> Result<Config, Invalid> {
        parse::parse(text)
    }

    /// The file with these settings, every key commented.
    pub fn render(&self) -> String {
        render::render(self)
    }

    /// This node among the cluster's members.
    pub fn me(&self) -> &MemberConfig {
        let me = self.cluster.members.iter().find(|member| member.id == self.node.id);
        me.expect("parsing has checked that this node is a member")
    }
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            segment_mib: 64,
            table_mib: 128,
            index_cache_mib: 64,
            bearing_hints_mib: 256,
            spare_hints_mib: 256,
            spare_hints_minutes: 180,
        }
    }
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Default for PathsConfig {
    fn default() -> PathsConfig {
        PathsConfig {
            certificates: "certificates".into(),
            context_keys: "context.keys".into(),
            log: "log".into(),
            index: "index".into(),
        }
    }
}
