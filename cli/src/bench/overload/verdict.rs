//! What is concluded from an overload: whether it was one, and four criteria, each a function of what was measured.
//!
//! A run in which the nodes were not asked for more than they can do would pass, and show nothing: that is a [`flaw`], which
//! fails the run whatever the criteria say.
//!
//! Pure, so that every criterion can be shown a course that breaks it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::bench::overload::memory::Held;
use crate::bench::phase::Phase;
use crate::bench::recorder::Second;
use crate::output::units;

/// The good operations under overload, as a share of the peak, are at least this.
const GOODPUT: f64 = 0.8;

/// Of what did not succeed in time under overload, so much was answered as overloaded; the rest met its deadline.
const TOLD: f64 = 0.9;

/// 99 % of those answers came within so many milliseconds: a client that learns it later could as well have been served.
const AT_ONCE_MS: f64 = 100.0;

/// More good operations than so many times the peak: then it was not the peak.
const BEYOND: f64 = 1.2;

/// Of what was offered beyond the peak, at least this was refused or lost in an overload.
const SURPLUS: f64 = 0.5;

/// Of what was offered, the generator may have failed to send so much.
const UNBEGUN: f64 = 0.01;

/// A node told its memory in at least one of so many seconds of the overload.
const TELLS_EVERY: u64 = 3;

/// Bytes that a node may take on top of what it had before: half of what its bounds on large requests and unread answers add
/// up to.
const MORE_BYTES: u64 = 256 << 20;

/// When everything is as before again, from the end of the overload on.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Good seconds in a row that make it certain.
const IN_A_ROW: usize = 3;

/// The 99th percentile of a good second, as a multiple of the median second before; and the milliseconds that it may be in any
/// case: two seconds of the same load differ by so much on a busy machine.
const SLOWER: f64 = 3.0;
const SLOWER_MS: f64 = 10.0;

/// Of what is offered, so much is good in a good second.
const SERVED: f64 = 0.9;

/// The part of the operations that may fail in a good second beyond the median second before.
const FAILING: f64 = 0.001;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Course {
    /// Good operations a second at the peak.
    pub(crate) peak: f64,
    pub(crate) before: Phase,
    pub(crate) during: Phase,
    pub(crate) after: Phase,
    /// By node; `None` where it is not known.
    pub(crate) memory: BTreeMap<String, Option<Held>>,
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
    [refusals(&course.during), memory(course), goodput(course), recovery(course)]
}

/// Why the run shows nothing, if it does not.
pub(crate) fn flaw(course: &Course) -> Option<String> {
    let Course { peak, during, .. } = course;
    let (offered, unbegun) = (during.offered(), during.unbegun);
    if unbegun as f64 > offered as f64 * UNBEGUN {
        return Some(format!(
            "invalid: the generator never sent {} of the {} operations that were due; give it more --keys or a processor of \
             its own",
            units::count(unbegun),
            units::count(offered)
        ));
    }
    let good = during.good_per_second();
    let surplus = during.per_second(|second| second.failed + second.late);
    let due = SURPLUS * (during.load.rate.unwrap_or(0) as f64 - peak);
    if good <= peak * BEYOND && surplus >= due {
        return None;
    }
    Some(format!(
        "not overloaded: the run shows nothing: {}/s were good with a peak of {}/s, and {}/s refused or lost",
        units::count(good as u64),
        units::count(*peak as u64),
        units::count(surplus as u64)
    ))
}

fn refusals(during: &Phase) -> Criterion {
    let refused = during.per_second(|second| second.refused);
    let lost = during.per_second(|second| second.failed + second.late);
    let share = if lost > 0.0 { refused / lost } else { 0.0 };
    let found = format!(
        "{}/s answered as overloaded (99 % within {:.0} ms, at most {AT_ONCE_MS}): {} of what did not succeed in time, at least {}",
        units::count(refused as u64),
        during.refused_p99_ms,
        units::percent(share),
        units::percent(TOLD)
    );
    let holds = refused > 0.0 && share >= TOLD && during.refused_p99_ms <= AT_ONCE_MS;
    Criterion { name: "overloaded", holds, found }
}

fn memory(course: &Course) -> Criterion {
    let seconds = course.during.seconds.len() as u64;
    let told = |held: &Held| held.answers.is_none_or(|answers| answers * TELLS_EVERY >= seconds);
    let more = |held: &Held| held.most.saturating_sub(held.before);
    let one = |(node, held): (&String, &Option<Held>)| match held {
        None => format!("{node} has not told it"),
        Some(held) if !told(held) => {
            format!("{node} has told it in {} of {seconds} s", held.answers.unwrap_or(0))
        }
        Some(held) => {
            format!("{node} {} after {}", units::bytes(held.most), units::bytes(held.before))
        }
    };
    let all: Vec<String> = course.memory.iter().map(one).collect();
    let found = format!("{}; at most {} more", all.join(", "), units::bytes(MORE_BYTES));
    let small =
        |held: &Option<Held>| held.is_some_and(|held| told(&held) && more(&held) <= MORE_BYTES);
    let holds = !course.memory.is_empty() && course.memory.values().all(small);
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
    let usual = Usual::of(course);
    let seconds = &course.after.seconds;
    let back = seconds.windows(IN_A_ROW).position(|row| row.iter().all(|s| usual.holds(s)));
    let within = BACK_WITHIN.as_secs() as usize;
    let found = match back {
        Some(back) => format!("as before {back} s after its end, at most {within} s"),
        None => format!("not as before within {} s", seconds.len()),
    };
    let bound = format!("p99 below {:.1} ms, good {:.0}/s", usual.p99_ms, usual.good);
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
    good: f64,
}

