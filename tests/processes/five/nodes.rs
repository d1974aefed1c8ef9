//! The cluster: who is killed or stopped, who comes back, what the nodes say of themselves, and what each holds alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kvorum_client::{Bucket, Client, Config};
use kvorum_protocol::Key;
use kvorum_protocol::message::GetOutcome;
use kvorum_ring::NodeId;

use crate::dev::{Dev, gone};
use crate::five::ledger::{self, Broken, Ledger, Write};
use crate::five::load::DEADLINE;
use crate::kv;
use crate::until::until;

/// How many nodes there are.
pub(super) const NODES: u16 = 5;

/// The bucket.
const BUCKET: &str = "default";

/// Connections to each node.
const CONNECTIONS: usize = 8;

/// Keys that are read at once of a node alone.
const BATCH: usize = 100;

/// How often a batch is tried: a node that has just started may not know yet that it is alone.
const TRIES: usize = 20;

/// In which way nodes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Going {
    /// SIGKILL, and a new process later.
    Killed,
    /// SIGSTOP, and SIGCONT later: the process wakes up with all that it knew.
    Stopped,
}

/// The processes of one cluster.
pub(super) struct Nodes {
    home: PathBuf,
    /// Whoever started them; they end with it.
    devs: Vec<Dev>,
    names: Vec<String>,
    pids: Vec<u32>,
    stopped: BTreeSet<u32>,
}

impl Nodes {
    pub(super) fn start(home: &Path) -> Nodes {
        let dev = Dev::start(home, NODES);
        let (names, pids) = (dev.node_names(), dev.node_pids());
        Nodes { home: home.to_owned(), devs: vec![dev], names, pids, stopped: BTreeSet::new() }
    }

    /// Connections to all nodes.
    pub(super) async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(client(self.devs[0].endpoints()).await);
        }
        clients
    }

    /// The positions of the nodes with these ids.
    pub(super) fn positions(&self, client: &Client, ids: &[NodeId]) -> Vec<usize> {
        let topology = client.topology();
        let names: Vec<String> = ids.iter().map(|id| topology.name_of(*id)).collect();
        (0..self.names.len()).filter(|position| names.contains(&self.names[*position])).collect()
    }

    /// These nodes go, all at once.
    pub(super) fn leave(&mut self, positions: &[usize], going: Going) {
        for position in positions {
            let pid = self.pids[*position];
            match going {
                Going::Killed => kv::kill(pid),
                Going::Stopped => {
                    self.stopped.insert(pid);
                    kv::signal(pid, "STOP");
                }
            }
        }
        if going == Going::Killed {
            let killed: Vec<u32> = positions.iter().map(|position| self.pids[*position]).collect();
            gone(&killed);
        }
    }

    /// They come back.
    pub(super) fn come_back(&mut self, positions: &[usize], going: Going) {
        for position in positions {
            match going {
                Going::Killed => {
                    let dev = Dev::reopen(&self.home, Some(&self.names[*position]));
                    self.pids[*position] = dev.node_pids()[0];
                    self.devs.push(dev);
                }
                Going::Stopped => self.wake(self.pids[*position]),
            }
        }
    }

    fn wake(&mut self, pid: u32) {
        kv::signal(pid, "CONT");
        self.stopped.remove(&pid);
    }

    /// All nodes die at once. Reads each alone then, one after the other: what does it hold of the keys that it owns?
    pub(super) fn read_each_alone(
        mut self,
        runtime: &tokio::runtime::Runtime,
        ledger: &Ledger,
    ) -> Holdings {
        self.devs.drain(..).for_each(drop);
        gone(&self.pids);
        let mut holdings = Holdings::default();
        for name in &self.names {
            let dev = Dev::reopen(&self.home, Some(name));
            runtime.block_on(holdings.read(name, dev.endpoints(), ledger));
            drop(dev);
        }
        holdings
    }
}

/// A process that stands still does not end with its parent.
impl Drop for Nodes {
    fn drop(&mut self) {
        self.stopped.iter().for_each(|pid| kv::kill(*pid));
    }
}

async fn client(endpoints: Vec<String>) -> Client {
    let endpoints = endpoints.iter().map(|text| text.parse().expect("an endpoint"));
    let client = Client::connect(Config::new(endpoints).deadline(DEADLINE)).await;
    client.expect("a node answers")
}

/// The bucket that everybody uses.
pub(super) fn bucket(client: &Client) -> Bucket {
    client.bucket(BUCKET).expect("a name")
}

/// What each owner, read alone, holds of each key.
#[derive(Default)]
pub(super) struct Holdings {
    keys: BTreeMap<u64, BTreeMap<String, BTreeSet<u64>>>,
    acknowledged: Vec<Write>,
    broken: Vec<Broken>,
}

