//! What a workload costs the nodes, by their own figures.
//!
//! Each node is asked when the measured time begins and when it ends. Everything is a difference of counters, so it does not
//! matter what ran before; what else the nodes do meanwhile is counted with it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::{Buckets, Metrics, Moment};

/// What one node, or all together, did between two moments. `None`: not known.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cost {
    /// Processors kept busy.
    pub(crate) cpu_cores: Option<f64>,
    /// Syncs that writes waited for, a second.
    pub(crate) syncs_per_second: Option<f64>,
    /// Half of these syncs took less, in milliseconds.
    pub(crate) sync_p50_ms: Option<f64>,
    /// 99 % took less.
    pub(crate) sync_p99_ms: Option<f64>,
    /// The share of the time that went by in these syncs, 0 to 1 for each node.
    pub(crate) sync_share: Option<f64>,
    /// Records that shared a sync.
    pub(crate) records_per_sync: Option<f64>,
    /// Bytes in memory at the end.
    pub(crate) resident_bytes: Option<f64>,
    /// Bytes that went to other nodes, a second.
    pub(crate) peer_bytes_per_second: Option<f64>,
    /// Records that the index had not taken in at the end.
    pub(crate) index_backlog: Option<f64>,
}

/// The cost of a workload.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Costs {
    /// By node.
    pub(crate) nodes: BTreeMap<String, Cost>,
    /// All together; `None` in it when any node could not be asked.
    pub(crate) all: Cost,
    /// Microseconds of processor time of all nodes for each operation.
    pub(crate) cpu_us_per_operation: Option<f64>,
}

impl Costs {
    /// What happened between two moments, while `rate` operations a second were done.
    pub(crate) fn between(earlier: &Moment, later: &Moment, rate: f64) -> Costs {
        let seconds = (later.at - earlier.at).as_secs_f64();
        let mut all = Span::default();
        let mut nodes = BTreeMap::new();
        let mut complete = !later.nodes.is_empty();
        for told in &later.nodes {
            let before = earlier.of(told.node);
            let after = told.metrics.as_ref().ok();
            let span = before.zip(after).map(|(before, after)| Span::of(before, after));
            complete &= span.is_some();
            let cost = span.as_ref().map(|span| span.cost(seconds, 1)).unwrap_or_default();
            nodes.insert(told.name.clone(), cost);
            all = all.and(span.unwrap_or_default());
        }
        let count = nodes.len();
        let all = if complete { all.cost(seconds, count) } else { Cost::default() };
        let cpu_us_per_operation =
            all.cpu_cores.filter(|_| rate > 0.0).map(|cores| cores * 1e6 / rate);
        Costs { nodes, all, cpu_us_per_operation }
    }
}

/// Differences of counters.
#[derive(Debug, Clone, Default)]
struct Span {
    cpu: f64,
    records: f64,
    syncs: Buckets,
    sync_seconds: f64,
    peer_bytes: f64,
    resident: Option<f64>,
    backlog: f64,
}

const COMMIT: &[(&str, &str)] = &[("purpose", "commit")];

impl Span {
    fn of(before: &Metrics, after: &Metrics) -> Span {
        let difference = |name: &str, labels: &[(&str, &str)]| {
            let of = |metrics: &Metrics| metrics.sum(name, labels).unwrap_or(0.0);
            (of(after) - of(before)).max(0.0)
        };
        let syncs = |metrics: &Metrics| metrics.histogram("kvorum_sync_seconds", COMMIT);
        Span {
            cpu: difference("process_cpu_seconds_total", &[]),
            records: difference("kvorum_store_records_total", &[]),
            syncs: syncs(after).since(&syncs(before)),
            sync_seconds: difference("kvorum_sync_seconds_sum", COMMIT),
            peer_bytes: difference("kvorum_peer_sent_bytes_total", &[]),
            resident: after.sum("process_resident_memory_bytes", &[]),
            backlog: after.sum("kvorum_store_index_backlog", &[]).unwrap_or(0.0),
        }
    }

    fn and(self, other: Span) -> Span {
        let resident = [self.resident, other.resident].into_iter().flatten();
        Span {
            cpu: self.cpu + other.cpu,
            records: self.records + other.records,
            syncs: self.syncs.and(&other.syncs),
            sync_seconds: self.sync_seconds + other.sync_seconds,
            peer_bytes: self.peer_bytes + other.peer_bytes,
            resident: resident.reduce(|sum, bytes| sum + bytes),
            backlog: self.backlog + other.backlog,
        }
    }

    fn cost(&self, seconds: f64, nodes: usize) -> Cost {
        let per_second = |number: f64| Some(number / seconds).filter(|rate| rate.is_finite());
        let count = self.syncs.count();
        let percentile = |share| self.syncs.percentile(share).map(|seconds| seconds * 1e3);
        Cost {
            cpu_cores: per_second(self.cpu),
            syncs_per_second: per_second(count),
            sync_p50_ms: percentile(0.5),
            sync_p99_ms: percentile(0.99),
            sync_share: per_second(self.sync_seconds / nodes as f64),
            records_per_sync: (count > 0.0).then(|| self.records / count),
            resident_bytes: self.resident,
            peer_bytes_per_second: per_second(self.peer_bytes),
            index_backlog: Some(self.backlog),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Costs;
    use crate::metrics::{Metrics, Moment};

    fn moment(at: Instant, texts: [Option<&str>; 2]) -> Moment {
        Moment::sample(at, texts.map(|text| text.map(Metrics::parse)))
    }

    #[test]
    fn cost_is_what_the_counters_gained_over_all_nodes() {
        let begin = Instant::now();
        let end = begin + Duration::from_secs(2);
        let before = "process_cpu_seconds_total 10\nkvorum_store_records_total 5\n";
        let after = "process_cpu_seconds_total 11\nkvorum_store_records_total 905\n\
            kvorum_sync_seconds_bucket{purpose=\"commit\",le=\"0.001\"} 100\n\
            kvorum_sync_seconds_bucket{purpose=\"commit\",le=\"+Inf\"} 100\n\
            kvorum_sync_seconds_bucket{purpose=\"other\",le=\"+Inf\"} 7\n";
        let costs = Costs::between(
            &moment(begin, [Some(before); 2]),
            &moment(end, [Some(after); 2]),
            1_000.0,
        );
        assert_eq!(costs.all.cpu_cores, Some(1.0));
        assert_eq!(costs.nodes["n1"].cpu_cores, Some(0.5));
        assert_eq!(costs.cpu_us_per_operation, Some(1_000.0));
        assert_eq!(costs.all.syncs_per_second, Some(100.0));
        assert_eq!(costs.all.records_per_sync, Some(9.0));
    }

    #[test]
    fn a_node_that_cannot_be_asked_makes_the_sum_unknown_and_not_smaller() {
        let begin = Instant::now();
        let text = Some("process_cpu_seconds_total 10\n");
        let end = begin + Duration::from_secs(1);
        let costs = Costs::between(&moment(begin, [text; 2]), &moment(end, [text, None]), 1.0);
        assert_eq!((costs.all.cpu_cores, costs.cpu_us_per_operation), (None, None));
        assert_eq!(costs.nodes["n1"].cpu_cores, Some(0.0));
    }
}
