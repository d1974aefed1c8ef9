//! Arguments of `kv hints`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::connection::ConnectionArguments;
use super::duration;

/// The verbs of `kv hints`. They need the operator's certificate, or a cluster of `kv dev`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum HintsVerb {
    /// Show what each node holds for owners that were away
    #[command(after_help = LIST_EXAMPLES)]
    Ls(HintsArguments),
    /// Have everything handed over now, and wait until it is
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain {
        /// How long to wait
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
        wait: Duration,
        #[command(flatten)]
        options: HintsArguments,
    },
    /// Keep everything back, until resumed or until the node starts again
    #[command(after_help = PAUSE_EXAMPLES)]
    Pause(HintsArguments),
    /// Hand over again, at once
    #[command(after_help = RESUME_EXAMPLES)]
    Resume(HintsArguments),
}

/// Which nodes, and how to reach them.
#[derive(Debug, Clone, Args)]
pub(crate) struct HintsArguments {
    /// Only this node, by its name or id
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

const LIST_EXAMPLES: &str = "\
Examples:
  kv hints ls                      a row for each node and each owner that it holds something for
  kv hints ls --node n3 --json

Bearing hints count as copies, because too few owners have their write; they are never dropped. Exit 0: every node
answered, 12: some did not.
";

const DRAIN_EXAMPLES: &str = "\
Examples:
  kv hints drain                   also ends a pause
  kv hints drain --wait 10m --node n3

Exit 0: nothing is held any more, 3: something is, because its owner is down or does not take it in time.
";

const PAUSE_EXAMPLES: &str = "\
Examples:
  kv hints pause                   on every node
  kv hints pause --node n3
";

const RESUME_EXAMPLES: &str = "\
Examples:
  kv hints resume
  kv hints resume --node n3
";
