//! Crash consistency: whatever moment the power fails at, and whatever part of the unsynced writes survives, what was
//! acknowledged is there, what was not is there whole or not at all, and nothing is minted under an old actor.
//!
//! Every run is a function of its seed; a failure prints the seed, the operation after which the power failed and which
//! writes survived. To run one case again, name them in the loops below.

mod support;

use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::{Recording, SimFiles};
use kvorum_store::{ShardOptions, ShardStats};
use support::Store;
use support::history::{History, Mix, Rng, check_reopened};

/// A recorded workload.
struct Recorded {
    history: History,
    recording: Recording,
    options: ShardOptions,
    seed: u64,
    stats: ShardStats,
}

fn record(seed: u64, mix: Mix) -> Recorded {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let options = ShardOptions::small();
    let recording = files.start_recording();
    let mut store = Store::open(&files, &disk, options.clone(), seed).unwrap();
    let mut history = History::new();
    history.run(&mut store, Some(&recording), &disk, &mut Rng(seed), mix);
    assert!(store.poisoned.is_none() && store.damage.is_empty(), "nothing fails here");
    let stats = store.opened.shard.stats();
    Recorded { history, recording, options, seed, stats }
}

impl Recorded {
    fn check(
        &self,
        n: usize,
        files: &SimFiles,
        damage: IndexDamage,
        case: &str,
    ) -> kvorum_store::RecoveryReport {
        let disk = self.history.index_at(n);
        disk.crash(damage, n as u64);
        match check_reopened(&self.history, files, &disk, &self.options, n, self.seed + 1_000_000) {
            Ok(report) => report,
            Err(problem) => {
                panic!(
                    "seed {}, crash after operation {n}, {case}, index {damage:?}: {problem}",
                    self.seed
                )
            }
        }
    }
}

/// The kind of damage to the index goes round, so that every kind meets every kind of moment.
fn damage(turn: usize) -> IndexDamage {
    IndexDamage::ALL[turn % IndexDamage::ALL.len()]
}

/// With large records, and without, but long enough for compaction.
const MIXES: [Mix; 2] = [
    Mix { keys: 6, steps: 30, removals: 9, bulk: 3 },
    Mix { keys: 4, steps: 90, removals: 9, bulk: 0 },
];

#[test]
fn a_crash_after_every_operation_keeps_what_was_acknowledged() {
    for (seed, mix) in (1..).zip(MIXES) {
        let run = record(seed, mix);
        for n in 0..=run.recording.len() {
            let prefix = run.recording.prefix(n);
            run.check(n, &prefix.cut(0), damage(n), "only the synced");
            run.check(n, &prefix.cut(u64::MAX), damage(n + 1), "all written");
            run.check(n, &prefix.killed(), damage(n + 2), "killed");
        }
    }
}

#[test]
fn any_few_unsynced_writes_may_survive_or_be_torn() {
    for (seed, mix) in (11..).zip(MIXES) {
        let run = record(seed, mix);
        for n in 0..=run.recording.len() {
            let prefix = run.recording.prefix(n);
            let unsynced = prefix.unsynced().min(6);
            for kept in 0..1_u64 << unsynced {
                let survivors = kept.count_ones() as usize;
                if survivors <= 3 || unsynced - survivors <= 3 {
                    run.check(
                        n,
                        &prefix.cut(kept),
                        damage(n + kept as usize),
                        &format!("survivors {kept:b}"),
                    );
                }
            }
            for torn in 0..2 {
                run.check(n, &prefix.torn(torn), damage(n), &format!("torn by seed {torn}"));
            }
        }
    }
}

#[test]
fn a_crash_at_any_moment_of_a_recovery_loses_nothing_either() {
    for (seed, mix) in (21..).zip(MIXES) {
        let run = record(seed, mix);
        let last = run.recording.len();
        for n in [last / 3, last / 2, last - 5, last] {
            let disk = run.history.index_at(n);
            disk.crash(damage(n), n as u64);
            let files = run.recording.prefix(n).torn(seed);
            let opening = files.start_recording();
            let store = Store::open(&files, &disk, run.options.clone(), seed + 500).unwrap();
            drop(store);
            for cut in 0..=opening.len() {
                let prefix = opening.prefix(cut);
                for files in [prefix.cut(0), prefix.torn(cut as u64), prefix.killed()] {
                    // What became of the index by then is not known: it comes back empty.
                    let disk = disk.snapshot();
                    disk.crash(IndexDamage::Empty, 0);
                    let case =
                        check_reopened(&run.history, &files, &disk, &run.options, n, seed + 900);
                    case.unwrap_or_else(|problem| {
                        panic!("seed {seed}, crash {n}, again after {cut}: {problem}")
                    });
                }
            }
        }
    }
}

#[test]
fn the_recorded_workloads_meet_what_they_are_to_prove() {
    let [bulk, long] = [1, 2].map(|seed| {
        let run = record(seed, MIXES[seed as usize - 1]);
        (run.stats, run.recording.len())
    });
    for (stats, operations) in [bulk, long] {
        assert!(operations > 60 && stats.batches > 15 && stats.checkpoint_batch > 0, "{stats:?}");
    }
    assert!(bulk.0.bytes > 100_000 && bulk.0.segments > 2, "{:?}", bulk.0);
    assert!(long.0.moved > 0 && long.0.entries > long.0.batches, "{:?}", long.0);
}
