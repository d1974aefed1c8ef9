//! Arguments of the verbs that run nodes on this machine: `kv demo` and `kv dev`.

use std::path::PathBuf;

use clap::Args;

pub(crate) const DEMO_EXAMPLES: &str = "\
Examples:
  kv demo                  store the files of this directory in five nodes, kill one, account for all
  kv demo ~/photos         the same with another directory
  kv demo --json           the summary as JSON
";

/// Arguments of `kv demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArguments {
    /// The directory tree to store
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// How many nodes
    #[arg(long, default_value_t = 5, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(3..=20))]
    pub(crate) nodes: u16,
}

pub(crate) const DEV_EXAMPLES: &str = "\
Examples:
  kv dev                             five nodes at ports 7400, 7410, .. in a temporary directory
  kv dev --nodes 3 --dir ./cluster   three nodes whose directory is kept and opened again next time
  kv dev --port-base 0 --json        free ports; the endpoints as one line of JSON
  kv dev --dir ./cluster --only n3   one node of that cluster, after it has died
";

/// Arguments of `kv dev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArguments {
    /// How many nodes [default: 5, or what --dir already holds]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) nodes: Option<u16>,
    /// Where the nodes keep their data; kept, and opened again [default: a temporary directory, removed at exit]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The first port: node i takes three from this plus 10 i; 0 takes free ones [default: 7400, or what --dir holds]
    #[arg(long, value_name = "PORT")]
    pub(crate) port_base: Option<u16>,
    /// Run only this node of the cluster in --dir: how one that has died comes back
    #[arg(long, value_name = "NAME", requires = "dir", conflicts_with_all = ["nodes", "port_base"])]
    pub(crate) only: Option<String>,
    /// What the nodes log into their directory: error, warn, info, debug, trace, or a filter like kvorum_node=debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,
}
