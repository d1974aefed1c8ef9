//! What came of a failover, as `--json` and the tables tell it.

use serde::Serialize;

use crate::bench::check::Check;
use crate::bench::failover::alone::Alone;
use crate::bench::failover::together::Course;
use crate::bench::phase::Phase;
use crate::bench::worker::{KEY_MISSING, NOT_CERTAIN};
use crate::bench::workload::Workload;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// The version of what `--json` prints.
pub(super) const FORMAT: u32 = 1;

/// Whoever waits longer than this for an answer hangs, in milliseconds.
const HUNG_MS: f64 = 10_000.0;

/// A whole run: everything of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct FailoverReport {
    /// The version of this form.
    pub(crate) format: u32,
    pub(crate) nodes: usize,
    /// How they were reached.
    pub(crate) transport: String,
    pub(crate) workload: Workload,
    /// Keys that were loaded.
    pub(crate) keys: u64,
    /// Connections to each node, and operations on their way at a time.
    pub(crate) connections: u32,
    /// The node lost its data.
    pub(crate) wiped: bool,
    /// The node's name.
    pub(crate) killed: String,
    /// What the nodes can do, where a part of it was asked for.
    pub(crate) peak: Option<Phase>,
    pub(crate) before: Phase,
    pub(crate) away: Phase,
    pub(crate) back: Phase,
    /// From its start until it answered.
    pub(crate) ready_seconds: f64,
    pub(crate) together: Course,
    /// What reading all keys again found.
    pub(crate) check: Check,
    pub(crate) alone: Alone,
}

impl FailoverReport {
    /// What it means for the run.
    ///
    /// # Errors
    /// When keys are missing, were said to be missing, have siblings, or are not at the node that came back.
    pub(crate) fn judge(&self) -> Outcome<()> {
        self.check.judge()?;
        let damaged = |message| Err(Failure::new(ExitCode::Damaged, message));
        if self.wrong_not_founds() > 0 {
            let times = units::plural(self.wrong_not_founds(), "time");
            return damaged(format!(
                "a key that exists was said for certain not to be there, {times}"
            ));
        }
        if self.alone.lacking > 0 {
            let keys = units::plural(self.alone.lacking, "key");
            let first = self.alone.first_lacking.join(", ");
            return damaged(format!("{} came back and lacks {keys}: {first}", self.killed));
        }
        if self.together.complete_seconds.is_none() {
            return Err(Failure::unavailable("the nodes have not come together in time"));
        }
        Ok(())
    }

    /// The phases in which the node was away or just back.
    fn hard(&self) -> [&Phase; 2] {
        [&self.away, &self.back]
    }

    fn failures(&self, kind: &str) -> u64 {
        self.hard().iter().filter_map(|phase| phase.failures.get(kind)).sum()
    }

    fn wrong_not_founds(&self) -> u64 {
        self.failures(KEY_MISSING)
    }

    /// How much longer the slowest hundredth took while the node came back.
    fn slower(&self) -> f64 {
        self.back.p99_ms / self.before.p99_ms
    }

    /// What users saw, in a line: a row for a table of systems.
    fn row(&self) -> String {
        let gap = self.hard().iter().map(|phase| phase.write_gap_ms).fold(0.0, f64::max);
        let failed: u64 = self.hard().iter().map(|phase| phase.failed()).sum();
        let operations: u64 = self.hard().iter().map(|phase| phase.operations()).sum();
        let hung = self.hard().iter().map(|phase| phase.waited_longer(HUNG_MS)).max().unwrap_or(0);
        let longest = self.hard().into_iter().filter_map(|phase| phase.waits_ms.last()).copied();
        let complete = match self.together.complete_seconds {
            Some(seconds) => format!("the returned node was complete after {seconds:.1} s"),
            None => "the returned node did not become complete".to_owned(),
        };
        format!(
            "{:.2} s without a write; {} of {} operations failed; {hung} of {} connections hung for over {} s (longest wait \
             {:.1} s); {} gets said not-found for existing keys, {} more said that they were not certain; {complete}",
            gap / 1e3,
            units::count(failed),
            units::count(operations),
            self.connections,
            HUNG_MS / 1e3,
            longest.fold(0.0, f64::max) / 1e3,
            units::count(self.wrong_not_founds()),
            units::count(self.failures(NOT_CERTAIN)),
        )
    }
}

/// Prints it.
pub(crate) fn say(report: &FailoverReport, output: Output) -> Outcome<()> {
    if output.is_json() {
        return output.json(report);
    }
    let style = output.style();
    output.line(&format!(
        "{}, {}: {} with {} killed{}",
        units::plural(report.nodes as u64, "node"),
        report.transport,
        report.workload.name(),
        style.name(&report.killed),
        if report.wiped { " and its data gone" } else { "" },
    ))?;
    output.table(&phases(report))?;
    for (name, phase) in [("away", &report.away), ("back", &report.back)] {
        for (kind, count) in &phase.failures {
            output.line(&format!("{name}: {} failed: {kind}", units::count(*count)))?;
        }
    }
    let together = &report.together;
    let seconds = |time: Option<f64>| match time {
        Some(seconds) => format!("{seconds:.1} s"),
        None => "never".to_owned(),
    };
    output.line(&format!(
        "{} answered {:.1} s after its start; it was given {} ({:.0}/s at most), 99.9 % of them within {}, all within {}",
        report.killed,
        report.ready_seconds,
        units::plural(together.given, "record"),
        together.most_given_per_second,
        seconds(together.nearly_seconds),
        seconds(together.complete_seconds),
    ))?;
    if report.wiped {
        let filled = match together.filled_seconds {
            Some(seconds) => format!("it said that it was filled after {seconds:.1} s"),
            None => "it did not say that it was filled".to_owned(),
        };
        output.line(&format!(
            "{filled}; under load until then p99 was {:.2} times the one before",
            report.slower()
        ))?;
    }
    output.line(&format!(
        "read alone: {} of {} lacking; {} of all keys read again: {}, {} missing",
        units::count(report.alone.lacking),
        units::plural(report.alone.keys, "key"),
        units::count(report.check.read),
        units::plural(report.check.siblings, "sibling"),
        units::count(report.check.missing),
    ))?;
    output.line(&format!("what users saw: {}", report.row()))
}

fn phases(report: &FailoverReport) -> Table {
    let mut table = Table::new(&[
        ("phase", Align::Left),
        ("offered/s", Align::Right),
        ("done/s", Align::Right),
        ("p99 ms", Align::Right),
        ("longest ms", Align::Right),
        ("failed", Align::Right),
        ("no write for ms", Align::Right),
    ]);
    let peak = report.peak.iter().map(|peak| ("peak", peak));
    let others = [("as usual", &report.before), ("away", &report.away), ("back", &report.back)];
    for (name, phase) in peak.chain(others) {
        table.row(vec![
            name.to_owned(),
            phase.load.rate.map_or_else(String::new, units::count),
            units::count(phase.per_second(|second| second.done) as u64),
            format!("{:.2}", phase.p99_ms),
            format!("{:.1}", phase.max_ms),
            units::count(phase.failed()),
            format!("{:.0}", phase.write_gap_ms),
        ]);
    }
    table
}
