//! Hostile clients beside a normal workload: nobody else notices.
//!
//! Normal clients write and read at 40 % of what they could, by the clock ([`crate::pace`]); first alone, then beside attackers,
//! then alone again. The attackers go for every port at once: plaintext TCP, TLS over TCP, QUIC, and the port of the peers.
//! What they do, and how often, stands in [`kinds`]; a crowd of thousands of connections stands by. They are paced too,
//! and the report says what they cost: two processors that are simply used up would show nothing about the nodes.
//!
//! What must hold: every operation of the normal clients succeeds, no node ends, nothing was written that they did not
//! write, what the clusters know of themselves is what it was, and no node takes more memory than it may.
//!
//! Here it takes seconds, and nobody judges how long anything took. `KVORUM_HOSTILE_SECONDS=600 cargo test --release -p
//! kvorum-cli --test processes hostile -- --nocapture` runs it for ten minutes with 10,000 connections, and fails when the
//! p99 beside attackers is more than twice the one before. `KVORUM_HOSTILE_SEED` repeats the draws of a run,
//! `KVORUM_HOSTILE_RATE` is how many attacks begin in a second.
//!
//! This one looks behind the binary: hostile frames are made with the protocol's own writer, and cut and bent then.

mod attacks;
mod crowd;
mod doors;
mod early;
mod flood;
mod frames;
mod kinds;
mod replayed;
mod report;
mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvorum_protocol::AccessToken;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use crate::dev::{Dev, directory};
use crate::hostile::doors::Doors;
use crate::hostile::flood::{Flood, clients_of};
use crate::hostile::replayed::Recording;
use crate::hostile::report::{Attackers, Memory, Phase, Report};
use crate::hostile::workload::{Load, Workload};
use crate::kv;
use crate::three_machines::Alone;

/// How long the attack takes when nobody says.
const TIME: Duration = Duration::from_secs(6);

/// From here on a run is long: the crowd is as large as it gets, and the p99 is judged.
const LONG: Duration = Duration::from_secs(60);

/// The longest that is measured without attackers.
const ALONE_MAX: Duration = Duration::from_secs(120);

/// Attacks that begin in a second.
const RATE: u64 = 100;

/// The part of saturation at which normal clients work.
const PART: f64 = 0.4;

/// What a node may take. One source may have half of the 256 MiB of large requests and half of as many unread answers
/// (`node/src/runtime/limits.rs`); the rest is the store's table and the crowd.
const RESIDENT_MAX_MIB: u64 = 900;

#[test]
fn hostile_clients_hurt_nobody_else() {
    let time = setting("KVORUM_HOSTILE_SECONDS").map_or(TIME, Duration::from_secs);
    let seed = setting("KVORUM_HOSTILE_SEED").unwrap_or_else(rand::random);
    println!("KVORUM_HOSTILE_SEED={seed} KVORUM_HOSTILE_SECONDS={}", time.as_secs());
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("up to the hard limit");

    let home = directory();
    let (dev, alone) = (Dev::start(home.path(), 3), Alone::start(home.path()));
    let doors = Arc::new(Doors::of(&dev, home.path(), &alone));
    let [reads, revoked] = tokens(&alone);
    let facts = facts(&dev, &alone);
    let pids: Vec<u32> = dev.node_pids().into_iter().chain([alone.pid()]).collect();
    let rate = setting("KVORUM_HOSTILE_RATE").unwrap_or(RATE);
    let crowd = if time >= LONG { 10_000 } else { 1_000 };
    let flood = Flood { doors, seed, rate, crowd, reads, revoked };
    let report = runtime().block_on(play(flood, time, &pids));

    for pid in &pids {
        assert!(kv::is_running(*pid), "seed {seed}: a node has ended");
    }
    println!("{report}");
    assert_eq!(facts, self::facts(&dev, &alone), "seed {seed}: what the clusters know");
    let most = report.memory.iter().map(|memory| memory.in_all).max();
    assert!(most <= Some(RESIDENT_MAX_MIB), "seed {seed}: {:?}", report.memory);
    let nothing = report.attackers.tallies.shown_nothing();
    assert!(nothing.is_empty(), "seed {seed}: attacks that showed nothing: {nothing:?}");
    let (opened, open) = report.attackers.crowd;
    assert_eq!(
        (opened, open),
        (crowd, crowd),
        "seed {seed}: all of the crowd gets in and may stay"
    );
    if time >= LONG {
        let counted = report.attackers.counted;
        assert!(counted >= crowd, "seed {seed}: the nodes counted {counted} clients of {crowd}");
    }
    if time >= LONG && !cfg!(debug_assertions) {
        assert!(report.is_calm(), "seed {seed}: normal clients were slowed down");
    }
    dev.kv(&["status"]).expect(0);
    dev.stop();
}

