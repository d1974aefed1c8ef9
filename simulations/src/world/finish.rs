//! The end of a run: heal, read everything, judge what is left.
//!
//! Safety is checked while faults run; liveness only makes sense without them. So all faults end at one moment, every
//! operation must have ended, each key is read once from all its owners under `strict` (whose repair is what makes owners
//! converge as long as there is no anti-entropy), the cluster must come to rest, and then every owner's record is looked at.
//! Half of the plans go on: agreed tombstones are reclaimed, all power is cut, indexes are damaged, and every record is
//! looked at once more.

use kvorum_protocol::RecordKey;
use kvorum_store::{StoreEvent, StoreRequest, Token};

use super::World;
use super::judge::seen;
use super::node::Death;
use super::pump::OWN_TOKENS;
use crate::checkers::{
    p1_acknowledged_writes, p2_convergence, p3_siblings, p4_domination, p8_resurrection,
    p14_honest_results, p19_liveness,
};
use crate::limits;
use crate::oracle::Seen;
use crate::plan::{IndexDamage, Operation, OperationKind};
use crate::reached::Rare;
use crate::violation::{Property, Violation};

/// How long a read of the healed phase may take: far longer than the slowest links and disks of any plan need.
const HEALED_TIMEOUT_US: u64 = 10_000_000;

/// How far a run is. A phase ends when nothing more is scheduled.
#[derive(Debug)]
pub(super) enum Phase {
    /// Operations and faults, healing, and the end of everything that was under way.
    Faults,
    /// Each key is read, one after the other; begun when so many events had happened. The last read owed an answer unless
    /// all the owners of its key had lost their logs.
    Reading { read: u16, events: u64, owed: bool },
    /// Each owner's record is looked at, for the first or the second time.
    Looking { found: Records, again: bool },
    /// Tombstones are being removed.
    Removing,
    /// All power was cut, and the nodes are starting.
    Restarting,
    /// Nothing is left to do.
    Over,
}

/// What owners hold, by key and place among its owners; `None` before their stores have answered.
pub(super) type Records = Vec<Vec<Option<Seen>>>;

