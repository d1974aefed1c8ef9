//! Closed loops of writers, and what they saw.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvorum_protocol::{BucketName, Change, Key, OperationId, RecordKey, Replaces};
use kvorum_ring::{ClassId, PartitionCount};
use kvorum_store::{Apply, StoreEvent, StoreRequest, Token};

use crate::cpu::{Cpu, THREADS};
use crate::running::Running;

const VALUE_BYTES: usize = 256;

/// Which keys are written.
#[derive(Clone, Copy)]
pub(crate) enum Keys {
    /// A key that never was, each time.
    New,
    /// One of so many, each time a random one.
    Overwritten(u64),
}

/// Moments at which a run looks at the backlog, spread over its time.
const MOMENTS: u32 = 6;

/// What a run measured.
pub(crate) struct Outcome {
    records: u64,
    seconds: f64,
    latencies_us: Vec<u32>,
    syncs: u64,
    /// Keys that waited for the index: at the beginning, at moments on the way, at the end.
    backlog: Vec<usize>,
    /// Before and after.
    cpu: [Cpu; 2],
}

impl Outcome {
    pub(crate) fn print(mut self, what: &str) {
        self.latencies_us.sort_unstable();
        let at = |share: f64| {
            let index = (self.latencies_us.len() as f64 * share) as usize;
            self.latencies_us.get(index).map_or(0.0, |us| f64::from(*us) / 1_000.0)
        };
        let records = self.records as f64;
        print!(
            "{what:<41} {:>9.0} {:>7.2} {:>7.2} {:>7.0}",
            records / self.seconds,
            at(0.5),
            at(0.99),
            self.syncs as f64 / self.seconds,
        );
        let [before, after] = &self.cpu;
        for thread in THREADS {
            print!(" {:>9.2}", after.since_us(before, thread) / records);
        }
        let backlog: Vec<String> = self.backlog.iter().map(usize::to_string).collect();
        println!("  {}", backlog.join(" "));
    }
}

struct Writers {
    bucket: BucketName,
    value: Bytes,
    keys: Keys,
    /// The next new key; also the seed of the next random one.
    next: u64,
    submitted: Vec<Instant>,
    idle: VecDeque<usize>,
}

impl Writers {
    fn new(writers: usize, keys: Keys, next: u64) -> Writers {
        Writers {
            bucket: "bench".parse().expect("a valid name"),
            value: Bytes::from(vec![0xa5; VALUE_BYTES]),
            keys,
            next,
            submitted: vec![Instant::now(); writers],
            idle: (0..writers).collect(),
        }
    }

    fn submit(&mut self, shard: &mut Running, writer: usize) {
        self.next += 1;
        let number = match self.keys {
            Keys::New => self.next,
            Keys::Overwritten(keys) => self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys,
        };
        let key = Key::new(Bytes::from(format!("key-{number:012}"))).expect("a valid key");
        let key =
            RecordKey::new(ClassId::default(), PartitionCount::default(), self.bucket.clone(), key);
        let change = Apply::Update {
            replaces: Replaces::Latest,
            change: Change::Value { bytes: self.value.clone(), expires_at_ms: None },
            operation: OperationId(u128::from(self.next)),
        };
        shard.submit(StoreRequest::Apply { token: Token(writer as u64), key, change });
    }
}

/// Writes for so long.
pub(crate) fn write_for(
    shard: &mut Running,
    writers: usize,
    keys: Keys,
    time: Duration,
) -> Outcome {
    let begin = Instant::now();
    run(shard, writers, keys, time / MOMENTS, |_| begin.elapsed() < time)
}

/// Writes so many records.
pub(crate) fn write_exactly(shard: &mut Running, writers: usize, keys: Keys, records: u64) {
    run(shard, writers, keys, Duration::from_secs(1), |submitted| submitted < records);
}

fn run(
    shard: &mut Running,
    writers: usize,
    keys: Keys,
    moment: Duration,
    mut more: impl FnMut(u64) -> bool,
) -> Outcome {
    let first = shard.now().mono_ns;
    let mut loops = Writers::new(writers, keys, first);
    let (begin, syncs, before) = (Instant::now(), shard.shard.stats().syncs, Cpu::now());
    let mut backlog = vec![shard.shard.stats().index_backlog];
    let (mut submitted, mut records, mut waiting) = (0, 0, 0);
    let mut latencies_us = Vec::new();
    loop {
        // One round only: a writer that is refused waits until something has happened.
        for _ in 0..loops.idle.len() {
            if !more(submitted) {
                break;
            }
            let writer = loops.idle.pop_front().expect("counted");
            loops.submitted[writer] = Instant::now();
            loops.submit(shard, writer);
            submitted += 1;
            waiting += 1;
        }
        if waiting == 0 && !more(submitted) {
            break;
        }
        let mut is_durable = false;
        while let Some(event) = shard.poll_event() {
            match event {
                StoreEvent::Durable { token } => {
                    let writer = token.0 as usize;
                    latencies_us.push(loops.submitted[writer].elapsed().as_micros() as u32);
                    loops.idle.push_back(writer);
                    records += 1;
                    waiting -= 1;
                    is_durable = true;
                }
                StoreEvent::Refused { token, .. } => {
                    loops.idle.push_back(token.0 as usize);
                    submitted -= 1;
                    waiting -= 1;
                }
                _ => {}
            }
        }
        if begin.elapsed() >= moment * backlog.len() as u32 {
            backlog.push(shard.shard.stats().index_backlog);
        }
        // With free writers there is more to submit first; refused ones wait until something has happened.
        if !is_durable {
            shard.step();
        }
    }
    backlog.push(shard.shard.stats().index_backlog);
    Outcome {
        records,
        seconds: begin.elapsed().as_secs_f64(),
        latencies_us,
        syncs: shard.shard.stats().syncs - syncs,
        backlog,
        cpu: [before, Cpu::now()],
    }
}
