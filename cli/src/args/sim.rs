//! Arguments of `kv sim`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

const RUN_EXAMPLES: &str = "\
Examples:
  kv sim run --seed 42                 one simulated cluster: its plan, what happened, its trace hash
  kv sim run --plan failing.json       an edited or shrunk plan
";

const SWARM_EXAMPLES: &str = "\
Examples:
  kv sim swarm --seconds 60            one seed after another, until time is up or a property is violated
  kv sim swarm --seconds 10 --first-seed 1000

A swarm that violates nothing says little unless it went where bugs are. It counts the rare states that it reached, and
fails (exit code 24) when one was missed by so many seeds that luck is no excuse.
";

const TWINS_EXAMPLES: &str = "\
Examples:
  kv sim twins --seed 42               the same seed twice: the traces must be identical
  kv sim twins --seed 0 --count 20
";

/// The verbs of `kv sim`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SimVerb {
    /// Run one seed
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArguments),
    /// Run seeds until time is up
    #[command(after_help = SWARM_EXAMPLES)]
    Swarm(SwarmArguments),
    /// Run seeds twice and compare
    #[command(after_help = TWINS_EXAMPLES)]
    Twins(TwinsArguments),
}

/// Arguments of `kv sim run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArguments {
    /// The seed that the plan is drawn from
    #[arg(long, required_unless_present = "plan", conflicts_with = "plan")]
    pub(crate) seed: Option<u64>,
    /// Run this plan instead of drawing one
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Print the whole trace, whatever came of the run
    #[arg(long)]
    pub(crate) trace: bool,
    /// When something was violated, look for the smallest plan that still does it, and write it here
    #[arg(long, value_name = "FILE")]
    pub(crate) shrink: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) bug: BugArguments,
}

/// Arguments of `kv sim swarm`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SwarmArguments {
    /// How long to go on
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) seconds: u64,
    /// At most so many seeds
    #[arg(long, value_name = "COUNT")]
    pub(crate) seeds: Option<u64>,
    /// Go on after a violation
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// How many threads [default: one for each core]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// The first seed; the others follow
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub(crate) first_seed: u64,
    #[command(flatten)]
    pub(crate) bug: BugArguments,
}

impl SwarmArguments {
    /// How long to go on.
    pub(crate) fn budget(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Arguments of `kv sim twins`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TwinsArguments {
    /// The first seed
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many seeds
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    #[command(flatten)]
    pub(crate) bug: BugArguments,
}

/// Which planted bug to switch on. Only a build with the feature `planted` has any.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct BugArguments {
    /// Switch on a planted bug, by its name
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
}

impl BugArguments {
    /// The bug's name.
    pub(crate) fn name(&self) -> Option<String> {
        #[cfg(feature = "planted")]
        return self.planted.clone();
        #[cfg(not(feature = "planted"))]
        None
    }
}
