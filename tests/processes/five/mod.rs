//! Five real nodes under load, and two or three of them away at a time: what users see of it, and whether everything comes
//! together again.
//!
//! Clients write and read at 40 % of what the cluster can do, by the clock ([`crate::pace`]). Then any two nodes are killed;
//! come back; any two are stopped as by SIGSTOP, which no connection notices by itself; wake up; all three owners of a key are
//! killed, and come back. Meanwhile:
//!
//! - every write succeeds within its deadline, and every read shows what was acknowledged, retries included (what all three
//!   owners had before they went, nobody is asked for until they are back);
//! - nothing hangs, and nothing that exists is said for certain not to be there.
//!
//! After each of them, once nothing is written any more, no node holds anything for others, and exchanges of owners find nothing.
//! In the end all nodes die at once, and each is started alone and asked for the keys that it owns: every owner has every
//! acknowledged write, and all owners of a key have the same.
//!
//! Here it takes seconds, and only the three are killed: of other keys that is one owner, or two. `KVORUM_CHAOS_SECONDS=60 cargo test --release -p kvorum-cli --test
//! processes five -- --nocapture` keeps nodes away for a minute each time, gives the cluster a minute to come together,
//! and wants a third exchange of every pair to repair nothing. `KVORUM_CHAOS_SEED` repeats the draws of a run.
//!
//! This one looks behind the binary: it uses the client library, because thousands of operations are no processes.

mod ledger;
mod load;
mod nodes;
mod report;

use std::sync::Arc;
use std::time::Duration;

use kvorum_client::{Bucket, Client};
use kvorum_protocol::Key;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use tokio::runtime::{Builder, Runtime};

use crate::dev::directory;
use crate::five::ledger::{Broken, Ledger};
use crate::five::load::Pressure;
use crate::five::nodes::{Going, NODES, Nodes, await_rest};
use crate::five::report::Report;

/// How long nodes are away when nobody says.
const TIME: Duration = Duration::from_secs(3);

/// From here on a run is long: everything is done, and judged.
const LONG: Duration = Duration::from_secs(20);

/// How long a cluster may take to come together.
const TOGETHER: Duration = Duration::from_secs(60);

/// How long exchanges may go on to find something after nothing is held for others.
const AFTER_HINTS: Duration = Duration::from_secs(10);

/// The part of saturation at which clients work.
const PART: f64 = 0.4;

#[test]
fn with_two_or_three_of_five_nodes_away_users_lose_nothing_and_all_comes_together_again() {
    let time = setting("KVORUM_CHAOS_SECONDS").map_or(TIME, Duration::from_secs);
    let seed = setting("KVORUM_CHAOS_SEED").unwrap_or_else(rand::random);
    println!("KVORUM_CHAOS_SEED={seed} KVORUM_CHAOS_SECONDS={}", time.as_secs());
    let home = directory();
    let runtime = runtime();
    let nodes = Nodes::start(home.path());
    let clients = runtime.block_on(nodes.clients());
    let buckets = clients.iter().map(nodes::bucket).collect();
    let ledger = Arc::new(Ledger::default());
    let (report, is_long) = (Report::default(), time >= LONG);
    let client = clients[0].clone();
    let mut run =
        Run { runtime, nodes, client, buckets, ledger, report, time, seed, rate: 0.0, is_long };
    run.find_rate();

    let mut random = SmallRng::seed_from_u64(seed);
    let mut any_two = || {
        let mut all: Vec<usize> = (0..usize::from(NODES)).collect();
        all.shuffle(&mut random);
        all.truncate(2);
        all
    };
    if is_long {
        run.absence("two killed", &any_two(), Going::Killed);
        run.absence("two stopped", &any_two(), Going::Stopped);
    }
    let owners = run.owners_of_a_key();
    run.absence("all owners killed", &owners, Going::Killed);

    let report = run.end();
    println!("{report}");
    assert!(report.broken.is_empty(), "KVORUM_CHAOS_SEED={seed}\n{report}");
}

/// A run under way.
struct Run {
    runtime: Runtime,
    nodes: Nodes,
    client: Client,
    buckets: Vec<Bucket>,
    ledger: Arc<Ledger>,
    report: Report,
    time: Duration,
    seed: u64,
    /// Operations a second.
    rate: f64,
    is_long: bool,
}

