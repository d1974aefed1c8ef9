//! One load for one time.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::bench::Bench;
use crate::bench::pace::{Bound, COARSE, Pace};
use crate::bench::recorder::{Recorder, Second, histogram, ms};
use crate::bench::run::own_cpu;
use crate::bench::worker::Work;
use crate::failure::{Failure, Outcome};
use crate::progress::Step;

/// How often the progress bar moves.
const INTERVAL: Duration = Duration::from_secs(1);

/// What it takes to start one worker, on a busy machine.
const WORKER: Duration = Duration::from_micros(20);

/// How much is asked for.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Load {
    /// Operations a second of an open loop; `None`: a closed loop.
    pub(crate) rate: Option<u64>,
    /// The most on their way at a time.
    pub(crate) in_flight: u32,
    /// Within what an operation is of use, from when it was due.
    #[serde(skip)]
    pub(crate) within: Duration,
}

impl Load {
    /// How long before its begin an open loop is made ready: the first operations would wait for the last worker.
    pub(crate) fn lead(&self) -> Duration {
        self.rate.map_or(Duration::ZERO, |_| WORKER * self.in_flight)
    }

    /// The moment at which it can begin.
    pub(crate) fn earliest(&self) -> Instant {
        Instant::now() + self.lead()
    }
}

/// What came of a load.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Phase {
    pub(crate) load: Load,
    /// Whole seconds, in order.
    pub(crate) seconds: Vec<Second>,
    /// Failures by kind, also of what ended after the time.
    pub(crate) failures: BTreeMap<String, u64>,
    /// 99 % of the answers "overloaded" came within so many milliseconds.
    pub(crate) refused_p99_ms: f64,
    /// The longest time without a write that succeeded, in milliseconds.
    pub(crate) write_gap_ms: f64,
    /// The longest that each worker waited for an operation, in milliseconds, ascending.
    #[serde(skip)]
    pub(crate) waits_ms: Vec<f64>,
    /// 99 % of the operations that succeeded took less, in milliseconds.
    pub(crate) p99_ms: f64,
    /// The longest of them.
    pub(crate) max_ms: f64,
    /// Operations that were due and never sent.
    pub(crate) unbegun: u64,
    /// Processors that the generator kept busy.
    pub(crate) generator_cores: f64,
}

impl Phase {
    /// Successes in time, a second.
    pub(crate) fn good_per_second(&self) -> f64 {
        self.per_second(Second::good)
    }

    /// Everything that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Everything that was answered in the measured time.
    pub(crate) fn operations(&self) -> u64 {
        self.seconds.iter().map(|second| second.done + second.failed).sum()
    }

    /// How many workers waited longer than this for an operation.
    pub(crate) fn waited_longer(&self, ms: f64) -> usize {
        self.waits_ms.iter().filter(|wait_ms| **wait_ms > ms).count()
    }

    /// The mean over the seconds of any number.
    pub(crate) fn per_second(&self, number: impl Fn(&Second) -> u64) -> f64 {
        let sum: u64 = self.seconds.iter().map(number).sum();
        sum as f64 / self.seconds.len().max(1) as f64
    }

    /// How many operations were due in the measured time; 0 for a closed loop, in which none is due.
    pub(crate) fn offered(&self) -> u64 {
        self.load.rate.unwrap_or(0) * self.seconds.len() as u64
    }

    /// The same, if anything succeeded.
    pub(crate) fn with_successes(self, name: &str) -> Outcome<Phase> {
        if self.seconds.iter().any(|second| second.done > 0) {
            return Ok(self);
        }
        let kinds = self.failures.keys().cloned().collect::<Vec<_>>().join(", ");
        Err(Failure::unavailable(format!("{name}: nothing succeeded ({kinds})")))
    }
}

/// A load under way.
pub(crate) struct Running {
    load: Load,
    work: Arc<Work>,
    workers: JoinSet<()>,
    begun: Instant,
    /// From here on it is measured.
    from: Instant,
    until: Instant,
    cpu: f64,
}

impl Running {
    /// Begins at a moment. What is due during `warmup` is not measured; `time` comes after it.
    pub(crate) fn begin(
        bench: &Bench,
        load: Load,
        begun: Instant,
        warmup: Duration,
        time: Duration,
    ) -> Running {
        let from = begun + warmup;
        let until = from + time;
        let bound = Bound::Until(until);
        let pace = match load.rate {
            None => Pace::closed(begun, bound),
            Some(rate) => Pace::open(begun, bound, rate, COARSE),
        };
        let workload = bench.options.workloads[0];
        let recorder = Recorder::new(from, Some(until)).within(load.within);
        let work = Arc::new(Work::new(bench, workload, pace, recorder));
        let mut workers = JoinSet::new();
        for worker in 0..load.in_flight {
            let seed = bench.options.load.seed.wrapping_mul(1_000_003) + u64::from(worker);
            workers.spawn(Arc::clone(&work).run(bench.bucket(worker as usize), seed));
        }
        Running { load, work, workers, begun, from, until, cpu: own_cpu() }
    }

    /// When its time is over.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Waits until its time is over but for `lead`.
    pub(crate) async fn wait(&self, step: &Step, lead: Duration) {
        let end = self.until - lead;
        while end > Instant::now() + INTERVAL {
            sleep(INTERVAL).await;
            step.advance(1);
        }
        sleep_until(end.into()).await;
    }

    /// Its time is over now, however long it was to be.
    pub(crate) fn cut_short(&mut self) {
        self.until = self.until.min(Instant::now());
    }

    /// Waits until its time is over, sends nothing more, and waits for what is on its way: its deadline bounds that.
    pub(crate) async fn finish(mut self) -> Phase {
        sleep_until(self.until.into()).await;
        let unbegun = self.work.pace.stop();
        let generator_cores = (own_cpu() - self.cpu) / (self.until - self.begun).as_secs_f64();
        while self.workers.join_next().await.is_some() {}
        let work = Arc::into_inner(self.work).expect("all workers have ended");
        let mut waits_ms = work.waits.into_inner().unwrap_or_else(PoisonError::into_inner);
        waits_ms.sort_by(f64::total_cmp);
        let write_gap_ms = work.recorder.write_gap(self.until).as_secs_f64() * 1e3;
        let (_, tallies, mut seconds) = work.recorder.finish();
        seconds.resize((self.until - self.from).as_secs() as usize, Second::default());
        let mut failures = BTreeMap::new();
        let (mut refusals, mut latencies) = (histogram(), histogram());
        for tally in tallies.values() {
            for (kind, count) in &tally.failures {
                *failures.entry(kind.clone()).or_insert(0) += count;
            }
            let same = "all histograms have the same bounds";
            refusals.add(&tally.refusals).expect(same);
            latencies.add(&tally.latencies).expect(same);
        }
        Phase {
            load: self.load,
            seconds,
            failures,
            refused_p99_ms: ms(refusals.value_at_quantile(0.99)),
            write_gap_ms,
            waits_ms,
            p99_ms: ms(latencies.value_at_quantile(0.99)),
            max_ms: ms(latencies.max()),
            unbegun,
            generator_cores,
        }
    }
}
