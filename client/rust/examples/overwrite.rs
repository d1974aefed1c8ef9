//! A first figure for a running cluster: how many overwrites and reads a second it does, and what they cost its nodes.
//!
//! ```text
//! kv dev --nodes 3                       # in one shell
//! cargo run --release -p kvorum-client --example overwrite -- --in-flight 64 --seconds 20 7401 7411 7421
//! ```
//!
//! The arguments are client ports on loopback (plaintext, development only). A closed loop: each worker has one request
//! on its way. The keys are written once first, so that every measured put is an overwrite (`latest`, the default, at the
//! bucket's W). CPU is what the processes that were started as `kv node start` used while it ran, all nodes together,
//! divided by the number of puts; it is read from /proc, and left out where there is none.
#![allow(clippy::disallowed_methods, reason = "a load generator reads clocks and starts tasks")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvorum_client::{Bucket, Client, Config, Endpoint};

/// Clock ticks a second in /proc, the same on every Linux that we know.
const TICKS_PER_SECOND: f64 = 100.0;

struct Settings {
    ports: Vec<u16>,
    keys: u64,
    in_flight: u64,
    value_bytes: usize,
    time: Duration,
}

fn settings() -> Option<Settings> {
    let time = Duration::from_secs(10);
    let mut settings =
        Settings { ports: Vec::new(), keys: 100_000, in_flight: 64, value_bytes: 256, time };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next()?.parse::<u64>().ok();
        match word.as_str() {
            "--keys" => settings.keys = number()?.max(1),
            "--in-flight" => settings.in_flight = number()?.max(1),
            "--value-bytes" => settings.value_bytes = usize::try_from(number()?).ok()?,
            "--seconds" => settings.time = Duration::from_secs(number()?),
            port => settings.ports.push(port.parse().ok()?),
        }
    }
    (!settings.ports.is_empty()).then_some(settings)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(settings) = settings() else {
        return Err(
            "usage: overwrite [--keys N] [--in-flight N] [--value-bytes N] [--seconds N] PORT..."
                .into(),
        );
    };
    let endpoints = settings.ports.iter().map(|port| Endpoint::loopback(*port));
    let client = Client::connect(Config::new(endpoints)).await?;
    let bucket = client.bucket("default")?;
    let settings = Arc::new(settings);

    let keys = settings.keys;
    let loaded = Arc::new(AtomicU64::new(0));
    let load = move |_| {
        let next = loaded.fetch_add(1, Ordering::Relaxed);
        (next < keys).then_some(next)
    };
    run(&settings, &bucket, true, load).await.print("load");

    for (name, is_put) in [("overwrite", true), ("get", false)] {
        let begin = Instant::now();
        let time = settings.time;
        let pick = move |number: u64| {
            let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys;
            (begin.elapsed() < time).then_some(key)
        };
        run(&settings, &bucket, is_put, pick).await.print(name);
    }
    Ok(())
}

#[derive(Default)]
struct Outcome {
    latencies_us: Vec<u32>,
    failures: u64,
    last_failure: Option<String>,
    seconds: f64,
    cpu_seconds: Option<f64>,
}

impl Outcome {
    fn print(mut self, name: &str) {
        self.latencies_us.sort_unstable();
        let done = self.latencies_us.len();
        let at = |share: f64| {
            let index = (done as f64 * share) as usize;
            self.latencies_us.get(index).map_or(0.0, |us| f64::from(*us) / 1_000.0)
        };
        let rate = done as f64 / self.seconds;
        let cpu = self.cpu_seconds.map_or_else(String::new, |seconds| {
            format!(", servers {:.1} us CPU each", seconds * 1e6 / done.max(1) as f64)
        });
        let failures = self.failures;
        println!(
            "{name}: {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms{cpu}, {failures} failed",
            at(0.5),
            at(0.99)
        );
        if let Some(failure) = self.last_failure {
            println!("  the last failure: {failure}");
        }
    }
}

/// Runs the workers until `pick` names no further key.
async fn run(
    settings: &Arc<Settings>,
    bucket: &Bucket,
    is_put: bool,
    pick: impl Fn(u64) -> Option<u64> + Clone + Send + 'static,
) -> Outcome {
    let (begin, cpu) = (Instant::now(), servers_cpu_seconds());
    let workers = (0..settings.in_flight).map(|worker| {
        let (settings, bucket, pick) = (settings.clone(), bucket.clone(), pick.clone());
        tokio::spawn(work(worker, settings, bucket, is_put, pick))
    });
    let workers: Vec<_> = workers.collect();
    let mut all = Outcome::default();
    for worker in workers {
        let outcome = worker.await.unwrap_or_default();
        all.latencies_us.extend(outcome.latencies_us);
        all.failures += outcome.failures;
        all.last_failure = outcome.last_failure.or(all.last_failure);
    }
    all.seconds = begin.elapsed().as_secs_f64();
    all.cpu_seconds = cpu.zip(servers_cpu_seconds()).map(|(before, after)| after - before);
    all
}

async fn work(
    worker: u64,
    settings: Arc<Settings>,
    bucket: Bucket,
    is_put: bool,
    pick: impl Fn(u64) -> Option<u64>,
) -> Outcome {
    let value = bytes::Bytes::from(vec![0xa5; settings.value_bytes]);
    let mut outcome = Outcome::default();
    let mut number = worker;
    while let Some(key) = pick(number) {
        number += settings.in_flight;
        let key = format!("key-{key:012}");
        let begin = Instant::now();
        let failure = if is_put {
            bucket.put(key, value.clone()).send().await.err()
        } else {
            bucket.get(key).send().await.err()
        };
        match failure {
            None => outcome.latencies_us.push(begin.elapsed().as_micros() as u32),
            Some(failure) => {
                outcome.failures += 1;
                outcome.last_failure = Some(failure.to_string());
            }
        }
    }
    outcome
}

/// CPU seconds that all `kv node start` processes have used.
fn servers_cpu_seconds() -> Option<f64> {
    let mut ticks = None;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(command) = fs::read(entry.path().join("cmdline")) else { continue };
        if command.windows(11).any(|window| window == b"\0node\0start") {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // Behind the name in parentheses; user and system time are the 12th and 13th fields from there.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let used: u64 =
                fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
            ticks = Some(ticks.unwrap_or(0) + used);
        }
    }
    ticks.map(|ticks| ticks as f64 / TICKS_PER_SECOND)
}
