//! One node dies under load: what its users see, and when it has everything again.
//!
//! Five parts on the same keys: the peak, where a part of it is to be asked for; the load as usual; the same load, from the moment
//! before a node is killed for as long as it is away; the same from the moment at which it is started again; then no load, until the
//! nodes have nothing to give each other any more ([`together`]). In the end all others are killed as well, and the node that
//! was away is read alone and compared with what all owners said together ([`alone`]).
//!
//! With `--wipe` the node comes back with an empty disk, and the load goes on until it has been filled again.
//!
//! **Invariant:** nothing is told of the nodes that was not asked of them or seen by a client.

mod alone;
mod report;
mod together;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvorum_client::Client;
use tokio::time::sleep;

use crate::args::bench::RunArguments;
use crate::args::failover::FailoverArguments;
use crate::bench::failover::alone::Alone;
use crate::bench::failover::together::Together;
use crate::bench::phase::{Load, Phase, Running};
use crate::bench::site::Site;
use crate::bench::{Bench, check, load};
use crate::failure::{Failure, Outcome};
use crate::local::{LocalCluster, ready};
use crate::output::{Output, units};
use crate::progress::Step;

pub(crate) use report::{FailoverReport, say};

/// How long each measurement of the peak is warm before it counts.
const WARMUP: Duration = Duration::from_secs(2);

/// How often a cluster is asked whether it has come together.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Kills a node of a cluster that was started for it.
///
/// # Errors
/// When keys cannot be loaded or read again, a node does not start, or nothing succeeds at all.
pub(crate) async fn run(
    cluster: &mut LocalCluster,
    options: &FailoverArguments,
    arguments: &RunArguments,
    output: Output,
) -> Outcome<FailoverReport> {
    let site = Site::of(cluster, arguments, output);
    let (transport, connections) = (site.transport().to_owned(), options.push.in_flight as usize);
    let clients = site.connect(connections, |config| config).await?;
    let bench = Arc::new(Bench::new(clients, arguments)?);
    if !options.keys.no_load {
        load::load(&bench, output).await?;
    }
    // In the middle, so that it is neither the first that is asked nor the last.
    let victim = cluster.nodes().len() / 2;
    let (name, client) = (cluster.nodes()[victim].name.clone(), bench.clients[0].clone());

    let course = Course { bench: &bench, options, output };
    let peak = course.peak().await?;
    let load = course.load(peak.as_ref());
    let before = course.phase("as usual", load, options.push.calm).await?;

    let step = Step::begin(output, &format!("{name} is away"), options.push.away.as_secs());
    let away = course.begin(load, options.push.away);
    cluster.kill(victim).await?;
    away.wait(&step, Duration::ZERO).await;
    let away = away.finish().await;
    step.end(&format!("{} failed", units::count(away.failed())));
    if options.push.wipe {
        wipe(&cluster.directory().join(&name))?;
    }

    let mut together = Together::begin(&client).await;
    let begun = Instant::now();
    let back = course.begin(load, options.longest_return());
    cluster.start(victim)?;
    ready::wait(cluster, &[victim]).await?;
    let ready = begun.elapsed();
    let step = Step::begin(output, &format!("{name} is back"), options.longest_return().as_secs());
    let back = course.until_filled(back, &client, &mut together, &step).await;
    step.end(&format!("{} failed", units::count(back.failed())));

    let step =
        Step::begin(output, "no load, until all have the same", options.push.patience.as_secs());
    let is_together = watch(&client, &mut together, begun, options.push.patience).await;
    step.end(if is_together { "they have" } else { "they have NOT" });
    let check = check::check(&bench, output).await?;
    let alone = Alone::compare(&bench, cluster, victim, output).await?;
    Ok(FailoverReport {
        format: report::FORMAT,
        nodes: cluster.nodes().len(),
        transport,
        workload: options.workload,
        keys: options.keys.keys,
        connections: options.push.in_flight,
        wiped: options.push.wipe,
        killed: name,
        peak,
        before,
        away,
        back,
        ready_seconds: ready.as_secs_f64(),
        together: together.told(is_together),
        check,
        alone,
    })
}

/// What all phases share.
struct Course<'a> {
    bench: &'a Arc<Bench>,
    options: &'a FailoverArguments,
    output: Output,
}

impl Course<'_> {
    /// What the nodes can do, where a part of it is wanted.
    async fn peak(&self) -> Outcome<Option<Phase>> {
        let push = &self.options.push;
        if push.part.is_none() {
            return Ok(None);
        }
        let closed = Load { rate: None, in_flight: push.in_flight, within: self.bench.deadline };
        self.phase("peak", closed, push.calm).await.map(Some)
    }

    /// The load of all phases but the peak.
    fn load(&self, peak: Option<&Phase>) -> Load {
        let push = &self.options.push;
        let part = push.part.zip(peak);
        let rate = part.map(|(part, peak)| peak.good_per_second() * f64::from(part) / 100.0);
        let rate = rate.map(|rate| (rate as u64).max(1));
        Load { rate, in_flight: push.in_flight, within: self.bench.deadline }
    }

    fn begin(&self, load: Load, time: Duration) -> Running {
        Running::begin(self.bench, load, load.earliest(), Duration::ZERO, time)
    }

    async fn phase(&self, name: &str, load: Load, time: Duration) -> Outcome<Phase> {
        let step = Step::begin(self.output, name, (WARMUP + time).as_secs());
        let running = Running::begin(self.bench, load, load.earliest(), WARMUP, time);
        running.wait(&step, Duration::ZERO).await;
        let phase = running.finish().await;
        step.end(&format!("{}/s", units::count(phase.good_per_second() as u64)));
        phase.with_successes(name)
    }

    /// Goes on with the load: as long as it is to take at least, and until a node that was wiped has been filled again.
    async fn until_filled(
        &self,
        mut running: Running,
        client: &Client,
        together: &mut Together,
        step: &Step,
    ) -> Phase {
        let (begun, push) = (Instant::now(), &self.options.push);
        while begun.elapsed() < self.options.longest_return() {
            sleep(LOOK_EVERY).await;
            together.look(client, begun.elapsed()).await;
            step.reach_saying(begun.elapsed().as_secs(), together.said());
            if begun.elapsed() >= push.back && (!push.wipe || together.is_filled()) {
                break;
            }
        }
        running.cut_short();
        running.finish().await
    }
}

/// Asks until all nodes have the same. False when they have not within `patience`.
async fn watch(
    client: &Client,
    together: &mut Together,
    begun: Instant,
    patience: Duration,
) -> bool {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if together.is_certain() {
            return true;
        }
        sleep(LOOK_EVERY).await;
        together.look(client, begun.elapsed()).await;
    }
    false
}

/// Takes a node's data away, as a new disk would.
fn wipe(directory: &Path) -> Outcome<()> {
    for data in ["log", "index"] {
        let path = directory.join(data);
        fs::remove_dir_all(&path).map_err(|error| Failure::file("remove", &path, &error))?;
    }
    Ok(())
}
