//! Whether the nodes have everything that they should, by what they say of themselves.
//!
//! What a node missed comes to it by hints and by exchanges of owners, and each node counts what it gave. So the cluster has come
//! together when no node holds anything for another, and as many exchanges as there are pairs of nodes, [`ROUNDS`] times,
//! have ended without giving anybody anything. That is certain only a while later; the time that is told is that of the last
//! record that was given.
//!
//! Under load owners always find something that is under way. There a node counts as filled when it says so itself, or when hardly
//! anything was given for longer than two exchanges are apart.

use std::time::Duration;

use kvorum_client::Client;
use serde::Serialize;

use crate::metrics::{Metrics, Moment};
use crate::output::units;

/// Exchanges of each pair of nodes that give nothing, until it is believed that there is nothing to give.
const ROUNDS: f64 = 2.0;

/// For how long hardly anything was given once a node is filled: longer than two exchanges of a pair of nodes are apart.
const DRIED_UP: Duration = Duration::from_secs(12);

/// The part of all that was given that is hardly anything, and so many records.
const HARDLY: (f64, f64) = (0.001, 10.0);

/// How long a node may take to tell its figures.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the nodes said at one moment, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Told {
    /// Keys held for others, and deliveries under way.
    held: f64,
    /// Records given so far: hints, and what exchanges found.
    given: f64,
    /// Exchanges that ended so far.
    exchanges: f64,
    /// Nodes that are being filled.
    filling: f64,
}

impl Told {
    fn of(nodes: &[&Metrics]) -> Told {
        let sum = |names: &[&str]| {
            let of_one = |metrics: &&Metrics| {
                names.iter().filter_map(|name| metrics.sum(name, &[])).sum::<f64>()
            };
            nodes.iter().map(of_one).sum::<f64>()
        };
        Told {
            held: sum(&["kvorum_hints", "kvorum_hint_deliveries"]),
            given: sum(&[
                "kvorum_hints_delivered_total",
                "kvorum_exchange_given_total",
                "kvorum_exchange_taken_total",
            ]),
            exchanges: sum(&["kvorum_exchanges_total"]),
            filling: sum(&["kvorum_store_refilling"]),
        }
    }
}

/// How it went, in seconds from the start of the node that had been away.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Course {
    /// Until nothing was given any more; absent when it did not come to that.
    pub(crate) complete_seconds: Option<f64>,
    /// Until 99.9 % of everything was given.
    pub(crate) nearly_seconds: Option<f64>,
    /// Until a wiped node said that it was filled; absent when it did not.
    pub(crate) filled_seconds: Option<f64>,
    /// Records that were given to a node that lacked them.
    pub(crate) given: u64,
    /// The highest number of them in a second, over five seconds.
    pub(crate) most_given_per_second: f64,
}

/// See the page.
#[derive(Debug)]
pub(crate) struct Together {
    pairs: f64,
    nodes: usize,
    /// What had been given before.
    before: f64,
    /// When how much more had been given: a line for each change.
    given: Vec<(Duration, f64)>,
    /// Exchanges that had ended when something was given last, or held.
    since: f64,
    filled_at: Option<Duration>,
    last: Told,
    is_heard: bool,
    heard_at: Duration,
}

impl Together {
    /// Before the node is started again.
    pub(crate) async fn begin(client: &Client) -> Together {
        let nodes = client.topology().nodes.len();
        let mut together = Together::of(nodes);
        let moment = Moment::ask(client, None, PATIENCE).await;
        let told: Vec<&Metrics> =
            moment.nodes.iter().filter_map(|told| told.metrics.as_ref().ok()).collect();
        together.before = Told::of(&told).given;
        together
    }

    fn of(nodes: usize) -> Together {
        Together {
            pairs: (nodes * nodes.saturating_sub(1) / 2) as f64,
            nodes,
            before: 0.0,
            given: Vec::new(),
            since: 0.0,
            filled_at: None,
            last: Told::default(),
            is_heard: false,
            heard_at: Duration::ZERO,
        }
    }

    /// Asks all nodes once more. A moment at which one of them does not answer says nothing.
    pub(crate) async fn look(&mut self, client: &Client, at: Duration) {
        let moment = Moment::ask(client, None, PATIENCE).await;
        let told: Vec<&Metrics> =
            moment.nodes.iter().filter_map(|told| told.metrics.as_ref().ok()).collect();
        if told.len() == self.nodes {
            self.hear(at, Told::of(&told));
        }
    }

    fn hear(&mut self, at: Duration, told: Told) {
        let given = (told.given - self.before).max(0.0);
        if !self.is_heard
            || told.held > 0.0
            || self.given.last().is_none_or(|(_, last)| given > *last)
        {
            self.since = told.exchanges;
        }
        if self.given.last().is_none_or(|(_, last)| given > *last) {
            self.given.push((at, given));
        }
        if told.filling == 0.0 && self.filled_at.is_none() {
            self.filled_at = Some(at);
        }
        (self.last, self.is_heard, self.heard_at) = (told, true, at);
    }

