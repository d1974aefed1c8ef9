//! What `kv top` knows: the last two looks, a minute of history, and what the user has asked for. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::args::watch::Sort;
use crate::metrics::Moment;
use crate::verb::stats::{Row, Stats};

/// Looks that are remembered.
pub(super) const REMEMBERED: usize = 60;

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Pause,
    Sort,
    Reverse,
}

impl Key {
    /// The keys in what a terminal sent at once. Escape sequences (arrows, function keys) mean nothing here, and their letters
    /// must not be taken for keys.
    pub(super) fn typed(bytes: &[u8]) -> Vec<Key> {
        const INTERRUPT: u8 = 3;
        let plain = bytes.split(|byte| *byte == 0x1b).next().unwrap_or_default();
        let key = |byte: &u8| match byte {
            b'q' | &INTERRUPT => Some(Key::Quit),
            b'p' | b' ' => Some(Key::Pause),
            b's' => Some(Key::Sort),
            b'r' => Some(Key::Reverse),
            _ => None,
        };
        plain.iter().filter_map(key).collect()
    }
}

/// The newest values last; at most [`REMEMBERED`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct History(VecDeque<f64>);

impl History {
    fn push(&mut self, value: f64) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The newest `count` of them, the oldest first.
    pub(super) fn newest(&self, count: usize) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().copied().skip(self.0.len().saturating_sub(count))
    }

    /// The largest of all.
    pub(super) fn most(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }
}

/// What went by, of all nodes together.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    pub(super) rate: History,
    pub(super) p99_ms: History,
    pub(super) cpu_cores: History,
    /// The rate of each node.
    pub(super) nodes: BTreeMap<String, History>,
}

/// See the module's page.
pub(super) struct View {
    pub(super) cluster: String,
    pub(super) interval: Duration,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    pub(super) paused: bool,
    pub(super) past: Past,
    /// What is shown; none before the second look.
    pub(super) stats: Option<Stats>,
    last: Option<Moment>,
}

impl View {
    pub(super) fn new(cluster: &str, interval: Duration, sort: Sort) -> View {
        View {
            cluster: cluster.to_owned(),
            interval,
            sort,
            reversed: false,
            paused: false,
            past: Past::default(),
            stats: None,
            last: None,
        }
    }

    /// The nodes have been looked at. While paused nothing that is shown changes.
    pub(super) fn take(&mut self, moment: Moment) {
        if let Some(last) = self.last.as_ref().filter(|_| !self.paused) {
            let stats = Stats::between(last, &moment);
            self.past.remember(&stats);
            self.stats = Some(stats);
        }
        self.last = Some(moment);
    }

    /// The user has pressed a key.
    pub(super) fn press(&mut self, key: Key) {
        match key {
            Key::Pause => self.paused = !self.paused,
            Key::Reverse => self.reversed = !self.reversed,
            Key::Sort => self.sort = next(self.sort),
            Key::Quit => {}
        }
    }

    /// The rows in the order in which they are shown; nodes that do not answer come last, unless the order is that of names.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.stats.iter().flat_map(|stats| &stats.rows).collect();
        rows.sort_by(|one, other| {
            let order = match (weight(one, self.sort), weight(other, self.sort)) {
                (Some(one), Some(other)) => other.total_cmp(&one),
                (one, other) => return other.is_some().cmp(&one.is_some()),
            };
            let order = order.then_with(|| by_name(&one.name, &other.name));
            if self.reversed { order.reverse() } else { order }
        });
        rows
    }
}

impl Past {
    fn remember(&mut self, stats: &Stats) {
        self.rate.push(stats.all.requests.per_second);
        self.p99_ms.push(stats.all.requests.p99_ms.unwrap_or(0.0));
        self.cpu_cores.push(stats.all.cpu_cores);
        for row in &stats.rows {
            let rate = row.figures.as_ref().map_or(0.0, |told| told.figures.requests.per_second);
            self.nodes.entry(row.name.clone()).or_default().push(rate);
        }
    }
}

fn next(sort: Sort) -> Sort {
    match sort {
        Sort::Name => Sort::Rate,
        Sort::Rate => Sort::Latency,
        Sort::Latency => Sort::Cpu,
        Sort::Cpu => Sort::Memory,
        Sort::Memory => Sort::Backlog,
        Sort::Backlog => Sort::Name,
    }
}

