//! How a verb reaches the cluster and how long it may take.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kvorum_client::Endpoint;

use super::duration;

/// Options of every verb that talks to a cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// A node to ask; may be given several times [default: KVORUM_ENDPOINTS, then the config file, then the ports of kv dev]
    ///
    /// Written [quic://|tls://|plain://][ID@]HOST:PORT. Over TLS and QUIC the node's id says whose certificate must be
    /// shown there; the config file can supply it. Any node that answers tells of all others.
    #[arg(long = "endpoint", value_name = "ENDPOINT")]
    pub(crate) endpoints: Vec<Endpoint>,
    /// The client's config file [default: ~/.config/kvorum/config.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A file with the access token to show [default: KVORUM_TOKEN, then token_file in the config file]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How long the whole request may take, retries included
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}
