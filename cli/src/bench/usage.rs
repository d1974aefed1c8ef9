//! What the nodes use while a workload runs: each of them asked every second.
//!
//! A rate may look steady while something fills up behind it. What would show that, the index's backlog and memory, is kept for
//! every second, with the processors and the syncs that explain a dent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kvorum_client::Client;
use serde::Serialize;
use tokio::time::sleep_until;

use crate::metrics::figures::Figures;
use crate::metrics::{Interval, Moment};

/// The time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Looks that are kept: a day of them. What runs longer is not measured by this.
const MOST_LOOKS: usize = 86_400;

/// One node in one second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Use {
    /// Records that the index has not taken in at the end of the second.
    pub(crate) index_backlog: u64,
    /// Bytes in memory at its end; `None` where the system does not tell it.
    pub(crate) resident_bytes: Option<u64>,
    /// Processors kept busy in it.
    pub(crate) cpu_cores: f64,
    /// Syncs that writes waited for.
    pub(crate) syncs_per_second: f64,
    /// 99 % of these took less, in milliseconds.
    pub(crate) sync_p99_ms: Option<f64>,
}

/// All nodes in one second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Look {
    /// Seconds since the measured time began.
    pub(crate) at_seconds: f64,
    /// By name; a node that did not answer is not in it.
    pub(crate) nodes: BTreeMap<String, Use>,
}

impl Look {
    /// What happened between two moments.
    pub(crate) fn between(from: Instant, earlier: &Moment, later: &Moment) -> Look {
        let mut nodes = BTreeMap::new();
        for told in &later.nodes {
            let (Some(before), Ok(after)) = (earlier.of(told.node), &told.metrics) else {
                continue;
            };
            let figures = Figures::of(&Interval::of(Some(before), after));
            let commits = figures.syncs.get("commit").cloned().unwrap_or_default();
            let used = Use {
                index_backlog: figures.store.index_backlog,
                resident_bytes: figures.resident_bytes,
                cpu_cores: figures.cpu_cores,
                syncs_per_second: commits.per_second,
                sync_p99_ms: commits.p99_ms,
            };
            nodes.insert(told.name.clone(), used);
        }
        Look { at_seconds: later.at.saturating_duration_since(from).as_secs_f64(), nodes }
    }
}

/// Looks at the nodes every second until it is dropped. A node that is late leaves seconds out.
pub(crate) async fn follow(client: &Client, from: Instant, first: &Moment, looks: &mut Vec<Look>) {
    let mut earlier = first.clone();
    let mut next = from + EVERY;
    while looks.len() < MOST_LOOKS {
        sleep_until(next.into()).await;
        let later = Moment::ask(client, None, EVERY).await;
        looks.push(Look::between(from, &earlier, &later));
        earlier = later;
        next = (next + EVERY).max(Instant::now());
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Look;
    use crate::metrics::Moment;
    use crate::metrics::figures::samples::metrics;

    #[test]
    fn a_look_is_of_the_time_since_the_one_before_and_leaves_out_who_is_silent() {
        let from = Instant::now();
        let earlier = Moment::sample(from, [Some(metrics(10)), Some(metrics(10))]);
        let later = Moment::sample(from + Duration::from_secs(2), [Some(metrics(12)), None]);
        let look = Look::between(from, &earlier, &later);
        assert_eq!((look.at_seconds, look.nodes.len()), (2.0, 1));
        let used = look.nodes["n1"];
        assert_eq!((used.index_backlog, used.resident_bytes), (55, Some(100 << 20)));
        assert_eq!((used.cpu_cores, used.syncs_per_second), (0.5, 100.0));
    }
}
