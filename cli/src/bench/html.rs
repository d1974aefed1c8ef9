//! The page that `--html` writes: one file, no script, nothing fetched.
//!
//! Plots are SVG that was drawn here ([`crate::bench::plot`]); colours come from the page's style sheet, which follows the
//! reader's choice of light or dark. What a plot shows stands in a table, too.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::bench::plot::{Plot, Scale, Series};
use crate::bench::report::{Report, RunReport, SecondReport};
use crate::bench::servers::Cost;
use crate::bench::usage::{Look, Use};
use crate::output::units;

/// Colours: a surface, two inks, lines, and one for each series. Checked against each other for readers who tell few
/// colours apart, in light and dark.
const STYLE: &str = "\
:root{color-scheme:light dark;--page:#f6f7f9;--surface:#fff;--ink:#1b1f24;--muted:#59636e;--rule:#d8dee4;\
--s1:#0b63c4;--s2:#b4460f;--s3:#15803d;--s4:#7c3aed;--s5:#a1236b;--bad:#b3261e}\
@media (prefers-color-scheme:dark){:root{--page:#0e1116;--surface:#171b22;--ink:#e6e9ee;--muted:#9aa4b0;--rule:#303843;\
--s1:#6cb2ff;--s2:#ffa270;--s3:#6fd58e;--s4:#bda4ff;--s5:#ff8fc7;--bad:#ff8a80}}\
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}h1{font-size:24px;margin:0}h2{font-size:19px;margin:40px 0 12px}\
h3{font-size:14px;margin:0 0 8px;font-weight:600}p{margin:6px 0}.muted{color:var(--muted)}.bad{color:var(--bad)}\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:12px 0}\
.card{background:var(--surface);border:1px solid var(--rule);border-radius:8px;padding:14px 16px;min-width:0}\
.tile b{display:block;font-size:22px;font-weight:600;font-variant-numeric:tabular-nums}.tile span{color:var(--muted);font-size:13px}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:12px}.wide{overflow-x:auto;margin-top:12px}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}\
th,td{padding:5px 10px;text-align:right;white-space:nowrap;border-top:1px solid var(--rule)}\
th{color:var(--muted);font-weight:500;border-top:0}th:first-child,td:first-child{text-align:left;padding-left:0}\
svg{display:block;width:100%;height:auto}svg text{fill:var(--muted);font:12px system-ui,sans-serif}\
.axis{stroke:var(--rule)}.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
.key{display:flex;flex-wrap:wrap;gap:4px 16px;margin:6px 0 0;padding:0;list-style:none;font-size:13px;color:var(--muted)}\
.key i{display:inline-block;width:14px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}";

/// The whole page.
pub(crate) fn page(report: &RunReport) -> String {
    let mut out = String::new();
    let names: Vec<String> =
        report.workloads.iter().map(|workload| workload.settings.workload.name()).collect();
    let title = escaped(&format!("kv bench: {}", names.join(", ")));
    let cluster = escaped(&report.cluster);
    let nodes = units::plural(report.nodes as u64, "node");
    let check = &report.check;
    let class = if check.siblings + check.missing > 0 { "bad" } else { "muted" };
    write(
        &mut out,
        format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head><body><main>\
             <h1>{title}</h1><p class=\"muted\">cluster {cluster} of {nodes}, {}</p>\
             <p class=\"{class}\">{} of {} read again at the end: {}, {} missing</p>",
            escaped(&report.transport),
            units::count(check.read),
            units::plural(check.keys, "key"),
            units::plural(check.siblings, "sibling"),
            units::count(check.missing),
        ),
    );
    for workload in &report.workloads {
        section(&mut out, workload);
    }
    out.push_str("</main></body></html>\n");
    out
}

fn write(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("writing to memory does not fail");
}

/// Text as it stands between tags and in attributes.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

