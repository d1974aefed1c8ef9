//! Arguments of `kv bench overload`.

use std::time::Duration;

use clap::Args;

use super::bench::{ClusterArguments, KeyArguments, LoadArguments, RunArguments};
use super::connection::ConnectionArguments;
use super::duration;
use crate::bench::workload::Workload;
use crate::failure::{Failure, Outcome};

pub(super) const OVERLOAD_EXAMPLES: &str = "\
Examples:
  kv bench overload --nodes 3                    three nodes of its own, 30 s of twice what they can do
  kv bench overload --nodes 3 --time 5m --json   five minutes, for a script
  kv bench overload get --endpoint 127.0.0.1:7401 --factor 4

First the peak is measured in a closed loop, then 40 % of it in an open one; then a multiple of the peak is offered for
--time, in an open loop that sends whatever is due, however late the answers are, and that repeats nothing by itself; then
40 % again. An operation is good when it succeeded within --deadline of the moment in which it was due.
The run passes (exit code 0) when what was too much was answered as overloaded, no node took more memory than it may,
the good operations were at least 80 % of the peak, and 5 s after the end everything was as before. Otherwise the exit
code is 13.
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
    /// How long the peak is measured, and 40 % of it before and after the overload
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub(crate) calm: Duration,
    /// How many times the peak is offered
    #[arg(long, value_name = "TIMES", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=20))]
    pub(crate) factor: u32,
    /// Within what an operation is of use
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub(crate) deadline: Duration,
    /// Operations on their way at a time while the peak is measured
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) in_flight: u32,
    /// Connections to each node
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) connections: u16,
    /// Begins all random draws
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
}

impl OverloadArguments {
    /// The same as arguments of the run that measures the peak.
    ///
    /// # Errors
    /// A usage failure.
    pub(crate) fn run(&self) -> Outcome<RunArguments> {
        if self.push.calm < Duration::from_secs(3) || self.push.time < Duration::from_secs(3) {
            let message = "--time and --calm are at least 3s: seconds are compared with each other";
            return Err(Failure::usage(message));
        }
        let options = RunArguments {
            workloads: vec![self.workload],
            load: LoadArguments {
                in_flight: self.push.in_flight,
                rate: None,
                connections: self.push.connections,
                time: self.push.calm,
                count: None,
                warmup: self.push.calm / 4,
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