impl World {
    /// All faults end.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.say(None, None, || "all faults end".to_owned());
        self.network.heal();
        self.beliefs.trust();
        for number in 0..self.plan.topology.nodes {
            let node = &mut self.nodes[usize::from(number)];
            node.doom = None;
            node.slow_disk = (1, 0);
            // No operation will be as late as this: it replaces a fault that is still waiting for its operation.
            node.files.fail_nth(u64::MAX / 2, kvorum_store::sim_files::Fault::FlipRead);
            self.wake(number);
            self.start(number);
        }
        self.look_around();
    }

    /// Begins the next phase. False when the run is over.
    pub(super) fn next_phase(&mut self) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Faults => {
                self.check_all_up();
                self.read_key(0, self.events)
            }
            Phase::Reading { read, events, owed } => {
                let last = self.history.rows().last().filter(|_| owed);
                let judgement = last.map_or(Ok(()), p19_liveness::check_succeeded);
                self.accuse(judgement, None, None);
                if read < self.plan.topology.keys {
                    self.read_key(read, events)
                } else {
                    self.end_reading(events)
                }
            }
            Phase::Looking { found, again } => {
                self.judge_found(&found);
                match self.plan.final_cut {
                    Some(_) if !again => self.remove_tombstones(&found),
                    _ => false,
                }
            }
            Phase::Removing => self.cut_all_power(),
            Phase::Restarting => {
                self.check_all_up();
                self.look_at_records(true)
            }
            Phase::Over => false,
        }
    }

    fn check_all_up(&mut self) {
        let down = (0..self.plan.topology.nodes)
            .find(|number| !self.nodes[usize::from(*number)].is_awake());
        if let Some(number) = down {
            let what = format!("node {number} is not up after all faults have ended");
            self.accuse(Err(Violation::new(Property::P19, what)), Some(number), None);
        }
    }

    /// Reads a key from all its owners, except those that may not answer because their log was lost.
    fn read_key(&mut self, key: u16, events: u64) -> bool {
        let owners = self.owners[usize::from(key)].clone();
        let whole = owners.iter().filter(|owner| !self.is_refilling(**owner)).count();
        let id = self.history.rows().iter().map(|row| row.operation).max().unwrap_or(0) + 1;
        self.phase = Phase::Reading { read: key + 1, events, owed: whole > 0 };
        self.invoke(Operation {
            id,
            client: 0,
            node: owners[0],
            kind: OperationKind::Get { key },
            quorum: whole.max(1) as u8,
            strict: true,
            timeout_us: HEALED_TIMEOUT_US,
            retries: 0,
        });
        true
    }

    fn is_refilling(&self, number: u16) -> bool {
        self.nodes[usize::from(number)].life.as_ref().is_some_and(|life| life.shard.is_refilling())
    }

    fn end_reading(&mut self, events: u64) -> bool {
        let (keys, nodes) =
            (u64::from(self.plan.topology.keys), u64::from(self.plan.topology.nodes));
        let allowed = 10_000 + keys * nodes * limits::HEALED_EVENTS_PER_KEY_AND_NODE;
        self.accuse(p19_liveness::check_rest(self.events - events, allowed), None, None);
        self.look_at_records(false)
    }

    /// Asks every owner's store for every record.
    fn look_at_records(&mut self, again: bool) -> bool {
        let found = self.owners.iter().map(|owners| vec![None; owners.len()]).collect();
        self.phase = Phase::Looking { found, again };
        for (key, place) in self.places() {
            self.ask_store(key, place, |token, key| StoreRequest::Read { token, key });
        }
        true
    }

    /// Every key with every place among its owners.
    fn places(&self) -> Vec<(usize, usize)> {
        let owners = self.owners.iter().enumerate();
        owners.flat_map(|(key, owners)| (0..owners.len()).map(move |place| (key, place))).collect()
    }

    /// Asks the store of a key's owner something about that key.
    fn ask_store(&mut self, key: usize, place: usize, ask: fn(Token, RecordKey) -> StoreRequest) {
        let number = self.owners[key][place];
        let class = self.view.buckets[&self.bucket].class;
        let partitions = self.view.layout.partitions();
        let record = RecordKey::new(class, partitions, self.bucket.clone(), self.keys[key].clone());
        let now = self.nodes[usize::from(number)].now(self.schedule.now_ns());
        let token = Token(OWN_TOKENS + (key << 8 | place) as u64);
        if let Some(life) = &mut self.nodes[usize::from(number)].life {
            life.shard.submit(now, ask(token, record));
        }
        self.pump(number);
    }

    /// A store answered one of the simulator's own questions.
    pub(super) fn hear_own(&mut self, number: u16, asked: u64, event: &StoreEvent) {
        let (key, place) = ((asked >> 8) as usize, (asked & 0xff) as usize);
        match (event, &mut self.phase) {
            (StoreEvent::Read { result: Ok(held), .. }, Phase::Looking { found, .. }) => {
                found[key][place] = Some(held.as_ref().map(|set| seen(set)).unwrap_or_default());
            }
            (StoreEvent::Read { result: Err(error), .. }, _) => {
                let what = format!("a record cannot be read at the end: {error}");
                self.accuse(
                    Err(Violation::new(Property::P13, what)),
                    Some(number),
                    Some(key as u16),
                );
            }
            (StoreEvent::Durable { .. }, Phase::Removing) => {
                self.removed.insert((number, key as u16));
                self.reached.mark(Rare::Removed);
            }
            _ => {}
        }
    }

    /// Removes the tombstones that all owners agree on, as the end of a reclaim round would. Nothing is under way that
    /// could bring an older version, which is what a round has to make sure of.
    fn remove_tombstones(&mut self, found: &Records) -> bool {
        self.phase = Phase::Removing;
        for (key, place) in self.places() {
            let agreed = found[key].iter().all(|seen| *seen == found[key][0]);
            let is_tombstone = |seen: &Seen| seen.live.is_empty() && !seen.clock.is_empty();
            if agreed && found[key][place].as_ref().is_some_and(is_tombstone) {
                self.ask_store(key, place, |token, key| StoreRequest::Remove { token, key });
            }
        }
        true
    }

    fn cut_all_power(&mut self) -> bool {
        self.phase = Phase::Restarting;
        let index = self.plan.final_cut.unwrap_or(IndexDamage::Whole);
        for number in 0..self.plan.topology.nodes {
            self.die(number, Death { within_io: false, index, power: true }, 0);
        }
        true
    }

    fn judge_found(&mut self, found: &[Vec<Option<Seen>>]) {
        for (key, records) in found.iter().enumerate() {
            let owners = &self.owners[key];
            let held: Vec<(u16, Seen)> = owners
                .iter()
                .zip(records)
                .filter_map(|(owner, seen)| Some((*owner, seen.clone()?)))
                .collect();
            let judgement = if held.len() < owners.len() {
                Err(Violation::new(
                    Property::P19,
                    "an owner's store did not answer at the end".to_owned(),
                ))
            } else {
                self.judge_key(key as u16, &held)
            };
            self.accuse(judgement, None, Some(key as u16));
        }
    }

    fn judge_key(&self, key: u16, held: &[(u16, Seen)]) -> Result<(), Violation> {
        let oracle = &self.oracle[usize::from(key)];
        for (owner, seen) in held {
            p4_domination::check(oracle, seen)?;
            p3_siblings::check(oracle, seen)?;
            p14_honest_results::check_seen(oracle, seen)?;
            if self.removed.contains(&(*owner, key)) {
                p8_resurrection::check_removed(*owner, seen)?;
            } else {
                self.holders.check_kept(*owner, key, oracle, seen)?;
            }
        }
        if !held.iter().any(|(owner, _)| self.removed.contains(&(*owner, key))) {
            let seen: Vec<Seen> = held.iter().map(|(_, seen)| seen.clone()).collect();
            p1_acknowledged_writes::check_final(oracle, &seen)?;
            p2_convergence::check(held)?;
        }
        Ok(())
    }
}
