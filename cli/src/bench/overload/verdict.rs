//! What is concluded from an overload: four criteria, each a function of what was measured.
//!
//! Pure, so that every criterion can be shown a course that breaks it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::bench::overload::memory::Held;
use crate::bench::overload::phase::Phase;
use crate::bench::recorder::Second;
use crate::output::units;

/// The good operations under overload, as a share of the peak, are at least this.
const GOODPUT: f64 = 0.8;

/// Of what did not succeed in time under overload, so much was answered as overloaded; the rest met its deadline.
const TOLD: f64 = 0.9;

/// Bytes that a node may take on top of what it had before: half of what its bounds on large requests and unread answers add
/// up to.
const MORE_BYTES: u64 = 256 << 20;

/// When everything is as before again, from the end of the overload on.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Good seconds in a row that make it certain.
const IN_A_ROW: usize = 3;

/// The 99th percentile of a good second, as a multiple of the worst second before, and milliseconds that are added to it: two
/// seconds of the same load differ by so much on a busy machine.
const SLOWER: f64 = 1.5;
const SLOWER_MS: f64 = 2.0;

/// The part of the operations that may fail in a good second beyond the worst second before.
const FAILING: f64 = 0.001;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Course {
    /// Good operations a second at the peak.
    pub(crate) peak: f64,
    pub(crate) before: Phase,
    pub(crate) during: Phase,
    pub(crate) after: Phase,
    /// By node.
    pub(crate) memory: BTreeMap<String, Held>,
}

/// One criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Criterion {
    pub(crate) name: &'static str,
    pub(crate) holds: bool,
    /// What was measured and what it should be.
    pub(crate) found: String,
}

/// All criteria, in the order of reports.
pub(crate) fn judge(course: &Course) -> [Criterion; 4] {
    [refusals(&course.during), memory(&course.memory), goodput(course), recovery(course)]
}

fn refusals(during: &Phase) -> Criterion {
    let refused = during.per_second(|second| second.refused);
    let lost = during.per_second(|second| second.failed + second.late);
    let share = if lost > 0.0 { refused / lost } else { 0.0 };
    let found = format!(
        "{}/s answered as overloaded (99 % within {:.0} ms): {} of what did not succeed in time, at least {}",
        units::count(refused as u64),
        during.refused_p99_ms,
        units::percent(share),
        units::percent(TOLD)
    );
    Criterion { name: "overloaded", holds: refused > 0.0 && share >= TOLD, found }
}

fn memory(memory: &BTreeMap<String, Held>) -> Criterion {
    let more = |held: &Held| held.most.saturating_sub(held.before);
    let all: Vec<String> = memory
        .iter()
        .map(|(node, held)| {
            format!("{node} {} after {}", units::bytes(held.most), units::bytes(held.before))
        })
        .collect();
    let found = format!("{}; at most {} more", all.join(", "), units::bytes(MORE_BYTES));
    let holds = !memory.is_empty() && memory.values().all(|held| more(held) <= MORE_BYTES);
    Criterion { name: "memory", holds, found }
}

fn goodput(course: &Course) -> Criterion {
    let good = course.during.good_per_second();
    let share = good / course.peak;
    let found = format!(
        "{}/s in time, {} of the peak of {}/s, at least {}",
        units::count(good as u64),
        units::percent(share),
        units::count(course.peak as u64),
        units::percent(GOODPUT)
    );
    Criterion { name: "goodput", holds: share >= GOODPUT, found }
}

fn recovery(course: &Course) -> Criterion {
    let usual = Usual::of(&course.before.seconds);
    let seconds = &course.after.seconds;
    let back = seconds.windows(IN_A_ROW).position(|row| row.iter().all(|s| usual.holds(s)));
    let within = BACK_WITHIN.as_secs() as usize;
    let found = match back {
        Some(back) => format!("as before {back} s after its end, at most {within} s"),
        None => format!("not as before within {} s", seconds.len()),
    };
    let bound = format!("p99 below {:.1} ms", usual.p99_ms);
    Criterion {
        name: "recovery",
        holds: back.is_some_and(|back| back <= within),
        found: format!("{found} ({bound})"),
    }
}

