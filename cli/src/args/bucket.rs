//! Arguments of `kv bucket`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use kvorum_protocol::{BucketName, MergeRule};

use super::connection::ConnectionArguments;

/// The verbs of `kv bucket`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum BucketVerb {
    /// Create a bucket
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        #[command(flatten)]
        settings: SettingsArguments,
        /// What becomes of writes that did not see each other; fixed from then on
        #[arg(long, default_value = "siblings", value_name = "RULE", value_parser = rule_parser())]
        rule: MergeRule,
    },
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
  kv bucket create visits --rule counter      kv counter add, instead of kv put
  kv bucket create seen --rule lossy-lww      of concurrent writes one is kept, by the nodes' clocks
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

/// The rules by their names.
fn rule_parser() -> impl TypedValueParser<Value = MergeRule> {
    PossibleValuesParser::new(MergeRule::ALL.map(MergeRule::name)).map(|name| {
        let named = |rule: &MergeRule| rule.name() == name;
        MergeRule::ALL.into_iter().find(named).expect("one of the possible values")
    })
}

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
