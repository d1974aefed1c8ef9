//! One workload from warm-up to report.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::bench::Bench;
use crate::bench::pace::{Bound, FINE, Pace};
use crate::bench::recorder::Recorder;
use crate::bench::report::{Report, Settings};
use crate::bench::servers::Costs;
use crate::bench::usage::follow;
use crate::bench::wait::wait;
use crate::bench::worker::Work;
use crate::bench::workload::Workload;
use crate::failure::{Failure, Outcome};
use crate::metrics::Moment;
use crate::output::Output;

/// How long operations may take after the measured time is over. Longer than the deadline of any that has begun; an open
/// loop works off what is due meanwhile.
const DRAIN: Duration = Duration::from_secs(15);

/// How long a node may take to tell its figures.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs one workload.
///
/// # Errors
/// Unavailable when nothing succeeded.
pub(crate) async fn run(bench: &Bench, workload: Workload, output: Output) -> Outcome<Report> {
    let load = &bench.options.load;
    let begin = Instant::now();
    let from = begin + load.warmup;
    let (bound, until) = match load.count {
        None => (Bound::Until(from + load.time), Some(from + load.time)),
        Some(count) => (Bound::Count { from, count }, None),
    };
    let pace = match load.rate {
        None => Pace::closed(begin, bound),
        Some(rate) => Pace::open(begin, bound, rate, FINE),
    };
    let work = Arc::new(Work::new(bench, workload, pace, Recorder::new(from, until)));
    let redrawn = bench.keys.redrawn();
    let mut workers = JoinSet::new();
    for worker in 0..load.in_flight {
        let bucket = bench.bucket(worker as usize);
        let seed = load.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(worker));
        workers.spawn(Arc::clone(&work).run(bucket, seed));
    }
    let client = &bench.clients[0];
    sleep_until(from.into()).await;
    let (before, own) = (Moment::ask(client, None, PATIENCE).await, own_cpu());
    let (mut looks, name) = (Vec::new(), workload.name());
    tokio::select! {
        () = wait(&mut workers, &work, until, &name, output) => {}
        () = follow(client, from, &before, &mut looks) => {}
    }
    let (after, own) = (Moment::ask(client, None, PATIENCE).await, own_cpu() - own);
    let unbegun = drain(&mut workers, &work).await;

    let settings = Settings::of(&bench.options, workload, &work, bench.value.len());
    let read_again = work.read_again.load(Ordering::Relaxed);
    let siblings = work.siblings.load(Ordering::Relaxed);
    let work = Arc::into_inner(work).expect("all workers have ended");
    let (measured, tallies, seconds) = work.recorder.finish();
    let mut report = Report::new(settings, measured, tallies, seconds);
    report.unbegun = unbegun;
    report.read_again = read_again;
    report.siblings_seen = siblings;
    report.redrawn = bench.keys.redrawn() - redrawn;
    report.generator_cores = own / (after.at - before.at).as_secs_f64();
    report.servers_over_time = looks;
    report.servers = Costs::between(&before, &after, report.answered_per_second());
    if report.succeeded() == 0 {
        let kinds = report.failures().into_keys().collect::<Vec<_>>().join(", ");
        let message = format!("{name}: nothing succeeded ({kinds})");
        return Err(Failure::unavailable(message));
    }
    Ok(report)
}

/// Lets what has begun end. Says how many operations were due and never begun.
async fn drain(workers: &mut JoinSet<()>, work: &Work) -> u64 {
    let all = async { while workers.join_next().await.is_some() {} };
    if timeout(DRAIN, all).await.is_ok() {
        return 0;
    }
    let unbegun = work.pace.stop();
    // Whatever does not end now waits for an answer that its deadline will end.
    while workers.join_next().await.is_some() {}
    unbegun
}

/// Processor seconds that this process has used.
pub(crate) fn own_cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
