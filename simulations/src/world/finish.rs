//! The end of a run: heal, read everything, judge what is left.
//!
//! Safety is checked while faults run; liveness only makes sense without them. So all faults end at one moment, every
//! operation must have ended, owners exchange what they missed until they rest (see `exchanges`), and every owner's record and
//! hash tree is looked at. Then each key is read once from all its owners under `strict`, the cluster must come to rest, and the
//! records are looked at again.
//! Half of the plans go on with what is in `aftermath`, and every record is looked at once more.

use kvorum_protocol::{Key, RecordKey};
use kvorum_store::{StoreEvent, StoreRequest, Token};

use super::World;
use super::exchanges::{Comparison, Exchanging};
use super::judge::seen;
use super::pump::OWN_TOKENS;
use crate::checkers::{
    p1_acknowledged_writes, p2_convergence, p3_siblings, p4_domination, p8_resurrection,
    p14_honest_results, p19_liveness,
};
use crate::limits;
use crate::oracle::Seen;
use crate::plan::{Operation, OperationKind};
use crate::reached::Rare;
use crate::violation::{Property, Violation};

/// How long a read of the healed phase may take: far longer than the slowest links and disks of any plan need.
const HEALED_TIMEOUT_US: u64 = 10_000_000;

/// Rounds of reads that may be needed until the owners of every key hold the same.
const MAX_READ_ROUNDS: u8 = 4;

/// How far a run is. A phase ends when nothing more is scheduled.
#[derive(Debug)]
pub(super) enum Phase {
    /// Operations and faults, healing, and the end of everything that was under way.
    Faults,
    /// A node goes and returns, and all membership machines have to notice.
    Absence,
    /// Owners exchange what they missed.
    Exchanging(Exchanging),
    /// The hash trees of all owners are compared with their records.
    Comparing(Comparison),
    /// Keys are read, one after the other.
    Reading(Reading),
    /// Each owner's record is looked at, key by key; the next one last.
    Looking { found: Records, look: Look, left: Vec<u16> },
    /// Tombstones are being removed.
    Removing,
    /// Indexes have lost entries, and so many writes are still to come that make compaction necessary.
    Churning { left: u32 },
    /// All power was cut, and the nodes are starting.
    Restarting,
    /// Nothing is left to do.
    Over,
}

/// A round of reads of the healed phase.
#[derive(Debug)]
pub(super) struct Reading {
    /// From 1.
    round: u8,
    /// Keys still to be read, the next one last.
    left: Vec<u16>,
    /// Events before the round.
    events: u64,
    /// Whether the last read owed an answer: not if all the owners of its key had lost their logs.
    owed: bool,
}

