//! Crash consistency: whatever moment the power fails at, and whatever part of the unsynced writes survives, what was
//! acknowledged is there, what was not is there whole or not at all, and nothing is minted under an old actor.
//!
//! To run one case again: set its seed, cut and survivors in `the_case_in_hand`.

mod support;

use kvorum_store::ShardOptions;
use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::{Recording, SimFiles};
use support::Store;
use support::history::{History, Mix, Rng, check_reopened};

/// A recorded workload.
struct Recorded {
    history: History,
    recording: Recording,
    options: ShardOptions,
    seed: u64,
}

fn record(seed: u64, mix: Mix) -> Recorded {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let options = ShardOptions::small();
    let recording = files.start_recording();
    let mut store = Store::open(&files, &disk, options.clone(), seed).unwrap();
    let mut history = History::new();
    history.run(&mut store, Some(&recording), &disk, &mut Rng(seed), mix);
    assert!(store.poisoned.is_none() && store.damage.is_empty(), "nothing fails here");
    Recorded { history, recording, options, seed }
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

const MIX: Mix = Mix { keys: 6, steps: 60, removals: 9, bulk: 25 };

#[test]
fn a_crash_after_every_operation_keeps_what_was_acknowledged() {
    for seed in 1..=2 {
        let run = record(seed, MIX);
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
    for seed in 11..=12 {
        let run = record(seed, MIX);
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
