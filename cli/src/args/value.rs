//! Arguments of the verbs that read and write keys: `kv put`, `get`, `delete`, `ls`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use kvorum_protocol::{BucketName, Context, Key, OperationId};

use super::connection::ConnectionArguments;
use crate::failure::{Failure, Outcome};

/// A key and its bucket.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeyArguments {
    /// The key: 1 to 4,096 bytes
    #[arg(value_parser = key_parser())]
    pub(crate) key: Key,
    /// The bucket
    #[arg(long, short, default_value = "default", value_name = "BUCKET")]
    pub(crate) bucket: BucketName,
}

/// How many must answer, of which kind.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Quorum")]
pub(crate) struct QuorumArguments {
    /// Count owners only, and repair before answering: reads then see every completed strict write
    #[arg(long)]
    pub(crate) strict: bool,
}

pub(crate) const PUT_EXAMPLES: &str = "\
Examples:
  kv put greeting hello                          replaces what is there
  kv put photo --file cat.jpg
  tar c . | kv put backup - --bucket big
  kv put cart milk --context \"$(kv get cart --json | jq -r .context)\"
  kv put cart eggs --sibling                     adds a sibling and replaces nothing
  kv put cart milk,eggs --resolve                reads the siblings and replaces exactly those
  kv put greeting hello --operation 000102030405060708090a0b0c0d0e0f --retry
";

/// Arguments of `kv put`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PutArguments {
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    /// The value; - or nothing reads standard input
    #[arg(allow_hyphen_values = true, conflicts_with = "file")]
    value: Option<OsString>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    replaces: ReplacesArguments,
    /// Replace nothing: the value becomes a sibling of what is there
    #[arg(long, conflicts_with_all = ["context", "resolve"])]
    sibling: bool,
    /// Read the key first and replace exactly what that read saw, siblings and all
    #[arg(long, conflicts_with = "context")]
    resolve: bool,
    #[command(flatten)]
    write: WriteArguments,
}

/// What a write replaces, when it is not simply the latest.
#[derive(Debug, Clone, Args)]
struct ReplacesArguments {
    /// Replace exactly what was read together with this context (kv get --json prints it)
    #[arg(long, value_name = "CONTEXT")]
    context: Option<Context>,
}

/// Options of every write.
#[derive(Debug, Clone, Args)]
pub(crate) struct WriteArguments {
    /// How many nodes must hold it durably [default: from the bucket]
    #[arg(short, long, value_name = "COUNT", help_heading = "Quorum", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) w: Option<u8>,
    #[command(flatten)]
    pub(crate) quorum: QuorumArguments,
    /// The write's operation id: 32 hex digits [default: drawn at random]
    #[arg(long, value_name = "ID", help_heading = "Retry")]
    pub(crate) operation: Option<OperationId>,
    /// The id was sent before: ask the owners for it first, so that the write takes effect once
    #[arg(long, requires = "operation", help_heading = "Retry")]
    pub(crate) retry: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// Where the bytes of a value come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line.
    Argument(OsString),
    /// Standard input, to its end.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// What a put replaces.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Replacing {
    /// What the coordinator holds.
    Latest,
    /// What was read together with this context.
    Context(Context),
    /// Nothing.
    Nothing,
    /// What a read just before the write sees.
    WhatIsRead,
}

/// A put with all its options settled.
#[derive(Debug, Clone)]
pub(crate) struct Put {
    pub(crate) key: KeyArguments,
    pub(crate) source: Source,
    pub(crate) replacing: Replacing,
    pub(crate) write: WriteArguments,
}

impl PutArguments {
    /// Settles where the value comes from and what it replaces.
    pub(crate) fn resolve(self) -> Put {
        let source = match (self.file, self.value) {
            (Some(file), _) => Source::File(file),
            (None, Some(value)) if value != "-" => Source::Argument(value),
            (None, _) => Source::Stdin,
        };
        let replacing = match (self.replaces.context, self.sibling, self.resolve) {
            (Some(context), _, _) => Replacing::Context(context),
            (None, true, _) => Replacing::Nothing,
            (None, false, true) => Replacing::WhatIsRead,
            (None, false, false) => Replacing::Latest,
        };
        Put { key: self.key, source, replacing, write: self.write }
    }
}

pub(crate) const GET_EXAMPLES: &str = "\
Examples:
  kv get greeting                 the value and nothing else; exit 1: not found, 4: siblings
  kv get photo > cat.jpg
  kv get cart --sibling 2         one of several siblings
  kv get cart --all --json        every sibling, and the context that covers them
";

/// Arguments of `kv get`.
#[derive(Debug, Clone, Args)]
pub(crate) struct GetArguments {
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    /// Which sibling to write, counted from 1 as the list on standard error does
    #[arg(long, value_name = "I", conflicts_with = "all", value_parser = clap::value_parser!(u32).range(1..))]
    sibling: Option<u32>,
    /// Every sibling; needs --json
    #[arg(long)]
    all: bool,
    /// How many nodes must answer [default: from the bucket]
    #[arg(short, long, value_name = "COUNT", help_heading = "Quorum", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) r: Option<u8>,
    #[command(flatten)]
    pub(crate) quorum: QuorumArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// Which of the siblings a get wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The only one; several are a conflict.
    Only,
    /// This one, counted from zero.
    Sibling(usize),
    /// All of them.
    All,
}

