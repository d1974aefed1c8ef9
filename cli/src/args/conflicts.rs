//! Arguments of `kv conflicts`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use kvorum_protocol::{BucketName, Context};

use super::connection::ConnectionArguments;
use super::value::{KeyArguments, Source, WriteArguments};

const LIST_EXAMPLES: &str = "\
Examples:
  kv conflicts ls                        of every bucket that keeps siblings
  kv conflicts ls shop --prefix cart/ --json

No value is read: owners tell by their indexes. Exit 0, also when there is none; 12: some partitions could not be asked, and --partial
was given.
";

const SHOW_EXAMPLES: &str = "\
Examples:
  kv conflicts show cart/17              side by side: dot, size, who wrote it when, the beginning of the value
  kv conflicts show cart/17 --json       with whole values, and the context to resolve exactly these

Exit 0: one version or several are shown, 1: the key holds nothing.
";

const RESOLVE_EXAMPLES: &str = "\
Examples:
  kv conflicts resolve cart/17 --pick 2                       the second of those that show lists
  kv conflicts resolve cart/17 --pick 00c0ffee00c0ffee:3      by its dot
  kv conflicts resolve cart/17 --value milk,eggs
  merge-carts cart/17 | kv conflicts resolve cart/17 --stdin
  kv conflicts resolve cart/17 --newest                       by the writers' clocks; refused unless all of them are known

What is written replaces the siblings that are there, or those of --context, and nothing else: a sibling that comes meanwhile stays.
Exit 0: resolved, or there was nothing to resolve; 1: the key holds nothing, 4: no such sibling, or --newest cannot be told.
";

/// The verbs of `kv conflicts`. Reading needs the right to read the bucket, resolving the right to write it.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ConflictsVerb {
    /// List the keys that hold siblings
    #[command(after_help = LIST_EXAMPLES)]
    Ls(ConflictsArguments),
    /// Show the siblings of a key side by side
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        key: KeyArguments,
        #[command(flatten)]
        connection: ConnectionArguments,
    },
    /// Replace the siblings of a key by one value
    #[command(after_help = RESOLVE_EXAMPLES)]
    Resolve(ResolveArguments),
}

/// Which conflicts are listed.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConflictsArguments {
    /// The bucket [default: every bucket that keeps siblings]
    pub(crate) bucket: Option<BucketName>,
    /// Only keys that begin with this
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// At most so many keys
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    /// List what can be reached, even when some partitions cannot
    #[arg(long)]
    pub(crate) partial: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// What becomes of the siblings.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("by").required(true))]
pub(crate) struct ResolveArguments {
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    /// Keep this sibling: its dot, or its number in the list
    #[arg(long, value_name = "DOT", group = "by")]
    pick: Option<String>,
    /// Write this value
    #[arg(long, value_name = "VALUE", group = "by", allow_hyphen_values = true)]
    value: Option<OsString>,
    /// Write what comes on standard input
    #[arg(long, group = "by")]
    stdin: bool,
    /// Write what is in a file
    #[arg(long, value_name = "FILE", group = "by")]
    file: Option<PathBuf>,
    /// Keep the sibling that was written last by the clocks of the nodes that wrote them
    #[arg(long, group = "by")]
    newest: bool,
    /// Replace exactly what was shown together with this context (kv conflicts show --json prints it)
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) context: Option<Context>,
    #[command(flatten)]
    pub(crate) write: WriteArguments,
}

/// By what the siblings are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// By the one of this dot, or of this number.
    Pick(String),
    /// By the one that was written last.
    Newest,
    /// By a value.
    Value(Source),
}

impl ResolveArguments {
    /// By what the siblings are replaced. The parser sees to it that just one is said.
    pub(crate) fn resolution(&self) -> Resolution {
        match (&self.pick, &self.value, &self.file) {
            (Some(pick), ..) => Resolution::Pick(pick.clone()),
            (None, Some(value), _) => Resolution::Value(Source::Argument(value.clone())),
            (None, None, Some(file)) => Resolution::Value(Source::File(file.clone())),
            (None, None, None) if self.newest => Resolution::Newest,
            (None, None, None) => Resolution::Value(Source::Stdin),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{ConflictsVerb, Resolution};
    use crate::args::value::Source;
    use crate::args::{Arguments, Verb};

    fn resolution(words: &[&str]) -> Option<Resolution> {
        let line = ["kv", "conflicts", "resolve", "k"].into_iter().chain(words.iter().copied());
        match Arguments::try_parse_from(line).ok()?.verb {
            Verb::Conflicts(ConflictsVerb::Resolve(options)) => Some(options.resolution()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn siblings_are_resolved_by_one_thing_that_has_to_be_said() {
        assert_eq!(resolution(&["--pick", "2"]), Some(Resolution::Pick("2".to_owned())));
        assert_eq!(resolution(&["--newest"]), Some(Resolution::Newest));
        assert_eq!(resolution(&["--stdin"]), Some(Resolution::Value(Source::Stdin)));
        let value = Some(Resolution::Value(Source::Argument("-5".into())));
        assert_eq!(resolution(&["--value", "-5"]), value);
        assert_eq!(resolution(&[]), None, "nothing is picked for anybody");
        assert_eq!(resolution(&["--newest", "--pick", "1"]), None);
    }
}
