//! A view and a size become lines of text. Pure.
//!
//! Where there is little room the columns that say least go first, then the last nodes; no line is wider than the screen, so
//! none wraps and the lines below stay where they are.

use crate::args::watch::Sort;
use crate::metrics::figures::{ADMIN, Figures};
use crate::output::style::{Style, clip, visible_width};
use crate::output::table::{Align, Table};
use crate::output::units;
use crate::verb::stats::{NodeFigures, Stats};
use crate::verb::top::view::{History, REMEMBERED, View};

/// Room on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// For this many nodes room is made before anything else.
const FEW_NODES: usize = 5;

/// Kinds of operations that are shown: the busiest.
const OPERATIONS: usize = 4;

/// The lines of a frame, at most as many as there is room for. A live one ends with the keys.
pub(super) fn frame(view: &View, size: Size, live: bool, style: Style) -> Vec<String> {
    let keys = live.then(|| keys(view, style));
    let room = size.rows.saturating_sub(if live { 2 } else { 0 });
    let mut lines = vec![head(view, style)];
    match &view.stats {
        None => lines.push(style.dim("looking at the nodes")),
        Some(stats) => {
            // What each node does matters most, then what went by.
            let needed = stats.rows.len().min(FEW_NODES) + 3;
            for part in [past(view, stats, size, style), operations(&stats.all, style)] {
                if lines.len() + 1 + part.len() + needed <= room {
                    lines.push(String::new());
                    lines.extend(part);
                }
            }
            lines.push(String::new());
            let left = room.saturating_sub(lines.len());
            lines.extend(nodes(view, stats, size.columns, left, style));
        }
    }
    lines.truncate(room);
    if let Some(keys) = keys {
        lines.extend([String::new(), keys]);
    }
    lines.truncate(size.rows);
    lines.into_iter().map(|line| clip(&line, size.columns)).collect()
}

fn head(view: &View, style: Style) -> String {
    let paused = if view.paused { style.warn("  paused") } else { String::new() };
    let cluster = style.name(&view.cluster);
    let mut head = format!("{}{paused}  cluster {cluster}", style.bold("kv top"));
    if let Some(stats) = &view.stats {
        let (answering, all) = (stats.answering(), stats.rows.len());
        let text = format!("{answering} of {} answer", units::plural(all as u64, "node"));
        let text = if answering < all { style.bad(&text) } else { style.good(&text) };
        head.push_str(&format!("  {text}"));
    }
    format!("{head}  every {}", units::duration(view.interval))
}

fn keys(view: &View, style: Style) -> String {
    let by = match view.sort {
        Sort::Name => "name",
        Sort::Rate => "rate",
        Sort::Latency => "latency",
        Sort::Cpu => "CPU",
        Sort::Memory => "memory",
        Sort::Backlog => "backlog",
    };
    let turned = if view.reversed { ", turned round" } else { "" };
    style.dim(&format!("q quit  p pause  s sort (by {by}{turned})  r turn round"))
}

fn rate(per_second: f64) -> String {
    match per_second {
        none if none <= 0.0 => "0".to_owned(),
        few if few < 9.95 => format!("{few:.1}"),
        many => units::count(many.round() as u64),
    }
}

fn ms(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { units::count(value.round() as u64) }
}

fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), ms)
}

fn percent(cores: f64) -> String {
    format!("{:.0} %", cores * 100.0)
}

/// What went by: a line for each of three figures, the newest at the right.
fn past(view: &View, stats: &Stats, size: Size, style: Style) -> Vec<String> {
    /// Label, value and the most of it, with what stands between.
    const AROUND: usize = 10 + 2 + 8 + 2 + 2 + 14;
    let width = size.columns.saturating_sub(AROUND).clamp(1, REMEMBERED);
    let line = |label: &str, value: String, history: &History, most: String| {
        let line = sparkline(history, width);
        let most = style.dim(&format!("most {most}"));
        format!(
            "{label:<10}  {:>8}  {}  {most}",
            style.bold(&format!("{value:>8}")),
            style.name(&line)
        )
    };
    let (now, past) = (&stats.all, &view.past);
    let time = units::duration(view.interval * REMEMBERED as u32);
    vec![
        style.dim(&format!("{:<10}  {:>8}  the last {time}", "cluster", "now")),
        line("requests/s", rate(now.requests.per_second), &past.rate, rate(past.rate.most())),
        line("p99 ms", or_dash(now.requests.p99_ms), &past.p99_ms, ms(past.p99_ms.most())),
        line("CPU", percent(now.cpu_cores), &past.cpu_cores, percent(past.cpu_cores.most())),
    ]
}

