//! Single series, as the nodes name them: what `--match` shows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Stats;
use crate::metrics::Moment;
use crate::output::style::Style;
use crate::output::table::{Align, Table};

/// One series: its value at each node that tells it, and what it gained in a second.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Series {
    nodes: BTreeMap<String, f64>,
    /// Of counters only.
    per_second: Option<f64>,
}

/// Series by name and labels.
pub(super) type AllSeries = BTreeMap<String, Series>;

/// Every series whose name begins with `prefix`.
pub(super) fn of([earlier, later]: [&Moment; 2], prefix: &str) -> AllSeries {
    let mut all = AllSeries::new();
    for told in &later.nodes {
        let Ok(after) = &told.metrics else { continue };
        let before: Option<BTreeMap<String, f64>> =
            earlier.of(told.node).map(|before| before.series(prefix).collect());
        let uptime = |moment: &Moment| moment.of(told.node)?.sum("kvorum_uptime_seconds", &[]);
        let seconds = uptime(later).zip(uptime(earlier)).map(|(after, before)| after - before);
        for (name, value) in after.series(prefix) {
            let is_counter = is_counter(&name);
            let series = all.entry(name.clone()).or_default();
            series.nodes.insert(told.name.clone(), value);
            let Some((before, seconds)) = before.as_ref().zip(seconds) else { continue };
            if is_counter && seconds > 0.0 {
                let gained = value - before.get(&name).copied().unwrap_or(0.0);
                *series.per_second.get_or_insert(0.0) += gained.max(0.0) / seconds;
            }
        }
    }
    all
}

/// By the naming rules of Prometheus.
fn is_counter(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    ["_total", "_count", "_sum"].iter().any(|ending| name.ends_with(ending))
}

fn sum(series: &Series) -> f64 {
    series.nodes.values().sum()
}

pub(super) fn json(all: &AllSeries) -> Value {
    let series = all.iter().map(|(name, series)| {
        let figures =
            json!({ "nodes": series.nodes, "sum": sum(series), "per_second": series.per_second });
        (name.clone(), figures)
    });
    Value::Object(series.collect())
}

/// A number with as many digits behind the point as it needs, three at most.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A line for each series, a column for each node.
pub(super) fn table(all: &AllSeries, stats: &Stats, style: Style) -> Table {
    let names = stats.rows.iter().map(|row| (row.name.as_str(), Align::Right));
    let columns: Vec<(&str, Align)> = std::iter::once(("series", Align::Left))
        .chain(names)
        .chain([("sum", Align::Right), ("per second", Align::Right)])
        .collect();
    let mut table = Table::new(&columns);
    for (name, series) in all {
        let mut row = vec![style.name(name)];
        row.extend(stats.rows.iter().map(|node| {
            series.nodes.get(&node.name).map_or_else(|| style.dim("-"), |value| number(*value))
        }));
        row.push(number(sum(series)));
        row.push(series.per_second.map(number).unwrap_or_default());
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{json, of, table};
    use crate::output::style::Style;
    use crate::verb::stats::samples::{moments, stats};

    #[test]
    fn series_are_told_by_node_summed_and_counters_have_a_rate() {
        let [earlier, later] = moments();
        let all = of([&earlier, &later], "kvorum_s");
        let json = json(&all);
        assert_eq!(json["kvorum_store_keys"]["sum"], 2_468.0);
        assert!(json["kvorum_store_keys"]["per_second"].is_null());
        assert_eq!(json["kvorum_sync_seconds_count{purpose=\"commit\"}"]["per_second"], 200.0);
        assert_eq!(json["kvorum_store_records_total"]["nodes"]["n3"], 12_000.0);
        let lines = table(&all, &stats(), Style::plain()).lines(Style::plain());
        assert_eq!(lines.len(), all.len() + 1);
        let keys = lines.iter().find(|line| line.starts_with("kvorum_store_keys")).expect("keys");
        let cells: Vec<&str> = keys.split_whitespace().collect();
        assert_eq!(cells, ["kvorum_store_keys", "1234", "-", "1234", "2468"]);
    }
}