/// What a second of usual load may look like.
struct Usual {
    p99_ms: f64,
    lost: f64,
}

impl Usual {
    /// By the seconds before. The first one does not count: connections and caches were cold.
    fn of(before: &[Second]) -> Usual {
        let known = before.get(1..).unwrap_or_default();
        let worst = |of: fn(&Second) -> f64| known.iter().map(of).fold(0.0, f64::max);
        Usual {
            p99_ms: worst(|second| second.p99_ms) * SLOWER + SLOWER_MS,
            lost: worst(Second::lost) + FAILING,
        }
    }

    fn holds(&self, second: &Second) -> bool {
        second.done > 0 && second.p99_ms <= self.p99_ms && second.lost() <= self.lost
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Course, judge};
    use crate::bench::overload::memory::Held;
    use crate::bench::overload::phase::{Load, Phase};
    use crate::bench::recorder::Second;

    fn phase(seconds: Vec<Second>) -> Phase {
        Phase {
            load: Load { rate: Some(1), in_flight: 1, within: Duration::from_secs(1) },
            seconds,
            failures: BTreeMap::new(),
            refused_p99_ms: 5.0,
            unbegun: 0,
            generator_cores: 0.0,
        }
    }

    fn usual() -> Second {
        Second { done: 400, p99_ms: 4.0, ..Second::default() }
    }

    fn good() -> Course {
        let over = Second { done: 850, refused: 1_100, failed: 1_150, late: 0, ..usual() };
        let slow = Second { p99_ms: 90.0, ..usual() };
        Course {
            peak: 1_000.0,
            before: phase(vec![usual(); 10]),
            during: phase(vec![over; 30]),
            after: phase([vec![slow; 2], vec![usual(); 8]].concat()),
            memory: BTreeMap::from([("n1".to_owned(), Held { before: 1 << 28, most: 1 << 29 })]),
        }
    }

    fn holds(course: &Course) -> Vec<bool> {
        judge(course).iter().map(|criterion| criterion.holds).collect()
    }

    #[test]
    fn a_cluster_that_refuses_the_surplus_and_comes_back_passes() {
        assert_eq!(holds(&good()), [true; 4], "{:#?}", judge(&good()));
    }

    #[test]
    fn what_was_left_to_its_deadline_was_not_told() {
        let mut course = good();
        course.during.seconds.iter_mut().for_each(|second| second.refused = 500);
        assert_eq!(holds(&course), [false, true, true, true]);
        course.during.seconds = vec![usual(); 30];
        assert!(!holds(&course)[0], "nothing was refused, so it was no overload");
    }

    #[test]
    fn one_node_that_grows_is_one_too_many_and_an_unknown_one_is_not_small() {
        let mut course = good();
        course.memory.insert("n2".to_owned(), Held { before: 1 << 28, most: 1 << 30 });
        assert_eq!(holds(&course), [true, false, true, true]);
        course.memory.clear();
        assert!(!holds(&course)[1]);
    }

    #[test]
    fn what_succeeds_too_late_is_no_goodput() {
        let mut course = good();
        course.during.seconds.iter_mut().for_each(|second| second.late = 100);
        assert!(!holds(&course)[2]);
    }

    #[test]
    fn a_cluster_that_stays_slow_or_goes_on_failing_has_not_come_back() {
        let slow = Second { p99_ms: 90.0, ..usual() };
        let failing = Second { failed: 10, ..usual() };
        let silent = Second::default();
        for bad in [slow, failing, silent] {
            let mut course = good();
            course.after = phase([vec![bad; 6], vec![usual(); 4]].concat());
            assert_eq!(holds(&course), [true, true, true, false], "{bad:?}");
            course.after = phase(vec![bad; 10]);
            assert!(!holds(&course)[3], "{bad:?}");
        }
    }
}
