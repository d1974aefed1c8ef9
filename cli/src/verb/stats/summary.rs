//! The figures as a person reads them: a table for each subject, a row for each node and one for all.

use super::{NodeFigures, Stats};
use crate::metrics::figures::{Count, Figures};
use crate::output::style::Style;
use crate::output::table::{Align, Table};
use crate::output::units;

use Align::{Left, Right};

/// The first line.
pub(super) fn head(cluster: &str, stats: &Stats, style: Style) -> String {
    let (answering, nodes) = (stats.answering(), stats.rows.len());
    let answers = format!("{answering} of {} answer", units::plural(nodes as u64, "node"));
    let answers = if answering < nodes { style.warn(&answers) } else { answers };
    let time = units::duration(std::time::Duration::from_secs_f64(stats.all.interval_seconds));
    format!("cluster {}  {answers}; rates and percentiles over {time}", style.name(cluster))
}

/// All tables.
pub(super) fn tables(stats: &Stats, style: Style) -> Vec<Table> {
    let mut tables = vec![operations(&stats.all, style)];
    if !stats.all.quorums.is_empty() {
        tables.push(quorums(&stats.all, style));
    }
    tables.extend([work(stats, style), store(stats, style), syncs(stats, style)]);
    tables.push(network(stats, style));
    tables
}

fn rate(per_second: f64) -> String {
    match per_second {
        none if none <= 0.0 => "0".to_owned(),
        few if few < 10.0 => format!("{few:.1}"),
        many => units::count(many.round() as u64),
    }
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"))
}

fn bytes_a_second(value: f64) -> String {
    units::bytes(value as u64)
}

/// `overloaded 12 (3.0/s)` for each count but those of this name.
fn others<'a>(counts: impl IntoIterator<Item = (&'a String, &'a Count)>, but: &str) -> String {
    let others = counts.into_iter().filter(|(name, _)| name.as_str() != but);
    let texts: Vec<String> = others
        .map(|(name, count)| {
            let now = if count.per_second > 0.0 {
                format!(" ({}/s)", rate(count.per_second))
            } else {
                String::new()
            };
            format!("{name} {}{now}", units::count(count.total))
        })
        .collect();
    texts.join(", ")
}

fn operations(all: &Figures, style: Style) -> Table {
    let mut table = Table::new(&[
        ("operation", Left),
        ("per second", Right),
        ("p50 ms", Right),
        ("p99 ms", Right),
        ("since start", Right),
        ("not ok, since start", Left),
    ]);
    let mut operations: Vec<_> = all.operations.iter().collect();
    operations.sort_by_key(|(_, operation)| std::cmp::Reverse(operation.total));
    for (name, operation) in operations {
        table.row(vec![
            style.name(name),
            rate(operation.per_second),
            ms(operation.p50_ms),
            ms(operation.p99_ms),
            units::count(operation.total),
            others(&operation.results, "ok"),
        ]);
    }
    table
}

fn quorums(all: &Figures, style: Style) -> Table {
    let mut table = Table::new(&[
        ("quorum", Left),
        ("met/s", Right),
        ("met, since start", Right),
        ("other outcomes, since start", Left),
        ("holders, since start", Left),
    ]);
    for (kind, quorum) in &all.quorums {
        let met = quorum.outcomes.get("met").copied().unwrap_or_default();
        table.row(vec![
            style.name(kind),
            rate(met.per_second),
            units::count(met.total),
            others(&quorum.outcomes, "met"),
            others(&quorum.holders, ""),
        ]);
    }
    table
}

/// A table with a row for each node and, of several, one for all.
fn by_node(
    stats: &Stats,
    style: Style,
    subject: &str,
    columns: &[&str],
    cells: impl Fn(&Figures) -> Vec<String>,
) -> Table {
    let columns = columns.iter().map(|name| (*name, Right));
    let columns: Vec<_> =
        std::iter::once((subject, Left)).chain(columns).chain([("remarks", Left)]).collect();
    let mut table = Table::new(&columns);
    for row in &stats.rows {
        let mut line = vec![style.name(&row.name)];
        let remarks = match &row.figures {
            Ok(told) => {
                line.extend(cells(&told.figures));
                remarks(told).join(", ")
            }
            Err(silence) => {
                line.resize(columns.len() - 1, style.dim("-"));
                style.bad(&silence.to_string())
            }
        };
        line.push(remarks);
        table.row(line);
    }
    if stats.rows.len() > 1 {
        let mut line = vec![style.bold("all")];
        line.extend(cells(&stats.all));
        table.row(line);
    }
    table
}

