//! Arguments of the verbs that show figures: `kv stats` and `kv top`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::connection::ConnectionArguments;
use super::duration;

pub(crate) const STATS_EXAMPLES: &str = "\
Examples:
  kv stats                             rates, percentiles, queues, storage, syncs and network of every node
  kv stats --node n1 --watch 5s        one node, again every five seconds, until Ctrl-C
  kv stats --match kvorum_store        every series whose name begins so, as /metrics tells them
  kv stats --json

Rates and percentiles are over the time between two looks: a second, or what --watch says. Exit 0: every node
answered, 12: some did not and their rows say why, 3: none did, 5: they need the operator's certificate.
node/METRICS.md explains the series and the names in the JSON.
";

/// Arguments of `kv stats`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatsArguments {
    /// Only this node, by its name or id
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Look again and again, this far apart, until Ctrl-C; with --json, a line each time
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) watch: Option<Duration>,
    /// Show the series whose names begin so, as node/METRICS.md lists them, instead of the summary
    #[arg(long = "match", value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

pub(crate) const TOP_EXAMPLES: &str = "\
Examples:
  kv top                               the cluster at a glance, redrawn every second
  kv top --interval 5s --sort cpu
  kv top --once                        one frame as plain text; also when standard output is no terminal

Keys: q quits, p pauses, s sorts by the next column, r turns the order round.
";

/// Arguments of `kv top`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopArguments {
    /// How often to look, from 200ms on
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// What the nodes are sorted by
    #[arg(long, value_enum, default_value_t, value_name = "COLUMN")]
    pub(crate) sort: Sort,
    /// Print one frame and end
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// What `kv top` sorts nodes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Sort {
    /// The name, from a to z.
    #[default]
    Name,
    /// Requests a second, most first; so the others.
    Rate,
    /// The 99th percentile of requests.
    Latency,
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Records that the index has not taken in.
    Backlog,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text)?;
    if interval < Duration::from_millis(200) {
        return Err("it must be at least 200ms: looking costs the nodes something, too".to_owned());
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::interval;

    #[test]
    fn looking_is_not_so_frequent_that_it_is_a_load() {
        assert_eq!(interval("200ms"), Ok(Duration::from_millis(200)));
        assert!(interval("199ms").is_err() && interval("2").is_err());
    }
}
