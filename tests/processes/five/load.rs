//! The clients: half of their operations write, half of them read what was acknowledged.
//!
//! An operation has a deadline from the moment in which it was due, and is tried again until then, as a user's program would:
//! first by the client library, and what it gives up once more by us, under the same operation id where it may have been
//! applied. One that is still not over long after the deadline hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use kvorum_client::{Bucket, OperationError};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::five::ledger::{self, Broken, End, Ledger, Shown, Write};
use crate::pace::Pace;

/// How long an operation may take, retries included.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// What is left of a deadline is worth no further attempt.
const TOO_LATE: Duration = Duration::from_millis(5);

/// How much later than its deadline an operation hangs.
const GRACE: Duration = Duration::from_secs(2);

/// Operations on their way at a time.
pub(super) const WORKERS: usize = 64;

/// How much is asked for.
#[derive(Clone, Copy)]
pub(super) enum Pressure {
    /// As much as can be done.
    Saturating,
    /// So many operations a second.
    PerSecond(f64),
}

/// What came of a phase.
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) took: Histogram<u64>,
    pub(super) time: Duration,
    pub(super) counts: Counts,
}

/// Everything that is counted beside times.
#[derive(Default)]
pub(super) struct Counts {
    /// Attempts beyond the first, of the client library and of ours.
    pub(super) retries: AtomicU64,
    /// Reads that said "not found", and that they were not certain.
    pub(super) unsure: AtomicU64,
    /// Reads that showed only older writes at first.
    pub(super) behind: AtomicU64,
    /// Operations that failed for good.
    pub(super) failed: AtomicU64,
    /// Operations that were not over long after their deadline.
    pub(super) hung: AtomicU64,
}

/// Everything that the workers of a phase share.
struct Work {
    ledger: Arc<Ledger>,
    pace: Pace,
    counts: Counts,
}

/// Asks for so much, for so long.
pub(super) async fn run(
    name: &str,
    (buckets, ledger): (&[Bucket], &Arc<Ledger>),
    time: Duration,
    pressure: Pressure,
    seed: u64,
) -> Phase {
    let pace = match pressure {
        Pressure::Saturating => Pace::closed(time),
        Pressure::PerSecond(rate) => Pace::open(time, rate),
    };
    let begun = Instant::now();
    let work = Arc::new(Work { ledger: Arc::clone(ledger), pace, counts: Counts::default() });
    let mut running = JoinSet::new();
    for worker in 0..WORKERS {
        let (work, bucket) = (Arc::clone(&work), buckets[worker % buckets.len()].clone());
        let random = SmallRng::seed_from_u64(seed.wrapping_add(worker as u64));
        running.spawn(async move { work.run(&bucket, random).await });
    }
    let mut took = empty();
    while let Some(of_one) = running.join_next().await {
        took.add(of_one.expect("no worker panics")).expect("of one kind");
    }
    let work = Arc::into_inner(work).expect("all workers have ended");
    Phase { name: name.to_owned(), took, time: begun.elapsed(), counts: work.counts }
}

impl Phase {
    /// Operations a second.
    pub(super) fn rate(&self) -> f64 {
        self.took.len() as f64 / self.time.as_secs_f64()
    }
}

/// From a microsecond to a minute, in microseconds.
fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("sound bounds")
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// What is left until a deadline, if it is worth anything.
fn left(deadline: Instant) -> Option<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    (left > TOO_LATE).then_some(left)
}

impl Work {
    async fn run(&self, bucket: &Bucket, mut random: SmallRng) -> Histogram<u64> {
        let mut took = empty();
        let mut writes = true;
        while let Some(due) = self.pace.next().await {
            let floor = self.ledger.draw(&mut random).filter(|_| !writes);
            writes = !writes;
            let succeeded = match floor {
                Some(floor) => self.get(bucket, &floor, due + DEADLINE).await,
                None => self.put(bucket, &self.ledger.begin(&mut random), due + DEADLINE).await,
            };
            if succeeded {
                took.saturating_record(due.elapsed().as_micros() as u64);
            }
        }
        took
    }

    async fn put(&self, bucket: &Bucket, write: &Write, deadline: Instant) -> bool {
        let (mut in_doubt, mut why) = (None, "no time was left".to_owned());
        while let Some(left) = left(deadline) {
            let put = bucket.put(ledger::name(write.key), ledger::value(write)).deadline(left);
            let put = match in_doubt {
                Some(operation) => put.operation(operation).retry(),
                None => put,
            };
            match timeout(left + GRACE, put.send()).await {
                Ok(Ok(done)) => {
                    count(&self.counts.retries, u64::from(done.attempts.saturating_sub(1)));
                    self.ledger.end(write, &End::Acknowledged);
                    return true;
                }
                Ok(Err(error)) => {
                    self.note_retries(&error);
                    if !error.is_not_applied() {
                        in_doubt = Some(error.operation);
                    }
                    why = error.to_string();
                }
                Err(_) => {
                    self.hang(write);
                    self.ledger.end(write, &End::Unknown);
                    return false;
                }
            }
        }
        count(&self.counts.failed, 1);
        self.ledger.broken(Broken::PutFailed { key: write.key, why });
        self.ledger.end(write, if in_doubt.is_some() { &End::Unknown } else { &End::Refused });
        false
    }

    async fn get(&self, bucket: &Bucket, floor: &Write, deadline: Instant) -> bool {
        let mut why = "no time was left".to_owned();
        while let Some(left) = left(deadline) {
            let get = bucket.get(ledger::name(floor.key)).deadline(left);
            match timeout(left + GRACE, get.send()).await {
                Ok(Ok(done)) => {
                    count(&self.counts.retries, u64::from(done.attempts.saturating_sub(1)));
                    let values: Vec<&[u8]> =
                        done.answer.values.iter().map(|value| &value.value[..]).collect();
                    match self.ledger.judge(floor, &values, done.answer.complete) {
                        Ok(Shown::Current) => return true,
                        Ok(Shown::Behind) if values.is_empty() => count(&self.counts.unsure, 1),
                        Ok(Shown::Behind) => count(&self.counts.behind, 1),
                        Err(broken) => {
                            self.ledger.broken(broken);
                            return false;
                        }
                    }
                    why = format!("{} values of earlier writes", values.len());
                    count(&self.counts.retries, 1);
                    tokio::task::yield_now().await;
                }
                Ok(Err(error)) => {
                    self.note_retries(&error);
                    why = error.to_string();
                }
                Err(_) => {
                    self.hang(floor);
                    return false;
                }
            }
        }
        count(&self.counts.failed, 1);
        self.ledger.broken(Broken::GetFailed { key: floor.key, why });
        false
    }

    fn note_retries(&self, error: &OperationError) {
        count(&self.counts.retries, u64::from(error.attempts.max(1)));
    }

    fn hang(&self, write: &Write) {
        count(&self.counts.hung, 1);
        self.ledger.broken(Broken::Hung { key: write.key });
    }
}
