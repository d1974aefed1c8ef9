//! The command line: raw arguments on one side, what a verb works with on the other.
//!
//! Each file holds the arguments of a few related verbs. Single values become rich types while they are parsed
//! ([`Endpoint`](kvorum_client::Endpoint), [`NodeSpec`](cluster::NodeSpec), a `Duration`); rules about several arguments
//! together are settled once by a `resolve` method, so that a verb never meets a combination that makes no sense.

pub(crate) mod auth;
pub(crate) mod bench;
pub(crate) mod bucket;
pub(crate) mod cert;
pub(crate) mod cluster;
pub(crate) mod conflicts;
pub(crate) mod connection;
pub(crate) mod duration;
pub(crate) mod failover;
pub(crate) mod hints;
pub(crate) mod key;
pub(crate) mod local;
pub(crate) mod merged;
pub(crate) mod overload;
pub(crate) mod repair;
pub(crate) mod ring;
pub(crate) mod sim;
pub(crate) mod value;
pub(crate) mod watch;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::exit_code::ExitCode;
use crate::output::style::ColorChoice;
use crate::output::{Format, Output};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

const EXAMPLES: &str = "\
Examples:
  kv demo                            see it work: five nodes, real files, one of them killed
  kv dev                             a cluster on this machine, until Ctrl-C
  echo hello | kv put greeting -     store a value in it, from another shell
  kv get greeting                    read it back
  kv status                          what is up, and whether every partition has its quorum
";

/// A leaderless key-value cluster: node, client and simulator in one binary.
#[derive(Debug, Parser)]
#[command(name = "kv", version, max_term_width = 100, styles = STYLES, disable_help_subcommand = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n{}", ExitCode::table()))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArguments {
    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Say more on standard error: the context, the coordinator, who answered
    #[arg(long, short, global = true, help_heading = "Output")]
    verbose: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Output"
    )]
    color: ColorChoice,
}

impl GlobalArguments {
    /// The streams as the user wants them.
    pub(crate) fn output(&self) -> Output {
        let format = if self.json { Format::Json } else { Format::Text };
        Output::new(format, self.color, self.verbose)
    }
}

/// What `kv` can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the whole system at work on a directory of yours, then clean up
    #[command(after_help = local::DEMO_EXAMPLES)]
    Demo(local::DemoArguments),
    /// Run a cluster on this machine until Ctrl-C
    #[command(after_help = local::DEV_EXAMPLES)]
    Dev(local::DevArguments),
    /// Make the directories of a new cluster
    #[command(subcommand)]
    Cluster(cluster::ClusterVerb),
    /// Run a node
    #[command(subcommand)]
    Node(cluster::NodeVerb),
    /// Store a value
    #[command(after_help = value::PUT_EXAMPLES)]
    Put(value::PutArguments),
    /// Write a value to standard output, byte for byte
    #[command(after_help = value::GET_EXAMPLES)]
    Get(value::GetArguments),
    /// Delete a key
    #[command(after_help = value::DELETE_EXAMPLES)]
    Delete(value::DeleteArguments),
    /// List keys in order
    #[command(after_help = value::LIST_EXAMPLES)]
    Ls(value::ListArguments),
    /// Read and add to counters, in a bucket of that rule
    #[command(subcommand)]
    Counter(merged::CounterVerb),
    /// Read and change sets, in a bucket of that rule
    #[command(subcommand)]
    Set(merged::SetVerb),
    /// Read and assign registers, in a bucket of that rule
    #[command(subcommand)]
    Register(merged::RegisterVerb),
    /// Read and change maps of counters, sets and registers, in a bucket of that rule
    #[command(subcommand)]
    Map(merged::MapVerb),
    /// Show the nodes, and whether every partition has its quorum
    #[command(after_help = ring::STATUS_EXAMPLES)]
    Status(ring::StatusArguments),
    /// Show what the nodes do: rates, latencies, queues, storage, syncs, network
    #[command(after_help = watch::STATS_EXAMPLES)]
    Stats(watch::StatsArguments),
    /// Watch the nodes at work in a live view
    #[command(after_help = watch::TOP_EXAMPLES)]
    Top(watch::TopArguments),
    /// Show who owns what
    #[command(subcommand)]
    Ring(ring::RingVerb),
    /// Look into one key: what each owner holds, and why
    #[command(subcommand)]
    Key(key::KeyVerb),
    /// List, show and resolve siblings
    #[command(subcommand)]
    Conflicts(conflicts::ConflictsVerb),
    /// Show, hand over and keep back what nodes hold for owners that were away
    #[command(subcommand)]
    Hints(hints::HintsVerb),
    /// Have the owners of a key, a partition, or all that a node owns hold the same, and show which do not
    #[command(subcommand)]
    Repair(repair::RepairVerb),
    /// Create, change and show buckets
    #[command(subcommand)]
    Bucket(bucket::BucketVerb),
    /// Make, list and revoke access tokens
    #[command(subcommand)]
    Auth(auth::AuthVerb),
    /// Show and renew certificates
    #[command(subcommand)]
    Cert(cert::CertVerb),
    /// Gather what a bug report needs, without secrets
    #[command(after_help = ring::DIAG_EXAMPLES)]
    Diag(ring::DiagArguments),
    /// Measure a cluster
    #[command(subcommand)]
    Bench(bench::BenchVerb),
    /// Run the simulator
    #[command(subcommand)]
    Sim(sim::SimVerb),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell to write for
        shell: Shell,
    },
    /// Print the version, and what this binary was built with
    #[command(after_help = VERSION_EXAMPLES)]
    Version,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  kv completions bash > ~/.local/share/bash-completion/completions/kv
  kv completions zsh > \"${fpath[1]}/_kv\"
  kv completions fish > ~/.config/fish/completions/kv.fish
