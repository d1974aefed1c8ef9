//! What came of an overload, as `--json` and the tables tell it.

use serde::Serialize;

use crate::bench::check::Check;
use crate::bench::overload::verdict::{Course, Criterion};
use crate::bench::phase::Phase;
use crate::bench::recorder::Second;
use crate::bench::workload::Workload;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// The version of what `--json` prints.
pub(super) const FORMAT: u32 = 1;

/// Rows of the table over time; `--json` has every second.
const ROWS: usize = 30;

/// A whole run: everything of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct OverloadReport {
    /// The version of this form.
    pub(crate) format: u32,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// How many nodes it has.
    pub(crate) nodes: usize,
    /// How they were reached.
    pub(crate) transport: String,
    pub(crate) workload: Workload,
    /// How many times the peak was offered.
    pub(crate) factor: u32,
    /// Within what an operation is good.
    pub(crate) deadline_seconds: f64,
    /// One for each number in flight; the best one is the course's peak.
    pub(crate) peaks: Vec<Phase>,
    pub(crate) course: Course,
    /// Why the run shows nothing, if it does not.
    pub(crate) flaw: Option<String>,
    pub(crate) criteria: [Criterion; 4],
    /// What reading all keys again found.
    pub(crate) check: Check,
}

impl OverloadReport {
    /// What it means for the run.
    ///
    /// # Errors
    /// When keys are missing or have siblings, when the run shows nothing, and when a criterion does not hold.
    pub(crate) fn judge(&self) -> Outcome<()> {
        self.check.judge()?;
        if let Some(flaw) = &self.flaw {
            return Err(Failure::new(ExitCode::OverloadFailed, flaw.clone()));
        }
        let broken: Vec<&str> = self
            .criteria
            .iter()
            .filter(|criterion| !criterion.holds)
            .map(|criterion| criterion.name)
            .collect();
        if broken.is_empty() {
            return Ok(());
        }
        let message = format!("the overload was not borne as it should be: {}", broken.join(", "));
        Err(Failure::new(ExitCode::OverloadFailed, message))
    }
}

/// Prints it.
pub(crate) fn say(report: &OverloadReport, output: Output) -> Outcome<()> {
    if output.is_json() {
        return output.json(report);
    }
    let style = output.style();
    output.line(&format!(
        "cluster {} of {}, {}: {} at {} times its peak",
        style.name(&report.cluster),
        units::plural(report.nodes as u64, "node"),
        report.transport,
        report.workload.name(),
        report.factor
    ))?;
    output.table(&over_time(report))?;
    let during = &report.course.during;
    for (kind, count) in &during.failures {
        output.line(&format!("{} failed: {kind}", units::count(*count)))?;
    }
    if during.unbegun > 0 {
        let behind = format!(
            "the generator fell behind: {} due operations were never sent",
            units::count(during.unbegun)
        );
        output.line(&style.warn(&behind))?;
    }
    for Criterion { name, holds, found } in &report.criteria {
        let mark = if *holds { style.good("holds") } else { style.bad("BROKEN") };
        output.line(&format!("{} {mark}: {found}", style.bold(name)))?;
    }
    let verdict = match &report.flaw {
        Some(flaw) => flaw,
        None if report.criteria.iter().all(|criterion| criterion.holds) => "passed",
        None => "failed",
    };
    output.line(&format!("verdict: {verdict}"))
}

fn over_time(report: &OverloadReport) -> Table {
    let mut table = Table::new(&[
        ("phase", Align::Left),
        ("second", Align::Right),
        ("offered/s", Align::Right),
        ("good/s", Align::Right),
        ("overloaded/s", Align::Right),
        ("late/s", Align::Right),
        ("failed/s", Align::Right),
        ("p50 ms", Align::Right),
        ("p99 ms", Align::Right),
    ]);
    let course = &report.course;
    let whole = |phase: &Phase| phase.seconds.len().max(1);
    for peak in &report.peaks {
        rows(&mut table, &format!("peak of {}", peak.load.in_flight), peak, whole(peak));
    }
    rows(&mut table, "before", &course.before, whole(&course.before));
    rows(&mut table, "overload", &course.during, whole(&course.during).div_ceil(ROWS));
    rows(&mut table, "after", &course.after, 1);
    table
}

/// A row for so many seconds each.
fn rows(table: &mut Table, name: &str, phase: &Phase, each: usize) {
    for (number, seconds) in phase.seconds.chunks(each).enumerate() {
        let mean = |of: fn(&Second) -> u64| {
            let sum: u64 = seconds.iter().map(of).sum();
            units::count(sum / seconds.len() as u64)
        };
        let worst =
            |of: fn(&Second) -> f64| format!("{:.2}", seconds.iter().map(of).fold(0.0, f64::max));
        table.row(vec![
            name.to_owned(),
            (number * each).to_string(),
            phase.load.rate.map_or_else(String::new, units::count),
            mean(Second::good),
            mean(|second| second.refused),
            mean(|second| second.late),
            mean(|second| second.failed - second.refused),
            worst(|second| second.p50_ms),
            worst(|second| second.p99_ms),
        ]);
    }
}
