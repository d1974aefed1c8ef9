//! A closed loop over any connection that can put and get.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::processes::Processes;
use crate::{KEYS, Row, VALUE_BYTES};

/// What came of a load.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Processor time of all nodes for each operation.
    pub(crate) cpu_us: f64,
}

/// What a worker talks through. One request at a time.
pub(crate) trait Connection: 'static {
    /// Writes a value durably, as its system does it.
    async fn put(&mut self, key: &str, value: &[u8]) -> io::Result<()>;
    /// Reads a value of `bytes` bytes, and fails when there is none.
    async fn get(&mut self, key: &str, bytes: usize) -> io::Result<()>;
}

/// How long a load runs before it is measured.
const WARMUP: Duration = Duration::from_secs(2);

struct Tally {
    latencies: Histogram<u64>,
    from: Instant,
    until: Instant,
}

fn name(key: u64) -> String {
    format!("bench/{key:012}")
}

/// Writes all keys, then runs each work on them.
pub(crate) async fn measure<C: Connection>(
    system: &'static str,
    works: &[&'static str],
    mut connections: Vec<C>,
    seconds: u64,
    nodes: &Processes,
) -> io::Result<Vec<Row>> {
    let mut value = vec![0; VALUE_BYTES];
    SmallRng::seed_from_u64(1).fill_bytes(&mut value);
    let value: Rc<[u8]> = value.into();
    let in_flight = connections.len() as u32;
    connections = load(connections, &value).await?;
    let mut rows = Vec::new();
    for work in works {
        let from = Instant::now() + WARMUP;
        let until = from + Duration::from_secs(seconds);
        let latencies = Histogram::new_with_max(600_000_000, 3).expect("the bounds fit");
        let tally = Rc::new(RefCell::new(Tally { latencies, from, until }));
        let mut workers = JoinSet::new();
        for (worker, connection) in connections.drain(..).enumerate() {
            let (value, tally) = (Rc::clone(&value), Rc::clone(&tally));
            workers.spawn_local(run(connection, work, worker as u64, value, tally));
        }
        tokio::time::sleep_until(from.into()).await;
        let (cpu, begun) = (nodes.cpu_seconds()?, Instant::now());
        tokio::time::sleep_until(until.into()).await;
        let cores = (nodes.cpu_seconds()? - cpu) / begun.elapsed().as_secs_f64();
        while let Some(ended) = workers.join_next().await {
            connections.push(ended.map_err(io::Error::other)??);
        }
        let tally = tally.borrow();
        let at = |share| tally.latencies.value_at_quantile(share) as f64 / 1_000.0;
        let per_second = tally.latencies.len() as f64 / seconds as f64;
        let figures = Figures {
            per_second,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            cpu_us: cores * 1e6 / per_second,
        };
        rows.push(Row { system, work, in_flight, figures });
    }
    Ok(rows)
}

async fn load<C: Connection>(connections: Vec<C>, value: &Rc<[u8]>) -> io::Result<Vec<C>> {
    let step = connections.len();
    let mut workers = JoinSet::new();
    for (worker, mut connection) in connections.into_iter().enumerate() {
        let value = Rc::clone(value);
        workers.spawn_local(async move {
            for key in (worker as u64..KEYS).step_by(step) {
                connection.put(&name(key), &value).await?;
            }
            io::Result::Ok(connection)
        });
    }
    let mut back = Vec::new();
    while let Some(ended) = workers.join_next().await {
        back.push(ended.map_err(io::Error::other)??);
    }
    Ok(back)
}

async fn run<C: Connection>(
    mut connection: C,
    work: &'static str,
    worker: u64,
    value: Rc<[u8]>,
    tally: Rc<RefCell<Tally>>,
) -> io::Result<C> {
    let mut random = SmallRng::seed_from_u64(worker);
    let until = tally.borrow().until;
    loop {
        let key = name(random.random_range(0..KEYS));
        let is_put = match work {
            "put" => true,
            "get" => false,
            _ => random.random(),
        };
        let begun = Instant::now();
        if begun >= until {
            return Ok(connection);
        }
        if is_put {
            connection.put(&key, &value).await?;
        } else {
            connection.get(&key, value.len()).await?;
        }
        let ended = Instant::now();
        let mut tally = tally.borrow_mut();
        if begun >= tally.from && ended <= until {
            tally.latencies.saturating_record((ended - begun).as_micros() as u64);
        }
    }
}