impl Run {
    /// What the cluster can do; from here on the clients ask for a part of it.
    fn find_rate(&mut self) {
        let time = self.time / 4;
        self.load("saturation", time, Pressure::Saturating);
        self.rate = PART * self.report.phases[0].rate();
        self.load("before", time, Pressure::PerSecond(self.rate));
    }

    fn load(&mut self, name: &str, time: Duration, pressure: Pressure) {
        self.seed = self.seed.wrapping_add(1_000);
        let of_whom = (&self.buckets[..], &self.ledger);
        let phase = self.runtime.block_on(load::run(name, of_whom, time, pressure, self.seed));
        self.report.phases.push(phase);
    }

    /// Says which keys have lost all of their owners.
    fn darken(&self, who: &[usize]) {
        let (topology, bucket) = (self.client.topology(), self.buckets[0].name());
        self.ledger.darken(|number| {
            let key = Key::new(ledger::name(number).into_bytes()).expect("a key");
            let place = topology.place_of(bucket, &key).expect("a bucket");
            self.nodes
                .positions(&self.client, &place.owners)
                .iter()
                .all(|owner| who.contains(owner))
        });
    }

    /// Nodes go while clients work, and come back while clients work; then everything has to come together.
    fn absence(&mut self, name: &str, who: &[usize], going: Going) {
        let pressure = Pressure::PerSecond(self.rate);
        let (begun, seed) = (format!("{name} (nodes {who:?})"), self.seed);
        self.seed = self.seed.wrapping_add(2_000);
        self.darken(who);
        let Run { runtime, nodes, buckets, ledger, report, time, .. } = self;
        let of_whom = (&buckets[..], &*ledger);
        for (phase, time, leaves) in
            [(begun.as_str(), *time, true), ("back again", *time / 2, false)]
        {
            let measured = std::thread::scope(|scope| {
                let nodes = &mut *nodes;
                let moving = scope.spawn(move || match leaves {
                    true => nodes.leave(who, going),
                    false => nodes.come_back(who, going),
                });
                let measured = runtime.block_on(load::run(
                    phase,
                    of_whom,
                    time,
                    pressure,
                    seed + u64::from(leaves),
                ));
                moving.join().expect("nodes go and come");
                measured
            });
            report.phases.push(measured);
        }
        self.darken(&[]);
        let (rounds, patience) = match self.is_long {
            true => (3, TOGETHER * 2),
            false => (1, TOGETHER),
        };
        let rest = await_rest(&self.runtime, &self.client, rounds, patience);
        let mut not_at_rest = |what: &str| {
            self.report.broken.push(Broken::NotAtRest { what: format!("{name}: {what}") });
        };
        match (rest.hints, rest.exchanges) {
            (None, _) => not_at_rest("something is still held for others"),
            (Some(_), None) => not_at_rest("exchanges still find something"),
            (Some(hints), Some(exchanges)) if exchanges > TOGETHER.min(hints + AFTER_HINTS) => {
                not_at_rest("exchanges found something for too long");
            }
            (Some(_), Some(_)) => {}
        }
        self.report.heals.push((name.to_owned(), rest.hints, rest.exchanges));
    }

    /// The owners of a key that was acknowledged.
    fn owners_of_a_key(&self) -> Vec<usize> {
        let bucket = &self.buckets[0];
        let write = self.ledger.acknowledged().pop().expect("something was written");
        let key = Key::new(ledger::name(write.key).into_bytes()).expect("a key");
        let place = self.client.topology().place_of(bucket.name(), &key).expect("a bucket");
        self.nodes.positions(&self.client, &place.owners)
    }

    /// Reads each owner alone.
    fn end(self) -> Report {
        let Run { runtime, nodes, ledger, mut report, .. } = self;
        let holdings = nodes.read_each_alone(&runtime, &ledger);
        report.broken.extend(ledger.all_broken());
        let (read_alone, broken) = holdings.judge();
        report.read_alone = read_alone;
        report.broken.extend(broken);
        report
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}
