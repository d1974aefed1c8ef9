//! A node's life: from the opening of its store to its death.
//!
//! A node that is down is its disk and its index image. Starting one opens the production store on them, which recovers,
//! and puts a fresh engine beside it. Death takes everything else: engine, table, queues, jobs that a worker had in hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use kvorum_node::engine::{Engine, EngineOptions, Now};
use kvorum_protocol::{Dot, RecordKey};
use kvorum_ring::NodeId;
use kvorum_store::memory_index::{self, MemoryDisk, MemoryIndex};
use kvorum_store::sim_files::{self, SimFiles};
use kvorum_store::{
    Committer, Compactor, IndexFate, Indexer, Job, Reader, RecoveryReport, Shard, ShardOptions,
    Token,
};

use super::members::Detector;
use super::{Happening, World};
use crate::bits::Bits;
use crate::oracle::WriteId;
use crate::plan::{ClockPlan, IndexDamage, Plan};
use crate::reached::Rare;
use crate::streams::{Purpose, Stream};
use crate::violation::{Property, Violation};

/// Wall-clock time at the start of every run, in milliseconds since 1970.
pub(super) const WALL_START_MS: i64 = 1_750_000_000_000;

/// A change that the store was asked for and has not called durable.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) token: Token,
    pub(super) key: u16,
    /// The write that an update is for; none for a merge.
    pub(super) write: Option<WriteId>,
    /// Whether it was applied, with what the record's clock covered then.
    pub(super) covered: Option<Bits>,
    pub(super) minted: Option<Dot>,
    /// The record, if it is to be held for one owner less.
    pub(super) released: Option<RecordKey>,
}

/// What a running process has.
pub(super) struct Life {
    pub(super) engine: Engine,
    pub(super) shard: Shard,
    pub(super) committer: Committer<SimFiles>,
    pub(super) reader: Reader<SimFiles, MemoryIndex>,
    pub(super) indexer: Indexer<SimFiles, MemoryIndex>,
    pub(super) compactor: Compactor<SimFiles, MemoryIndex>,
    /// Jobs that workers have in hand, by number.
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) next_job: u64,
    /// When each worker is done with what it has.
    pub(super) free_ns: [u64; 4],
    /// The moment of the tick that is scheduled.
    pub(super) tick_ns: Option<u64>,
    pub(super) pending: Vec<Pending>,
    pub(super) served: bool,
    /// How many hinted keys it held when they were looked at last.
    pub(super) hinted: usize,
    pub(super) detector: Option<Box<Detector>>,
}

/// One node, up or down.
pub(super) struct Node {
    pub(super) id: NodeId,
    number: u16,
    seed: u64,
    pub(super) files: SimFiles,
    pub(super) index: MemoryDisk,
    shard_options: ShardOptions,
    engine_options: EngineOptions,
    pub(super) life: Option<Life>,
    /// Counts the lives; the first is 1.
    pub(super) run: u32,
    /// Counts them on this disk: the renewal that membership begins with.
    pub(super) starts: u64,
    pub(super) paused: bool,
    /// What came while the node was paused.
    pub(super) deferred: Vec<Happening>,
    pub(super) clock: ClockPlan,
    pub(super) doom: Option<Doom>,
    pub(super) slow_disk: (u64, u64),
    /// Until when its files cannot be read.
    pub(super) unreadable_until_ns: u64,
    /// How long it stays down when it stops itself.
    pub(super) stopped_for_ns: u64,
    /// The last moment at which it was not up and awake.
    pub(super) disturbed_ns: u64,
    /// For each key the actor that it minted with last.
    pub(super) actors: Vec<Option<u64>>,
    pub(super) latency: [Stream; 4],
}

/// A death that is planned behind some mints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doom {
    /// Mints that are left.
    pub(super) mints: u32,
    /// How long after the last of them.
    pub(super) delay_ns: u64,
    /// How long the node is down.
    pub(super) down_ns: u64,
    pub(super) within_io: bool,
}

/// How a process dies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    /// Within a disk operation, if one is under way.
    pub(super) within_io: bool,
    pub(super) index: IndexDamage,
    /// Whether the machine goes too, so that unsynced writes may be lost or torn.
    pub(super) power: bool,
}

