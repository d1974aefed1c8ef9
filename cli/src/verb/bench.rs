//! `kv bench`: measuring a cluster, or one that is started for it.

use std::fs;
use std::sync::Arc;

use kvorum_client::Client;

use crate::args::bench::RunArguments;
use crate::args::failover::FailoverArguments;
use crate::args::overload::OverloadArguments;
use crate::bench::report::{Report, RunReport};
use crate::bench::servers::Cost;
use crate::bench::site::{at_site, with_own};
use crate::bench::{Bench, check, failover, html, load, overload, run};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// The version of what `--json` prints.
const FORMAT: u32 = 1;

/// Runs the workloads.
pub(super) async fn run(options: &RunArguments, output: Output) -> Outcome<ExitCode> {
    options.check()?;
    let report = at_site(options, output, async |site| {
        let clients = site.connect(options.load.connections.into(), |config| config).await?;
        measure(clients, site.transport(), options, output).await
    });
    let report = report.await?;
    if let Some(path) = &options.html {
        fs::write(path, html::page(&report))
            .map_err(|error| Failure::file("write", path, &error))?;
        output.remark(&format!("the page is in {}", path.display()));
    }
    say(&report, output)?;
    report.check.judge().map(|()| ExitCode::Success)
}

/// Offers more than the nodes can do.
pub(super) async fn overload(options: &OverloadArguments, output: Output) -> Outcome<ExitCode> {
    let arguments = options.run()?;
    let report = at_site(&arguments, output, async |site| {
        overload::run(&site, options, &arguments, output).await
    });
    let report = report.await?;
    overload::say(&report, output)?;
    report.judge().map(|()| ExitCode::Success)
}

/// Kills a node under load.
pub(super) async fn failover(options: &FailoverArguments, output: Output) -> Outcome<ExitCode> {
    let arguments = options.run()?;
    let report = with_own(&arguments, options.cluster.nodes, async |cluster| {
        failover::run(cluster, options, &arguments, output).await
    });
    let report = report.await?;
    failover::say(&report, output)?;
    report.judge().map(|()| ExitCode::Success)
}

async fn measure(
    clients: Vec<Client>,
    transport: &str,
    options: &RunArguments,
    output: Output,
) -> Outcome<RunReport> {
    let topology = clients[0].topology();
    let bench = Arc::new(Bench::new(clients, options)?);
    if !options.keys.no_load {
        load::load(&bench, output).await?;
    }
    let mut workloads = Vec::new();
    for workload in &options.workloads {
        workloads.push(run::run(&bench, *workload, output).await?);
    }
    let check = check::check(&bench, output).await?;
    Ok(RunReport {
        format: FORMAT,
        cluster: topology.cluster.to_string(),
        nodes: topology.nodes.len(),
        transport: transport.to_owned(),
        workloads,
        check,
    })
}

fn say(report: &RunReport, output: Output) -> Outcome<()> {
    if output.is_json() {
        return output.json(report);
    }
    let style = output.style();
    output.line(&format!(
        "cluster {} of {}, {}",
        style.name(&report.cluster),
        units::plural(report.nodes as u64, "node"),
        report.transport
    ))?;
    output.table(&operations(&report.workloads))?;
    output.line("")?;
    output.table(&servers(&report.workloads))?;
    for workload in &report.workloads {
        for remark in workload.remarks() {
            let name = workload.settings.workload.name();
            output.line(&style.warn(&format!("{name}: {remark}")))?;
        }
    }
    let check = &report.check;
    output.line(&format!(
        "{} of {} read again: {}, {} missing",
        units::count(check.read),
        units::plural(check.keys, "key"),
        units::plural(check.siblings, "sibling"),
        units::count(check.missing)
    ))
}

fn operations(workloads: &[Report]) -> Table {
    let mut table = Table::new(&[
        ("workload", Align::Left),
        ("operation", Align::Left),
        ("per second", Align::Right),
        ("p50 ms", Align::Right),
        ("p90 ms", Align::Right),
        ("p99 ms", Align::Right),
        ("p99.9 ms", Align::Right),
        ("max ms", Align::Right),
        ("failed", Align::Right),
    ]);
    for report in workloads {
        for operation in &report.operations {
            let latency = &operation.latency_ms;
            let mut row = vec![
                report.settings.workload.name(),
                operation.name.to_owned(),
                units::count(operation.per_second.round() as u64),
            ];
            let latencies = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
            row.extend(latencies.map(|ms| format!("{ms:.2}")));
            row.push(units::count(operation.failures.values().sum()));
            table.row(row);
        }
    }
    table
}

fn servers(workloads: &[Report]) -> Table {
    let mut table = Table::new(&[
        ("workload", Align::Left),
        ("load", Align::Left),
        ("CPU/op µs", Align::Right),
        ("CPUs", Align::Right),
        ("generator", Align::Right),
        ("syncs/s", Align::Right),
        ("sync p50 ms", Align::Right),
        ("p99 ms", Align::Right),
        ("writes/sync", Align::Right),
        ("to peers/s", Align::Right),
        ("memory", Align::Right),
        ("backlog", Align::Right),
    ]);
    for report in workloads {
        let all: &Cost = &report.servers.all;
        let settings = &report.settings;
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "not known".to_owned(), |value| format!("{value:.digits$}"))
        };
        let bytes = |value: Option<f64>| {
            value.map_or_else(|| "not known".to_owned(), |value| units::bytes(value as u64))
        };
        let load = match settings.rate {
            Some(rate) => format!("{} due/s", units::count(rate)),
            None => format!("{} in flight", units::count(settings.in_flight.into())),
        };
        table.row(vec![
            settings.workload.name(),
            load,
            number(report.servers.cpu_us_per_operation, 1),
            number(all.cpu_cores, 2),
            number(Some(report.generator_cores), 2),
            number(all.syncs_per_second, 0),
            number(all.sync_p50_ms, 2),
            number(all.sync_p99_ms, 2),
            number(all.records_per_sync, 1),
            bytes(all.peer_bytes_per_second),
            bytes(all.resident_bytes),
            number(all.index_backlog, 0),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{operations, servers};
    use crate::bench::report::samples::report;
    use crate::output::style::Style;

    #[test]
    fn every_operation_has_a_line_and_unknown_costs_say_so() {
        let reports = [report()];
        let lines = operations(&reports).lines(Style::plain());
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("get") && lines[1].contains("100"), "{}", lines[1]);
        let lines = servers(&reports).lines(Style::plain());
        assert!(lines[1].contains("64 in flight") && lines[1].contains("not known"), "{lines:?}");
    }
}