impl GetArguments {
    /// Which siblings are wanted.
    ///
    /// # Errors
    /// `--all` without `--json`: raw values one after another could not be told apart.
    pub(crate) fn selection(&self, is_json: bool) -> Outcome<Selection> {
        match (self.sibling, self.all) {
            (Some(number), _) => Ok(Selection::Sibling(number as usize - 1)),
            (None, true) if !is_json => {
                Err(Failure::usage("--all needs --json: raw values could not be told apart"))
            }
            (None, true) => Ok(Selection::All),
            (None, false) => Ok(Selection::Only),
        }
    }
}

pub(crate) const DELETE_EXAMPLES: &str = "\
Examples:
  kv delete greeting                                       exit 1 when there is nothing to delete
  kv delete cart --context \"$(kv get cart --json | jq -r .context)\"
";

/// Arguments of `kv delete`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeleteArguments {
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    #[command(flatten)]
    replaces: ReplacesArguments,
    #[command(flatten)]
    pub(crate) write: WriteArguments,
}

impl DeleteArguments {
    /// What the delete replaces.
    pub(crate) fn replacing(&self) -> Replacing {
        self.replaces.context.clone().map_or(Replacing::Latest, Replacing::Context)
    }
}

pub(crate) const LIST_EXAMPLES: &str = "\
Examples:
  kv ls                                every key of the bucket, in order
  kv ls cart/ --bucket shop            the keys that begin with cart/
  kv ls --limit 100 --after cart/17    the next hundred
";

/// Arguments of `kv ls`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArguments {
    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// The bucket
    #[arg(long, short, default_value = "default", value_name = "BUCKET")]
    pub(crate) bucket: BucketName,
    /// At most so many keys
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    /// Begin behind this key: the last one of the page before
    #[arg(long, value_name = "KEY", value_parser = key_parser())]
    pub(crate) after: Option<Key>,
    /// List what can be reached, even when some partitions cannot
    #[arg(long)]
    pub(crate) partial: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// A key is bytes, so what the shell hands over need not be text.
fn key_parser() -> impl TypedValueParser<Value = Key> {
    OsStringValueParser::new().try_map(|bytes| Key::new(bytes.into_vec()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{GetArguments, Put, Replacing, Selection, Source};
    use crate::args::{Arguments, Verb};
    use crate::exit_code::ExitCode;

    fn parse(words: &[&str]) -> Result<Verb, clap::Error> {
        Arguments::try_parse_from(std::iter::once("kv").chain(words.iter().copied()))
            .map(|parsed| parsed.verb)
    }

    fn put(words: &[&str]) -> Put {
        match parse(&[&["put"], words].concat()).expect("a good command") {
            Verb::Put(arguments) => arguments.resolve(),
            other => panic!("{other:?}"),
        }
    }

    fn get(words: &[&str]) -> GetArguments {
        match parse(&[&["get"], words].concat()).expect("a good command") {
            Verb::Get(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_value_comes_from_the_argument_a_file_or_standard_input() {
        assert_eq!(put(&["k", "v"]).source, Source::Argument("v".into()));
        assert_eq!(put(&["k", "-5"]).source, Source::Argument("-5".into()));
        assert_eq!(put(&["k", "-"]).source, Source::Stdin);
        assert_eq!(put(&["k"]).source, Source::Stdin);
        assert_eq!(put(&["k", "--file", "f"]).source, Source::File("f".into()));
        assert!(parse(&["put", "k", "v", "--file", "f"]).is_err());
    }

    #[test]
    fn a_put_replaces_the_latest_unless_told_otherwise_and_only_one_thing() {
        assert_eq!(put(&["k", "v"]).replacing, Replacing::Latest);
        assert_eq!(put(&["k", "v", "--sibling"]).replacing, Replacing::Nothing);
        assert_eq!(put(&["k", "v", "--resolve"]).replacing, Replacing::WhatIsRead);
        let context = "00ff".parse().expect("hex digits");
        assert_eq!(put(&["k", "v", "--context", "00ff"]).replacing, Replacing::Context(context));
        for both in [
            &["--sibling", "--resolve"][..],
            &["--context", "00", "--sibling"],
            &["--context", "00", "--resolve"],
        ] {
            assert!(parse(&[&["put", "k", "v"], both].concat()).is_err(), "{both:?}");
        }
    }

    #[test]
    fn siblings_are_counted_from_one_and_all_of_them_need_json() {
        assert_eq!(get(&["k"]).selection(false), Ok(Selection::Only));
        assert_eq!(get(&["k", "--sibling", "2"]).selection(false), Ok(Selection::Sibling(1)));
        assert_eq!(get(&["k", "--all"]).selection(true), Ok(Selection::All));
        let failure = get(&["k", "--all"]).selection(false).expect_err("raw values run together");
        assert_eq!(failure.code(), ExitCode::Usage);
        assert!(parse(&["get", "k", "--sibling", "0"]).is_err());
    }

    #[test]
    fn what_cannot_be_is_refused_by_the_parser() {
        for words in
            [&["get", ""][..], &["get", "k", "-r", "0"], &["put", "k", "v", "--operation", "xyz"]]
        {
            assert!(parse(words).is_err(), "{words:?}");
        }
        assert!(parse(&["put", "k", "v", "--retry"]).is_err(), "a retry names its operation");
        assert!(parse(&["get", "k", "--bucket", "No Such"]).is_err());
    }
}