impl Node {
    pub(super) fn new(plan: &Plan, id: NodeId, number: u16) -> Self {
        let latency =
            |worker| Stream::new(plan.seed, Purpose::WorkLatency, u64::from(number) << 8 | worker);
        Self {
            id,
            number,
            seed: plan.seed,
            files: SimFiles::new(),
            index: MemoryDisk::new(),
            shard_options: shard_options(plan),
            engine_options: engine_options(plan),
            life: None,
            run: 0,
            starts: 0,
            paused: false,
            deferred: Vec::new(),
            clock: plan.clocks.get(usize::from(number)).cloned().unwrap_or_default(),
            doom: None,
            slow_disk: (1, 0),
            unreadable_until_ns: 0,
            stopped_for_ns: 1_000_000,
            disturbed_ns: 0,
            actors: vec![None; plan.topology.keys.into()],
            latency: [latency(0), latency(1), latency(2), latency(3)],
        }
    }

    /// Whether its process exists.
    pub(super) const fn is_up(&self) -> bool {
        self.life.is_some()
    }

    /// Whether its process exists and runs.
    pub(super) const fn is_awake(&self) -> bool {
        self.life.is_some() && !self.paused
    }

    /// Keys that it holds for owners that were away.
    pub(super) fn hints(&self) -> usize {
        self.life.as_ref().map_or(0, |life| life.shard.hint_stats().keys)
    }

    /// Bytes that it may hold for others: its bounds, and what was under way when the last of it was let in.
    pub(super) fn most_hint_bytes(&self) -> usize {
        let ShardOptions { bearing_bytes, spare_bytes, pending_bytes, queued_operations, .. } =
            self.shard_options;
        const LARGEST: usize = 8 * 1024;
        bearing_bytes + spare_bytes + pending_bytes + queued_operations.min(64) * 1024 + LARGEST
    }

    /// Both clocks of the node when the simulation's time is `at_ns`.
    pub(super) fn now(&self, at_ns: u64) -> Now {
        let at_ms = (at_ns / 1_000_000) as i64;
        let drift_ms = at_ms * i64::from(self.clock.drift_ppm) / 1_000_000;
        let wall_ms = WALL_START_MS + at_ms + drift_ms + self.clock.offset_ms;
        Now { mono_ns: at_ns, wall_ms: wall_ms.max(0) as u64 }
    }

    /// Gives it an empty disk. It must be down.
    pub(super) fn wipe(&mut self) {
        self.files = SimFiles::new();
        self.index = MemoryDisk::new();
        self.starts = 0;
    }

    /// A number for this node's present run.
    pub(super) fn draw(&self, purpose: Purpose) -> u64 {
        Stream::at(self.seed, purpose, self.number.into(), self.run.into())
    }
}

/// The shard's settings: small everywhere, and smaller the more the plan buggifies.
fn shard_options(plan: &Plan) -> ShardOptions {
    let mut options = ShardOptions::small();
    let divide = |value: usize| (value >> plan.buggify.min(3)).max(1);
    options.table_bytes = divide(options.table_bytes);
    options.index_batch = divide(options.index_batch);
    options.checkpoint_bytes = (options.checkpoint_bytes >> plan.buggify.min(3)).max(1);
    if plan.buggify == 1 {
        options.spare_ms = 300;
    }
    if plan.buggify >= 2 {
        options.bearing_bytes = 4 * 1024;
        options.spare_bytes = 3 * 1024;
        options.pending_bytes = divide(options.pending_bytes);
        options.unindexed_records = divide(options.unindexed_records);
        options.queued_operations = divide(options.queued_operations);
    }
    if plan.buggify % 2 == 1 {
        // About what a sync of the simulated disk takes, so that some batches wait and some do not.
        options.paced_entries = 2;
        options.pace_ns = 1_000_000;
    }
    #[cfg(feature = "planted")]
    {
        options.planted = plan.planted.as_deref().and_then(crate::planted::in_store);
    }
    options
}

fn engine_options(plan: &Plan) -> EngineOptions {
    let mut options = EngineOptions::default();
    if plan.buggify == 3 {
        options.max_requests = 8;
        options.max_replica_tasks = 8;
    }
    if plan.buggify == 2 {
        options.events = 16;
    }
    #[cfg(feature = "planted")]
    {
        options.planted = plan.planted.as_deref().and_then(crate::planted::in_engine);
    }
    options
}

impl World {
    /// The earliest and the latest of all nodes' wall clocks now, in milliseconds.
    pub(super) fn wall_clocks(&self) -> (u64, u64) {
        let now_ns = self.schedule.now_ns();
        let clocks = || self.nodes.iter().map(|node| node.now(now_ns).wall_ms);
        (clocks().min().unwrap_or(0), clocks().max().unwrap_or(0))
    }

