//! How fast one shard makes records durable on this machine's disk, and how fast it comes back.
//!
//! `cargo bench -p kvorum-store` runs everything in a temporary directory of the working directory's disk (`TMPDIR` names
//! another one); `-- --seconds 60 --keys 1000000` sets how long the sustained part writes and how many keys the reopening
//! part has, `--only overwriting` (or `burst`, `new`, `reopening`, `rebuilding`) does one part. Writers are closed loops: each
//! has one record on its way and submits the next when that one is durable. What is measured is what a node runs: the core on
//! one thread, each worker on its own, real files, the real index.
//!
//! Rates are of this machine and this moment. Compare them with the line for the bare log, taken in the same run, or look at
//! the columns that say how many microseconds of processor each thread used for a record; `core` includes the writers. The
//! last column is the number of keys that wait for the index, at several moments of the run.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks and starts threads")]

mod bare_log;
mod cpu;
mod running;
mod workload;

use std::path::Path;
use std::time::{Duration, Instant};

use cpu::Cpu;
use kvorum_store::limits;
use running::Running;
use workload::{Keys, write_for};

const WRITERS: usize = 256;
/// Bytes of log that one record takes, a little more than it does.
const RECORD_BYTES: u64 = 450;
/// Records written before the kill, whose log is a little shorter than what makes a checkpoint due.
const UNREPLAYED: u64 = limits::CHECKPOINT_BYTES / RECORD_BYTES;

struct Settings {
    seconds: u64,
    keys: u64,
    only: Option<String>,
}

impl Settings {
    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn settings() -> Settings {
    let mut settings = Settings { seconds: 30, keys: 1_000_000, only: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok());
        match word.as_str() {
            "--seconds" => settings.seconds = number().unwrap_or(settings.seconds),
            "--keys" => settings.keys = number().unwrap_or(settings.keys),
            "--only" => settings.only = words.next(),
            // Cargo's own.
            _ => {}
        }
    }
    settings
}

fn main() {
    let settings = settings();
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    print!("{:<41} {:>9} {:>7} {:>7} {:>7}", "what", "records/s", "p50 ms", "p99 ms", "syncs/s");
    for thread in cpu::THREADS {
        print!(" {thread:>9}");
    }
    println!("  backlog");
    bare_log::measure(root.path(), WRITERS);
    writing(root.path(), &settings);
    if settings.wants("reopening") || settings.wants("rebuilding") {
        reopening(root.path(), &settings);
    }
}

/// Each part has a shard of its own, so that none pays for what another left to be done.
fn writing(root: &Path, settings: &Settings) {
    let long = Duration::from_secs(settings.seconds);
    let short = Duration::from_secs(settings.seconds.clamp(1, 5));
    if settings.wants("burst") {
        let mut shard = Running::open(&root.join("burst"));
        write_for(&mut shard, WRITERS, Keys::New, Duration::from_secs(1))
            .print("new keys, first second (burst)");
        shard.close();
    }
    if settings.wants("overwriting") {
        let mut shard = Running::open(&root.join("overwriting"));
        let keys = Keys::Overwritten(100_000);
        write_for(&mut shard, WRITERS, keys, short).print("overwriting 100,000 keys");
        for writers in [1, 16, 64] {
            let outcome = write_for(&mut shard, writers, keys, short);
            outcome.print(&format!("overwriting 100,000 keys, {writers} in flight"));
        }
        write_for(&mut shard, WRITERS, keys, long).print("overwriting 100,000 keys, sustained");
        shard.close();
    }
    if settings.wants("new") {
        let mut shard = Running::open(&root.join("new"));
        write_for(&mut shard, WRITERS, Keys::New, short).print("new keys, the backlog fills");
        write_for(&mut shard, WRITERS, Keys::New, long).print("new keys, sustained");
        shard.close();
    }
}

fn reopening(root: &Path, settings: &Settings) {
    let keys = settings.keys;
    let directory = root.join("reopening");
    let mut shard = Running::open(&directory);
    workload::write_exactly(&mut shard, WRITERS, Keys::New, keys);
    shard.close();

    let mut shard = open_timed(&directory, &format!("reopening {keys} keys after a clean stop"));
    // About as much as is ever left to be replayed.
    workload::write_exactly(&mut shard, WRITERS, Keys::Overwritten(200_000), UNREPLAYED);
    println!("killed with a backlog of {}", shard.shard.stats().index_backlog);
    shard.abandon();

    open_timed(&directory, &format!("reopening {keys} keys after a kill")).abandon();

    if settings.wants("rebuilding") {
        std::fs::remove_dir_all(directory.join("index")).expect("the index can be removed");
        open_timed(&directory, &format!("rebuilding the index of {keys} keys")).close();
    }
}

/// Opens a shard and says how long that took, by the clock and of the processor.
fn open_timed(directory: &Path, what: &str) -> Running {
    let (begin, before) = (Instant::now(), Cpu::now());
    let shard = Running::open(directory);
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), Cpu::now());
    let used = cpu.since_us(&before, cpu::CORE) / 1e6;
    println!("{what}: {seconds:.2} s, {used:.2} s of processor  ({:?})", shard.report);
    shard
}