fn section(out: &mut String, report: &Report) {
    let settings = &report.settings;
    let load = match settings.rate {
        Some(rate) => format!(
            "{} operations due a second (open loop), at most {} in flight; latency counts from when each was due",
            units::count(rate),
            units::count(settings.in_flight.into())
        ),
        None => format!("{} in flight (closed loop)", units::count(settings.in_flight.into())),
    };
    write(
        out,
        format_args!(
            "<h2>{}</h2><p class=\"muted\">{load}; {} keys, {} values, {:?} draws; {:.1} s measured after {:.1} s of warm-up</p>",
            settings.workload.name(),
            units::count(settings.keys),
            units::bytes(settings.value_bytes as u64),
            settings.distribution,
            report.seconds,
            settings.warmup_seconds,
        ),
    );
    for remark in report.remarks() {
        write(out, format_args!("<p class=\"bad\">{}</p>", escaped(&remark)));
    }
    tiles(out, report);
    out.push_str("<div class=\"plots\">");
    plots(report).iter().for_each(|plot| plot.draw(out));
    out.push_str("</div>");
    operations(out, report);
    nodes(out, report);
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "not known".to_owned(), |value| format!("{value:.digits$}"))
}

fn with_unit(value: Option<f64>, digits: usize, unit: &str) -> String {
    value.map_or_else(|| "not known".to_owned(), |value| format!("{value:.digits$} {unit}"))
}

fn tiles(out: &mut String, report: &Report) {
    let all = &report.servers.all;
    let worst = report.operations.iter().map(|operation| operation.latency_ms.p99);
    let worst = worst.fold(0.0, f64::max);
    let tiles = [
        (units::count(report.per_second().round() as u64), "operations a second"),
        (format!("{worst:.2} ms"), "99th percentile"),
        (with_unit(report.servers.cpu_us_per_operation, 1, "µs"), "CPU of all nodes per operation"),
        (number(all.syncs_per_second, 0), "syncs a second, all nodes"),
        (with_unit(all.sync_p50_ms, 2, "ms"), "sync, median"),
        (number(all.records_per_sync, 1), "records per sync"),
    ];
    out.push_str("<div class=\"tiles\">");
    for (value, what) in tiles {
        write(
            out,
            format_args!("<div class=\"card tile\"><b>{value}</b><span>{what}</span></div>"),
        );
    }
    out.push_str("</div>");
}

fn plots(report: &Report) -> Vec<Plot> {
    let over_time = |name: &str, value: fn(&SecondReport) -> f64| Series {
        name: name.to_owned(),
        points: report
            .over_time
            .iter()
            .enumerate()
            .map(|(second, figures)| (second as f64 + 0.5, value(figures)))
            .collect(),
    };
    let mut rates = vec![over_time("done", |second| second.done as f64)];
    if report.over_time.iter().any(|second| second.failed > 0) {
        rates.push(over_time("failed", |second| second.failed as f64));
    }
    let latencies = [
        over_time("median", |second| second.p50_ms),
        over_time("99 %", |second| second.p99_ms),
        over_time("longest", |second| second.max_ms),
    ];
    let spread = report.operations.iter().map(|operation| Series {
        name: operation.name.to_owned(),
        points: operation
            .percentiles
            .iter()
            .filter(|(share, _)| *share < 1.0)
            .map(|(share, ms)| (1.0 / (1.0 - share), *ms))
            .collect(),
    });
    let mut plots = vec![
        Plot::new("Operations a second", "seconds", Scale::Linear, Scale::Linear, rates),
        Plot::new(
            "Latency over time, ms",
            "seconds",
            Scale::Linear,
            Scale::Log,
            latencies.to_vec(),
        ),
        Plot::new(
            "Latency by percentile, ms",
            "share of operations within the time",
            Scale::Nines,
            Scale::Log,
            spread.collect(),
        ),
    ];
    if !report.servers_over_time.is_empty() {
        plots.extend(usage(report));
    }
    plots
}

/// Lines that can be told apart by their colour.
const MOST_LINES: usize = 5;

