//! Arguments of `kv bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::connection::ConnectionArguments;
use super::duration;
use super::failover::{FAILOVER_EXAMPLES, FailoverArguments};
use super::overload::{OVERLOAD_EXAMPLES, OverloadArguments};
use crate::bench::distribution::Distribution;
use crate::bench::workload::Workload;
use crate::failure::{Failure, Outcome};

/// The verbs of `kv bench`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum BenchVerb {
    /// Load keys, work on them, say how fast it went and what it cost
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArguments),
    /// Offer twice what the nodes can do, say whether they come through it well
    #[command(after_help = OVERLOAD_EXAMPLES)]
    Overload(OverloadArguments),
    /// Kill a node under load, say what its users saw and when it had everything again
    #[command(after_help = FAILOVER_EXAMPLES)]
    Failover(FailoverArguments),
}

const RUN_EXAMPLES: &str = "\
Examples:
  kv bench run put get --nodes 3                 three nodes of its own: 64 in flight, 10 s of each
  kv bench run ycsb-a ycsb-b --endpoint 127.0.0.1:7401 --time 60s --html report.html
  kv bench run put --nodes 3 --rate 5000         an open loop: 5,000 puts a second, however long each takes
  kv bench run new-keys --nodes 3 --count 1000000 --in-flight 256 --json

A put is an overwrite under the context of the last reply for its key, or a new key; a key has one write on its way at a
time. At the end the keys are read again: a sibling or a missing key fails the run (exit codes 4 and 7).
Keys are named bench/.. and stay there; give --bucket to keep them apart from others.
";

/// How the generator reaches a cluster that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Carrier {
    /// QUIC with mutual TLS
    Quic,
    /// TCP with mutual TLS
    Tls,
    /// TCP on loopback without TLS, as kv dev allows it
    Plain,
}

/// Arguments of `kv bench run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArguments {
    /// What to run, one after the other on the same keys
    #[arg(required = true, value_enum, value_name = "WORKLOAD")]
    pub(crate) workloads: Vec<Workload>,
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// How much is asked for at a time, and how long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArguments {
    /// The most operations on their way at a time
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) in_flight: u32,
    /// Begin so many operations a second, whatever becomes of earlier ones; latency counts from when each was due
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: Option<u64>,
    /// Connections to each node
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) connections: u16,
    /// How long each workload is measured
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse, conflicts_with = "count")]
    pub(crate) time: Duration,
    /// Measure so many operations of each workload instead
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// How long each workload runs before it is measured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    pub(crate) warmup: Duration,
    /// Begins all random draws
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What is asked for.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Keys and values")]
pub(crate) struct KeyArguments {
    /// How many keys there are at the beginning
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) keys: u64,
    /// The keys are there already, from an earlier run with the same --keys
    #[arg(long)]
    pub(crate) no_load: bool,
    /// Bytes of each value [default: 256; 1000 for YCSB]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) value_bytes: Option<u32>,
    /// How keys are drawn [default: uniform; for YCSB what the workload says]
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) distribution: Option<Distribution>,
    /// The bucket
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) bucket: String,
    /// Answers that a read needs [default: the bucket's]
    #[arg(long, value_name = "COUNT")]
    pub(crate) r: Option<u8>,
    /// Durable copies that a write needs [default: the bucket's]
    #[arg(long, value_name = "COUNT")]
    pub(crate) w: Option<u8>,
    /// Count owners only
    #[arg(long)]
    pub(crate) strict: bool,
}

/// A cluster of its own.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "A cluster for this run")]
pub(crate) struct ClusterArguments {
    /// Start so many nodes on this machine for the run, and remove them afterwards
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["endpoints", "config"], value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) nodes: Option<u16>,
    /// How the nodes of --nodes are reached
    #[arg(long, value_enum, value_name = "NAME", default_value = "quic", requires = "nodes")]
    pub(crate) transport: Carrier,
    /// Where the nodes of --nodes keep their data [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR", requires = "nodes")]
    pub(crate) dir: Option<PathBuf>,
    /// The first port of --nodes; 0 takes free ones
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "nodes")]
    pub(crate) port_base: u16,
}

impl RunArguments {
    /// Checks what clap cannot: rules about several arguments together.
    ///
    /// # Errors
    /// A usage failure.
    pub(crate) fn check(&self) -> Outcome<()> {
        let writes = self.workloads.iter().any(|workload| workload.mix().overwrites());
        if writes && u64::from(self.load.in_flight) * 2 > self.keys.keys {
            let needed = u64::from(self.load.in_flight) * 2;
            return Err(Failure::usage(format!(
                "{} keys are too few for {} in flight: a key has one write on its way at a time",
                self.keys.keys, self.load.in_flight
            ))
            .advise(format!("Give --keys {needed} or more.")));
        }
        Ok(())
    }

    /// Bytes of each value: loading and all workloads use the same.
    pub(crate) fn value_bytes(&self) -> usize {
        let usual = self.workloads.first().map_or(256, |workload| workload.value_bytes());
        self.keys.value_bytes.map_or(usual, |bytes| bytes as usize)
    }
}