async fn play(flood: Flood, time: Duration, pids: &[u32]) -> Report {
    let doors = flood.doors.clone();
    let workload = Workload::begin(&doors).await;
    let recording = Recording::make(&doors).await;
    let alone = time.min(ALONE_MAX);
    let phase = async |name, time, load| {
        let (begun, cpu) = (Instant::now(), cpu_of(pids));
        let groups = workload.run(time, load).await;
        Phase { name, groups, nodes_cpu: cpu_of(pids) - cpu, time: begun.elapsed() }
    };
    let saturation = phase("saturation", alone / 4, Load::Saturating).await;
    let paced = Load::Paced(saturation.groups.each_ref().map(|group| PART * group.rate()));
    let before = phase("before", alone, paced).await;
    let memory = high_water_mib(pids);
    // On a thread of their own, so that what the normal clients measure is the nodes and not the attackers beside them.
    let done = Arc::new(AtomicBool::new(false));
    let until_done = done.clone();
    let attackers = std::thread::spawn(move || {
        let begun = Instant::now();
        let (tallies, crowd) = runtime().block_on(flood.attack(recording, until_done));
        (tallies, crowd, begun.elapsed(), cpu_of_this_thread())
    });
    let counted = clients_of(&doors, done.clone());
    let (beside, counted) = tokio::join!(
        async {
            let beside = phase("beside", time, paced).await;
            done.store(true, Ordering::Relaxed);
            beside
        },
        counted
    );
    let joined = attackers.join();
    let (tallies, crowd, time, cpu) = joined.expect("no attacker found what must not be");
    let after = phase("after", alone / 4, paced).await;
    let others = [(replayed::KEY, replayed::VALUE)];
    workload.check_that_nothing_else_was_written(&doors, &others).await;
    let pairs = memory.into_iter().zip(high_water_mib(pids));
    let memory = pairs.map(|(before, in_all)| Memory { before, in_all }).collect();
    let attackers = Attackers { tallies, time, crowd, counted, cpu };
    Report { saturation, before, beside, after, attackers, memory }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A token of the node alone that may read, and one that was revoked.
fn tokens(alone: &Alone) -> [AccessToken; 2] {
    let tokens = [("reader", "default:read"), ("revoked", "*:read,write,admin")];
    let tokens = tokens.map(|(name, grant)| {
        let made = alone.operator(&["auth", "create", name, "--bucket", grant]).expect(0);
        made.text().parse().expect("a token")
    });
    alone.operator(&["auth", "revoke", "revoked"]).expect(0);
    tokens
}

/// What both clusters know of themselves: buckets, tokens, members and layout.
fn facts(dev: &Dev, alone: &Alone) -> Vec<String> {
    let questions =
        [["bucket", "ls", "--json"], ["auth", "ls", "--json"], ["ring", "show", "--json"]];
    let answers =
        questions.iter().flat_map(|question| [dev.kv(question), alone.operator(question)]);
    answers.map(|answer| answer.expect(0).text()).collect()
}

/// The kernel keeps the highest mark of a process's memory.
fn high_water_mib(pids: &[u32]) -> Vec<u64> {
    let of_one = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
    };
    pids.iter().map(|pid| of_one(pid).expect("a node runs")).collect()
}

/// Processor time of these processes together, user and kernel.
fn cpu_of(pids: &[u32]) -> Duration {
    let of_one = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a node runs");
        // The name may hold anything; the state follows it, and eleven fields later come the times, in hundredths.
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let fields = rest.split_whitespace().skip(11).take(2);
        fields.map(|field| field.parse::<u64>().expect("a number")).sum::<u64>()
    };
    Duration::from_millis(10 * pids.iter().map(of_one).sum::<u64>())
}

fn cpu_of_this_thread() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = stat.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}
