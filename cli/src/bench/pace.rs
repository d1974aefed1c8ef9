//! When operations begin, and when there are none left.
//!
//! A closed loop begins the next operation when one has ended, so a slow answer slows the questions down and hides how many
//! would have waited. An open loop begins operations by the clock: each is due at a moment that depends on nothing else, and
//! its latency counts from that moment even when it had to wait for a place in flight. That is the correction for
//! coordinated omission (Gil Tene).
//!
//! The clock of the open loop is a thread of its own: the timers of the async runtime are a millisecond coarse, which would
//! be half of what is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How often the clock of an open loop looks which operations are due, where latencies are what is measured.
pub(crate) const FINE: Duration = Duration::from_micros(100);

/// The same where there are very many operations: each look costs a wake-up, and what becomes due together leaves together.
pub(crate) const COARSE: Duration = Duration::from_millis(1);

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// At this moment.
    Until(Instant),
    /// After so many operations from this moment on.
    Count { from: Instant, count: u64 },
}

/// Gives out turns to workers.
#[derive(Debug)]
pub(crate) struct Pace {
    begin: Instant,
    bound: Bound,
    /// Operations begun that count towards the bound.
    counted: AtomicU64,
    open: Option<OpenLoop>,
}

#[derive(Debug)]
struct OpenLoop {
    rate: u64,
    /// How many operations there are in all.
    last: u64,
    /// A permit for each operation that is due and not begun, and at the end one for everybody who still waits.
    due: Arc<Semaphore>,
    begun: AtomicU64,
    over: Arc<AtomicBool>,
    clock: Option<JoinHandle<()>>,
}

impl Pace {
    /// A closed loop.
    pub(crate) fn closed(begin: Instant, bound: Bound) -> Pace {
        Pace { begin, bound, counted: AtomicU64::new(0), open: None }
    }

    /// An open loop of `rate` operations a second, whose clock looks every `tick`.
    pub(crate) fn open(begin: Instant, bound: Bound, rate: u64, tick: Duration) -> Pace {
        let last = match bound {
            Bound::Until(end) => before(end.saturating_duration_since(begin), rate),
            Bound::Count { from, count } => {
                before(from.saturating_duration_since(begin), rate) + count
            }
        };
        let due = Arc::new(Semaphore::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let clock = {
            let (due, over) = (Arc::clone(&due), Arc::clone(&over));
            thread::spawn(move || {
                let now_due = || before(begin.elapsed(), rate).min(last);
                run_clock(last, now_due, tick, &due, &over);
            })
        };
        let begun = AtomicU64::new(0);
        let open = OpenLoop { rate, last, due, begun, over, clock: Some(clock) };
        Pace { begin, bound, counted: AtomicU64::new(0), open: Some(open) }
    }

    /// Waits for the next turn and says when its operation was due; `None` when there are no more.
    pub(crate) async fn next(&self) -> Option<Instant> {
        let due = match &self.open {
            None => Instant::now(),
            Some(open) => open.next(self.begin).await?,
        };
        match self.bound {
            Bound::Until(end) => (due < end).then_some(due),
            Bound::Count { from, count } => {
                let counts = due >= from;
                let fits = !counts || self.counted.fetch_add(1, Ordering::Relaxed) < count;
                fits.then_some(due)
            }
        }
    }

    /// How many operations are to be begun; 0 when time is the bound.
    pub(crate) fn count(&self) -> u64 {
        match self.bound {
            Bound::Until(_) => 0,
            Bound::Count { count, .. } => count,
        }
    }

    /// How many of them have been begun.
    pub(crate) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed).min(self.count())
    }

    /// Gives no further turn. Says how many operations were due and never begun.
    pub(crate) fn stop(&self) -> u64 {
        let Some(open) = &self.open else { return 0 };
        open.over.store(true, Ordering::Relaxed);
        open.last.saturating_sub(open.begun.load(Ordering::Relaxed))
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.stop();
        if let Some(clock) = self.open.as_mut().and_then(|open| open.clock.take()) {
            // A clock that panicked has printed so.
            let _ = clock.join();
        }
    }
}

impl OpenLoop {
    async fn next(&self, begin: Instant) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        (number < self.last).then(|| begin + nth(number, self.rate))
    }
}

/// When the operation of this number is due.
fn nth(number: u64, rate: u64) -> Duration {
    let ns = u128::from(number) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// As many workers as could ever wait.
const EVERYBODY: usize = 1 << 20;

/// Lets operations be due, one after the other, until all are or it is over. Then it lets everybody go who waits: closing the
/// semaphore instead would take turns back that were given and not yet noticed.
fn run_clock(
    last: u64,
    now_due: impl Fn() -> u64,
    tick: Duration,
    due: &Semaphore,
    over: &AtomicBool,
) {
    let mut given = 0;
    while given < last && !over.load(Ordering::Relaxed) {
        let now = now_due();
        if now > given {
            due.add_permits((now - given) as usize);
            given = now;
        }
        thread::sleep(tick);
    }
    due.add_permits(EVERYBODY);
}

/// How many operations are due before a time has passed: the first one is due at its beginning.
fn before(time: Duration, rate: u64) -> u64 {
    let number = (time.as_nanos() * u128::from(rate)).div_ceil(1_000_000_000);
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Bound, COARSE, FINE, Pace, before, nth};

    #[tokio::test]
    async fn an_open_loop_gives_every_turn_and_says_when_it_was_due() {
        let begin = Instant::now();
        let bound = Bound::Until(begin + Duration::from_millis(50));
        let pace = Pace::open(begin, bound, 10_000, FINE);
        let mut dues = Vec::new();
        while let Some(due) = pace.next().await {
            dues.push(due - begin);
        }
        assert_eq!(dues.len(), 500);
        assert_eq!((dues[0], dues[499]), (Duration::ZERO, Duration::from_micros(49_900)));
    }

    #[tokio::test]
    async fn turns_that_nobody_took_are_counted() {
        let begin = Instant::now() - Duration::from_secs(1);
        let bound = Bound::Count { from: begin, count: 100 };
        let pace = Pace::open(begin, bound, 1_000, COARSE);
        assert!(pace.next().await.is_some());
        assert_eq!(pace.stop(), 99);
        assert!(pace.next().await.is_none());
    }

    #[tokio::test]
    async fn a_closed_loop_counts_from_the_end_of_the_warm_up() {
        let begin = Instant::now();
        let pace = Pace::closed(begin, Bound::Count { from: begin, count: 2 });
        assert!(pace.next().await.is_some() && pace.next().await.is_some());
        assert!(pace.next().await.is_none());
        let later = begin + Duration::from_secs(3_600);
        let pace = Pace::closed(begin, Bound::Count { from: later, count: 1 });
        for _ in 0..10 {
            assert!(pace.next().await.is_some(), "warm-up does not count");
        }
    }

    #[test]
    fn numbers_and_times_agree() {
        for rate in [1, 3, 999, 1_000_000] {
            for number in [0, 1, 7, 12_345] {
                let at = nth(number, rate);
                assert!(before(at, rate) <= number);
                assert!(before(at + Duration::from_nanos(1), rate) > number);
            }
        }
    }
}
