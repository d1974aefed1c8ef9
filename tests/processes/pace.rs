//! When a client begins its next operation: at once, or when the clock says so.
//!
//! In an open loop each operation is due at a moment that depends on nothing else, and its latency counts from that moment,
//! also when it had to wait for a client to be free: otherwise a slow node would slow its own questions down, and the p99
//! of a bad time would tell of those who were asked only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How often the clock looks which operations are due. The timers of the runtime are a millisecond coarse.
const TICK: Duration = Duration::from_micros(200);

/// As many clients as could ever wait.
const EVERYBODY: usize = 1 << 20;

/// Gives turns to the clients of a group.
pub(crate) enum Pace {
    /// The next operation begins when one has ended, until then.
    Closed { end: Instant },
    /// So many a second, all in all so many.
    Open { begin: Instant, rate: f64, last: u64, begun: AtomicU64, due: Arc<Semaphore> },
}

impl Pace {
    /// As many as can be done in this time.
    pub(crate) fn closed(time: Duration) -> Pace {
        Pace::Closed { end: Instant::now() + time }
    }

    /// `rate` operations a second for this time, by a clock in a thread of its own.
    pub(crate) fn open(time: Duration, rate: f64) -> Pace {
        let (begin, due) = (Instant::now(), Arc::new(Semaphore::new(0)));
        let last = (time.as_secs_f64() * rate) as u64;
        let given = due.clone();
        std::thread::spawn(move || tick(begin, rate, last, &given));
        Pace::Open { begin, rate, last, begun: AtomicU64::new(0), due }
    }

    /// Waits for the next turn, and says when it was due; `None` when there are no more.
    pub(crate) async fn next(&self) -> Option<Instant> {
        match self {
            Pace::Closed { end } => Some(Instant::now()).filter(|now| now < end),
            Pace::Open { begin, rate, last, begun, due } => {
                due.acquire().await.expect("never closed").forget();
                let number = begun.fetch_add(1, Ordering::Relaxed);
                (number < *last).then(|| *begin + Duration::from_secs_f64(number as f64 / rate))
            }
        }
    }
}

/// Gives what is due, and at the end a turn to everybody who waits.
fn tick(begin: Instant, rate: f64, last: u64, due: &Semaphore) {
    let mut given = 0;
    while given < last {
        let now = ((begin.elapsed().as_secs_f64() * rate) as u64 + 1).min(last);
        due.add_permits((now - given) as usize);
        given = now;
        std::thread::park_timeout(TICK);
    }
    due.add_permits(EVERYBODY);
}
