//! More than the nodes can do: how well they bear it.
//!
//! Four phases on the same keys: the peak, as the best of several closed loops; a part of it in an open loop, to know what is
//! usual; a multiple of it in an open loop that sends whatever is due; the same part again, from the very moment in which the
//! overload ends. The first two are warm before they are measured. What is concluded from all is the [`verdict`]'s.
//!
//! **Invariant:** the generator does not throttle itself. It has as many operations on their way as can be due before
//! one that nobody answers is given up, lets none of them wait for a place on its connections, repeats nothing that was
//! refused, and says so when it fell behind all the same.
//!
//! The connections are few, and the same in every phase: on one of them requests share packets, which is what most of a
//! request's price is at the generator and at a door that refuses it. With many of them an overload would measure the packets.

mod memory;
#[cfg(target_os = "linux")]
mod processors;
mod report;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use kvorum_client::Config;
use kvorum_client::limits::ANSWER_GRACE;
use tokio::join;

use crate::args::bench::RunArguments;
use crate::args::overload::{OverloadArguments, PushArguments};
use crate::bench::overload::memory::Watch;
use crate::bench::overload::verdict::{Course, flaw, judge};
use crate::bench::phase::{Load, Phase, Running};
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
    let connections = usize::from(push.connections);
    let clients = site.connect(connections, |config| config).await?;
    let bench = Arc::new(Bench::new(clients, arguments)?);
    let topology = bench.clients[0].topology();
    if !options.keys.no_load {
        load::load(&bench, output).await?;
    }
    #[cfg(target_os = "linux")]
    processors::part(site.pids().into_values());
    let watch = Watch::begin(bench.clients[0].clone(), site.pids());

    let peaks = peaks(&bench, push, output).await?;
    let per_second = peaks.iter().map(Phase::good_per_second).fold(0.0, f64::max);
    let open = |rate: f64| {
        let in_flight = in_flight(push, rate).min(options.keys.keys / 2).max(1) as u32;
        Load { rate: Some((rate as u64).max(1)), in_flight, within: push.deadline }
    };
    // All may be due at one node, on one connection: what is too much is for the node to refuse.
    let one_go = |config: Config| config.attempts(1).in_flight(MOST_IN_FLIGHT as usize);
    let eager = site.connect(connections, |config| one_go(config).deadline(push.deadline)).await?;
    let eager = Arc::new(bench.over(eager, push.deadline));
    let usual = open(per_second * USUAL);
    let before = alone("usual load", &eager, usual, push.warmup(), push.calm, output).await?;
    let calm_memory = watch.most();

    let step = Step::begin(output, "overload", push.time.as_secs());
    let too_much = open(per_second * f64::from(push.factor));
    let during = Running::begin(&eager, too_much, too_much.earliest(), Duration::ZERO, push.time);
    during.wait(&step, usual.lead()).await;
    step.end(&format!("{} due/s", units::count(too_much.rate.unwrap_or(0))));
    // No pause in between: how soon it is over is what is measured.
    let again = push.calm.max(verdict::BACK_WITHIN * 2);
    let after = Running::begin(&eager, usual, during.until(), Duration::ZERO, again);
    let overloaded_memory = watch.most();
    let step = Step::begin(output, "usual load again", again.as_secs());
    let (during, ()) = join!(during.finish(), after.wait(&step, Duration::ZERO));
    step.end("");
    let memory = watch.end().await.since(&calm_memory, &overloaded_memory);
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
        peaks,
        flaw: flaw(&course),
        criteria: judge(&course),
        course,
        check,
    })
}

/// How many operations of an open loop may be on their way: as many as are due before one that nobody answers is given up.
fn in_flight(push: &PushArguments, rate: f64) -> u64 {
    let lasts = push.deadline + ANSWER_GRACE;
    let due = (rate * lasts.as_secs_f64()) as u64 + u64::from(push.most_in_flight());
    due.min(MOST_IN_FLIGHT)
}

/// Closed loops, one for each number in flight: which of them the nodes do best with is not known before.
async fn peaks(bench: &Arc<Bench>, push: &PushArguments, output: Output) -> Outcome<Vec<Phase>> {
    let mut peaks = Vec::new();
    for in_flight in &push.in_flight {
        let load = Load { rate: None, in_flight: *in_flight, within: push.deadline };
        let name = format!("peak with {in_flight} in flight");
        let (warmup, time) = (push.warmup(), push.peak_time());
        peaks.push(alone(&name, bench, load, warmup, time, output).await?);
    }
    Ok(peaks)
}

/// A phase with nothing before and nothing after it.
async fn alone(
    name: &str,
    bench: &Arc<Bench>,
    load: Load,
    warmup: Duration,
    time: Duration,
    output: Output,
) -> Outcome<Phase> {
    let step = Step::begin(output, name, (warmup + time).as_secs());
    let running = Running::begin(bench, load, load.earliest(), warmup, time);
    running.wait(&step, Duration::ZERO).await;
    let phase = running.finish().await;
    step.end(&format!("{}/s", units::count(phase.good_per_second() as u64)));
    phase.with_successes(name)
}
