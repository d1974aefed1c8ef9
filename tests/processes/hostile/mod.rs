//! Hostile clients beside a normal workload: nobody else notices.
//!
//! Seeded attackers go for every port at once: plaintext TCP, TLS over TCP, QUIC, and the port of the peers. They send
//! what is no frame, what is half a frame and what lies about its length; contexts that were forged or belong to another
//! key; greetings of other versions; they say nothing, read nothing, come in crowds. Beside them normal clients write and
//! read. What must hold: every operation of theirs succeeds, no node ends, nothing was written that they did not write,
//! and no node takes more memory than it may.
//!
//! Here it takes seconds. `KVORUM_HOSTILE_SECONDS=600 cargo test --release -p kvorum-cli --test processes hostile --
//! --nocapture` runs it for ten minutes with 10,000 connections, and prints the latencies alone and beside, and the memory.
//! `KVORUM_HOSTILE_SEED` repeats the draws of a run.
//!
//! This one looks behind the binary: hostile frames are made with the protocol's own writer, and cut and bent then.

mod attacks;
mod crowd;
mod doors;
mod frames;
mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::dev::{Dev, directory};
use crate::hostile::attacks::{Attacker, Tally};
use crate::hostile::crowd::Crowd;
use crate::hostile::doors::Doors;
use crate::hostile::workload::{Latencies, Workload};
use crate::kv;
use crate::three_machines::Alone;

/// Seconds when nobody says.
const SECONDS: u64 = 12;

/// From this many seconds on the crowd is as large as it gets.
const LONG_SECONDS: u64 = 60;

/// Attackers at work at any time.
const ATTACKERS: u64 = 12;

/// What a node may take: the bounds of `node/src/runtime/limits.rs` (256 MiB of requests, as much of unread answers), its
/// store's memory, and some room.
const RESIDENT_MAX_MIB: u64 = 900;

#[test]
fn hostile_clients_hurt_nobody_else() {
    let seconds = setting("KVORUM_HOSTILE_SECONDS").unwrap_or(SECONDS);
    let seed = setting("KVORUM_HOSTILE_SEED").unwrap_or_else(rand::random);
    println!("KVORUM_HOSTILE_SEED={seed} KVORUM_HOSTILE_SECONDS={seconds}");
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("up to the hard limit");

    let home = directory();
    let (dev, alone) = (Dev::start(home.path(), 3), Alone::start(home.path()));
    let doors = Arc::new(Doors::of(&dev, home.path(), &alone));
    let pids: Vec<u32> = dev.node_pids().into_iter().chain([alone.pid()]).collect();
    let time = Duration::from_secs(seconds);
    let report = runtime().block_on(play(doors, time, seed, &pids));

    for pid in &pids {
        assert!(kv::is_running(*pid), "seed {seed}: a node has ended");
    }
    println!("{report:#?}");
    assert!(report.resident_mib <= RESIDENT_MAX_MIB, "seed {seed}: {report:?}");
    let Tally { cut_off, greetings_refused, requests_refused, contexts_refused, .. } =
        report.attacks;
    let each = [cut_off, greetings_refused, requests_refused, contexts_refused];
    assert!(each.iter().all(|count| *count > 0), "seed {seed}: too few attacks: {report:?}");
    dev.kv(&["status"]).expect(0);
    dev.stop();
}

/// What a run showed.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
struct Report {
    alone: Latencies,
    beside: Latencies,
    attacks: Tally,
    /// Connections that the crowd had open at once.
    crowd: usize,
    /// The most that any node took.
    resident_mib: u64,
}

async fn play(doors: Arc<Doors>, time: Duration, seed: u64, pids: &[u32]) -> Report {
    let workload = Workload::begin(&doors).await;
    let alone = workload.run(time / 4).await;
    // On a thread of their own, so that what the normal clients measure is the nodes and not the attackers beside them.
    let done = Arc::new(AtomicBool::new(false));
    let size = if time.as_secs() >= LONG_SECONDS { 10_000 } else { 1_500 };
    let attackers = attack(doors.clone(), seed, size, done.clone());
    let attackers = std::thread::spawn(move || runtime().block_on(attackers));
    let beside = workload.run(time * 3 / 4).await;
    done.store(true, Ordering::Relaxed);
    let (attacks, crowd) = attackers.join().expect("no attacker found what must not be");
    let resident_mib = pids.iter().filter_map(|pid| high_water_mib(*pid)).max();
    workload.check_that_nothing_else_was_written(&doors).await;
    let resident_mib = resident_mib.expect("a node runs");
    Report { alone, beside, attacks, crowd, resident_mib }
}

/// All attackers until told to stop. Returns how many attacks they made, and the size of their crowd.
async fn attack(
    doors: Arc<Doors>,
    seed: u64,
    size: usize,
    done: Arc<AtomicBool>,
) -> (Tally, usize) {
    let mut draws = StdRng::seed_from_u64(seed);
    let mut attackers = JoinSet::new();
    for _ in 0..ATTACKERS {
        let attacker = Attacker::new(doors.clone(), StdRng::seed_from_u64(draws.random()));
        attackers.spawn(attacker.attack_until(done.clone()));
    }
    let crowd = Crowd::gather(&doors, size).await;
    let mut attacks = Tally::default();
    while let Some(made) = attackers.join_next().await {
        attacks.add(&made.expect("an attacker found something that must not be"));
    }
    (attacks, crowd.disperse())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The kernel keeps the highest mark of a process's memory.
fn high_water_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}
