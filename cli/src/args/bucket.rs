//! Arguments of `kv bucket`.

use clap::{Args, Subcommand};
use kvorum_protocol::BucketName;

use super::connection::ConnectionArguments;

/// The verbs of `kv bucket`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum BucketVerb {
    /// Create a bucket
    #[command(after_help = CREATE_EXAMPLES)]
    Create(SettingsArguments),
    /// Change a bucket's settings
    #[command(after_help = SET_EXAMPLES)]
    Set(SettingsArguments),
    /// Show a bucket's settings
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// The bucket
        name: BucketName,
        #[command(flatten)]
        connection: ConnectionArguments,
    },
    /// List the buckets
    #[command(after_help = LIST_EXAMPLES)]
    Ls {
        #[command(flatten)]
        connection: ConnectionArguments,
    },
}

const CREATE_EXAMPLES: &str = "\
Examples:
  kv bucket create shop
  kv bucket create audit -w 3
";

const SET_EXAMPLES: &str = "\
Examples:
  kv bucket set shop -r 1 -w 2
  kv bucket set shop -w 3
";

const SHOW_EXAMPLES: &str = "\
Examples:
  kv bucket show shop
  kv bucket show default --json
";

const LIST_EXAMPLES: &str = "\
Examples:
  kv bucket ls
  kv bucket ls --json
";

/// Arguments of `kv bucket create` and `kv bucket set`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SettingsArguments {
    /// The bucket
    pub(crate) name: BucketName,
    /// How many nodes must answer a read when it does not say
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) r: Option<u8>,
    /// How many nodes must hold a write durably when it does not say
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) w: Option<u8>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}
