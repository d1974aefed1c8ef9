//! What came of a workload, as `--json`, the page and the tables tell it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::args::bench::RunArguments;
use crate::bench::check::Check;
use crate::bench::distribution::Distribution;
use crate::bench::recorder::{Second, Tally, histogram, ms};
use crate::bench::servers::Costs;
use crate::bench::usage::Look;
use crate::bench::worker::Work;
use crate::bench::workload::{Operation, Workload};

/// A whole run: everything of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    /// The version of this form.
    pub(crate) format: u32,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// How many nodes it has.
    pub(crate) nodes: usize,
    /// How they were reached.
    pub(crate) transport: String,
    /// The workloads, in the order in which they ran.
    pub(crate) workloads: Vec<Report>,
    /// What reading all keys again found.
    pub(crate) check: Check,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    pub(crate) workload: Workload,
    pub(crate) distribution: Distribution,
    pub(crate) in_flight: u32,
    /// Operations a second of an open loop; `None`: a closed loop.
    pub(crate) rate: Option<u64>,
    pub(crate) connections: u16,
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    pub(crate) r: Option<u8>,
    pub(crate) w: Option<u8>,
    pub(crate) strict: bool,
    pub(crate) warmup_seconds: f64,
    pub(crate) seed: u64,
}

impl Settings {
    pub(crate) fn of(
        options: &RunArguments,
        workload: Workload,
        work: &Work,
        value_bytes: usize,
    ) -> Settings {
        Settings {
            workload,
            distribution: work.distribution,
            in_flight: options.load.in_flight,
            rate: options.load.rate,
            connections: options.load.connections,
            keys: options.keys.keys,
            value_bytes,
            r: options.keys.r,
            w: options.keys.w,
            strict: options.keys.strict,
            warmup_seconds: options.load.warmup.as_secs_f64(),
            seed: options.load.seed,
        }
    }
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// What came of one kind of operation.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OperationReport {
    pub(crate) name: &'static str,
    /// Successes within the measured time.
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    pub(crate) latency_ms: Latency,
    /// Failures by kind.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Share of successes (0 to 1) and the latency in milliseconds that it stayed within.
    pub(crate) percentiles: Vec<(f64, f64)>,
}

/// A second of the measured time.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct SecondReport {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// What came of a workload.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) settings: Settings,
    /// How long was measured.
    pub(crate) seconds: f64,
    pub(crate) operations: Vec<OperationReport>,
    pub(crate) over_time: Vec<SecondReport>,
    pub(crate) servers: Costs,
    /// What the nodes used, a look each second.
    pub(crate) servers_over_time: Vec<Look>,
    /// Processors that the generator kept busy; near 1 it was the bottleneck.
    pub(crate) generator_cores: f64,
    /// Operations of an open loop that were due and never begun.
    pub(crate) unbegun: u64,
    /// Times that a drawn key was being written and another was drawn.
    pub(crate) redrawn: u64,
    /// Writes before which their key had to be read.
    pub(crate) read_again: u64,
    /// Reads that found siblings.
    pub(crate) siblings_seen: u64,
}

/// From how many processors on the generator's single thread is called the bottleneck.
const BUSY: f64 = 0.93;

impl Report {
    pub(crate) fn new(
        settings: Settings,
        measured: Duration,
        tallies: BTreeMap<Operation, Tally>,
        seconds: Vec<Second>,
    ) -> Report {
        let time = measured.as_secs_f64();
        let operations = tallies
            .into_iter()
            .map(|(operation, tally)| OperationReport::new(operation, &tally, time));
        let second = |second: Second| SecondReport {
            done: second.done,
            failed: second.failed,
            p50_ms: second.p50_ms,
            p99_ms: second.p99_ms,
            max_ms: second.max_ms,
        };
        Report {
            settings,
            seconds: time,
            operations: operations.collect(),
            over_time: seconds.into_iter().map(second).collect(),
            servers: Costs::default(),
            servers_over_time: Vec::new(),
            generator_cores: 0.0,
            unbegun: 0,
            redrawn: 0,
            read_again: 0,
            siblings_seen: 0,
        }
    }

    /// Successes of all operations.
    pub(crate) fn succeeded(&self) -> u64 {
        self.operations.iter().map(|operation| operation.count).sum()
    }