    /// Starts a node that is down: its store recovers, its engine begins anew.
    pub(super) fn start(&mut self, number: u16) {
        let view = self.view.clone();
        let node = &mut self.nodes[usize::from(number)];
        if node.is_up() {
            return;
        }
        node.run += 1;
        node.starts += 1;
        let mut options = node.shard_options.clone();
        options.expects_existing = node.run > 1;
        let seed = node.draw(Purpose::ShardSeed);
        node.engine_options.exchange_every_ms = self.exchange_every_ms;
        let had_fault = node.files.fault_is_pending();
        let opened =
            kvorum_store::open(Arc::new(node.files.clone()), node.index.clone(), options, seed);
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) if had_fault && !node.files.fault_is_pending() => {
                // The opening met a fault of the plan. The process ends, and is started again.
                let down_ns = node.stopped_for_ns;
                node.files = node.files.crash(seed);
                node.index.crash(memory_index::IndexDamage::None, seed);
                self.say(Some(number), None, || format!("does not start: {error}"));
                self.after(down_ns, Happening::Start { node: number });
                return;
            }
            Err(error) => {
                let what = format!("the store of node {number} does not open: {error}");
                self.accuse(Err(Violation::new(Property::P19, what)), Some(number), None);
                return;
            }
        };
        let engine =
            Engine::new(node.id, node.engine_options, node.draw(Purpose::EngineSeed), view);
        node.life = Some(Life {
            engine,
            shard: opened.shard,
            committer: opened.committer,
            reader: opened.reader,
            indexer: opened.indexer,
            compactor: opened.compactor,
            jobs: BTreeMap::new(),
            next_job: 0,
            free_ns: [0; 4],
            tick_ns: None,
            pending: Vec::new(),
            served: false,
            // All that is held is looked for once at the start.
            hinted: usize::MAX,
            detector: None,
        });
        node.disturbed_ns = self.schedule.now_ns();
        let (run, report) = (node.run, opened.report);
        self.mark_recovery(number, &report);
        self.trace.hash.word(u64::from(number) << 32 | u64::from(run));
        self.say(Some(number), None, || format!("starts, run {run}: {report:?}"));
        self.beliefs.forget(number);
        let detector = self.detector(number);
        if let Some(life) = &mut self.nodes[usize::from(number)].life {
            life.detector = detector;
        }
        self.pump(number);
        self.pump_detector(number);
        self.notice(number);
    }

    fn mark_recovery(&mut self, number: u16, report: &RecoveryReport) {
        let found = [
            (matches!(report.index, IndexFate::Rebuilt(_)), Rare::IndexRebuilt),
            (report.relogged > 0, Rare::Relogged),
            (self.nodes[usize::from(number)].hints() > 0, Rare::HintFoundAtStart),
            (report.torn, Rare::TornTail),
        ];
        for (_, state) in found.into_iter().filter(|(is_so, _)| *is_so) {
            self.reached.mark(state);
        }
    }

    /// Lets a node die and, after `down_ns`, start again.
    pub(super) fn die(&mut self, number: u16, death: Death, down_ns: u64) {
        if self.nodes[usize::from(number)].is_up() {
            self.end_life(number, death);
            let delay = if self.healed { 0 } else { down_ns };
            self.after(delay, Happening::Start { node: number });
        }
    }

    /// Lets a node die.
    pub(super) fn end_life(&mut self, number: u16, death: Death) {
        let now_ns = self.schedule.now_ns();
        let node = &mut self.nodes[usize::from(number)];
        let Some(mut life) = node.life.take() else { return };
        let seed = node.draw(Purpose::DiskRemains);
        let within_io = death.within_io && interrupt_job(&mut life, &node.files, seed);
        drop(life.jobs);
        node.files = if death.power { node.files.crash(seed) } else { node.files.kill() };
        node.index.crash(damage(death.index), seed);
        (node.paused, node.doom, node.disturbed_ns) = (false, None, now_ns);
        node.unreadable_until_ns = 0;
        node.deferred.clear();
        self.note_death(number);
        self.say(Some(number), None, || format!("dies ({death:?})"));
        if within_io {
            self.reached.mark(Rare::CrashWithinDiskOperation);
        }
        if !life.served {
            self.reached.mark(Rare::CrashLoop);
        }
        self.mark_lost_mints(&life.pending);
        self.forget_released(number, &life.pending);
        self.mark_work(&life.engine);
        self.network.process_died(now_ns, number);
        self.disconnect_clients(number);
        self.notice(number);
    }

    /// The moment of a planned death after a mint has come.
    pub(super) fn die_after_mint(&mut self, number: u16, run: u32, doom: Doom) {
        if self.nodes[usize::from(number)].run == run && !self.healed {
            let Doom { within_io, down_ns, .. } = doom;
            self.die(number, Death { within_io, index: IndexDamage::Whole, power: true }, down_ns);
        }
    }

    /// Counts a mint of a node that the plan wants dead after some mints.
    pub(super) fn approach_doom(&mut self, number: u16) {
        let node = &mut self.nodes[usize::from(number)];
        let Some(doom) = node.doom else { return };
        node.doom = (doom.mints > 1).then_some(Doom { mints: doom.mints - 1, ..doom });
        let run = node.run;
        if doom.mints <= 1 {
            self.after(doom.delay_ns, Happening::Die { node: number, run, doom });
        }
    }

    /// Marks what only the counters of engines, stores and links know, at the end of a run.
    pub(super) fn sum_up(&mut self) {
        for number in 0..self.nodes.len() {
            if let Some(life) = self.nodes[number].life.take() {
                self.mark_work(&life.engine);
            }
        }
        if self.network.overtakes() > 0 {
            self.reached.mark(Rare::Reordered);
        }
    }

    fn mark_work(&mut self, engine: &Engine) {
        let stats = engine.stats();
        let counts = [
            (stats.repairs, Rare::ReadRepair),
            (stats.hints_delivered, Rare::HintDelivered),
            (stats.hints_undelivered, Rare::HintUndelivered),
            (stats.passed_over, Rare::PassedOver),
            (stats.digests_agreed, Rare::DigestAgreed),
            (stats.digests_differed, Rare::DigestDiffered),
        ];
        for (_, state) in counts.into_iter().filter(|(count, _)| *count > 0) {
            self.reached.mark(state);
        }
    }

    fn mark_lost_mints(&mut self, pending: &[Pending]) {
        for lost in pending {
            let Some(dot) = lost.minted else { continue };
            self.reached.mark(Rare::CrashBetweenMintAndSync);
            let key = usize::from(lost.key);
            let version = self.oracle[key].version_of(super::judge::shadow(dot));
            if version.is_some_and(|version| self.spread[key].contains(version)) {
                self.reached.mark(Rare::DotOutlivedItsMinter);
            }
        }
    }
}

