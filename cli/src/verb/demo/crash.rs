//! Third stage: a node is SIGKILLed in the middle of a write load, and every write is accounted for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use kvorum_client::Client;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::account::{Account, Seen, Told};
use super::{Session, broken, parallel};
use crate::cluster::explain;
use crate::failure::{Failure, Outcome};
use crate::local::LocalCluster;
use crate::output::units;
use crate::progress::Step;

/// Writes of the load.
const WRITES: u32 = 3_000;

/// The node dies when so many writes have come back.
const WRITES_BEFORE: u32 = WRITES / 3;

/// Clients that write at the same time.
const WRITERS: u32 = 32;

/// Which node dies.
const VICTIM: usize = 1;

/// The load, and what the clients were told about it.
#[derive(Debug)]
pub(super) struct Crash {
    /// The node that was killed.
    pub(super) victim: usize,
    /// What people call it.
    pub(super) victim_name: String,
    /// Every write: its key, its value, what its client was told, how often it was sent.
    writes: Vec<Write>,
}

#[derive(Debug, Clone)]
struct Write {
    key: Bytes,
    value: Bytes,
    told: Told,
    attempts: u32,
}

impl Crash {
    /// Writes from many clients at once and kills a node in the middle.
    pub(super) async fn under_load(
        session: &Session,
        cluster: &mut LocalCluster,
    ) -> Outcome<Crash> {
        let victim_name = cluster.nodes()[VICTIM].name.clone();
        let step = Arc::new(Step::begin(session.output, "write, kill a node", u64::from(WRITES)));
        let run = Client::draw_operation();
        let next = Arc::new(AtomicU32::new(0));
        let returned = Arc::new(AtomicU32::new(0));
        let enough = Arc::new(Notify::new());
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            let (session, next, step) = (session.clone(), Arc::clone(&next), Arc::clone(&step));
            let (returned, enough) = (Arc::clone(&returned), Arc::clone(&enough));
            writers.spawn(async move {
                let mut writes = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= WRITES {
                        return writes;
                    }
                    writes.push(
                        write(
                            &session,
                            format!("load/{number:05}"),
                            format!("write {number} of {run}"),
                        )
                        .await,
                    );
                    step.advance(1);
                    if returned.fetch_add(1, Ordering::Relaxed) + 1 == WRITES_BEFORE {
                        enough.notify_one();
                    }
                }
            });
        }
        enough.notified().await;
        cluster.kill(VICTIM).await?;
        let mut writes = Vec::new();
        while let Some(written) = writers.join_next().await {
            let cut_short =
                |error| Failure::unavailable(format!("a writer was cut short: {error}"));
            let written: Vec<Write> = written.map_err(cut_short)?;
            writes.extend(written);
        }
        let result = format!(
            "{} from {WRITERS} clients; {victim_name} was SIGKILLed after {}",
            units::plural(writes.len() as u64, "write"),
            units::count(u64::from(WRITES_BEFORE)),
        );
        // Every writer has ended, so nobody else holds the step.
        if let Some(step) = Arc::into_inner(step) {
            step.end(&result);
        }
        Ok(Crash { victim: VICTIM, victim_name, writes })
    }

    /// Reads every key of the load while the node is still dead, and compares with what the clients were told.
    pub(super) async fn account(&mut self, session: &Session) -> Outcome<Account> {
        let step = Step::begin(session.output, "account for every write", self.writes.len() as u64);
        let mut account = Account::default();
        let look = |write: Write| {
            let session = session.clone();
            async move { Ok((seen(&session, &write).await?, write)) }
        };
        let enter = |(seen, write): (Seen, Write)| {
            step.advance(1);
            account.enter(write.told, seen, write.attempts);
            Ok(())
        };
        parallel::each(self.writes.clone(), look, enter).await?;
        if account.accounted() != self.writes.len() as u64 {
            return Err(broken("a write is missing from the account"));
        }
        if !account.is_kept() {
            let text = serde_json::to_string(&account).unwrap_or_default();
            return Err(broken(format!("the account of the writes does not add up: {text}")));
        }
        step.end(&format!(
            "{} acknowledged, every one of them found with {} down",
            units::count(account.acknowledged()),
            self.victim_name,
        ));
        session.say(&format!(
            "{} said not applied (none found), {} uncertain ({} of them found), {} needed a retry",
            units::count(account.not_applied()),
            units::count(account.uncertain()),
            units::count(account.uncertain_found),
            units::count(account.retried),
        ));
        Ok(account)
    }

    /// The keys whose writes were acknowledged, with their values.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        let writes = self.writes.iter().filter(|write| write.told == Told::Acknowledged);
        writes.map(|write| (write.key.clone(), write.value.clone()))
    }
}

/// One write, and what its client was told.
async fn write(session: &Session, key: String, value: String) -> Write {
    let (key, value) = (Bytes::from(key), Bytes::from(value));
    let (told, attempts) = match session.bucket.put(key.clone(), value.clone()).send().await {
        Ok(reply) => (Told::Acknowledged, reply.attempts),
        Err(error) if error.is_not_applied() => (Told::NotApplied, error.attempts),
        Err(error) => (Told::Uncertain, error.attempts),
    };
    Write { key, value, told, attempts }
}

/// What a read of a write's key sees. Keys are written once, so anything but the value or nothing is wrong.
async fn seen(session: &Session, write: &Write) -> Outcome<Seen> {
    let read = session.bucket.get(write.key.clone()).send().await;
    let read = read.map_err(|error| {
        explain::operation("account for a write", &error, &session.client.topology())
    })?;
    Ok(match &read.values[..] {
        [] => Seen::Absent,
        [value] if value.value == write.value => Seen::Same,
        _ => Seen::Other,
    })
}
