//! The node that was away, read alone: does it hold what all owners together hold?
//!
//! Every key that it owns is read from all owners together, and once more when all other nodes are dead, from it alone. Nobody
//! is left whom it could ask; so what it shows then is its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvorum_client::{Bucket, Client};
use kvorum_protocol::message::GetOutcome;
use kvorum_protocol::{Dot, Key};
use kvorum_ring::NodeId;
use serde::Serialize;
use tokio::time::sleep;

use crate::bench::site::Site;
use crate::bench::{Bench, kind};
use crate::failure::{Failure, Outcome};
use crate::local::LocalCluster;
use crate::output::{Output, units};
use crate::progress::Step;

/// Keys of a batch.
const BATCH: usize = 100;

/// The most keys that are compared: what is known of each has to be kept.
const MOST: u64 = 1_000_000;

/// How long a batch is tried again. A node needs some seconds to see that it is alone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Keys that are named where the node lacks them.
const NAMED: usize = 20;

/// What it showed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Alone {
    /// Keys that it owns and that were compared.
    pub(crate) keys: u64,
    /// Those of which it does not hold what all owners together hold.
    pub(crate) lacking: u64,
    /// The first of them.
    pub(crate) first_lacking: Vec<String>,
}

impl Alone {
    /// Compares. All other nodes are dead afterwards.
    ///
    /// # Errors
    /// When keys cannot be read.
    pub(super) async fn compare(
        bench: &Arc<Bench>,
        cluster: &mut LocalCluster,
        node: usize,
        output: Output,
    ) -> Outcome<Alone> {
        let owned = owned(bench, cluster, node)?;
        let step = Step::begin(output, "reading the node alone", 2 * owned.len() as u64);
        let together = read(&bench.bucket(0), &owned, bench.owners().unwrap_or(1), &step).await?;
        for other in (0..cluster.nodes().len()).filter(|other| *other != node) {
            cluster.kill(other).await?;
        }
        let client = Site::of(cluster, &bench.options, output).connect_to(&[node]).await?;
        let alone = read(&client.bucket_named(bench.bucket.clone()), &owned, 1, &step).await?;
        let lacking = || owned.iter().filter(|key| together.get(*key) != alone.get(*key));
        let told = Alone {
            keys: owned.len() as u64,
            lacking: lacking().count() as u64,
            first_lacking: lacking().take(NAMED).map(shown).collect(),
        };
        step.end(&format!("lacks {}", units::count(told.lacking)));
        Ok(told)
    }
}

fn shown(key: &Key) -> String {
    String::from_utf8_lossy(key.as_bytes()).into_owned()
}

/// The keys that a node owns.
fn owned(bench: &Bench, cluster: &LocalCluster, node: usize) -> Outcome<Vec<Key>> {
    let id = cluster.nodes()[node].id.parse::<NodeId>();
    let id = id.map_err(|error| Failure::usage(error.to_string()))?;
    let client: &Client = &bench.clients[0];
    let topology = client.topology();
    let keys = (0..bench.keys.given().min(MOST))
        .filter_map(|number| Key::new(bench.keys.name(number).into_bytes()).ok());
    let is_owned = |key: &Key| {
        let place = topology.place_of(&bench.bucket, key);
        place.is_some_and(|place| place.owners.contains(&id))
    };
    Ok(keys.filter(is_owned).collect())
}

/// The dots of what is live at each key.
async fn read(
    bucket: &Bucket,
    keys: &[Key],
    r: u8,
    step: &Step,
) -> Outcome<BTreeMap<Key, Vec<Dot>>> {
    let mut dots = BTreeMap::new();
    for batch in keys.chunks(BATCH) {
        let mut left = batch.to_vec();
        let deadline = Instant::now() + PATIENCE;
        let mut reason = String::new();
        while !left.is_empty() {
            if Instant::now() > deadline {
                return Err(Failure::unavailable(format!("cannot read a key: {reason}")));
            }
            let answer = match bucket.get_batch(left.clone()).r(r).send().await {
                Ok(answer) => answer,
                Err(error) => {
                    reason = kind(&error).into_owned();
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let mut again = Vec::new();
            for (key, outcome) in left.into_iter().zip(&answer.outcomes) {
                match outcome {
                    GetOutcome::Done(done) => {
                        dots.insert(key, done.values.iter().map(|value| value.dot).collect());
                    }
                    other => {
                        reason = format!("{other:?}");
                        again.push(key);
                    }
                }
            }
            left = again;
        }
        step.advance(batch.len() as u64);
    }
    Ok(dots)
}
