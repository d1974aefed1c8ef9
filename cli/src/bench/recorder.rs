//! What came of the operations: latencies, failures, and how both went over time.
//!
//! Latencies go into HDR histograms in microseconds with three digits. What was due before the measured time began is not
//! counted. The rate counts what ended within the measured time; the latencies also those that were due within it and ended
//! later, because the slowest must not be the ones that are left out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::bench::workload::Operation;

/// Digits that a latency keeps.
const DIGITS: u8 = 3;

/// The longest latency that is told apart from longer ones, in microseconds: more than any deadline.
const LONGEST_US: u64 = 600_000_000;

/// How an answer that says "overloaded" is called among the kinds of failures.
pub(crate) const OVERLOADED: &str = "Overloaded";

/// An empty histogram of microseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST_US, DIGITS).expect("the bounds are fixed and fit")
}

/// What came of one kind of operation.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Latencies of what succeeded.
    pub(crate) latencies: Histogram<u64>,
    /// Successes within the measured time.
    pub(crate) in_time: u64,
    /// Failures by kind.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Latencies of what was answered as overloaded.
    pub(crate) refusals: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            latencies: histogram(),
            in_time: 0,
            failures: BTreeMap::new(),
            refusals: histogram(),
        }
    }
}

/// One second of the measured time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(crate) struct Second {
    /// Successes.
    pub(crate) done: u64,
    /// Successes that took longer than they may.
    pub(crate) late: u64,
    /// Failures.
    pub(crate) failed: u64,
    /// Failures that were answered as overloaded.
    pub(crate) refused: u64,
    /// Half of the latencies were below, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99 % were below.
    pub(crate) p99_ms: f64,
    /// The longest.
    pub(crate) max_ms: f64,
}

impl Second {
    /// Successes in time.
    pub(crate) fn good(&self) -> u64 {
        self.done - self.late
    }

    /// The part that failed or was late, 0 to 1.
    pub(crate) fn lost(&self) -> f64 {
        (self.failed + self.late) as f64 / (self.done + self.failed).max(1) as f64
    }
}

/// Milliseconds of a latency.
pub(crate) fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

#[derive(Debug)]
struct State {
    tallies: BTreeMap<Operation, Tally>,
    seconds: Vec<Second>,
    current: Histogram<u64>,
    last: Option<Instant>,
    /// When a write succeeded last, or the measured time began.
    last_write: Instant,
    /// The longest time without one.
    write_gap: Duration,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Recorder {
    from: Instant,
    until: Option<Instant>,
    /// How long a success may take.
    within_us: u64,
    state: Mutex<State>,
}

impl Recorder {
    /// Counts what is due from `from` on. Without `until` the measured time ends with the last operation.
    pub(crate) fn new(from: Instant, until: Option<Instant>) -> Recorder {
        let state = State {
            tallies: BTreeMap::new(),
            seconds: Vec::new(),
            current: histogram(),
            last: None,
            last_write: from,
            write_gap: Duration::ZERO,
        };
        Recorder { from, until, within_us: LONGEST_US, state: Mutex::new(state) }
    }

    /// A success that takes longer is late.
    pub(crate) fn within(mut self, time: Duration) -> Recorder {
        self.within_us = u64::try_from(time.as_micros()).unwrap_or(LONGEST_US);
        self
    }

    /// One operation has ended.
    pub(crate) fn record(
        &self,
        operation: Operation,
        due: Instant,
        ended: Instant,
        outcome: Result<(), Cow<'static, str>>,
    ) {
        if due < self.from {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let in_time = self.until.is_none_or(|until| ended <= until);
        if in_time {
            state.last = state.last.max(Some(ended));
            state.reach((ended - self.from).as_secs() as usize);
        }
        let us = u64::try_from((ended - due).as_micros()).unwrap_or(LONGEST_US).max(1);
        let tally = state.tallies.entry(operation).or_default();
        let failed = outcome.is_err();
        let mut is_write_done = false;
        let is_refused = outcome.as_ref().is_err_and(|kind| kind == OVERLOADED);
        match outcome {
            Ok(()) => {
                is_write_done = operation.writes();
                tally.latencies.saturating_record(us);
                tally.in_time += u64::from(in_time);
            }
            Err(kind) => {
                if is_refused {
                    tally.refusals.saturating_record(us);
                }
                match tally.failures.get_mut(&*kind) {
                    Some(count) => *count += 1,
                    None => _ = tally.failures.insert(kind.into_owned(), 1),
                }
            }
        }
        if is_write_done {
            state.write_gap = state.write_gap_at(ended);
            state.last_write = state.last_write.max(ended);
        }
        if in_time {
            let second = state.seconds.last_mut().expect("the second was reached");
            second.failed += u64::from(failed);
            second.refused += u64::from(is_refused);
            second.late += u64::from(!failed && us > self.within_us);
            second.done += u64::from(!failed);
            if !failed {
                state.current.saturating_record(us);
            }
        }
    }

    /// How many operations have succeeded in the measured time so far.
    pub(crate) fn done(&self) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seconds.iter().map(|second| second.done).sum()
    }