    /// Successes of all operations a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.operations.iter().map(|operation| operation.per_second).sum()
    }

    /// Answers a second, failures included: what the servers worked for.
    pub(crate) fn answered_per_second(&self) -> f64 {
        let failed: u64 = self.over_time.iter().map(|second| second.failed).sum();
        self.per_second() + if self.seconds > 0.0 { failed as f64 / self.seconds } else { 0.0 }
    }

    /// Failures of all operations by kind.
    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (kind, count) in self.operations.iter().flat_map(|operation| &operation.failures) {
            *sums.entry(kind.clone()).or_insert(0) += count;
        }
        sums
    }

    /// What a reader must know before using the figures.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for (kind, count) in self.failures() {
            remarks.push(format!("{count} failed: {kind}"));
        }
        if self.generator_cores > BUSY {
            remarks.push("the generator's one thread was the bottleneck".to_owned());
        }
        if self.unbegun > 0 {
            remarks.push(format!("{} due operations were never begun", self.unbegun));
        }
        if self.siblings_seen > 0 {
            remarks.push(format!("{} reads found siblings", self.siblings_seen));
        }
        if self.read_again > 0 {
            remarks
                .push(format!("{} keys were read before they could be replaced", self.read_again));
        }
        remarks
    }
}

impl OperationReport {
    fn new(operation: Operation, tally: &Tally, seconds: f64) -> OperationReport {
        let latencies =
            if tally.latencies.is_empty() { histogram() } else { tally.latencies.clone() };
        let at = |share| ms(latencies.value_at_quantile(share));
        let steps = latencies.iter_quantiles(5);
        OperationReport {
            name: operation.name(),
            count: tally.in_time,
            per_second: if seconds > 0.0 { tally.in_time as f64 / seconds } else { 0.0 },
            latency_ms: Latency {
                mean: latencies.mean() / 1_000.0,
                p50: at(0.5),
                p90: at(0.9),
                p95: at(0.95),
                p99: at(0.99),
                p999: at(0.999),
                max: ms(latencies.max()),
            },
            failures: tally.failures.clone(),
            percentiles: steps
                .map(|step| (step.quantile_iterated_to(), ms(step.value_iterated_to())))
                .collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! A report for tests of those who show it.

    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Check, Report, RunReport, Settings};
    use crate::bench::distribution::Distribution;
    use crate::bench::recorder::{Second, Tally};
    use crate::bench::usage::{Look, Use};
    use crate::bench::workload::{Operation, Workload};

    /// Two seconds of 100 reads each.
    pub(crate) fn report() -> Report {
        let mut tally = Tally { in_time: 200, ..Tally::default() };
        (1..=200).for_each(|number| tally.latencies.saturating_record(number * 100));
        tally.failures.insert("Overloaded".to_owned(), 3);
        let settings = Settings {
            workload: Workload::Get,
            distribution: Distribution::Uniform,
            in_flight: 64,
            rate: None,
            connections: 1,
            keys: 1_000,
            value_bytes: 256,
            r: None,
            w: None,
            strict: false,
            warmup_seconds: 1.0,
            seed: 1,
        };
        let second = Second {
            done: 100,
            failed: 1,
            p50_ms: 10.0,
            p99_ms: 19.8,
            max_ms: 20.0,
            ..Second::default()
        };
        let tallies = BTreeMap::from([(Operation::Read, tally)]);
        let mut report = Report::new(settings, Duration::from_secs(2), tallies, vec![second; 2]);
        report.servers_over_time = [1.0, 2.0].map(look).to_vec();
        report
    }

    fn look(at_seconds: f64) -> Look {
        let used = Use {
            index_backlog: 2_000,
            resident_bytes: Some(64 << 20),
            cpu_cores: 0.5,
            syncs_per_second: 100.0,
            sync_p99_ms: None,
        };
        let nodes = ["n1", "n2", "n3"].map(|name| (name.to_owned(), used));
        Look { at_seconds, nodes: BTreeMap::from(nodes) }
    }

    /// A run of that one workload.
    pub(crate) fn run() -> RunReport {
        RunReport {
            format: 1,
            cluster: "test <&>".to_owned(),
            nodes: 3,
            transport: "quic".to_owned(),
            workloads: vec![report()],
            check: Check { keys: 1_000, read: 1_000, siblings: 0, missing: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::report;

    #[test]
    fn rates_and_percentiles_are_of_what_was_recorded() {
        let report = report();
        assert_eq!((report.succeeded(), report.per_second()), (200, 100.0));
        assert_eq!(report.answered_per_second(), 101.0);
        let latency = &report.operations[0].latency_ms;
        assert!((9.9..10.1).contains(&latency.p50), "{latency:?}");
        assert!((19.7..20.1).contains(&latency.p99), "{latency:?}");
        assert_eq!(report.remarks(), ["3 failed: Overloaded"]);
        let last = report.operations[0].percentiles.last().expect("steps");
        assert_eq!(last.0, 1.0);
    }
}
