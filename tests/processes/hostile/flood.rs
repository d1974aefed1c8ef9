//! All attackers together: attacks that begin at a fixed rate, and a crowd that stands by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvorum_protocol::AccessToken;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::hostile::attacks::{Arms, Attack};
use crate::hostile::crowd::Crowd;
use crate::hostile::doors::{Doors, PATIENCE, Port, connect};
use crate::hostile::early::Impostors;
use crate::hostile::kinds::{Tallies, order};
use crate::hostile::replayed::Recording;

/// Attacks under way at a time. Many take seconds, because that is their point.
const UNDER_WAY: usize = 600;

/// Who attacks what, and how often.
pub(super) struct Flood {
    pub(super) doors: Arc<Doors>,
    pub(super) seed: u64,
    /// Attacks that begin in a second.
    pub(super) rate: u64,
    /// Connections of the crowd.
    pub(super) crowd: usize,
    /// Tokens of the node alone.
    pub(super) reads: AccessToken,
    pub(super) revoked: AccessToken,
}

impl Flood {
    /// Attacks until told to stop. Returns what became of the attacks; how large the crowd was, and how large it still was
    /// at the end.
    ///
    /// # Panics
    /// When a node carried something out.
    pub(super) async fn attack(
        self,
        recording: Recording,
        done: Arc<AtomicBool>,
    ) -> (Tallies, (usize, usize)) {
        let Flood { doors, seed, rate, crowd, reads, revoked } = self;
        let impostors = Impostors::set_up(doors.clone()).await;
        let arms = Arms { doors: doors.clone(), impostors, recording, reads, revoked };
        let attacks = attacks(Arc::new(arms), seed, rate, done);
        let (tallies, crowd) = tokio::join!(attacks, Crowd::gather(&doors, crowd));
        (tallies, crowd.disperse())
    }
}

async fn attacks(arms: Arc<Arms>, seed: u64, rate: u64, done: Arc<AtomicBool>) -> Tallies {
    let mut draws = StdRng::seed_from_u64(seed);
    let order = order(&mut draws);
    let mut pace = interval(Duration::from_secs(1) / u32::try_from(rate).expect("a rate"));
    let (mut running, mut tallies) = (JoinSet::new(), Tallies::default());
    for kind in order.into_iter().cycle() {
        pace.tick().await;
        if done.load(Ordering::Relaxed) {
            break;
        }
        let draws = StdRng::seed_from_u64(draws.random());
        let mut attack = Attack { arms: arms.clone(), draws, refusals: 0 };
        running.spawn(async move {
            let ended = attack.carry_out(kind).await;
            (kind, attack.refusals, ended.is_err())
        });
        while let Some(ended) = match running.len() >= UNDER_WAY {
            true => running.join_next().await,
            false => running.try_join_next(),
        } {
            count(&mut tallies, ended);
        }
    }
    while let Some(ended) = running.join_next().await {
        count(&mut tallies, ended);
    }
    tallies
}

fn count(tallies: &mut Tallies, ended: Result<(usize, u64, bool), tokio::task::JoinError>) {
    let (kind, refusals, is_cut_off) = ended.expect("an attacker found something that must not be");
    tallies.count(kind, refusals, is_cut_off);
}

/// The most clients at once that the three nodes together say to have, asked again and again until told to stop.
pub(super) async fn clients_of(doors: &Doors, done: Arc<AtomicBool>) -> usize {
    let (mut most, mut pace) = (0, interval(Duration::from_millis(500)));
    while !done.load(Ordering::Relaxed) {
        pace.tick().await;
        let mut clients = 0;
        for node in 0..doors.count(Port::Plain) {
            clients += clients_of_one(doors, node).await.unwrap_or(0);
        }
        most = most.max(clients);
    }
    most
}

async fn clients_of_one(doors: &Doors, node: usize) -> Option<usize> {
    let mut address = doors.address(Port::Plain, node);
    // The admin port stands behind the one for clients.
    address.set_port(address.port() + 1);
    let mut stream = connect(std::net::Ipv4Addr::LOCALHOST, address).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.ok()?;
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.ok()?.ok()?;
    let clients = text.lines().find_map(|line| line.strip_prefix("kvorum_clients "));
    clients?.parse().ok()
}
