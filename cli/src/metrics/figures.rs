//! A node's figures, or those of all together, in the words and units of a reader: what `kv stats` and `kv top` show.
//!
//! The names of the fields are those of `kv stats --json`; `node/METRICS.md` explains them, and a test holds that table
//! against this file. A rate is over the time between two looks, and so are percentiles; `total` counts from the start of the
//! process. `None` stands for what nobody tells, or for a percentile of nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::{Buckets, Interval};

/// A counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Count {
    pub(crate) total: u64,
    pub(crate) per_second: f64,
}

/// What clients asked for by one name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Operation {
    pub(crate) total: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// How they ended.
    pub(crate) results: BTreeMap<String, Count>,
}

/// Reads or writes by what became of their quorum.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Quorum {
    pub(crate) outcomes: BTreeMap<String, Count>,
    /// Who stood in those that were met.
    pub(crate) holders: BTreeMap<String, Count>,
}

/// Work in hand and what became of requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Requests {
    /// All operations on keys; questions of operators are left out.
    pub(crate) per_second: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) clients: u64,
    pub(crate) at_work: u64,
    pub(crate) replica_at_work: u64,
    pub(crate) refused: Count,
    pub(crate) forwarded: Count,
    pub(crate) writes_applied: Count,
    pub(crate) writes_left_behind: Count,
    pub(crate) read_repairs: Count,
}

/// The log, the index and what waits for them. The last three count nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Store {
    pub(crate) keys: u64,
    pub(crate) log_bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) index_backlog: u64,
    pub(crate) record_credits: u64,
    pub(crate) pending_bytes: u64,
    pub(crate) queued_operations: u64,
    pub(crate) table_keys: u64,
    pub(crate) table_bytes: u64,
    pub(crate) records: Count,
    pub(crate) appended_bytes: Count,
    pub(crate) compacted_records: Count,
    pub(crate) disk_full: u64,
    pub(crate) refilling: u64,
    pub(crate) rebuilding: u64,
}

/// Syncs of one purpose.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Syncs {
    pub(crate) total: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

/// Traffic between nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Network {
    pub(crate) peers: u64,
    pub(crate) peers_up: u64,
    /// To the farthest peer.
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) sent_bytes_per_second: f64,
    pub(crate) received_bytes_per_second: f64,
    pub(crate) sent_packets_per_second: f64,
    pub(crate) lost_packets_per_second: f64,
    pub(crate) dropped_frames: Count,
    pub(crate) pending_bytes: u64,
}

/// See the module's page.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) interval_seconds: f64,
    /// Processors kept busy.
    pub(crate) cpu_cores: f64,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) requests: Requests,
    pub(crate) operations: BTreeMap<String, Operation>,
    pub(crate) quorums: BTreeMap<String, Quorum>,
    pub(crate) store: Store,
    pub(crate) syncs: BTreeMap<String, Syncs>,
    pub(crate) network: Network,
}

/// The name under which questions of operators are counted.
pub(crate) const ADMIN: &str = "admin";

fn ms(times: &Buckets, share: f64) -> Option<f64> {
    times.percentile(share).map(|seconds| seconds * 1e3)
}

fn whole(value: Option<f64>) -> u64 {
    value.unwrap_or(0.0) as u64
}

fn count(interval: &Interval<'_>, name: &str, labels: &[(&str, &str)]) -> Count {
    Count { total: whole(interval.sum(name, labels)), per_second: interval.rate(name, labels) }
}

/// A count for each value of the label `by` among the samples with the label `given`.
fn counts(
    interval: &Interval<'_>,
    name: &str,
    given: (&str, &str),
    by: &str,
) -> BTreeMap<String, Count> {
    let values = interval.values_of(name, by).into_iter();
    let counted = values.map(|value| (value, count(interval, name, &[given, (by, value)])));
    counted
        .filter(|(_, count)| count.total > 0)
        .map(|(value, count)| (value.to_owned(), count))
        .collect()
}

impl Figures {
    /// What happened in the time, and how it stands at its end.
    pub(crate) fn of(interval: &Interval<'_>) -> Figures {
        let operations = operations(interval);
        Figures {
            interval_seconds: interval.seconds(),
            cpu_cores: interval.rate("process_cpu_seconds_total", &[]),
            resident_bytes: interval
                .sum("process_resident_memory_bytes", &[])
                .map(|bytes| bytes as u64),
            requests: requests(interval, &operations),
            operations,
            quorums: quorums(interval),
            store: store(interval),
            syncs: syncs(interval),
            network: network(interval),
        }
    }

    /// Records that shared a sync in the time.
    pub(crate) fn records_per_commit(&self) -> Option<f64> {
        let commits = self.syncs.get("commit").map_or(0.0, |syncs| syncs.per_second);
        (commits > 0.0).then(|| self.store.records.per_second / commits)
    }
}

