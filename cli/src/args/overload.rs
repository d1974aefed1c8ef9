//! Arguments of `kv bench overload`.

use std::time::Duration;

use clap::Args;

use super::bench::{ClusterArguments, KeyArguments, LoadArguments, RunArguments};
use super::connection::ConnectionArguments;
use super::duration;
use crate::bench::workload::Workload;
use crate::failure::{Failure, Outcome};

/// The fewest seconds of anything that is measured.
const SECONDS_MIN: u64 = 3;

pub(super) const OVERLOAD_EXAMPLES: &str = "\
Examples:
  kv bench overload --nodes 3                    three nodes of its own, 30 s of twice what they can do
  kv bench overload --nodes 3 --time 5m --json   five minutes, for a script
  kv bench overload get --endpoint 127.0.0.1:7401 --factor 4

First the peak is measured: the best of several closed loops, each warm before it counts. Then 40 % of it is offered in an
open loop; then a multiple of the peak for --time, in an open loop that sends whatever is due, however late the answers
are, and that repeats nothing by itself; then 40 % again. An operation is good when it succeeded within --deadline of the
moment in which it was due.
The run passes (exit code 0) when what was too much was answered as overloaded at once, no node took more memory than it
may, the good operations were at least 80 % of the peak, and 5 s after the end everything was as before. Otherwise, and
when the nodes were not overloaded or the generator fell behind, the exit code is 13.
";

/// Arguments of `kv bench overload`.
#[derive(Debug, Clone, Args)]
pub(crate) struct OverloadArguments {
    /// What to overload it with
    #[arg(value_enum, value_name = "WORKLOAD", default_value = "put")]
    pub(crate) workload: Workload,
    #[command(flatten)]
    pub(crate) push: PushArguments,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// How hard, how long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct PushArguments {
    /// How long the overload lasts
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(crate) time: Duration,
    /// How long 40 % of the peak is measured, before and after the overload; each measurement of the peak takes half of it, in
    /// which a node should have fed its index once or twice
    #[arg(long, value_name = "TIME", default_value = "40s", value_parser = duration::parse)]
    pub(crate) calm: Duration,
    /// How many times the peak is offered
    #[arg(long, value_name = "TIMES", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=20))]
    pub(crate) factor: u32,
    /// Within what an operation is of use
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub(crate) deadline: Duration,
    /// Operations on their way at a time while the peak is measured: the best of these counts
    #[arg(long, value_name = "COUNT,...", value_delimiter = ',', default_values_t = [64, 256, 1_024], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) in_flight: Vec<u32>,
    /// Connections to each node
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) connections: u16,
    /// Begins all random draws
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
}

impl PushArguments {
    /// The most operations on their way at a time while the peak is measured.
    pub(crate) fn most_in_flight(&self) -> u32 {
        self.in_flight.iter().copied().max().unwrap_or(1)
    }

    /// How long the nodes are under a load before it is measured.
    pub(crate) fn warmup(&self) -> Duration {
        self.calm / 4
    }

    /// How long each measurement of the peak takes: whole seconds, and enough for a mean.
    pub(crate) fn peak_time(&self) -> Duration {
        Duration::from_secs((self.calm.as_secs() / 2).max(SECONDS_MIN))
    }
}

impl OverloadArguments {
    /// The same as arguments of the run that measures the peak.
    ///
    /// # Errors
    /// A usage failure.
    pub(crate) fn run(&self) -> Outcome<RunArguments> {
        let least = Duration::from_secs(SECONDS_MIN);
        if self.push.calm < least || self.push.time < least {
            let message = format!(
                "--time and --calm are at least {SECONDS_MIN}s: seconds are compared with each other"
            );
            return Err(Failure::usage(message));
        }
        let options = RunArguments {
            workloads: vec![self.workload],
            load: LoadArguments {
                in_flight: self.push.most_in_flight(),
                rate: None,
                connections: self.push.connections,
                time: self.push.calm,
                count: None,
                warmup: self.push.warmup(),
                seed: self.push.seed,
            },
            keys: self.keys.clone(),
            cluster: self.cluster.clone(),
            html: None,
            connection: self.connection.clone(),
        };
        options.check().map(|()| options)
    }
}
