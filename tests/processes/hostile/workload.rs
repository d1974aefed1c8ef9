//! Normal clients: each writes and reads keys of its own, knows what they hold, and accepts no failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use kvorum_client::{Bucket, Client, Config};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::hostile::doors::Doors;
use crate::pace::Pace;

/// The bucket that everybody uses, hostile clients too.
pub(super) const BUCKET: &str = "default";

/// A key that hostile clients aim at.
pub(super) const VICTIM: &[u8] = b"worker-0-key-0";

/// Names of the two groups of clients, and how many are in each: of the three nodes in the clear, and of the one alone
/// over TLS.
pub(super) const GROUPS: [(&str, usize); 2] =
    [("three nodes, plaintext", 48), ("one node, TLS", 16)];

/// Operations a second of each group.
pub(super) type Rates = [f64; 2];

/// Connections to a node that a group shares.
const CONNECTIONS: usize = 4;

/// Keys of each client.
const KEYS: usize = 10;

/// How long an operation may take, retries included.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long the operations of a group took, and in which time.
pub(super) struct Measured {
    took: Histogram<u64>,
    time: Duration,
}

impl Measured {
    /// Operations a second.
    pub(super) fn rate(&self) -> f64 {
        self.took.len() as f64 / self.time.as_secs_f64()
    }

    /// A percentile in milliseconds.
    pub(super) fn percentile_ms(&self, percentile: f64) -> f64 {
        self.took.value_at_percentile(percentile) as f64 / 1e3
    }
}

struct Worker {
    number: usize,
    bucket: Bucket,
    written: BTreeMap<Vec<u8>, Vec<u8>>,
    turn: usize,
    /// What was put last and is to be read next.
    unread: Option<Vec<u8>>,
    took: Histogram<u64>,
}

type Workers = Vec<Arc<Mutex<Worker>>>;

/// The workers of each group.
pub(super) struct Workload([Workers; 2]);

/// As many operations as can be done, or so many of each group a second.
#[derive(Clone, Copy)]
pub(super) enum Load {
    Saturating,
    Paced(Rates),
}

impl Workload {
    /// Connects the workers and writes every key once.
    pub(super) async fn begin(doors: &Doors) -> Workload {
        let mut groups = [Vec::new(), Vec::new()];
        for (group, (workers, (_, count))) in groups.iter_mut().zip(GROUPS).enumerate() {
            let mut buckets = Vec::new();
            for _ in 0..CONNECTIONS {
                buckets.push(bucket(config(doors, group)).await);
            }
            for number in 0..count {
                let bucket = buckets[number % CONNECTIONS].clone();
                let mut worker = Worker::new(number, bucket);
                for _ in 0..KEYS {
                    worker.put().await;
                }
                workers.push(Arc::new(Mutex::new(worker)));
            }
        }
        Workload(groups)
    }

    /// Writes and reads for so long.
    pub(super) async fn run(&self, time: Duration, load: Load) -> [Measured; 2] {
        let (first, second) =
            tokio::join!(self.run_group(0, time, load), self.run_group(1, time, load));
        [first, second]
    }

    async fn run_group(&self, group: usize, time: Duration, load: Load) -> Measured {
        let pace = Arc::new(match load {
            Load::Saturating => Pace::closed(time),
            Load::Paced(rates) => Pace::open(time, rates[group]),
        });
        let (begun, mut running) = (Instant::now(), JoinSet::new());
        for worker in &self.0[group] {
            let (worker, pace) = (worker.clone(), pace.clone());
            running.spawn(async move { worker.lock().await.run(&pace).await });
        }
        let mut took = empty();
        while let Some(of_one) = running.join_next().await {
            took.add(of_one.expect("a normal client was hurt")).expect("of one kind");
        }
        Measured { took, time: begun.elapsed() }
    }

    /// Reads all there is through fresh connections: the keys are those that the workers wrote, and `others` of the node
    /// alone, and so are the values.
    pub(super) async fn check_that_nothing_else_was_written(
        &self,
        doors: &Doors,
        others: &[(&[u8], &[u8])],
    ) {
        for (group, workers) in self.0.iter().enumerate() {
            let bucket = bucket(config(doors, group)).await;
            let mut expected = BTreeMap::new();
            for worker in workers {
                expected.extend(worker.lock().await.written.clone());
            }
            if group == 1 {
                let others = others.iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
                expected.extend(others);
            }
            let listed = bucket.list(Vec::new()).send().await.expect("a listing").answer;
            assert_eq!(listed.next, None, "all keys fit a page");
            let listed: Vec<Vec<u8>> =
                listed.items.iter().map(|item| item.key.as_bytes().to_vec()).collect();
            assert_eq!(listed, expected.keys().cloned().collect::<Vec<_>>());
            for (key, value) in expected {
                assert_eq!(read(&bucket, &key).await, [value]);
            }
        }
    }
}

/// How the clients of a group connect.
pub(super) fn config(doors: &Doors, group: usize) -> Config {
    if group == 0 {
        return Config::new(doors.dev_endpoints());
    }
    let (endpoint, identity) = doors.alone_endpoint();
    Config::new([endpoint]).identity(identity)
}

/// A client's way to the bucket.
pub(super) async fn bucket(config: Config) -> Bucket {
    let client = Client::connect(config.deadline(DEADLINE)).await.expect("a node answers");
    client.bucket(BUCKET).expect("a name")
}

async fn read(bucket: &Bucket, key: &[u8]) -> Vec<Vec<u8>> {
    let done = bucket.get(key.to_vec()).send().await.expect("a normal client's get").answer;
    done.values.iter().map(|value| value.value.to_vec()).collect()
}

/// From a microsecond to a minute, in microseconds.
fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("sound bounds")
}

impl Worker {
    fn new(number: usize, bucket: Bucket) -> Worker {
        let written = BTreeMap::new();
        Worker { number, bucket, written, turn: 0, unread: None, took: empty() }
    }

    /// A put and a get of the same key in turns; how long they took.
    async fn run(&mut self, pace: &Pace) -> Histogram<u64> {
        while let Some(due) = pace.next().await {
            match self.unread.take() {
                None => self.put().await,
                Some(key) => {
                    let held = read(&self.bucket, &key).await;
                    let written = [self.written[&key].clone()];
                    assert_eq!(held, written, "what was acknowledged, and nothing else");
                }
            }
            self.took.saturating_record(due.elapsed().as_micros() as u64);
        }
        std::mem::replace(&mut self.took, empty())
    }

    async fn put(&mut self) {
        let key = format!("worker-{}-key-{}", self.number, self.turn % KEYS).into_bytes();
        let mut value = format!("turn {} ", self.turn).into_bytes();
        value.resize(256, b'.');
        let put = self.bucket.put(key.clone(), value.clone()).send().await;
        put.expect("a normal client's put");
        self.written.insert(key.clone(), value);
        self.turn += 1;
        self.unread = Some(key);
    }
}