fn operations(interval: &Interval<'_>) -> BTreeMap<String, Operation> {
    const FAMILY: &str = "kvorum_requests_total";
    let names = interval.values_of(FAMILY, "operation").into_iter();
    names
        .map(|name| {
            let label = ("operation", name);
            let times = interval.times("kvorum_request_seconds", &[label]);
            let Count { total, per_second } = count(interval, FAMILY, &[label]);
            let results = counts(interval, FAMILY, label, "result");
            let (p50_ms, p99_ms) = (ms(&times, 0.5), ms(&times, 0.99));
            (name.to_owned(), Operation { total, per_second, p50_ms, p99_ms, results })
        })
        .collect()
}

fn requests(interval: &Interval<'_>, operations: &BTreeMap<String, Operation>) -> Requests {
    let on_keys = operations.iter().filter(|(name, _)| name.as_str() != ADMIN);
    let times = on_keys.clone().fold(Buckets::default(), |sum, (name, _)| {
        sum.and(&interval.times("kvorum_request_seconds", &[("operation", name)]))
    });
    let gauge = |name| whole(interval.sum(name, &[]));
    let counter = |name| count(interval, name, &[]);
    Requests {
        per_second: on_keys.map(|(_, operation)| operation.per_second).sum(),
        p50_ms: ms(&times, 0.5),
        p99_ms: ms(&times, 0.99),
        clients: gauge("kvorum_clients"),
        at_work: gauge("kvorum_requests_at_work"),
        replica_at_work: gauge("kvorum_replica_requests_at_work"),
        refused: counter("kvorum_requests_refused_total"),
        forwarded: counter("kvorum_requests_forwarded_total"),
        writes_applied: counter("kvorum_writes_applied_total"),
        writes_left_behind: counter("kvorum_writes_left_behind_total"),
        read_repairs: counter("kvorum_read_repairs_total"),
    }
}

fn quorums(interval: &Interval<'_>) -> BTreeMap<String, Quorum> {
    let kinds = interval.values_of("kvorum_quorums_total", "kind").into_iter();
    kinds
        .map(|kind| {
            let outcomes = counts(interval, "kvorum_quorums_total", ("kind", kind), "outcome");
            let holders = counts(interval, "kvorum_quorum_holders_total", ("kind", kind), "holder");
            (kind.to_owned(), Quorum { outcomes, holders })
        })
        .collect()
}

fn store(interval: &Interval<'_>) -> Store {
    let gauge = |name: &str| whole(interval.sum(&format!("kvorum_store_{name}"), &[]));
    let counter = |name: &str| count(interval, &format!("kvorum_store_{name}_total"), &[]);
    Store {
        keys: gauge("keys"),
        log_bytes: gauge("log_bytes"),
        live_bytes: gauge("live_bytes"),
        index_backlog: gauge("index_backlog"),
        record_credits: gauge("record_credits"),
        pending_bytes: gauge("pending_bytes"),
        queued_operations: gauge("queued_operations"),
        table_keys: gauge("table_keys"),
        table_bytes: gauge("table_bytes"),
        records: counter("records"),
        appended_bytes: counter("appended_bytes"),
        compacted_records: counter("compacted_records"),
        disk_full: gauge("disk_full"),
        refilling: gauge("refilling"),
        rebuilding: gauge("rebuilding"),
    }
}

fn syncs(interval: &Interval<'_>) -> BTreeMap<String, Syncs> {
    let purposes = interval.values_of("kvorum_sync_seconds_count", "purpose").into_iter();
    purposes
        .map(|purpose| {
            let label = ("purpose", purpose);
            let times = interval.times("kvorum_sync_seconds", &[label]);
            let Count { total, per_second } =
                count(interval, "kvorum_sync_seconds_count", &[label]);
            let (p50_ms, p99_ms) = (ms(&times, 0.5), ms(&times, 0.99));
            (purpose.to_owned(), Syncs { total, per_second, p50_ms, p99_ms })
        })
        .collect()
}