    /// Whether every node has been filled, as far as can be told under load.
    pub(crate) fn is_filled(&self) -> bool {
        self.is_heard && (self.filled_at.is_some() || self.has_dried_up())
    }

    fn has_dried_up(&self) -> bool {
        let Some(earlier) = self.heard_at.checked_sub(DRIED_UP) else { return false };
        let all = self.given.last().map_or(0.0, |(_, given)| *given);
        let before = self.given.iter().rev().find(|(at, _)| *at <= earlier);
        let (part, records) = HARDLY;
        before.is_some_and(|(_, before)| all - before <= all * part + records)
    }

    /// Whether it is certain that there is nothing to give any more.
    pub(crate) fn is_certain(&self) -> bool {
        self.is_heard
            && self.last.held == 0.0
            && self.last.exchanges >= self.since + ROUNDS * self.pairs
    }

    /// In a few words, for a progress bar.
    pub(crate) fn said(&self) -> String {
        let given = self.given.last().map_or(0.0, |(_, given)| *given);
        format!("{} records given", units::count(given as u64))
    }

    /// How it went.
    pub(crate) fn told(&self, is_together: bool) -> Course {
        let all = self.given.last().map_or(0.0, |(_, given)| *given);
        let reached = |share: f64| {
            let first = self.given.iter().find(|(_, given)| *given >= all * share);
            first.map(|(at, _)| at.as_secs_f64()).filter(|_| is_together)
        };
        Course {
            complete_seconds: reached(1.0),
            nearly_seconds: reached(0.999),
            filled_seconds: self.filled_at.map(|at| at.as_secs_f64()),
            given: all as u64,
            most_given_per_second: self.fastest(),
        }
    }

    fn fastest(&self) -> f64 {
        const OVER: Duration = Duration::from_secs(5);
        let rate = |(position, (at, given)): (usize, &(Duration, f64))| {
            let earlier = self.given[..position].iter().rev().find(|(then, _)| *then + OVER <= *at);
            earlier.map(|(then, before)| (given - before) / (*at - *then).as_secs_f64())
        };
        self.given.iter().enumerate().filter_map(rate).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Together, Told};

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn nodes_are_together_only_when_exchanges_find_nothing_for_long_enough() {
        let mut together = Together::of(3);
        let told = |given, exchanges| Told { given, exchanges, ..Told::default() };
        together.hear(at(1), Told { held: 4.0, ..told(0.0, 10.0) });
        together.hear(at(2), told(1_000.0, 20.0));
        assert!(!together.is_certain());
        together.hear(at(7), told(6_000.0, 21.0));
        together.hear(at(8), told(6_001.0, 22.0));
        together.hear(at(20), told(6_001.0, 27.0));
        assert!(!together.is_certain(), "three pairs twice are six");
        together.hear(at(30), told(6_001.0, 28.0));
        assert!(together.is_certain());
        let course = together.told(true);
        assert_eq!((course.complete_seconds, course.nearly_seconds), (Some(8.0), Some(7.0)));
        assert_eq!((course.given, course.most_given_per_second), (6_001, 1_000.0));
        assert_eq!(together.told(false).complete_seconds, None);
    }

    #[test]
    fn a_node_that_is_held_for_is_not_together_with_others() {
        let mut together = Together::of(2);
        together.hear(at(1), Told { held: 1.0, exchanges: 9.0, ..Told::default() });
        together.hear(at(2), Told { held: 1.0, exchanges: 99.0, ..Told::default() });
        assert!(!together.is_certain());
        together.hear(at(3), Told { exchanges: 101.0, ..Told::default() });
        assert!(together.is_certain());
    }

    #[test]
    fn a_node_is_filled_when_it_says_so_or_when_hardly_anything_is_given() {
        let mut together = Together::of(2);
        let told = |given, filling| Told { given, filling, ..Told::default() };
        together.hear(at(1), told(0.0, 1.0));
        together.hear(at(5), told(20_000.0, 1.0));
        together.hear(at(16), told(20_020.0, 1.0));
        assert!(!together.is_filled(), "eleven seconds are no twelve");
        together.hear(at(18), told(20_030.0, 1.0));
        assert!(together.is_filled());
        assert_eq!(together.told(true).filled_seconds, None);
        together.hear(at(19), told(30_000.0, 1.0));
        assert!(!together.is_filled());
        together.hear(at(20), told(30_000.0, 0.0));
        assert!(together.is_filled());
        assert_eq!(together.told(true).filled_seconds, Some(20.0));
    }
}