/// The newest `width` values as bars from nothing to the most of them, blanks before the first.
fn sparkline(history: &History, width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = history.newest(width).fold(0.0, f64::max);
    let bar = |value: f64| {
        let part = if most > 0.0 { value / most } else { 0.0 };
        BARS[((part * 8.0).ceil() as usize).clamp(1, 8) - 1]
    };
    let bars: String = history.newest(width).map(bar).collect();
    format!("{bars:>width$}")
}

/// What is asked for, the busiest first, and what became of quorums.
fn operations(all: &Figures, style: Style) -> Vec<String> {
    use Align::{Left, Right};
    let mut busiest: Vec<_> = all.operations.iter().filter(|(name, _)| *name != ADMIN).collect();
    busiest.sort_by(|(_, one), (_, other)| other.per_second.total_cmp(&one.per_second));
    let mut table = Table::new(&[
        ("operation", Left),
        ("per second", Right),
        ("p50 ms", Right),
        ("p99 ms", Right),
        ("not ok", Left),
    ]);
    for (name, operation) in busiest.into_iter().take(OPERATIONS) {
        let failing = operation.results.iter().filter(|(result, _)| *result != "ok");
        let failing = failing.filter(|(_, count)| count.per_second > 0.0);
        let failing: Vec<String> = failing
            .map(|(result, count)| format!("{result} {}/s", rate(count.per_second)))
            .collect();
        table.row(vec![
            style.name(name),
            rate(operation.per_second),
            or_dash(operation.p50_ms),
            or_dash(operation.p99_ms),
            style.warn(&failing.join(", ")),
        ]);
    }
    let mut lines = if all.operations.keys().any(|name| name != ADMIN) {
        table.lines(style)
    } else {
        vec![style.dim("no requests for keys yet")]
    };
    let quorums = all.quorums.iter().map(|(kind, quorum)| {
        let going = quorum.outcomes.iter().filter(|(_, count)| count.per_second > 0.0);
        let texts: Vec<String> = going
            .map(|(outcome, count)| format!("{outcome} {}/s", rate(count.per_second)))
            .collect();
        let texts = if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
        format!("{kind}s: {texts}")
    });
    let quorums: Vec<String> = quorums.collect();
    if !quorums.is_empty() {
        lines.push(format!("{} {}", style.dim("quorums of"), quorums.join("; ")));
    }
    lines
}

/// A column of the table of nodes.
struct Column {
    name: &'static str,
    /// As wide as it usually gets, so that the columns behind it stay where they are.
    width: usize,
    /// The higher, the sooner it goes where there is little room.
    dispensable: u8,
    cell: fn(&Figures) -> String,
}

const fn column(
    name: &'static str,
    width: usize,
    dispensable: u8,
    cell: fn(&Figures) -> String,
) -> Column {
    Column { name, width, dispensable, cell }
}