    /// The longest time without a write that succeeded, up to a moment.
    pub(crate) fn write_gap(&self, until: Instant) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.write_gap_at(until)
    }

    /// How long was measured, and what came of it.
    pub(crate) fn finish(self) -> (Duration, BTreeMap<Operation, Tally>, Vec<Second>) {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let end = self.until.or(state.last).unwrap_or(self.from);
        let measured = end.saturating_duration_since(self.from);
        state.close_second();
        (measured, state.tallies, state.seconds)
    }
}

impl State {
    fn write_gap_at(&self, now: Instant) -> Duration {
        self.write_gap.max(now.saturating_duration_since(self.last_write))
    }

    /// Goes on to a second, if it has not begun. Seconds in which nothing ended stay empty.
    fn reach(&mut self, second: usize) {
        while self.seconds.len() <= second {
            self.close_second();
            self.seconds.push(Second::default());
        }
    }

    fn close_second(&mut self) {
        if let Some(second) = self.seconds.last_mut()
            && !self.current.is_empty()
        {
            second.p50_ms = ms(self.current.value_at_quantile(0.5));
            second.p99_ms = ms(self.current.value_at_quantile(0.99));
            second.max_ms = ms(self.current.max());
        }
        self.current.reset();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Recorder;
    use crate::bench::workload::Operation;

    #[test]
    fn warm_up_is_left_out_and_the_slowest_are_not() {
        let from = Instant::now() + Duration::from_secs(100);
        let at = |ms: u64| from + Duration::from_millis(ms);
        let until = at(2_000);
        let recorder = Recorder::new(from, Some(until));
        let record = |due, ended, outcome| recorder.record(Operation::Read, due, ended, outcome);
        record(from - Duration::from_millis(1), at(5), Ok(()));
        record(at(0), at(10), Ok(()));
        record(at(1), at(20), Err("Overloaded".into()));
        record(at(1_500), at(3_500), Ok(()));
        assert_eq!(recorder.done(), 1);
        let (measured, tallies, seconds) = recorder.finish();
        assert_eq!(measured, Duration::from_secs(2));
        let tally = &tallies[&Operation::Read];
        assert_eq!((tally.in_time, tally.latencies.len()), (1, 2));
        assert!(tally.latencies.max() >= 2_000_000);
        assert_eq!((tally.failures["Overloaded"], tally.refusals.len()), (1, 1));
        assert_eq!((seconds[0].refused, seconds[0].late), (1, 0));
        assert_eq!((seconds.len(), seconds[0].done, seconds[0].failed), (1, 1, 1));
        assert!((9.9..10.1).contains(&seconds[0].p99_ms), "{seconds:?}");
    }

    #[test]
    fn a_success_that_took_longer_than_it_may_is_late_and_a_failure_is_not() {
        let from = Instant::now();
        let recorder = Recorder::new(from, None).within(Duration::from_millis(100));
        for (took, outcome) in [(99, Ok(())), (102, Ok(())), (300, Err("NoNode".into()))] {
            let ended = from + Duration::from_millis(took);
            recorder.record(Operation::Update, from, ended, outcome);
        }
        let (_, _, seconds) = recorder.finish();
        let second = seconds[0];
        assert_eq!((second.done, second.late, second.failed, second.refused), (2, 1, 1, 0));
    }

    #[test]
    fn the_longest_time_without_a_write_counts_from_the_begin_and_to_the_end() {
        let from = Instant::now();
        let recorder = Recorder::new(from, None);
        let at = |ms: u64| from + Duration::from_millis(ms);
        let gap = || recorder.write_gap(at(900)).as_millis();
        assert_eq!(gap(), 900);
        for (operation, ms, outcome) in [
            (Operation::Update, 300, Ok(())),
            (Operation::Read, 400, Ok(())),
            (Operation::Insert, 500, Err("NoNode".into())),
        ] {
            recorder.record(operation, from, at(ms), outcome);
        }
        assert_eq!(gap(), 600, "neither a read nor a failure is a write that succeeded");
        recorder.record(Operation::Modify, from, at(800), Ok(()));
        assert_eq!(gap(), 500);
    }

    #[test]
    fn a_second_in_which_nothing_ended_is_there_and_empty() {
        let from = Instant::now();
        let recorder = Recorder::new(from, None);
        for second in [0, 2] {
            let ended = from + Duration::from_millis(second * 1_000 + 500);
            recorder.record(Operation::Update, ended, ended, Ok(()));
        }
        let (measured, _, seconds) = recorder.finish();
        assert_eq!(measured, Duration::from_millis(2_500));
        assert_eq!(seconds.iter().map(|second| second.done).collect::<Vec<_>>(), [1, 0, 1]);
    }
}