/// What the nodes used over time: a line each, or one for the sum of many.
fn usage(report: &Report) -> [Plot; 3] {
    let looks = &report.servers_over_time;
    let names: BTreeSet<&String> = looks.iter().flat_map(|look| look.nodes.keys()).collect();
    let plot = |title, value: fn(&Use) -> Option<f64>| {
        let line = |name: &str, of: &dyn Fn(&Look) -> Option<f64>| Series {
            name: name.to_owned(),
            points: looks.iter().filter_map(|look| Some((look.at_seconds, of(look)?))).collect(),
        };
        let series = if names.len() > MOST_LINES {
            // Without one of them the sum would show a dent that was none.
            let whole = |look: &Look| look.nodes.len() == names.len();
            let sum = |look: &Look| look.nodes.values().map(value).sum::<Option<f64>>();
            vec![line("all nodes", &|look| sum(look).filter(|_| whole(look)))]
        } else {
            names.iter().map(|name| line(name, &|look| value(look.nodes.get(*name)?))).collect()
        };
        Plot::new(title, "seconds", Scale::Linear, Scale::Linear, series)
    };
    [
        plot("Index backlog, records", |used| Some(used.index_backlog as f64)),
        plot("Memory of the nodes, MiB", |used| {
            used.resident_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20))
        }),
        plot("Processors of the nodes", |used| Some(used.cpu_cores)),
    ]
}

fn operations(out: &mut String, report: &Report) {
    out.push_str(
        "<div class=\"card wide\"><table><thead><tr><th>operation</th><th>count</th><th>per second</th><th>mean ms</th>\
         <th>p50</th><th>p90</th><th>p95</th><th>p99</th><th>p99.9</th><th>max</th><th>failed</th></tr></thead><tbody>",
    );
    for operation in &report.operations {
        let l = &operation.latency_ms;
        let failed: u64 = operation.failures.values().sum();
        write(
            out,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td>",
                operation.name,
                units::count(operation.count),
                units::count(operation.per_second.round() as u64)
            ),
        );
        for ms in [l.mean, l.p50, l.p90, l.p95, l.p99, l.p999, l.max] {
            write(out, format_args!("<td>{ms:.2}</td>"));
        }
        write(out, format_args!("<td>{}</td></tr>", units::count(failed)));
    }
    out.push_str("</tbody></table></div>");
}

fn nodes(out: &mut String, report: &Report) {
    out.push_str(
        "<div class=\"card wide\"><table><thead><tr><th>node</th><th>CPUs</th><th>syncs/s</th><th>sync p50 ms</th>\
         <th>p99 ms</th><th>time in syncs</th><th>records/sync</th><th>to peers/s</th><th>memory</th><th>index backlog</th>\
         </tr></thead><tbody>",
    );
    let bytes = |value: Option<f64>| {
        value.map_or_else(|| "not known".to_owned(), |value| units::bytes(value as u64))
    };
    let rows = report.servers.nodes.iter().map(|(name, cost)| (name.as_str(), cost));
    for (name, cost) in rows.chain([("all nodes", &report.servers.all)]) {
        let Cost { cpu_cores, syncs_per_second, sync_p50_ms, sync_p99_ms, .. } = cost;
        let share = cost.sync_share.map_or_else(|| "not known".to_owned(), units::percent);
        let cells = [
            escaped(name),
            number(*cpu_cores, 2),
            number(*syncs_per_second, 0),
            number(*sync_p50_ms, 2),
            number(*sync_p99_ms, 2),
            share,
            number(cost.records_per_sync, 1),
            bytes(cost.peer_bytes_per_second),
            bytes(cost.resident_bytes),
            number(cost.index_backlog, 0),
        ];
        write(out, format_args!("<tr><td>{}</td></tr>", cells.join("</td><td>")));
    }
    write(
        out,
        format_args!(
            "</tbody></table><p class=\"muted\">The load generator kept {:.2} of its one processor busy.</p></div>",
            report.generator_cores
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::bench::report::samples::run;

    #[test]
    fn the_page_fetches_nothing_and_names_everything() {
        let page = page(&run());
        for absent in ["http", "src=", "<script", "NaN", "inf ", "test <&>"] {
            assert!(!page.contains(absent), "{absent}: {page}");
        }
        for present in [
            "kv bench: get",
            "test &lt;&amp;&gt;",
            "3 failed: Overloaded",
            "<svg",
            "90 %",
            "Index backlog",
            "n3",
        ] {
            assert!(page.contains(present), "{present}: {page}");
        }
        for tag in ["table", "div", "svg", "main", "p", "h2"] {
            let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
            let opened = page.matches(&format!("{open}>")).count()
                + page.matches(&format!("{open} ")).count();
            assert_eq!(opened, page.matches(&close).count(), "{tag}");
        }
    }
}