/// Between the name and the sparkline, which goes first.
const COLUMNS: [Column; 15] = [
    column("ops/s", 7, 0, |figures| rate(figures.requests.per_second)),
    column("p50 ms", 6, 10, |figures| or_dash(figures.requests.p50_ms)),
    column("p99 ms", 6, 1, |figures| or_dash(figures.requests.p99_ms)),
    column("CPU", 5, 2, |figures| percent(figures.cpu_cores)),
    column("memory", 9, 3, |figures| {
        figures.resident_bytes.map_or_else(|| "-".to_owned(), units::bytes)
    }),
    column("clients", 7, 13, |figures| units::count(figures.requests.clients)),
    column("at work", 7, 4, |figures| units::count(figures.requests.at_work)),
    column("for peers", 9, 11, |figures| units::count(figures.requests.replica_at_work)),
    column("reads waiting", 13, 12, |figures| units::count(figures.store.queued_operations)),
    column("backlog", 9, 5, |figures| units::count(figures.store.index_backlog)),
    column("unsynced", 9, 9, |figures| units::bytes(figures.store.pending_bytes)),
    column("syncs/s", 7, 8, |figures| rate(commits(figures).0)),
    column("sync p99", 8, 6, |figures| or_dash(commits(figures).1)),
    column("peers", 5, 7, |figures| {
        format!("{}/{}", figures.network.peers_up, figures.network.peers)
    }),
    column("behind/s", 8, 8, |figures| rate(figures.requests.writes_left_behind.per_second)),
];

/// The rate of syncs that writes wait for, and their 99th percentile.
fn commits(figures: &Figures) -> (f64, Option<f64>) {
    figures.syncs.get("commit").map_or((0.0, None), |syncs| (syncs.per_second, syncs.p99_ms))
}

/// How wide a node's own sparkline is.
const NODE_SPARK: usize = 20;

/// The table of nodes in `width` columns and `height` lines, the one of all nodes included.
fn nodes(view: &View, stats: &Stats, width: usize, height: usize, style: Style) -> Vec<String> {
    let most = COLUMNS.iter().map(|column| column.dispensable).max().unwrap_or(0);
    // Every level of dispensability from nothing left out to the bare minimum; one above all is the sparkline.
    let fitting = (0..=most + 1).rev().map(|level| table(view, stats, level, level > most, style));
    let mut lines = Vec::new();
    for table in fitting {
        lines = table;
        if lines.iter().all(|line| visible_width(line) <= width) {
            break;
        }
    }
    for (line, row) in lines.iter_mut().skip(1).zip(view.rows()) {
        if let Err(silence) = &row.figures {
            line.push_str(&format!("  {}", style.bad(&silence.to_string())));
        }
    }
    let sum = if stats.rows.len() > 1 { lines.pop() } else { None };
    let room = height.saturating_sub(usize::from(sum.is_some()));
    if lines.len() > room && room > 0 {
        let hidden = lines.len() - (room - 1);
        lines.truncate(room - 1);
        lines.push(style.dim(&format!("and {}", units::plural(hidden as u64, "more node"))));
    }
    lines.extend(sum);
    lines
}