/// What a row is sorted by, most first; by names all weigh the same. `None`: the node does not answer.
fn weight(row: &Row, sort: Sort) -> Option<f64> {
    let told = row.figures.as_ref().ok().map(|told| &told.figures);
    match sort {
        Sort::Name => Some(0.0),
        Sort::Rate => told.map(|figures| figures.requests.per_second),
        Sort::Latency => told.map(|figures| figures.requests.p99_ms.unwrap_or(0.0)),
        Sort::Cpu => told.map(|figures| figures.cpu_cores),
        Sort::Memory => told.map(|figures| figures.resident_bytes.unwrap_or(0) as f64),
        Sort::Backlog => told.map(|figures| figures.store.index_backlog as f64),
    }
}

/// n2 comes before n10.
fn by_name(one: &str, other: &str) -> Ordering {
    let split = |name: &str| {
        let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        (stem.to_owned(), name[stem.len()..].parse::<u64>().unwrap_or(0))
    };
    split(one).cmp(&split(other)).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Key, REMEMBERED, View, by_name};
    use crate::args::watch::Sort;
    use crate::metrics::{Metrics, Moment};

    fn node(uptime: u64, puts: u64) -> Option<Metrics> {
        Some(Metrics::parse(&format!(
            "kvorum_starts_total 1\nkvorum_uptime_seconds {uptime}\n\
             kvorum_requests_total{{operation=\"put\",result=\"ok\"}} {puts}\n"
        )))
    }

    /// n1 does 10 a second, n2 30, n3 does not answer, n4 does 20.
    fn moment(uptime: u64) -> Moment {
        let of = |rate| node(uptime, uptime * rate);
        Moment::sample(Instant::now(), [of(10), of(30), None, of(20)])
    }

    fn view() -> View {
        let mut view = View::new("c", Duration::from_secs(1), Sort::Name);
        (1..=2).for_each(|uptime| view.take(moment(uptime)));
        view
    }

    fn names(view: &View) -> Vec<&str> {
        view.rows().iter().map(|row| row.name.as_str()).collect()
    }

    #[test]
    fn nodes_are_sorted_by_what_was_asked_for_and_silent_ones_come_last() {
        let mut view = view();
        assert_eq!(names(&view), ["n1", "n2", "n3", "n4"]);
        view.press(Key::Reverse);
        assert_eq!(names(&view), ["n4", "n3", "n2", "n1"]);
        view.press(Key::Sort);
        assert_eq!(names(&view), ["n1", "n4", "n2", "n3"]);
        view.press(Key::Reverse);
        assert_eq!(names(&view), ["n2", "n4", "n1", "n3"]);
        (0..5).for_each(|_| view.press(Key::Sort));
        assert_eq!(view.sort, Sort::Name);
    }

    #[test]
    fn a_pause_freezes_what_is_shown_and_rates_afterwards_are_of_the_last_interval() {
        let mut view = view();
        view.press(Key::Pause);
        (3..10).for_each(|uptime| view.take(moment(uptime)));
        let shown =
            |view: &View| view.stats.as_ref().map(|stats| stats.all.operations["put"].total);
        assert_eq!(shown(&view), Some(120));
        view.press(Key::Pause);
        view.take(moment(10));
        assert_eq!(shown(&view), Some(600));
        assert_eq!(view.past.rate.newest(REMEMBERED).collect::<Vec<_>>(), [60.0, 60.0]);
    }

    #[test]
    fn a_minute_is_remembered_and_no_more() {
        let mut view = view();
        (3..200).for_each(|uptime| view.take(moment(uptime)));
        assert_eq!(view.past.rate.newest(1_000).count(), REMEMBERED);
        assert_eq!(view.past.nodes["n2"].most(), 30.0);
    }

    #[test]
    fn function_keys_are_no_letters() {
        assert_eq!(Key::typed(b"xsp"), [Key::Sort, Key::Pause]);
        assert_eq!(Key::typed(b"\x03"), [Key::Quit]);
        for sequence in [&b"\x1b[A"[..], b"\x1bOq", b"\x1b", b""] {
            assert!(Key::typed(sequence).is_empty(), "{sequence:?}");
        }
    }

    #[test]
    fn numbers_in_names_are_counted() {
        let mut names = ["n10", "n2", "a", "n1"];
        names.sort_by(|one, other| by_name(one, other));
        assert_eq!(names, ["a", "n1", "n2", "n10"]);
    }
}