";

const VERSION_EXAMPLES: &str = "\
Examples:
  kv version
  kv version --json
";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Arguments;

    #[test]
    fn the_command_tree_is_consistent() {
        Arguments::command().debug_assert();
    }

    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let verbs: Vec<&clap::Command> =
            command.get_subcommands().filter(|verb| !verb.is_hide_set()).collect();
        if verbs.is_empty() {
            found.push((path.to_owned(), command.clone()));
        }
        for verb in verbs {
            leaves(verb, &format!("{path} {}", verb.get_name()), found);
        }
    }

    #[test]
    fn every_verb_has_a_line_of_help_and_an_example_that_starts_with_its_own_name() {
        let mut verbs = Vec::new();
        leaves(&Arguments::command(), "kv", &mut verbs);
        assert!(verbs.len() >= 20, "{verbs:?}");
        for (path, verb) in verbs {
            assert!(verb.get_about().is_some(), "{path} has no help");
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&path), "{path} has no example: {help:?}");
        }
    }

    /// A line of help whose command was not kept in step with the arguments is worse than none.
    #[test]
    fn every_example_of_the_help_parses() {
        let mut verbs = Vec::new();
        leaves(&Arguments::command(), "kv", &mut verbs);
        for (path, verb) in verbs {
            let help = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default()
                .replace("\\\n", " ");
            for line in help.lines() {
                // What a substitution puts in is a context; any hex digits will do.
                let line = match (line.find("\"$("), line.rfind(")\"")) {
                    (Some(from), Some(to)) => format!("{}00{}", &line[..from], &line[to + 2..]),
                    _ => line.to_owned(),
                };
                let Some((_, command)) = line.split_once("kv ") else { continue };
                let command = command.split("  ").next().unwrap_or_default();
                let words =
                    command.split_whitespace().take_while(|word| !matches!(*word, ">" | "|" | "<"));
                let parsed = Arguments::try_parse_from(std::iter::once("kv").chain(words));
                assert!(parsed.is_ok(), "{path}: {command:?}: {}", parsed.expect_err("checked"));
            }
        }
    }

    #[test]
    fn output_options_stand_before_or_after_the_verb() {
        for line in [["kv", "--json", "version"], ["kv", "version", "--json"]] {
            let arguments = Arguments::try_parse_from(line).expect("both orders");
            assert!(arguments.global.output().is_json());
        }
    }
}
