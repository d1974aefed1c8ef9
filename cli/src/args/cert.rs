//! Arguments of `kv cert`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use super::duration;

/// The verbs of `kv cert`. They work on directories of this machine and talk to no cluster.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum CertVerb {
    /// Show for whom certificates are, and until when
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Directories of nodes, of clients or of an authority
        #[arg(required = true, value_name = "DIR")]
        directories: Vec<PathBuf>,
    },
    /// Replace the certificate of a node or client by a new one for the same key
    #[command(after_help = RENEW_EXAMPLES)]
    Renew {
        /// The directory of the node or client
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The directory with the authority and its key
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// How long the new certificate is valid [default: five years]
        #[arg(long, value_name = "TIME", value_parser = duration::parse_long)]
        expires: Option<Duration>,
    },
}

const SHOW_EXAMPLES: &str = "\
Examples:
  kv cert show cluster/n1 cluster/client cluster/authority
  kv cert show /var/lib/kvorum --json
";

const RENEW_EXAMPLES: &str = "\
Examples:
  kv cert renew --dir cluster/n1 --ca cluster/authority
  kv cert renew --dir cluster/client --ca cluster/authority --expires 90d

Only the certificate changes. Copy certificates/node.pem to the node's machine: a node that runs takes it within
seconds, and its status then tells the new date.
";
