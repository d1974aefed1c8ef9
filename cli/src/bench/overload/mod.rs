//! More than the nodes can do: how well they bear it.
//!
//! Four phases on the same keys: the peak, as the best of several closed loops; a part of it in an open loop, to know what is
//! usual; a multiple of it in an open loop that sends whatever is due; the same part again, from the very moment in which the
//! overload ends. The first two are warm before they are measured. What is concluded from all is the [`verdict`]'s.
//!
//! **Invariant:** the generator does not throttle itself. It has as many operations on their way as can be due before
//! one that nobody answers is given up, connections enough for all of them, repeats nothing that was refused, and says so
//! when it fell behind all the same.

mod memory;
mod phase;
mod priority;
mod report;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use kvorum_client::limits::{ANSWER_GRACE, IN_FLIGHT};
use tokio::join;

use crate::args::bench::RunArguments;
use crate::args::overload::{OverloadArguments, PushArguments};
use crate::bench::overload::memory::Watch;
use crate::bench::overload::phase::{Load, Phase, Running};
use crate::bench::overload::verdict::{Course, flaw, judge};
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

/// One node has at most one part in so many more on its way than the mean of all.
const UNEVEN: usize = 2;

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
    priority::step_back(site.pids().into_values());
    let watch = Watch::begin(bench.clients[0].clone(), site.pids());

    let peaks = peaks(&bench, push, output).await?;
    let per_second = peaks.iter().map(Phase::good_per_second).fold(0.0, f64::max);
    let open = |rate: f64| {
        let in_flight = in_flight(push, rate).min(options.keys.keys / 2).max(1) as u32;
        Load { rate: Some((rate as u64).max(1)), in_flight, within: push.deadline }
    };
    let most = in_flight(push, per_second * f64::from(push.factor));
    let connections = connections.max(needed(most, topology.nodes.len()));
    let eager =
        site.connect(connections, |config| config.attempts(1).deadline(push.deadline)).await?;
    let eager = Arc::new(bench.over(eager, push.deadline));
    let usual = open(per_second * USUAL);
    let before = alone("usual load", &eager, usual, push.warmup(), push.calm, output).await?;
    let calm_memory = watch.most();

    let step = Step::begin(output, "overload", push.time.as_secs());
    let too_much = open(per_second * f64::from(push.factor));
    let during = Running::begin(&eager, too_much, Duration::ZERO, push.time);
    during.wait(&step).await;
    step.end(&format!("{} due/s", units::count(too_much.rate.unwrap_or(0))));
    // No pause in between: how soon it is over is what is measured.
    let again = push.calm.max(verdict::BACK_WITHIN * 2);
    let after = Running::begin(&eager, usual, Duration::ZERO, again);
    let overloaded_memory = watch.most();
    let step = Step::begin(output, "usual load again", again.as_secs());
    let (during, ()) = join!(during.finish(), after.wait(&step));
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

/// How many connections to each node carry so many operations, so that none waits in the client for its place on one: the
/// keys that are drawn do not belong to all nodes alike.
fn needed(in_flight: u64, nodes: usize) -> usize {
    let places = IN_FLIGHT * nodes.max(1);
    (in_flight as usize + in_flight as usize / UNEVEN).div_ceil(places)
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
    let running = Running::begin(bench, load, warmup, time);
    running.wait(&step).await;
    let phase = running.finish().await;
    step.end(&format!("{}/s", units::count(phase.good_per_second() as u64)));
    phase.with_successes(name)
}

#[cfg(test)]
mod tests {
    use super::needed;
    use kvorum_client::limits::IN_FLIGHT;

    #[test]
    fn there_are_places_for_all_that_is_due_also_where_more_of_it_goes() {
        for (in_flight, nodes) in [(1, 1), (50_000, 3), (100_000, 5)] {
            let places = needed(in_flight, nodes) * IN_FLIGHT;
            assert!(places * nodes * 2 >= in_flight as usize * 3, "{in_flight} over {nodes} nodes");
        }
        assert_eq!(needed(1_000, 3), 1);
    }
}
