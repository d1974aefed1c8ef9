//! What a run showed: a table, what was broken, and a verdict.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::five::ledger::Broken;
use crate::five::load::Phase;

/// Broken promises that are printed; the rest is counted.
const PRINTED: usize = 20;

/// All of it.
#[derive(Default)]
pub(super) struct Report {
    pub(super) phases: Vec<Phase>,
    /// What went, and how soon everything had come together again: nothing held for others, then nothing found by exchanges.
    pub(super) heals: Vec<(String, Option<Duration>, Option<Duration>)>,
    /// Keys that were read of each of their owners alone.
    pub(super) read_alone: usize,
    pub(super) broken: Vec<Broken>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["phase", "ops/s", "p50 ms", "p99 ms", "p99.9", "longest"];
        let counts = ["retries", "unsure", "behind", "failed", "hung"];
        let [phase, rest @ ..] = heads;
        write!(formatter, "{phase:<28}")?;
        rest.iter().chain(&counts).try_for_each(|head| write!(formatter, " {head:>9}"))?;
        writeln!(formatter)?;
        for phase in &self.phases {
            let Phase { name, took, counts, .. } = phase;
            write!(formatter, "{name:<28} {:>9.0}", phase.rate())?;
            for percentile in [50.0, 99.0, 99.9, 100.0] {
                let ms = took.value_at_percentile(percentile) as f64 / 1e3;
                write!(formatter, " {ms:>9.2}")?;
            }
            for counter in
                [&counts.retries, &counts.unsure, &counts.behind, &counts.failed, &counts.hung]
            {
                write!(formatter, " {:>9}", counter.load(Ordering::Relaxed))?;
            }
            writeln!(formatter)?;
        }
        writeln!(formatter)?;
        let seconds = |time: &Option<Duration>| match time {
            Some(time) => format!("{:.1} s", time.as_secs_f64()),
            None => "never".to_owned(),
        };
        for (what, hints, exchanges) in &self.heals {
            writeln!(
                formatter,
                "{what}: nothing held for others after {}, nothing found by exchanges after {}",
                seconds(hints),
                seconds(exchanges)
            )?;
        }
        writeln!(formatter, "{} keys read of each of their owners alone", self.read_alone)?;
        for broken in self.broken.iter().take(PRINTED) {
            writeln!(formatter, "BROKEN: {broken}")?;
        }
        match self.broken.len() {
            0 => write!(formatter, "verdict: nothing lost, nothing hung, everything came together"),
            count => write!(formatter, "verdict: {count} PROMISES BROKEN"),
        }
    }
}
