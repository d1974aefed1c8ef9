//! Normal clients: each writes and reads keys of its own, knows what they hold, and accepts no failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvorum_client::{Bucket, Client, Config};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::hostile::doors::Doors;

/// The bucket that everybody uses, hostile clients too.
pub(super) const BUCKET: &str = "default";

/// A key that hostile clients aim at.
pub(super) const VICTIM: &[u8] = b"worker-0-key-0";

/// Clients of the three nodes, and of the one alone.
const WORKERS: [usize; 2] = [6, 2];

/// Keys of each.
const KEYS: usize = 20;

/// How long an operation may take, retries included.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long operations took, in milliseconds.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
pub(super) struct Latencies {
    operations: usize,
    median_ms: f64,
    p99_ms: f64,
    longest_ms: f64,
}

struct Worker {
    number: usize,
    bucket: Bucket,
    written: BTreeMap<Vec<u8>, Vec<u8>>,
    turn: u64,
}

/// The workers.
pub(super) struct Workload(Vec<Arc<Mutex<Worker>>>);

impl Workload {
    /// Connects the workers and writes every key once.
    pub(super) async fn begin(doors: &Doors) -> Workload {
        let (alone, identity) = doors.alone_endpoint();
        let configs = [Config::new(doors.dev_endpoints()), Config::new([alone]).identity(identity)];
        let mut workers = Vec::new();
        for (config, count) in configs.into_iter().zip(WORKERS) {
            let bucket = bucket(config).await;
            for number in 0..count {
                let (bucket, written) = (bucket.clone(), BTreeMap::new());
                let mut worker = Worker { number, bucket, written, turn: 0 };
                for _ in 0..KEYS {
                    worker.put().await;
                }
                workers.push(Arc::new(Mutex::new(worker)));
            }
        }
        Workload(workers)
    }

    /// Writes and reads for so long.
    pub(super) async fn run(&self, time: Duration) -> Latencies {
        let mut running = JoinSet::new();
        for worker in &self.0 {
            let worker = worker.clone();
            running.spawn(async move { worker.lock().await.run(time).await });
        }
        let mut took = Vec::new();
        while let Some(of_one) = running.join_next().await {
            took.extend(of_one.expect("a normal client was hurt"));
        }
        took.sort_unstable();
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        let (median_ms, p99_ms, longest_ms) = (at(0.5), at(0.99), at(1.0));
        Latencies { operations: took.len(), median_ms, p99_ms, longest_ms }
    }

    /// Reads all there is through fresh connections: the keys are those that the workers wrote, and so are the values.
    pub(super) async fn check_that_nothing_else_was_written(&self, doors: &Doors) {
        let (alone, identity) = doors.alone_endpoint();
        let of_dev = bucket(Config::new(doors.dev_endpoints())).await;
        let of_alone = bucket(Config::new([alone]).identity(identity)).await;
        let (first, second) = self.0.split_at(WORKERS[0]);
        for (bucket, workers) in [(of_dev, first), (of_alone, second)] {
            let mut expected = BTreeMap::new();
            for worker in workers {
                expected.extend(worker.lock().await.written.clone());
            }
            let listed = bucket.list(Vec::new()).send().await.expect("a listing").answer.items;
            let listed: Vec<Vec<u8>> =
                listed.iter().map(|item| item.key.as_bytes().to_vec()).collect();
            assert_eq!(listed, expected.keys().cloned().collect::<Vec<_>>());
            for (key, value) in expected {
                assert_eq!(read(&bucket, &key).await, [value]);
            }
        }
    }
}

async fn bucket(config: Config) -> Bucket {
    let client = Client::connect(config.deadline(DEADLINE)).await.expect("a node answers");
    client.bucket(BUCKET).expect("a name")
}

async fn read(bucket: &Bucket, key: &[u8]) -> Vec<Vec<u8>> {
    let done = bucket.get(key.to_vec()).send().await.expect("a normal client's get").answer;
    done.values.iter().map(|value| value.value.to_vec()).collect()
}

impl Worker {
    async fn run(&mut self, time: Duration) -> Vec<Duration> {
        let (begun, mut took) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            let before = Instant::now();
            let key = self.put().await;
            took.push(before.elapsed());
            let before = Instant::now();
            let held = read(&self.bucket, &key).await;
            took.push(before.elapsed());
            assert_eq!(
                held,
                [self.written[&key].clone()],
                "what was acknowledged, and nothing else"
            );
        }
        took
    }

    async fn put(&mut self) -> Vec<u8> {
        let key = format!("worker-{}-key-{}", self.number, self.turn as usize % KEYS).into_bytes();
        let mut value = format!("turn {} ", self.turn).into_bytes();
        value.resize(256, b'.');
        let put = self.bucket.put(key.clone(), value.clone()).send().await;
        put.expect("a normal client's put");
        self.written.insert(key.clone(), value);
        self.turn += 1;
        key
    }
}
