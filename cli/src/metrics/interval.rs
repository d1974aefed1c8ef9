//! What one node, or several together, did between two looks.
//!
//! Each node's time is its own: the rates of all are the sum of rates of each, so a late answer of one makes no rate wrong. A
//! node that was started again meanwhile counts from its start. One that is seen for the first time has no rate yet.

use std::collections::BTreeSet;

use crate::metrics::{Buckets, Metrics};

/// One node, looked at twice.
#[derive(Debug, Clone, Copy)]
struct Pair<'a> {
    before: Option<&'a Metrics>,
    after: &'a Metrics,
    /// How long; 0 when it is not known what came before.
    seconds: f64,
}

impl<'a> Pair<'a> {
    fn new(before: Option<&'a Metrics>, after: &'a Metrics) -> Pair<'a> {
        let told = |metrics: &Metrics, name: &str| metrics.sum(name, &[]).unwrap_or(0.0);
        let uptime = |metrics| told(metrics, "kvorum_uptime_seconds");
        let starts = |metrics| told(metrics, "kvorum_starts_total");
        match before {
            None => Pair { before, after, seconds: 0.0 },
            Some(held) if starts(held) != starts(after) || uptime(held) > uptime(after) => {
                Pair { before: None, after, seconds: uptime(after) }
            }
            Some(held) => Pair { before, after, seconds: uptime(after) - uptime(held) },
        }
    }

    /// What a counter gained. Some count what is open now, and fall back.
    fn gained(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let of = |metrics: &Metrics| metrics.sum(name, labels).unwrap_or(0.0);
        if self.seconds > 0.0 {
            (of(self.after) - self.before.map_or(0.0, of)).max(0.0)
        } else {
            0.0
        }
    }
}

/// See the module's page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interval<'a> {
    pairs: Vec<Pair<'a>>,
}

impl<'a> Interval<'a> {
    /// One node.
    pub(crate) fn of(before: Option<&'a Metrics>, after: &'a Metrics) -> Interval<'a> {
        Interval { pairs: vec![Pair::new(before, after)] }
    }

    /// Both together.
    pub(crate) fn and(mut self, other: &Interval<'a>) -> Interval<'a> {
        self.pairs.extend(&other.pairs);
        self
    }

    /// The longest time between the two looks, in seconds; 0 when there was only one.
    pub(crate) fn seconds(&self) -> f64 {
        self.pairs.iter().map(|pair| pair.seconds).fold(0.0, f64::max)
    }

    /// What counters gained in a second.
    pub(crate) fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let known = self.pairs.iter().filter(|pair| pair.seconds > 0.0);
        known.map(|pair| pair.gained(name, labels) / pair.seconds).sum()
    }

    /// The sum of the values now; `None` when nobody tells it.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let told = self.pairs.iter().filter_map(|pair| pair.after.sum(name, labels));
        told.reduce(|sum, value| sum + value)
    }

    /// The largest of the values of the nodes now, where a node's value is the largest of its samples.
    pub(crate) fn largest(&self, name: &str) -> Option<f64> {
        let told = self.pairs.iter().filter_map(|pair| pair.after.largest(name));
        told.reduce(f64::max)
    }

    /// How many samples of this name there are now.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.pairs.iter().map(|pair| pair.after.count(name)).sum()
    }

    /// The values that a label has now.
    pub(crate) fn values_of(&self, name: &str, label: &str) -> BTreeSet<&'a str> {
        self.pairs.iter().flat_map(|pair| pair.after.values_of(name, label)).collect()
    }

    /// What histograms counted in the time.
    pub(crate) fn times(&self, name: &str, labels: &[(&str, &str)]) -> Buckets {
        let known = self.pairs.iter().filter(|pair| pair.seconds > 0.0);
        known.fold(Buckets::default(), |sum, pair| {
            let now = pair.after.histogram(name, labels);
            let before = pair.before.map(|before| before.histogram(name, labels));
            sum.and(&before.map_or_else(|| now.clone(), |before| now.since(&before)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Interval;
    use crate::metrics::Metrics;

    fn metrics(starts: u64, uptime: f64, puts: f64) -> Metrics {
        Metrics::parse(&format!(
            "kvorum_starts_total {starts}\nkvorum_uptime_seconds {uptime}\nputs_total {puts}\n\
             t_bucket{{le=\"1\"}} {puts}\nt_bucket{{le=\"+Inf\"}} {puts}\n"
        ))
    }

    #[test]
    fn each_nodes_rate_is_over_its_own_time() {
        let (a0, a1) = (metrics(1, 10.0, 100.0), metrics(1, 12.0, 300.0));
        let (b0, b1) = (metrics(7, 50.0, 0.0), metrics(7, 51.0, 50.0));
        let both = Interval::of(Some(&a0), &a1).and(&Interval::of(Some(&b0), &b1));
        assert_eq!(both.rate("puts_total", &[]), 150.0);
        assert_eq!(both.sum("puts_total", &[]), Some(350.0));
        assert_eq!(both.times("t", &[]).count(), 250.0);
        assert_eq!((both.seconds(), both.sum("absent", &[])), (2.0, None));
    }

    #[test]
    fn a_node_that_was_started_again_counts_from_its_start() {
        let before = metrics(1, 2.0, 100.0);
        let after = metrics(2, 4.0, 8.0);
        let interval = Interval::of(Some(&before), &after);
        assert_eq!(
            (interval.rate("puts_total", &[]), interval.times("t", &[]).count()),
            (2.0, 8.0)
        );
    }

    #[test]
    fn a_node_seen_for_the_first_time_has_no_rate() {
        let after = metrics(1, 1_000.0, 5e9);
        let interval = Interval::of(None, &after);
        assert_eq!(
            (interval.rate("puts_total", &[]), interval.times("t", &[]).count()),
            (0.0, 0.0)
        );
    }
}
