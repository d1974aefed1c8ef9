//! Last stage: the killed node returns, lacks what was written without it, and is handed that by the nodes that stood in for it,
//! or given it by reads.
//!
//! How much it lacks is counted by the node itself: it says how many keys it holds, and the layout says how many of ours
//! it owns. Then every key is read once with an answer from every owner asked for; a coordinator that sees an owner
//! behind sends it what it lacks, after it has answered the client.

use std::time::Duration;

use bytes::Bytes;
use kvorum_protocol::Key;
use kvorum_ring::NodeId;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::crash::Crash;
use super::{Session, broken, parallel};
use crate::cluster::explain;
use crate::failure::{Failure, Outcome};
use crate::local::{LocalCluster, ready};
use crate::output::units;
use crate::progress::Step;

/// How long the last repairs may take after the last read was answered.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often the node is asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// What the node lacked and got.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RepairReport {
    pub(super) node: String,
    /// Keys of this demo that it owns.
    pub(super) owns: u64,
    /// Keys that it held when it came back.
    pub(super) held_at_return: u64,
    /// Keys that it held after everything was read once.
    pub(super) held_after_reads: u64,
}

/// Restarts the node, reads every key, and waits until the node holds all it owns.
pub(super) async fn catch_up(
    session: &Session,
    cluster: &mut LocalCluster,
    crash: &Crash,
    files: &[Bytes],
    cart: &'static str,
) -> Outcome<RepairReport> {
    let all: Vec<usize> = (0..cluster.nodes().len()).collect();
    let step = Step::begin(session.output, "restart the node", 1);
    cluster.start(crash.victim)?;
    ready::wait(cluster, &all).await?;
    let refreshed = session.client.refresh_topology().await;
    refreshed.map_err(|error| Failure::unavailable(error.to_string()))?;
    let node = node_id(session, &crash.victim_name)?;
    let keys: Vec<Bytes> = crash
        .acknowledged()
        .map(|(key, _)| key)
        .chain(files.to_vec())
        .chain([Bytes::from(cart)])
        .collect();
    let owns = owned(session, node, &keys);
    let held_at_return = held(session, node).await?;
    let lacks = owns.saturating_sub(held_at_return);
    step.end(&format!(
        "{} is back and lacks {} of the {} keys it owns",
        crash.victim_name,
        units::count(lacks),
        units::count(owns)
    ));
    read_all(session, crash, files, cart).await?;
    let step = Step::begin(session.output, "caught up", 1);
    let held_after_reads = wait_until_held(session, node, owns).await?;
    step.end(&format!("{} holds all {} keys it owns", crash.victim_name, units::count(owns)));
    Ok(RepairReport { node: crash.victim_name.clone(), owns, held_at_return, held_after_reads })
}

fn node_id(session: &Session, name: &str) -> Outcome<NodeId> {
    let topology = session.client.topology();
    let node = topology.nodes.iter().find(|node| node.name == name);
    node.map(|node| node.id).ok_or_else(|| broken(format!("{name} is not a member any more")))
}

/// How many of these keys the node owns.
fn owned(session: &Session, node: NodeId, keys: &[Bytes]) -> u64 {
    let topology = session.client.topology();
    let owns = |key: &&Bytes| {
        let key = Key::new((*key).clone()).ok();
        let place = key.and_then(|key| topology.place_of(session.bucket.name(), &key));
        place.is_some_and(|place| place.owners.contains(&node))
    };
    keys.iter().filter(owns).count() as u64
}

/// How many keys the node says it holds. It has just come back, so its first answer may take more than one question.
async fn held(session: &Session, node: NodeId) -> Outcome<u64> {
    let begun = Instant::now();
    loop {
        match session.client.status_of(node).await {
            Ok(status) => return Ok(status.node.keys),
            Err(error) if begun.elapsed() > PATIENCE => {
                return Err(explain::operation("ask the node", &error, &session.client.topology()));
            }
            Err(_) => sleep(INTERVAL).await,
        }
    }
}

/// Reads every key with an answer of every owner, and checks the load's values once more.
async fn read_all(
    session: &Session,
    crash: &Crash,
    files: &[Bytes],
    cart: &'static str,
) -> Outcome<()> {
    let topology = session.client.topology();
    let n = topology.layout.classes().next().map_or(1, |class| class.n());
    let load = crash.acknowledged().map(|(key, value)| (key, Some(value)));
    let others = files.iter().cloned().chain([Bytes::from(cart)]).map(|key| (key, None));
    let items: Vec<(Bytes, Option<Bytes>)> = load.chain(others).collect();
    let step = Step::begin(session.output, "read every key once", items.len() as u64);
    let count = items.len() as u64;
    let read = |(key, expected): (Bytes, Option<Bytes>)| {
        let session = session.clone();
        async move {
            let read = session.bucket.get(key.clone()).r(n).send().await;
            let read = read.map_err(|error| {
                explain::operation("read a key", &error, &session.client.topology())
            })?;
            let is_right = match (&read.values[..], expected) {
                ([value], Some(expected)) => value.value == expected,
                (values, _) => values.len() == 1,
            };
            Ok((key, is_right))
        }
    };
    let check = |(key, is_right): (Bytes, bool)| {
        step.advance(1);
        let key = String::from_utf8_lossy(&key).into_owned();
        if is_right {
            Ok(())
        } else {
            Err(broken(format!("{key} is wrong after the node has returned")))
        }
    };
    parallel::each(items, read, check).await?;
    step.end(&format!("{}, {n} answers each, all values right", units::plural(count, "key")));
    Ok(())
}

async fn wait_until_held(session: &Session, node: NodeId, owns: u64) -> Outcome<u64> {
    let begun = Instant::now();
    loop {
        let held = held(session, node).await?;
        if held >= owns {
            return Ok(held);
        }
        if begun.elapsed() > PATIENCE {
            let missing = units::count(owns - held);
            return Err(broken(format!(
                "after every key was read the node still lacks {missing} of them"
            )));
        }
        sleep(INTERVAL).await;
    }
}
