//! Arguments of `kv auth`.

use std::time::Duration;

use clap::Subcommand;
use kvorum_protocol::{Grant, TokenName};

use super::connection::ConnectionArguments;
use super::duration;

/// The verbs of `kv auth`. They need the operator's certificate, or a cluster of `kv dev`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AuthVerb {
    /// Make an access token and print it, this once
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// What to call it
        name: TokenName,
        /// What it allows: BUCKET:read,write,admin or a part of it, with * for every bucket; may be given several times
        #[arg(long = "bucket", value_name = "BUCKET:RIGHTS", required = true)]
        grants: Vec<Grant>,
        /// After how long it is refused [default: never]
        #[arg(long, value_name = "TIME", value_parser = duration::parse_long)]
        expires: Option<Duration>,
        /// Requests that clients with it may have at work in each node; items of batches count singly [default: no limit]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        in_flight: Option<u32>,
        /// Requests that clients with it may begin in a second in each node; likewise [default: no limit]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        rate: Option<u32>,
        #[command(flatten)]
        connection: ConnectionArguments,
    },
    /// List the access tokens and what they allow
    #[command(after_help = LIST_EXAMPLES)]
    Ls {
        #[command(flatten)]
        connection: ConnectionArguments,
    },
    /// End an access token for good, on open connections, too
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Its id or its name; a name ends all tokens that are called so
        token: String,
        #[command(flatten)]
        connection: ConnectionArguments,
    },
}

const CREATE_EXAMPLES: &str = "\
Examples:
  kv auth create orders --bucket orders:read,write > orders.token
  kv auth create reports --bucket orders:read --bucket audit:read --expires 30d
  kv auth create batch --bucket orders:read --in-flight 64 --rate 2000

The token is kept nowhere: whoever loses it makes another one. Give it to a client with
--token-file or KVORUM_TOKEN, never as an argument.
";

const LIST_EXAMPLES: &str = "\
Examples:
  kv auth ls
  kv auth ls --json
";

const REVOKE_EXAMPLES: &str = "\
Examples:
  kv auth revoke orders
  kv auth revoke 0123456789abcdef
";
