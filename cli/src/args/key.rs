//! Arguments of `kv key`.

use clap::Subcommand;

use super::connection::ConnectionArguments;
use super::value::KeyArguments;

const WHY_EXAMPLES: &str = "\
Examples:
  kv key why cart/17                    the verdict first, then what each node holds and what happened to it
  kv key why cart/17 --bucket shop --json

Values are not read. Nodes remember what happened lately and say how far back that goes. Exit 0: every owner answered
and holds the same one version, 1: nobody holds anything, 4: the owners agree on siblings, 7: their records contradict
each other or nothing explains a difference, 12: some owner did not answer or cannot tell, 16: some owner is behind.
";

/// The verbs of `kv key`. They need the right to read the bucket.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeyVerb {
    /// Explain what a key's owners hold, who is behind, and why
    #[command(after_help = WHY_EXAMPLES)]
    Why {
        #[command(flatten)]
        key: KeyArguments,
        #[command(flatten)]
        connection: ConnectionArguments,
    },
}