/// Which look at the records it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// After exchanges, before any read.
    BeforeReads,
    /// After so many rounds of reads.
    AfterReads(u8),
    /// After the last power cut.
    AfterCut,
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
        // What must come to rest does not while exchanges go on for ever. They have a phase of their own.
        self.mark_exchanges();
        self.exchange_every(0);
    }

    /// Begins the next phase. False when the run is over.
    pub(super) fn next_phase(&mut self) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Faults => {
                self.check_all_up();
                self.check_drained();
                self.phase = Phase::Absence;
                self.begin_absence() || self.next_phase()
            }
            Phase::Absence => self.begin_exchanging(),
            Phase::Exchanging(_) => self.look_at_records(Look::BeforeReads),
            Phase::Comparing(Comparison::Started) => self.compare_trees(Comparison::Counted),
            Phase::Comparing(Comparison::Counted) => false,
            Phase::Comparing(Comparison::Exchanged) => {
                let left = (0..self.plan.topology.keys).rev().collect();
                self.read_next(Reading { round: 1, left, events: self.events, owed: false })
            }
            Phase::Reading(reading) => self.read_next(reading),
            Phase::Looking { found, look, left } => self.look_at_next(found, look, left),
            Phase::Removing => self.lose_index_entries(),
            Phase::Churning { left: 0 } => self.cut_all_power(),
            Phase::Churning { left } => self.churn(left - 1),
            Phase::Restarting => {
                self.check_all_up();
                self.look_at_records(Look::AfterCut)
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

    /// Reads the next key from all its owners, except those that may not answer because their log was lost.
    fn read_next(&mut self, mut reading: Reading) -> bool {
        let last = self.history.rows().last().filter(|_| reading.owed);
        let judgement = last.map_or(Ok(()), p19_liveness::check_succeeded);
        self.accuse(judgement, None, None);
        let Some(key) = reading.left.pop() else { return self.end_reading(&reading) };
        let owners = self.owners[usize::from(key)].clone();
        let whole = owners.iter().filter(|owner| !self.is_refilling(**owner)).count();
        let id = self.history.rows().iter().map(|row| row.operation).max().unwrap_or(0) + 1;
        reading.owed = whole > 0;
        self.phase = Phase::Reading(reading);
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

    fn end_reading(&mut self, reading: &Reading) -> bool {
        let (keys, nodes) =
            (u64::from(self.plan.topology.keys), u64::from(self.plan.topology.nodes));
        let allowed = 10_000 + keys * nodes * limits::HEALED_EVENTS_PER_KEY_AND_NODE;
        let judgement = p19_liveness::check_rest(self.events - reading.events, allowed);
        self.accuse(judgement, None, None);
        self.look_at_records(Look::AfterReads(reading.round))
    }

    /// Judges what was found. A key whose owners differ is read again a few times: a repair may have been refused by a full
    /// queue, and a read owes repair of no more than it returned.
    fn end_look(&mut self, found: &Records, look: Look) -> bool {
        if let Look::AfterReads(round) = look
            && round < MAX_READ_ROUNDS
        {
            let held = |key: &u16| self.held(*key, &found[usize::from(*key)]);
            let differs = |key: &u16| p2_convergence::check(&held(key)).is_err();
            let left: Vec<u16> = (0..self.plan.topology.keys).filter(differs).collect();
            if !left.is_empty() {
                let events = self.events;
                return self.read_next(Reading { round: round + 1, left, events, owed: false });
            }
        }
        if look == Look::BeforeReads {
            self.judge_exchanged(found);
            return self.compare_trees(Comparison::Exchanged);
        }
        self.judge_found(found);
        // The writes that made compaction necessary are none of the plan's keys.
        if look == Look::AfterCut && !self.plan.index_loss {
            return self.compare_trees(Comparison::Started);
        }
        match self.plan.final_cut {
            Some(_) if look != Look::AfterCut => self.remove_tombstones(found),
            _ => false,
        }
    }

    /// What the owners of a key hold, each with its number.
    pub(super) fn held(&self, key: u16, records: &[Option<Seen>]) -> Vec<(u16, Seen)> {
        let owners = self.owners[usize::from(key)].iter().zip(records);
        owners.filter_map(|(owner, seen)| Some((*owner, seen.clone()?))).collect()
    }

    fn is_refilling(&self, number: u16) -> bool {
        self.nodes[usize::from(number)].life.as_ref().is_some_and(|life| life.shard.is_refilling())
    }

    /// Begins to ask every owner's store for every record.
    fn look_at_records(&mut self, look: Look) -> bool {
        let found = self.owners.iter().map(|owners| vec![None; owners.len()]).collect();
        self.look_at_next(found, look, (0..self.plan.topology.keys).rev().collect())
    }

    /// Asks the owners of the next key. Of one at a time, because the queues of a plan may be small.
    fn look_at_next(&mut self, found: Records, look: Look, mut left: Vec<u16>) -> bool {
        let Some(key) = left.pop() else { return self.end_look(&found, look) };
        let key = usize::from(key);
        self.phase = Phase::Looking { found, look, left };
        for place in 0..self.owners[key].len() {
            self.ask_store(key, place, |token, key| StoreRequest::Read { token, key });
        }
        true
    }

    /// Every key with every place among its owners.
    pub(super) fn places(&self) -> Vec<(usize, usize)> {
        let owners = self.owners.iter().enumerate();
        owners.flat_map(|(key, owners)| (0..owners.len()).map(move |place| (key, place))).collect()
    }

    /// Asks the store of a key's owner something about that key.
    pub(super) fn ask_store(
        &mut self,
        key: usize,
        place: usize,
        ask: fn(Token, RecordKey) -> StoreRequest,
    ) {
        let token = Token(OWN_TOKENS + (key << 8 | place) as u64);
        let record = self.record_of(self.keys[key].clone());
        self.submit_own(self.owners[key][place], ask(token, record));
    }

    /// The record of a key.
    pub(super) fn record_of(&self, key: Key) -> RecordKey {
        let class = self.view.buckets[&self.bucket].class;
        RecordKey::new(class, self.view.layout.partitions(), self.bucket.clone(), key)
    }

    /// Asks a node's store something that its engine knows nothing of.
    pub(super) fn submit_own(&mut self, number: u16, request: StoreRequest) {
        let now = self.nodes[usize::from(number)].now(self.schedule.now_ns());
        if let Some(life) = &mut self.nodes[usize::from(number)].life {
            life.shard.submit(now, request);
        }
        self.pump(number);
    }

    /// A store answered one of the simulator's own questions.
    pub(super) fn hear_own(&mut self, number: u16, asked: u64, event: &StoreEvent) {
        if let StoreEvent::Leaves { leaves, .. } = event {
            return self.judge_leaves(number, asked, leaves.as_deref());
        }
        let (key, place) = ((asked >> 8) as usize, (asked & 0xff) as usize);
        match (event, &mut self.phase) {
            (StoreEvent::Read { result: Ok(held), .. }, Phase::Looking { found, .. }) => {
                let digest = held.as_ref().map_or(0, |set| set.live_digest().0);
                self.digests.insert((number, key as u16), digest);
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

    fn judge_found(&mut self, found: &[Vec<Option<Seen>>]) {
        for (key, records) in (0..).zip(found) {
            let held = self.held(key, records);
            let judgement = if held.len() < records.len() {
                Err(Violation::new(
                    Property::P19,
                    "an owner's store did not answer at the end".to_owned(),
                ))
            } else {
                self.judge_key(key, &held)
            };
            self.accuse(judgement, None, Some(key));
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
            let owed = self.holders.left(key, oracle.acknowledged());
            p1_acknowledged_writes::check_final(oracle, &owed, &seen)?;
            p2_convergence::check(held)?;
        }
        Ok(())
    }
}