/// Lets a job that a worker has in hand get as far as one of its disk operations, which never returns: a write may be on
/// its way, and what a sync was to cover is not covered. True if there was a job.
fn interrupt_job(life: &mut Life, files: &SimFiles, seed: u64) -> bool {
    // Every worker does its jobs in order, so only the first of each can be in hand.
    let mut first: [Option<u64>; 4] = [None; 4];
    for (number, job) in &life.jobs {
        first[worker_of(job)].get_or_insert(*number);
    }
    let in_hand: Vec<u64> = first.into_iter().flatten().collect();
    let Some(number) = in_hand.get((seed >> 8) as usize % in_hand.len().max(1)) else {
        return false;
    };
    let Some(job) = life.jobs.remove(number) else { return false };
    files.fail_nth(seed % 4, sim_files::Fault::Death);
    // What the worker says of it is heard by nobody: the process is gone.
    drop(life.work(job));
    true
}

/// The number of the worker that does a job.
pub(super) const fn worker_of(job: &Job) -> usize {
    match job {
        Job::Commit(_) => 0,
        Job::Read(_) => 1,
        Job::Index(_) => 2,
        Job::Compact(_) => 3,
    }
}

const fn damage(index: IndexDamage) -> memory_index::IndexDamage {
    match index {
        IndexDamage::Whole => memory_index::IndexDamage::None,
        IndexDamage::Unflushed => memory_index::IndexDamage::Unflushed,
        IndexDamage::Stale => memory_index::IndexDamage::Stale,
        IndexDamage::Empty => memory_index::IndexDamage::Empty,
        IndexDamage::Subset => memory_index::IndexDamage::MissingEntries,
        IndexDamage::Refuses => memory_index::IndexDamage::Unopenable,
    }
}