fn network(interval: &Interval<'_>) -> Network {
    let rate = |name: &str| interval.rate(&format!("kvorum_peer_{name}_total"), &[]);
    Network {
        peers: interval.count("kvorum_peer_up") as u64,
        peers_up: whole(interval.sum("kvorum_peer_up", &[])),
        rtt_ms: interval.largest("kvorum_peer_rtt_seconds").map(|seconds| seconds * 1e3),
        sent_bytes_per_second: rate("sent_bytes"),
        received_bytes_per_second: rate("received_bytes"),
        sent_packets_per_second: rate("sent_packets"),
        lost_packets_per_second: rate("lost_packets"),
        dropped_frames: count(interval, "kvorum_peer_dropped_frames_total", &[]),
        pending_bytes: whole(interval.sum("kvorum_peer_pending_bytes", &[])),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Figures for tests of those who show them.

    use crate::metrics::Metrics;

    /// A node that has been up for `uptime` seconds, having done 1,000 puts in each, all in 1 to 2 ms, 10 to a sync.
    pub(crate) fn metrics(uptime: u64) -> Metrics {
        let (puts, syncs) = (uptime * 1_000, uptime * 100);
        Metrics::parse(&format!(
            "kvorum_starts_total 1\nkvorum_uptime_seconds {uptime}\n\
             kvorum_build_info{{version=\"0.1.0\",node=\"a\"}} 1\n\
             process_cpu_seconds_total {cpu}\nprocess_resident_memory_bytes 104857600\n\
             kvorum_requests_total{{operation=\"put\",result=\"ok\"}} {puts}\n\
             kvorum_requests_total{{operation=\"put\",result=\"overloaded\"}} {uptime}\n\
             kvorum_requests_total{{operation=\"admin\",result=\"ok\"}} {uptime}\n\
             kvorum_request_seconds_bucket{{operation=\"put\",le=\"0.001\"}} 0\n\
             kvorum_request_seconds_bucket{{operation=\"put\",le=\"0.002\"}} {puts}\n\
             kvorum_request_seconds_bucket{{operation=\"put\",le=\"+Inf\"}} {puts}\n\
             kvorum_quorums_total{{kind=\"write\",outcome=\"met\"}} {puts}\n\
             kvorum_quorums_total{{kind=\"write\",outcome=\"short\"}} 0\n\
             kvorum_quorum_holders_total{{kind=\"write\",holder=\"owner\"}} {puts}\n\
             kvorum_clients 3\nkvorum_requests_at_work 7\nkvorum_store_keys 1234\n\
             kvorum_store_index_backlog 55\nkvorum_store_records_total {puts}\n\
             kvorum_sync_seconds_bucket{{purpose=\"commit\",le=\"0.004\"}} {syncs}\n\
             kvorum_sync_seconds_bucket{{purpose=\"commit\",le=\"+Inf\"}} {syncs}\n\
             kvorum_sync_seconds_count{{purpose=\"commit\"}} {syncs}\n\
             kvorum_peer_up{{peer=\"b\"}} 1\nkvorum_peer_up{{peer=\"c\"}} 0\n\
             kvorum_peer_rtt_seconds{{peer=\"b\"}} 0.0005\n",
            cpu = uptime as f64 / 2.0,
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::samples::metrics;
    use super::{Count, Figures};
    use crate::metrics::Interval;

    #[test]
    fn figures_are_rates_of_the_time_and_values_at_its_end() {
        let (before, after) = (metrics(10), metrics(12));
        let figures = Figures::of(&Interval::of(Some(&before), &after));
        assert_eq!((figures.interval_seconds, figures.cpu_cores), (2.0, 0.5));
        let puts = &figures.operations["put"];
        assert_eq!((puts.total, puts.per_second), (12_012, 1_001.0));
        assert_eq!(puts.results["overloaded"], Count { total: 12, per_second: 1.0 });
        assert_eq!(puts.p50_ms, Some(1.5));
        assert_eq!(figures.requests.per_second, 1_001.0, "operators' questions are left out");
        let writes = &figures.quorums["write"];
        assert_eq!(writes.outcomes.keys().collect::<Vec<_>>(), ["met"]);
        assert_eq!(figures.records_per_commit(), Some(10.0));
        assert_eq!((figures.network.peers, figures.network.peers_up), (2, 1));
        assert_eq!(figures.network.rtt_ms, Some(0.5));
    }

    #[test]
    fn all_nodes_together_are_their_sum() {
        let (before, after) = (metrics(10), metrics(12));
        let one = Interval::of(Some(&before), &after);
        let both = Figures::of(&one.clone().and(&one));
        assert_eq!(both.requests.per_second, 2_002.0);
        assert_eq!((both.store.keys, both.resident_bytes), (2_468, Some(200 << 20)));
        assert_eq!(both.operations["put"].p50_ms, Some(1.5));
        assert_eq!(both.interval_seconds, 2.0);
    }

    fn names(value: &Value, found: &mut BTreeSet<String>) {
        for (name, field) in value.as_object().into_iter().flatten() {
            // The names below these are the nodes' own, explained with their family.
            let own = ["operations", "results", "outcomes", "holders"].contains(&name.as_str());
            found.insert(name.clone());
            for field in field.as_object().into_iter().flatten().filter(|_| own) {
                names(field.1, found);
            }
            if !own {
                names(field, found);
            }
        }
    }

    #[test]
    fn every_name_in_the_json_is_explained() {
        let (before, after) = (metrics(10), metrics(12));
        let figures = Figures::of(&Interval::of(Some(&before), &after));
        let mut found = BTreeSet::new();
        names(&serde_json::to_value(figures).expect("plain"), &mut found);
        let (_, section) = include_str!("../../../node/METRICS.md")
            .split_once("## What `kv stats --json` prints")
            .expect("a section about it");
        for name in found {
            assert!(section.contains(&format!("`{name}`")), "{name} is not explained");
        }
    }
}
