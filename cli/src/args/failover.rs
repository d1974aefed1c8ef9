//! Arguments of `kv bench failover`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::bench::{Carrier, ClusterArguments, KeyArguments, LoadArguments, RunArguments};
use super::connection::ConnectionArguments;
use super::duration;
use crate::bench::workload::Workload;
use crate::failure::Outcome;

pub(super) const FAILOVER_EXAMPLES: &str = "\
Examples:
  kv bench failover                              three nodes of its own, one of them killed for 20 s
  kv bench failover --nodes 5 --away 60s --json  one of five, for a script
  kv bench failover --wipe --part 40 --keys 1000000
                                                 it comes back with an empty disk, under 40 % of the peak

64 connections work on 100,000 keys; a node is killed (SIGKILL) under that load, and started again --away later. Told are the
longest time without a write, what failed, who hung, whether anybody was told that an existing key is not there, and how
long it takes the node to have everything again. In the end the others are killed, too, and it is read alone.
When keys are missing, or missing at that node, or were said to be, the exit code is 7; with siblings it is 4, and when
the nodes do not come together within --patience it is 3.
";

/// Arguments of `kv bench failover`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FailoverArguments {
    /// What to do meanwhile
    #[arg(value_enum, value_name = "WORKLOAD", default_value = "mixed")]
    pub(crate) workload: Workload,
    #[command(flatten)]
    pub(crate) push: FailureArguments,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
    #[command(flatten)]
    pub(crate) cluster: OwnCluster,
    /// How long an operation may take, retries included
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// The cluster that is started for the run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The cluster")]
pub(crate) struct OwnCluster {
    /// Start so many nodes on this machine for the run, and remove them afterwards
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=50))]
    pub(crate) nodes: u16,
    /// How they are reached
    #[arg(long, value_enum, value_name = "NAME", default_value = "quic")]
    pub(crate) transport: Carrier,
    /// Where they keep their data [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The first port; 0 takes free ones
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port_base: u16,
}

/// What happens, and under which load.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load and failure")]
pub(crate) struct FailureArguments {
    /// How long the load is measured before, and what the nodes can do where --part is given
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub(crate) calm: Duration,
    /// How long the node is away
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration::parse)]
    pub(crate) away: Duration,
    /// How long the load goes on once it is started again; with --wipe also until it is filled
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub(crate) back: Duration,
    /// How long the nodes may take to have everything
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    pub(crate) patience: Duration,
    /// The node's data are gone when it comes back
    #[arg(long)]
    pub(crate) wipe: bool,
    /// Ask by the clock for so many percent of what the nodes can do, rather than for as much as they can
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) part: Option<u32>,
    /// Connections to each node, and the most operations on their way at a time
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) in_flight: u32,
    /// Begins all random draws
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
}

impl FailoverArguments {
    /// The longest that the load goes on once the node is started again.
    pub(crate) fn longest_return(&self) -> Duration {
        match self.push.wipe {
            true => self.push.back.max(self.push.patience),
            false => self.push.back,
        }
    }

    /// The same as arguments of a run.
    ///
    /// # Errors
    /// A usage failure.
    pub(crate) fn run(&self) -> Outcome<RunArguments> {
        let OwnCluster { nodes, transport, dir, port_base } = self.cluster.clone();
        let options = RunArguments {
            workloads: vec![self.workload],
            load: LoadArguments {
                in_flight: self.push.in_flight,
                rate: None,
                connections: 1,
                time: self.push.calm,
                count: None,
                warmup: Duration::ZERO,
                seed: self.push.seed,
            },
            keys: self.keys.clone(),
            cluster: ClusterArguments { nodes: Some(nodes), transport, dir, port_base },
            html: None,
            connection: ConnectionArguments {
                endpoints: Vec::new(),
                config: None,
                token_file: None,
                timeout: self.timeout,
            },
        };
        options.check().map(|()| options)
    }
}