/// What is unusual about a node.
fn remarks(told: &NodeFigures) -> Vec<String> {
    let store = &told.figures.store;
    let states = [
        (store.disk_full, "disk full"),
        (store.refilling, "refilling"),
        (store.rebuilding, "rebuilding its index"),
    ];
    let states = states.into_iter().filter(|(is, _)| *is > 0);
    let mut remarks: Vec<String> = states.map(|(_, text)| text.to_owned()).collect();
    if told.figures.interval_seconds <= 0.0 {
        remarks.push("no rates yet".to_owned());
    } else if told.uptime.as_secs_f64() <= told.figures.interval_seconds {
        remarks.push("has just started".to_owned());
    }
    remarks
}

fn work(stats: &Stats, style: Style) -> Table {
    let columns = [
        "ops/s",
        "p50 ms",
        "p99 ms",
        "CPU",
        "memory",
        "clients",
        "at work",
        "for peers",
        "passed on/s",
        "refused/s",
    ];
    by_node(stats, style, "requests", &columns, |figures| {
        let requests = &figures.requests;
        vec![
            rate(requests.per_second),
            ms(requests.p50_ms),
            ms(requests.p99_ms),
            units::percent(figures.cpu_cores),
            figures.resident_bytes.map_or_else(|| "-".to_owned(), units::bytes),
            units::count(requests.clients),
            units::count(requests.at_work),
            units::count(requests.replica_at_work),
            rate(requests.forwarded.per_second),
            rate(requests.refused.per_second),
        ]
    })
}

fn store(stats: &Stats, style: Style) -> Table {
    let columns = [
        "keys",
        "log",
        "live",
        "in memory",
        "backlog",
        "credits",
        "unsynced",
        "reads waiting",
        "written/s",
        "moved/s",
    ];
    by_node(stats, style, "storage", &columns, |figures| {
        let store = &figures.store;
        vec![
            units::count(store.keys),
            units::bytes(store.log_bytes),
            units::bytes(store.live_bytes),
            units::bytes(store.table_bytes),
            units::count(store.index_backlog),
            units::count(store.record_credits),
            units::bytes(store.pending_bytes),
            units::count(store.queued_operations),
            bytes_a_second(store.appended_bytes.per_second),
            rate(store.compacted_records.per_second),
        ]
    })
}

fn syncs(stats: &Stats, style: Style) -> Table {
    let columns = [
        "commits/s",
        "p50 ms",
        "p99 ms",
        "records each",
        "others/s",
        "others p50 ms",
        "others p99 ms",
    ];
    by_node(stats, style, "syncs", &columns, |figures| {
        let of = |purpose| figures.syncs.get(purpose).cloned().unwrap_or_default();
        let (commits, others) = (of("commit"), of("other"));
        let records = figures.records_per_commit();
        vec![
            rate(commits.per_second),
            ms(commits.p50_ms),
            ms(commits.p99_ms),
            records.map_or_else(|| "-".to_owned(), |records| format!("{records:.1}")),
            rate(others.per_second),
            ms(others.p50_ms),
            ms(others.p99_ms),
        ]
    })
}

fn network(stats: &Stats, style: Style) -> Table {
    let columns = [
        "up",
        "rtt ms",
        "sent/s",
        "received/s",
        "lost packets/s",
        "dropped/s",
        "unsent",
        "repairs/s",
        "left behind/s",
    ];
    by_node(stats, style, "peers", &columns, |figures| {
        let network = &figures.network;
        vec![
            format!("{}/{}", network.peers_up, network.peers),
            ms(network.rtt_ms),
            bytes_a_second(network.sent_bytes_per_second),
            bytes_a_second(network.received_bytes_per_second),
            rate(network.lost_packets_per_second),
            rate(network.dropped_frames.per_second),
            units::bytes(network.pending_bytes),
            rate(figures.requests.read_repairs.per_second),
            rate(figures.requests.writes_left_behind.per_second),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::{head, tables};
    use crate::output::style::Style;
    use crate::verb::stats::samples::stats;

    #[test]
    fn each_table_has_a_row_for_every_node_and_one_for_all() {
        let style = Style::plain();
        let stats = stats();
        let tables: Vec<Vec<String>> =
            tables(&stats, style).iter().map(|table| table.lines(style)).collect();
        assert_eq!(tables.len(), 6);
        assert!(tables[0][1].starts_with("put"), "{:?}", tables[0]);
        assert!(tables[0][1].ends_with("overloaded 24 (2.0/s)"), "{:?}", tables[0]);
        for table in &tables[2..] {
            assert_eq!(table.len(), 5, "{table:?}");
            assert!(table[2].ends_with("does not answer within 1 s"), "{table:?}");
            assert!(table[4].starts_with("all"), "{table:?}");
        }
        assert!(
            tables[2][1].contains("1,001") && tables[2][4].contains("2,002"),
            "{:?}",
            tables[2]
        );
        let head = head("c", &stats, style);
        assert_eq!(head, "cluster c  2 of 3 nodes answer; rates and percentiles over 2.0 s");
    }
}
