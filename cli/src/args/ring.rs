//! Arguments of the verbs that look at the cluster: `kv status`, `kv ring`, `kv diag`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::connection::ConnectionArguments;
use super::value::KeyArguments;

pub(crate) const STATUS_EXAMPLES: &str = "\
Examples:
  kv status                                   exit 0: healthy, 10: degraded, 11: some partition below quorum
  kv status --endpoint 127.0.0.1:7411 --json
";

/// Arguments of `kv status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  kv ring show
  kv ring show --json
";

const WHERE_EXAMPLES: &str = "\
Examples:
  kv ring where greeting
  kv ring where cart/17 --bucket shop --json
";

/// The verbs of `kv ring`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RingVerb {
    /// Show how many partitions each node owns, and how even that is
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        connection: ConnectionArguments,
    },
    /// Show where a key lives: hash, partition, owners, fallbacks
    #[command(after_help = WHERE_EXAMPLES)]
    Where {
        #[command(flatten)]
        key: KeyArguments,
        #[command(flatten)]
        connection: ConnectionArguments,
    },
}

pub(crate) const DIAG_EXAMPLES: &str = "\
Examples:
  kv diag                      version, configuration, topology, status, recent errors
  kv diag --json --out report.json
";

/// Arguments of `kv diag`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DiagArguments {
    /// Write the report into this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}
