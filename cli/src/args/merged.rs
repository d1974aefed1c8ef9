//! Arguments of the verbs for buckets that merge by themselves: `kv counter`, `set`, `register`, `map`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use bytes::Bytes;
use clap::{Args, Subcommand};
use kvorum_protocol::mergeable::{FieldChange, Operation};

use super::connection::ConnectionArguments;
use super::value::{KeyArguments, QuorumArguments, WriteArguments};

/// Arguments of every read of a mergeable value.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReadArguments {
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    /// How many nodes must answer [default: from the bucket]
    #[arg(short, long, value_name = "COUNT", help_heading = "Quorum", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) r: Option<u8>,
    #[command(flatten)]
    pub(crate) quorum: QuorumArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// What is to be done to which value.
#[derive(Debug, Clone)]
pub(crate) enum Merged {
    /// Show it.
    Read(ReadArguments),
    /// Change it.
    Update {
        /// Which one.
        key: KeyArguments,
        /// How.
        change: Operation,
        /// How it wants to be served.
        write: WriteArguments,
    },
}

const COUNTER_GET_EXAMPLES: &str = "\
Examples:
  kv counter get visits --bucket counters           the number; exit 1 when nothing was ever counted
  kv counter get visits --bucket counters --strict
";

const COUNTER_ADD_EXAMPLES: &str = "\
Examples:
  kv counter add visits --bucket counters           one more
  kv counter add stock -3 --bucket counters
  kv counter add visits 5 --bucket counters --operation 000102030405060708090a0b0c0d0e0f --retry
";

/// The verbs of `kv counter`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum CounterVerb {
    /// Print a counter
    #[command(after_help = COUNTER_GET_EXAMPLES)]
    Get(ReadArguments),
    /// Add to a counter and print what its coordinator makes of it
    #[command(after_help = COUNTER_ADD_EXAMPLES)]
    Add {
        #[command(flatten)]
        key: KeyArguments,
        /// How much; less than 0 to subtract
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        #[command(flatten)]
        write: WriteArguments,
    },
}

impl CounterVerb {
    /// What is to be done.
    pub(crate) fn resolve(self) -> Merged {
        match self {
            CounterVerb::Get(read) => Merged::Read(read),
            CounterVerb::Add { key, by, write } => {
                Merged::Update { key, change: adding(by), write }
            }
        }
    }
}

const SET_GET_EXAMPLES: &str = "\
Examples:
  kv set get tags --bucket sets                     one element a line; exit 1 when nothing was ever added
  kv set get tags --bucket sets --json              elements that are no text, too
";

const SET_ADD_EXAMPLES: &str = "\
Examples:
  kv set add tags new paid --bucket sets
";

const SET_REMOVE_EXAMPLES: &str = "\
Examples:
  kv set remove tags offer --bucket sets            an add that is under way at the same time wins
";

/// The verbs of `kv set`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SetVerb {
    /// Print what is in a set
    #[command(after_help = SET_GET_EXAMPLES)]
    Get(ReadArguments),
    /// Add elements to a set
    #[command(after_help = SET_ADD_EXAMPLES)]
    Add(ElementArguments),
    /// Remove elements from a set
    #[command(after_help = SET_REMOVE_EXAMPLES)]
    Remove(ElementArguments),
}

/// Elements of a set.
#[derive(Debug, Clone, Args)]
pub(crate) struct ElementArguments {
    #[command(flatten)]
    key: KeyArguments,
    /// The elements, 4,096 bytes each at most
    #[arg(required = true)]
    elements: Vec<OsString>,
    #[command(flatten)]
    write: WriteArguments,
}

impl SetVerb {
    /// What is to be done.
    pub(crate) fn resolve(self) -> Merged {
        let (arguments, adds) = match self {
            SetVerb::Get(read) => return Merged::Read(read),
            SetVerb::Add(arguments) => (arguments, true),
            SetVerb::Remove(arguments) => (arguments, false),
        };
        let ElementArguments { key, elements, write } = arguments;
        let elements = bytes_of(elements);
        let change = match adds {
            true => Operation::Add { elements },
            false => Operation::Remove { elements },
        };
        Merged::Update { key, change, write }
    }
}

const REGISTER_GET_EXAMPLES: &str = "\
Examples:
  kv register get motto --bucket registers          exit 4: assigned concurrently
";

const REGISTER_SET_EXAMPLES: &str = "\
Examples:
  kv register set motto always-writable --bucket registers
";

/// The verbs of `kv register`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RegisterVerb {
    /// Write a register's value to standard output, byte for byte
    #[command(after_help = REGISTER_GET_EXAMPLES)]
    Get(ReadArguments),
    /// Assign a register's value
    #[command(after_help = REGISTER_SET_EXAMPLES)]
    Set {
        #[command(flatten)]
        key: KeyArguments,
        /// The value
        #[arg(allow_hyphen_values = true)]
        value: OsString,
        #[command(flatten)]
        write: WriteArguments,
    },
}

impl RegisterVerb {
    /// What is to be done.
    pub(crate) fn resolve(self) -> Merged {
        match self {
            RegisterVerb::Get(read) => Merged::Read(read),
            RegisterVerb::Set { key, value, write } => {
                let change = Operation::Assign { value: value.into_vec().into() };
                Merged::Update { key, change, write }
            }
        }
    }
}

const MAP_GET_EXAMPLES: &str = "\
Examples:
  kv map get ada --bucket users
  kv map get ada --bucket users --json
";

const MAP_SET_EXAMPLES: &str = "\
Examples:
  kv map set ada name Ada --bucket users
";

const MAP_COUNT_EXAMPLES: &str = "\
Examples:
  kv map count ada logins --bucket users
  kv map count ada credit -25 --bucket users
";