impl Holdings {
    async fn read(&mut self, name: &str, endpoints: Vec<String>, ledger: &Ledger) {
        let client = client(endpoints).await;
        let (bucket, topology) = (bucket(&client), client.topology());
        let id = topology.nodes.iter().find(|node| node.name == name).expect("a member").id;
        self.acknowledged = ledger.acknowledged();
        let key = |number: u64| Key::new(ledger::name(number).into_bytes()).expect("a key");
        let owned: Vec<u64> = self
            .acknowledged
            .iter()
            .map(|write| write.key)
            .filter(|number| {
                let place = topology.place_of(bucket.name(), &key(*number)).expect("a bucket");
                place.owners.contains(&id)
            })
            .collect();
        for batch in owned.chunks(BATCH) {
            let mut left: Vec<u64> = batch.to_vec();
            for _ in 0..TRIES {
                let keys = left.iter().map(|number| key(*number)).collect();
                let Ok(done) = bucket.get_batch(keys).r(1).send().await else { continue };
                let outcomes = left.iter().copied().zip(&done.answer.outcomes);
                let mut again = Vec::new();
                for (number, outcome) in outcomes {
                    let GetOutcome::Done(done) = outcome else {
                        again.push(number);
                        continue;
                    };
                    let values: Vec<&[u8]> =
                        done.values.iter().map(|value| &value.value[..]).collect();
                    match ledger.numbers(number, &values) {
                        Ok(numbers) => {
                            let holders = self.keys.entry(number).or_default();
                            holders.insert(name.to_owned(), numbers);
                        }
                        Err(broken) => self.broken.push(broken),
                    }
                }
                left = again;
                if left.is_empty() {
                    break;
                }
            }
            let unread = left.iter().map(|number| Broken::NotAtRest {
                what: format!("{}: {name} alone does not answer", ledger::name(*number)),
            });
            self.broken.extend(unread);
        }
    }

    /// How many keys were read of their owners, and what is wrong with them.
    pub(super) fn judge(mut self) -> (usize, Vec<Broken>) {
        for Write { key, number } in &self.acknowledged {
            let Some(holdings) = self.keys.get(key) else { continue };
            let lacking = holdings.iter().filter(|(_, held)| held.last() < Some(number));
            let before = self.broken.len();
            self.broken.extend(lacking.map(|(owner, held)| Broken::OwnerLacks {
                key: *key,
                owner: owner.clone(),
                acknowledged: *number,
                holds: held.clone(),
            }));
            let distinct: BTreeSet<&BTreeSet<u64>> = holdings.values().collect();
            if self.broken.len() == before && distinct.len() > 1 {
                self.broken.push(Broken::OwnersDiffer { key: *key, holdings: holdings.clone() });
            }
        }
        (self.keys.len(), self.broken)
    }
}

/// The sum over all nodes of the figures with these names. `None` while a node does not answer.
pub(super) async fn sum(client: &Client, names: &[&str]) -> Option<f64> {
    let mut sum = 0.0;
    for node in &client.topology().nodes {
        let diagnosis = client.diagnosis_of(node.id, &["metrics"]).await.ok()?;
        let section = diagnosis.sections.iter().find(|section| section.name == "metrics")?;
        for line in section.text.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split('{').next().unwrap_or_default();
            if names.contains(&name) {
                sum += value.parse::<f64>().ok()?;
            }
        }
    }
    Some(sum)
}

/// How the cluster came to rest.
pub(super) struct Rest {
    /// Until no node held anything for another.
    pub(super) hints: Option<Duration>,
    /// Until exchanges found nothing any more.
    pub(super) exchanges: Option<Duration>,
}

/// Waits until nothing is held for others, and then until as many exchanges as there are pairs of nodes, `rounds` times, ended
/// without giving anybody anything.
pub(super) fn await_rest(
    runtime: &tokio::runtime::Runtime,
    client: &Client,
    rounds: u32,
    patience: Duration,
) -> Rest {
    let begun = Instant::now();
    let left = || patience.saturating_sub(begun.elapsed());
    let ask = |names: &[&str]| runtime.block_on(sum(client, names));
    let held = ["kvorum_hints", "kvorum_hint_deliveries"];
    let hints = within(left(), || (ask(&held)? == 0.0).then(|| begun.elapsed()));
    let moved = ["kvorum_exchange_given_total", "kvorum_exchange_taken_total"];
    let pairs = f64::from(NODES * (NODES - 1) / 2);
    let ended = || ask(&["kvorum_exchanges_total"]);
    let (mut quiet_since, mut last) = (None, None);
    let exchanges = within(left(), || {
        let (now, ended) = (ask(&moved)?, ended()?);
        if last != Some(now) {
            last = Some(now);
            quiet_since = Some((ended, begun.elapsed()));
        }
        let (since, at) = quiet_since?;
        (ended >= since + pairs * f64::from(rounds)).then_some(at)
    });
    Rest { hints, exchanges }
}

fn within<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    until("never: it gives up by itself", patience + DEADLINE * 6, || match condition() {
        Some(found) => Some(Some(found)),
        None => (Instant::now() >= deadline).then_some(None),
    })
}