impl Usual {
    fn of(course: &Course) -> Usual {
        let before =
            |of: fn(&Second) -> f64| median(course.before.seconds.iter().map(of).collect());
        Usual {
            p99_ms: (before(|second| second.p99_ms) * SLOWER).max(SLOWER_MS),
            lost: before(Second::lost) + FAILING,
            good: course.after.load.rate.unwrap_or(0) as f64 * SERVED,
        }
    }

    fn holds(&self, second: &Second) -> bool {
        second.good() > 0
            && second.good() as f64 >= self.good
            && second.p99_ms <= self.p99_ms
            && second.lost() <= self.lost
    }
}

/// The one in the middle; 0 when there is none.
fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Course, flaw, judge};
    use crate::bench::overload::memory::Held;
    use crate::bench::phase::{Load, Phase};
    use crate::bench::recorder::Second;

    fn phase(rate: u64, seconds: Vec<Second>) -> Phase {
        Phase {
            load: Load { rate: Some(rate), in_flight: 1, within: Duration::from_secs(1) },
            seconds,
            failures: BTreeMap::new(),
            refused_p99_ms: 5.0,
            write_gap_ms: 1.0,
            waits_ms: Vec::new(),
            p99_ms: 4.0,
            max_ms: 5.0,
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
        let held = Held { before: 1 << 28, most: 1 << 29, answers: Some(20) };
        Course {
            peak: 1_000.0,
            before: phase(400, vec![usual(); 10]),
            during: phase(2_000, vec![over; 30]),
            after: phase(400, [vec![slow; 2], vec![usual(); 8]].concat()),
            memory: BTreeMap::from([("n1".to_owned(), Some(held))]),
        }
    }

    fn holds(course: &Course) -> Vec<bool> {
        judge(course).iter().map(|criterion| criterion.holds).collect()
    }

    #[test]
    fn a_cluster_that_refuses_the_surplus_and_comes_back_passes() {
        assert_eq!(holds(&good()), [true; 4], "{:#?}", judge(&good()));
        assert_eq!(flaw(&good()), None);
    }

    #[test]
    fn what_the_nodes_could_do_after_all_was_no_overload() {
        let mut course = good();
        course.peak = 700.0;
        assert!(flaw(&course).is_some_and(|flaw| flaw.starts_with("not overloaded")), "1.21 peaks");
        course = good();
        let fewer = Second { done: 850, refused: 499, failed: 499, ..usual() };
        course.during.seconds = vec![fewer; 30];
        assert!(
            flaw(&course).is_some_and(|flaw| flaw.starts_with("not overloaded")),
            "who lost it?"
        );
        course.during.seconds.iter_mut().for_each(|second| second.late = 1);
        assert_eq!(flaw(&course), None, "what is late is lost, too");
    }

    #[test]
    fn a_generator_that_falls_behind_shows_nothing_about_the_nodes() {
        let mut course = good();
        course.during.unbegun = 600;
        assert_eq!(flaw(&course), None, "1 % of 60,000");
        course.during.unbegun = 601;
        assert!(flaw(&course).is_some_and(|flaw| flaw.starts_with("invalid")));
    }

    #[test]
    fn what_is_refused_late_is_not_refused_at_once() {
        let mut course = good();
        course.during.refused_p99_ms = 101.0;
        assert_eq!(holds(&course), [false, true, true, true]);
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
        let grown = Held { before: 1 << 28, most: 1 << 30, answers: Some(20) };
        course.memory.insert("n2".to_owned(), Some(grown));
        assert_eq!(holds(&course), [true, false, true, true]);
        course.memory.insert("n2".to_owned(), None);
        assert_eq!(holds(&course), [true, false, true, true]);
        course.memory.clear();
        assert!(!holds(&course)[1]);
    }

    #[test]
    fn a_node_that_was_not_seen_during_the_overload_is_not_small() {
        let mut course = good();
        for (answers, holds) in [(Some(10), true), (Some(9), false), (Some(0), false), (None, true)]
        {
            let held = Held { before: 1 << 28, most: 1 << 28, answers };
            course.memory.insert("n1".to_owned(), Some(held));
            assert_eq!(judge(&course)[1].holds, holds, "{answers:?}");
        }
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
        let fewer = Second { done: 350, ..usual() };
        for bad in [slow, failing, silent, fewer] {
            let mut course = good();
            course.after = phase(400, [vec![bad; 6], vec![usual(); 4]].concat());
            assert_eq!(holds(&course), [true, true, true, false], "{bad:?}");
            course.after = phase(400, vec![bad; 10]);
            assert!(!holds(&course)[3], "{bad:?}");
        }
    }

    #[test]
    fn one_bad_second_before_does_not_excuse_those_after() {
        let mut course = good();
        course.before.seconds[3] = Second { p99_ms: 900.0, failed: 200, ..usual() };
        let slow = Second { p99_ms: 12.1, ..usual() };
        course.after = phase(400, vec![slow; 10]);
        assert!(!holds(&course)[3], "3 times the median is 12 ms");
        let slower = Second { p99_ms: 11.9, ..usual() };
        course.after = phase(400, vec![slower; 10]);
        assert!(holds(&course)[3]);
    }
}
