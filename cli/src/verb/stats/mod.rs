//! `kv stats`: the figures of every node and of all together, over a moment or again and again.

mod document;
mod series;
mod summary;

use std::time::Duration;

use kvorum_client::{Client, Topology};
use kvorum_ring::NodeId;
use tokio::time::sleep;

use crate::args::watch::StatsArguments;
use crate::cluster::connect::connect;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::local::signals::Signals;
use crate::metrics::Moment;
use crate::metrics::figures::Figures;
use crate::metrics::{Interval, Silence};
use crate::output::Output;

pub(super) use document::document;

/// The time between two looks when nobody says otherwise: long enough for a rate, short enough to wait for.
const INTERVAL: Duration = Duration::from_secs(1);

/// One node between two looks.
pub(super) struct Row {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) figures: Result<NodeFigures, Silence>,
}

/// What a node that answers tells.
pub(super) struct NodeFigures {
    pub(super) version: String,
    pub(super) uptime: Duration,
    pub(super) figures: Figures,
}

/// All that was asked for, between two looks.
pub(super) struct Stats {
    pub(super) rows: Vec<Row>,
    /// Those that answered, together.
    pub(super) all: Figures,
}

impl Stats {
    /// Compares two looks.
    pub(super) fn between(earlier: &Moment, later: &Moment) -> Stats {
        let mut all = Interval::default();
        let mut rows = Vec::new();
        for told in &later.nodes {
            let figures = told.metrics.as_ref().map_err(Clone::clone).map(|after| {
                let interval = Interval::of(earlier.of(told.node), after);
                all = std::mem::take(&mut all).and(&interval);
                let versions = after.values_of("kvorum_build_info", "version");
                let uptime = after.sum("kvorum_uptime_seconds", &[]).unwrap_or(0.0);
                NodeFigures {
                    version: versions.into_iter().next().unwrap_or("not known").to_owned(),
                    uptime: Duration::try_from_secs_f64(uptime).unwrap_or_default(),
                    figures: Figures::of(&interval),
                }
            });
            rows.push(Row { node: told.node, name: told.name.clone(), figures });
        }
        Stats { rows, all: Figures::of(&all) }
    }

    /// How many nodes answered.
    pub(super) fn answering(&self) -> usize {
        self.rows.iter().filter(|row| row.figures.is_ok()).count()
    }

    /// The exit code: whether all, some or none answered, or whether they said no.
    pub(super) fn code(&self) -> ExitCode {
        let refused = |row: &Row| row.figures.as_ref().is_err_and(Silence::is_refusal);
        match self.answering() {
            0 if self.rows.iter().any(refused) => ExitCode::Refused,
            0 => ExitCode::Unavailable,
            some if some < self.rows.len() => ExitCode::SomeSilent,
            _ => ExitCode::Success,
        }
    }
}

/// Prints the figures, once or until a signal comes.
pub(super) async fn run(options: &StatsArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let only = options.node.as_deref().map(|node| named(&client.topology(), node)).transpose()?;
    let patience = options.connection.timeout;
    let mut signals = Signals::watch()?;
    let mut earlier = Moment::ask(&client, only, patience).await;
    loop {
        tokio::select! {
            () = signals.first() => return Ok(ExitCode::Success),
            () = sleep(options.watch.unwrap_or(INTERVAL)) => {}
        }
        let later = Moment::ask(&client, only, patience).await;
        let stats = Stats::between(&earlier, &later);
        say(&client, options, &stats, [&earlier, &later], output)?;
        if options.watch.is_none() {
            return Ok(stats.code());
        }
        earlier = later;
    }
}

fn say(
    client: &Client,
    options: &StatsArguments,
    stats: &Stats,
    moments: [&Moment; 2],
    output: Output,
) -> Outcome<()> {
    let cluster = &client.topology().cluster;
    let series = options.prefix.as_deref().map(|prefix| series::of(moments, prefix));
    if output.is_json() {
        let mut document = document(cluster, stats);
        if let Some(series) = series {
            document["series"] = series::json(&series);
        }
        return output.json(&document);
    }
    output.line(&summary::head(cluster, stats, output.style()))?;
    let tables = match series {
        Some(series) => vec![series::table(&series, stats, output.style())],
        None => summary::tables(stats, output.style()),
    };
    for table in &tables {
        output.line("")?;
        output.table(table)?;
    }
    if options.watch.is_some() { output.line("") } else { Ok(()) }
}

/// The node that is called so.
fn named(topology: &Topology, wanted: &str) -> Outcome<NodeId> {
    let called = |name: &str, id: NodeId| name == wanted || id.to_string() == wanted;
    let found = topology.nodes.iter().find(|node| called(&node.name, node.id));
    found.map(|node| node.id).ok_or_else(|| {
        let mut names: Vec<&str> = topology.nodes.iter().map(|node| node.name.as_str()).collect();
        names.sort_unstable();
        Failure::usage(format!("no node {wanted} in this cluster, only {}", names.join(", ")))
    })
}

#[cfg(test)]
pub(super) mod samples {
    //! Figures for tests of those who show them.

    use std::time::Instant;

    use super::Stats;
    use crate::metrics::Moment;
    use crate::metrics::figures::samples::metrics;

    /// Two nodes of 1,001 requests a second each, and one that does not answer.
    pub(crate) fn stats() -> Stats {
        let [earlier, later] = moments();
        Stats::between(&earlier, &later)
    }

    /// The two looks behind them.
    pub(crate) fn moments() -> [Moment; 2] {
        [10, 12].map(|uptime| {
            let told = || Some(metrics(uptime));
            Moment::sample(Instant::now(), [told(), None, told()])
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::Stats;
    use super::samples::stats;
    use crate::exit_code::ExitCode;
    use crate::metrics::Moment;
    use crate::metrics::figures::samples::metrics;

    #[test]
    fn a_node_that_does_not_answer_is_a_row_and_has_an_exit_code() {
        let stats = stats();
        assert_eq!((stats.rows.len(), stats.answering()), (3, 2));
        assert_eq!(stats.code(), ExitCode::SomeSilent);
        assert_eq!(stats.all.requests.per_second, 2_002.0);
        let code = |nodes| {
            let moment = Moment::sample(Instant::now(), nodes);
            Stats::between(&moment, &moment).code()
        };
        assert_eq!(code([Some(metrics(1)), Some(metrics(1))]), ExitCode::Success);
        assert_eq!(code([None, None]), ExitCode::Unavailable);
    }
}
