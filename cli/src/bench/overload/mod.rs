//! More than the nodes can do: how well they bear it.
//!
//! Four phases on the same keys: the peak in a closed loop; a part of it in an open loop, to know what is usual; a multiple of
//! it in an open loop that sends whatever is due; the same part again, from the very moment in which the overload ends. What is
//! concluded from them is the [`verdict`]'s.
//!
//! **Invariant:** the generator does not throttle itself. It has as many operations on their way as can be due within a
//! deadline, repeats nothing that was refused, and says so when it fell behind all the same.

mod memory;
mod phase;
mod report;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio::join;

use crate::args::bench::RunArguments;
use crate::args::overload::OverloadArguments;
use crate::bench::overload::memory::Watch;
use crate::bench::overload::phase::{Load, Phase, Running};
use crate::bench::overload::verdict::{Course, judge};
use crate::bench::site::Site;
use crate::bench::{Bench, check, load};
use crate::failure::Outcome;
use crate::output::{Output, units};
use crate::progress::Step;

pub(crate) use report::{OverloadReport, say};

/// The share of the peak that is usual load.
const USUAL: f64 = 0.4;

/// The most operations that a generator has on their way, whatever the rate: each takes a few KiB.
const MOST_IN_FLIGHT: u64 = 100_000;

/// Overloads a cluster.
///
/// # Errors
/// When it cannot be reached, keys cannot be loaded or read again, or nothing succeeds at all.
pub(crate) async fn run(
    site: &Site<'_>,
    options: &OverloadArguments,
    arguments: &RunArguments,
    output: Output,
) -> Outcome<OverloadReport> {
    let push = &options.push;
    let bench = Arc::new(Bench::new(site.connect(|config| config).await?, arguments)?);
    let eager = site.connect(|config| config.attempts(1).deadline(push.deadline)).await?;
    let eager = Arc::new(bench.over(eager));
    let topology = bench.clients[0].topology();
    if !options.keys.no_load {
        load::load(&bench, output).await?;
    }
    let watch = Watch::begin(bench.clients[0].clone());

    let closed = Load { rate: None, in_flight: push.in_flight, within: push.deadline };
    let peak = alone("peak", &bench, closed, push.calm, output).await?;
    let per_second = peak.good_per_second();
    let open = |rate: f64| {
        let due = (rate * push.deadline.as_secs_f64()) as u64 + u64::from(push.in_flight);
        let in_flight = due.min(MOST_IN_FLIGHT).min(options.keys.keys / 2).max(1) as u32;
        Load { rate: Some((rate as u64).max(1)), in_flight, within: push.deadline }
    };
    let usual = open(per_second * USUAL);
    let before = alone("usual load", &eager, usual, push.calm, output).await?;
    let calm_memory = watch.most();

    let step = Step::begin(output, "overload", push.time.as_secs());
    let too_much = open(per_second * f64::from(push.factor));
    let during = Running::begin(&eager, too_much, push.time);
    during.wait(&step).await;
    step.end(&format!("{} due/s", units::count(too_much.rate.unwrap_or(0))));
    // No pause in between: how soon it is over is what is measured.
    let after = Running::begin(&eager, usual, push.calm.max(verdict::BACK_WITHIN * 2));
    let step = Step::begin(output, "usual load again", push.calm.as_secs());
    let (during, ()) = join!(during.finish(), after.wait(&step));
    step.end("");
    let memory = watch.end().await.since(&calm_memory);
    let after = after.finish().await;

    let check = check::check(&bench, output).await?;
    let course = Course { peak: per_second, before, during, after, memory };
    Ok(OverloadReport {
        format: report::FORMAT,
        cluster: topology.cluster.to_string(),
        nodes: topology.nodes.len(),
        transport: site.transport().to_owned(),
        workload: options.workload,
        factor: push.factor,
        deadline_seconds: push.deadline.as_secs_f64(),
        peak,
        criteria: judge(&course),
        course,
        check,
    })
}

/// A phase with nothing before and nothing after it.
async fn alone(
    name: &str,
    bench: &Arc<Bench>,
    load: Load,
    time: Duration,
    output: Output,
) -> Outcome<Phase> {
    let step = Step::begin(output, name, time.as_secs());
    let running = Running::begin(bench, load, time);
    running.wait(&step).await;
    let phase = running.finish().await;
    step.end(&format!("{}/s", units::count(phase.good_per_second() as u64)));
    phase.with_successes(name)
}