/// The table with the columns up to a level.
fn table(view: &View, stats: &Stats, level: u8, spark: bool, style: Style) -> Vec<String> {
    let kept: Vec<&Column> = COLUMNS.iter().filter(|column| column.dispensable <= level).collect();
    let names: Vec<String> =
        kept.iter().map(|column| format!("{:>1$}", column.name, column.width)).collect();
    let mut columns = vec![("node", Align::Left)];
    columns.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
    if spark {
        columns.push(("ops/s lately", Align::Left));
    }
    let mut table = Table::new(&columns);
    for row in view.rows() {
        let mut cells = vec![style.name(&row.name)];
        if let Ok(NodeFigures { figures, .. }) = &row.figures {
            cells.extend(kept.iter().map(|column| (column.cell)(figures)));
            if let Some(history) = view.past.nodes.get(&row.name).filter(|_| spark) {
                cells.push(style.name(sparkline(history, NODE_SPARK).trim_start()));
            }
        }
        table.row(cells);
    }
    if stats.rows.len() > 1 {
        let mut cells = vec![style.bold("all")];
        cells.extend(kept.iter().map(|column| (column.cell)(&stats.all)));
        table.row(cells);
    }
    table.lines(style)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{History, Size, frame, sparkline};
    use crate::args::watch::Sort;
    use crate::metrics::Moment;
    use crate::metrics::figures::samples::metrics;
    use crate::output::style::{ColorChoice, Style, visible_width};
    use crate::verb::top::view::{Key, View};

    fn view<const NODES: usize>(silent: usize) -> View {
        let mut view = View::new("c", Duration::from_secs(1), Sort::Name);
        for uptime in [10, 11, 12] {
            let nodes = std::array::from_fn(|node| (node != silent).then(|| metrics(uptime)));
            view.take(Moment::sample::<NODES>(Instant::now(), nodes));
        }
        view
    }

    fn lines(view: &View, columns: usize, rows: usize) -> Vec<String> {
        frame(view, Size { columns, rows }, true, Style::plain())
    }

    #[test]
    fn every_size_is_kept_and_what_matters_most_is_kept_longest() {
        for colour in [Style::plain(), Style::decide(ColorChoice::Always, true, None)] {
            for (columns, rows) in
                [(300, 100), (120, 40), (80, 24), (40, 12), (10, 3), (1, 1), (0, 0)]
            {
                let lines = frame(&view::<5>(1), Size { columns, rows }, true, colour);
                assert!(lines.len() <= rows, "{columns}x{rows}: {lines:?}");
                assert!(lines.iter().all(|line| visible_width(line) <= columns), "{lines:?}");
            }
        }
        let header = |columns| {
            let lines = lines(&view::<3>(1), columns, 24);
            lines.into_iter().find(|line| line.starts_with("node")).expect("a header")
        };
        assert!(
            header(80).contains("backlog") && !header(80).contains("clients"),
            "{}",
            header(80)
        );
        assert!(
            header(120).contains("syncs/s") && !header(120).contains("lately"),
            "{}",
            header(120)
        );
        assert!(header(200).contains("lately"), "{}", header(200));
        assert!(lines(&view::<3>(1), 60, 12).iter().any(|line| line.starts_with("all ")));
    }

    #[test]
    fn a_frame_tells_rates_a_silent_node_and_the_sum() {
        let lines = lines(&view::<3>(1), 80, 24);
        let line = |begin: &str| lines.iter().find(|line| line.starts_with(begin)).expect(begin);
        assert_eq!(line("kv top"), "kv top  cluster c  2 of 3 nodes answer  every 1.0 s");
        assert!(
            line("requests/s").contains("2,002") && line("requests/s").contains("██"),
            "{lines:?}"
        );
        assert!(
            line("put").contains("1.50") && line("put").ends_with("overloaded 2.0/s"),
            "{lines:?}"
        );
        assert!(line("n1").contains("1,001") && line("n1").contains("100.0 MiB"), "{lines:?}");
        assert!(line("n2").ends_with("does not answer within 1 s"), "{lines:?}");
        assert!(line("all ").contains("2,002"), "{lines:?}");
        assert_eq!(line("quorums of"), "quorums of writes: met 2,000/s");
        assert!(lines.last().expect("keys").starts_with("q quit"));
    }

    #[test]
    fn nodes_for_which_there_is_no_room_are_counted() {
        let lines = lines(&view::<30>(99), 80, 24);
        assert_eq!(lines.len(), 24);
        let shown =
            lines.iter().filter(|line| line.starts_with('n') && !line.starts_with("node")).count();
        let more = lines.iter().find(|line| line.starts_with("and ")).expect("the rest");
        assert_eq!(*more, format!("and {} more nodes", 30 - shown));
        assert!(lines.iter().any(|line| line.starts_with("all")));
    }

    #[test]
    fn before_the_second_look_and_while_paused_the_frame_says_so() {
        let begun = View::new("c", Duration::from_secs(1), Sort::Name);
        assert_eq!(lines(&begun, 80, 24)[1], "looking at the nodes");
        let mut view = view::<3>(1);
        view.press(Key::Pause);
        assert!(lines(&view, 80, 24)[0].starts_with("kv top  paused  cluster c"));
    }

    #[test]
    fn a_sparkline_ends_with_the_newest_and_nothing_is_the_lowest_bar() {
        let view = view::<3>(1);
        assert_eq!(sparkline(&view.past.rate, 4), "  ██");
        assert_eq!(sparkline(&History::default(), 3), "   ");
        assert_eq!(sparkline(&view.past.p99_ms, 1), "█");
    }
}