const MAP_ADD_EXAMPLES: &str = "\
Examples:
  kv map add ada tags new paid --bucket users
";

const MAP_REMOVE_EXAMPLES: &str = "\
Examples:
  kv map remove ada tags new --bucket users
";

const MAP_CLEAR_EXAMPLES: &str = "\
Examples:
  kv map clear ada mail phone --bucket users        a change that is under way at the same time stays
";

/// The verbs of `kv map`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum MapVerb {
    /// Print the fields of a map
    #[command(after_help = MAP_GET_EXAMPLES)]
    Get(ReadArguments),
    /// Assign a field that is a register
    #[command(after_help = MAP_SET_EXAMPLES)]
    Set {
        #[command(flatten)]
        field: FieldArguments,
        /// The value
        #[arg(allow_hyphen_values = true)]
        value: OsString,
        #[command(flatten)]
        write: WriteArguments,
    },
    /// Add to a field that is a counter
    #[command(after_help = MAP_COUNT_EXAMPLES)]
    Count {
        #[command(flatten)]
        field: FieldArguments,
        /// How much; less than 0 to subtract
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        #[command(flatten)]
        write: WriteArguments,
    },
    /// Add elements to a field that is a set
    #[command(after_help = MAP_ADD_EXAMPLES)]
    Add(FieldElementArguments),
    /// Remove elements from a field that is a set
    #[command(after_help = MAP_REMOVE_EXAMPLES)]
    Remove(FieldElementArguments),
    /// Remove fields, of whatever kind
    #[command(after_help = MAP_CLEAR_EXAMPLES)]
    Clear {
        #[command(flatten)]
        key: KeyArguments,
        /// The fields
        #[arg(required = true)]
        fields: Vec<OsString>,
        #[command(flatten)]
        write: WriteArguments,
    },
}

/// A field of a map.
#[derive(Debug, Clone, Args)]
pub(crate) struct FieldArguments {
    #[command(flatten)]
    key: KeyArguments,
    /// The field: 1 to 256 bytes
    field: OsString,
}

/// Elements of a field that is a set.
#[derive(Debug, Clone, Args)]
pub(crate) struct FieldElementArguments {
    #[command(flatten)]
    field: FieldArguments,
    /// The elements, 4,096 bytes each at most
    #[arg(required = true)]
    elements: Vec<OsString>,
    #[command(flatten)]
    write: WriteArguments,
}

impl MapVerb {
    /// What is to be done.
    pub(crate) fn resolve(self) -> Merged {
        match self {
            MapVerb::Get(read) => Merged::Read(read),
            MapVerb::Set { field, value, write } => {
                field.changed(Operation::Assign { value: value.into_vec().into() }, write)
            }
            MapVerb::Count { field, by, write } => field.changed(adding(by), write),
            MapVerb::Add(FieldElementArguments { field, elements, write }) => {
                field.changed(Operation::Add { elements: bytes_of(elements) }, write)
            }
            MapVerb::Remove(FieldElementArguments { field, elements, write }) => {
                field.changed(Operation::Remove { elements: bytes_of(elements) }, write)
            }
            MapVerb::Clear { key, fields, write } => {
                let clear = |name| FieldChange { name, change: Operation::Clear };
                let changes = bytes_of(fields).into_iter().map(clear).collect();
                Merged::Update { key, change: Operation::Fields { changes }, write }
            }
        }
    }
}

impl FieldArguments {
    fn changed(self, change: Operation, write: WriteArguments) -> Merged {
        let changes = vec![FieldChange { name: self.field.into_vec().into(), change }];
        Merged::Update { key: self.key, change: Operation::Fields { changes }, write }
    }
}

fn adding(by: i64) -> Operation {
    match by < 0 {
        true => Operation::Decrement { by: by.unsigned_abs() },
        false => Operation::Increment { by: by.unsigned_abs() },
    }
}

fn bytes_of(words: Vec<OsString>) -> Vec<Bytes> {
    words.into_iter().map(|word| word.into_vec().into()).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use kvorum_protocol::mergeable::{FieldChange, Operation};

    use super::Merged;
    use crate::args::{Arguments, Verb};

    fn change(words: &[&str]) -> Operation {
        let words = ["kv"].iter().chain(words).copied();
        let merged = match Arguments::try_parse_from(words).expect("a good command").verb {
            Verb::Counter(verb) => verb.resolve(),
            Verb::Set(verb) => verb.resolve(),
            Verb::Register(verb) => verb.resolve(),
            Verb::Map(verb) => verb.resolve(),
            other => panic!("{other:?}"),
        };
        match merged {
            Merged::Update { change, .. } => change,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_counter_is_added_to_in_both_directions_and_by_one_if_nothing_is_said() {
        assert_eq!(change(&["counter", "add", "k"]), Operation::Increment { by: 1 });
        assert_eq!(change(&["counter", "add", "k", "-3"]), Operation::Decrement { by: 3 });
        let least = i64::MIN.to_string();
        assert_eq!(change(&["counter", "add", "k", &least]), Operation::Decrement { by: 1 << 63 });
    }

    #[test]
    fn a_field_is_changed_by_what_its_verb_says() {
        let field =
            |change| Operation::Fields { changes: vec![FieldChange { name: "f".into(), change }] };
        let value = Operation::Assign { value: "-5".into() };
        assert_eq!(change(&["map", "set", "k", "f", "-5"]), field(value));
        let elements = vec!["a".into(), "b".into()];
        assert_eq!(change(&["map", "add", "k", "f", "a", "b"]), field(Operation::Add { elements }));
        assert_eq!(change(&["map", "clear", "k", "f"]), field(Operation::Clear));
        assert_eq!(change(&["map", "count", "k", "f"]), field(Operation::Increment { by: 1 }));
    }
}
