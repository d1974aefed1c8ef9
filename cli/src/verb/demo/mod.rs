//! `kv demo [PATH]`: the whole system at work, on real files, with a real crash, checked by itself.
//!
//! Five nodes as real processes. A directory tree goes in and comes out again and is compared byte for byte; two
//! clients write concurrently and see siblings; a node is SIGKILLed in the middle of a write load and every single write
//! is accounted for; the node returns and is brought up to date by reads. Each stage is a file of this folder and ends
//! with a check; one failed check makes the exit code non-zero and keeps the nodes' logs.

mod account;
mod crash;
mod files;
mod parallel;
mod repair;
mod siblings;
mod summary;
mod tree;

use std::time::{Duration, Instant};

use kvorum_client::{Bucket, Client, Config};
use tokio::time::timeout;

use crate::args::local::DemoArguments;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::local::signals::Signals;
use crate::local::{Access, LocalCluster, Plan, Sizing, ready};
use crate::output::Output;
use crate::output::units;
use crate::progress::Step;
use crate::verb::demo::crash::Crash;
use crate::verb::demo::summary::Summary;
use crate::verb::demo::tree::Tree;

/// The bucket that everything is stored in; every cluster has it.
const BUCKET: &str = "default";

/// How long one request may take, retries included.
const DEADLINE: Duration = Duration::from_secs(8);

/// How long the whole demo may take before it gives up: twice what it should ever need.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client of the demo's cluster.
#[derive(Debug, Clone)]
struct Session {
    client: Client,
    bucket: Bucket,
    output: Output,
}

/// Runs the demo and cleans up behind it.
pub(super) async fn run(options: &DemoArguments, output: Output) -> Outcome<ExitCode> {
    let begun = Instant::now();
    let tree = Tree::walk(&options.path)?;
    let mut signals = Signals::watch()?;
    let plan = Plan {
        nodes: Some(options.nodes),
        directory: None,
        port_base: Some(0),
        log_level: "info".to_owned(),
        access: Access::Plaintext,
        sizing: Sizing::shared_machine(),
    };
    let mut cluster = LocalCluster::open(&plan)?;
    let outcome = tokio::select! {
        () = signals.first() => Err(Failure::unavailable("interrupted; nothing is left behind")),
        played = timeout(PATIENCE, play(&mut cluster, tree, options, output)) => match played {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::unavailable(format!("the demo did not end within {} s", PATIENCE.as_secs()))),
        },
    };
    let is_failed_check =
        outcome.as_ref().is_err_and(|failure| failure.code() == ExitCode::Damaged);
    let kept = if is_failed_check { cluster.keep() } else { None };
    cluster.stop(signals.first()).await?;
    match outcome {
        Ok(summary) => {
            summary.say(begun.elapsed(), output)?;
            Ok(ExitCode::Success)
        }
        Err(failure) => Err(match kept {
            Some(path) => {
                failure.advise(format!("The nodes' data and logs are kept in {}", path.display()))
            }
            None => failure,
        }),
    }
}

async fn play(
    cluster: &mut LocalCluster,
    tree: Tree,
    options: &DemoArguments,
    output: Output,
) -> Outcome<Summary> {
    let count = cluster.nodes().len();
    let step = Step::begin(output, "start the nodes", 1);
    let all: Vec<usize> = (0..count).collect();
    for node in &all {
        cluster.start(*node)?;
    }
    ready::wait(cluster, &all).await?;
    step.end(&format!("{count} processes, each sees all others"));

    let session = Session::open(cluster, output).await?;
    let files = files::store_and_compare(&session, &options.path, tree).await?;
    let siblings = siblings::make_and_resolve(&session).await?;
    let mut crash = Crash::under_load(&session, cluster).await?;
    let account = crash.account(&session).await?;
    let repair = repair::catch_up(&session, cluster, &crash, &files.keys, siblings.key).await?;
    Ok(Summary {
        nodes: count,
        files: files.report,
        siblings: siblings.report,
        killed: crash.victim_name,
        account,
        repair,
    })
}

impl Session {
    async fn open(cluster: &LocalCluster, output: Output) -> Outcome<Session> {
        let config = Config::new(cluster.endpoints()).deadline(DEADLINE);
        let client = Client::connect(config).await;
        let client = client.map_err(|error| Failure::unavailable(error.to_string()))?;
        let bucket = client.bucket(BUCKET).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Session { client, bucket, output })
    }

    /// Says something that is not the end of a step.
    fn say(&self, text: &str) {
        if !self.output.is_json() {
            self.output.remark(&format!("      {text}"));
        }
    }
}

/// A check that failed: the system did not keep a promise.
fn broken(message: impl Into<String>) -> Failure {
    Failure::new(ExitCode::Damaged, message)
}

/// Bytes in some time as text: `12.0 MiB, 40.0 MiB/s`.
fn rate(bytes: u64, time: Duration) -> String {
    let per_second = bytes as f64 / time.as_secs_f64().max(1e-6);
    format!("{}, {}/s", units::bytes(bytes), units::bytes(per_second as u64))
}
