//! What fails is never hidden: every failing operation either does no harm or stops the store, and the next start finds
//! everything that was acknowledged.

mod support;

use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::{Fault, SimFiles};
use kvorum_store::{ShardOptions, StoreRequest};
use support::history::{History, Mix, Rng};
use support::{Store, key};

const MIX: Mix = Mix { keys: 5, steps: 28, removals: 9, bulk: 30 };
const SEED: u64 = 5;

/// Runs the workload with whatever faults are set; returns its history and whether the store was stopped.
fn run(files: &SimFiles, disk: &MemoryDisk) -> (History, bool) {
    let mut history = History::new();
    let Ok(mut store) = Store::open(files, disk, ShardOptions::small(), SEED) else {
        return (history, true);
    };
    history.run(&mut store, None, disk, &mut Rng(SEED), MIX);
    if store.poisoned.is_some() {
        assert!(store.poll_job().is_none(), "a stopped store has no jobs");
        let late = store.put("late", "v");
        let read = store.submit(|token| StoreRequest::Read { token, key: key("late") });
        store.settle();
        for token in [late, read] {
            let outcome = store.outcome(token);
            assert!(
                outcome.applied.is_none() && outcome.read.is_none(),
                "a stopped store answers nothing"
            );
        }
    }
    let stopped = store.poisoned.is_some();
    (history, stopped)
}

fn reopen_and_check(history: &History, files: &SimFiles, disk: &MemoryDisk, case: &str) {
    let opened = Store::open(files, disk, ShardOptions::small(), SEED + 1);
    let mut store = opened.unwrap_or_else(|error| panic!("{case}: does not open: {error}"));
    history.check(&mut store, usize::MAX).unwrap_or_else(|problem| panic!("{case}: {problem}"));
    history.mint_afresh(&mut store).unwrap_or_else(|problem| panic!("{case}: {problem}"));
}

/// Operations of the workload when nothing fails.
fn operations() -> u64 {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    run(&files, &disk);
    files.counts().operations
}

#[test]
fn any_failing_file_operation_loses_nothing_acknowledged() {
    let total = operations();
    assert!(total > 100, "{total} operations");
    for fault in Fault::ERRORS {
        let mut stopped = 0;
        for n in 0..total {
            let (files, disk) = (SimFiles::new(), MemoryDisk::new());
            files.fail_nth(n, fault);
            let (history, poisoned) = run(&files, &disk);
            stopped += u64::from(poisoned);
            let case = format!("{fault:?} at operation {n}");
            // The process ends, or the power fails: a failed sync saved nothing, and a second one would not say so.
            if n % 2 == 0 {
                disk.crash(IndexDamage::Unflushed, n);
                reopen_and_check(&history, &files.kill(), &disk, &case);
            } else {
                disk.crash(IndexDamage::None, n);
                reopen_and_check(&history, &files.crash(n), &disk, &case);
            }
        }
        assert!(
            stopped > total / 4,
            "{fault:?}: a failed append or sync stops the store ({stopped} of {total})"
        );
    }
}

#[test]
fn a_read_that_comes_back_wrong_costs_nothing_on_the_disk() {
    for n in 0..operations() {
        let (files, disk) = (SimFiles::new(), MemoryDisk::new());
        files.fail_nth(n, Fault::FlipRead);
        let (history, stopped) = run(&files, &disk);
        assert!(!stopped, "operation {n}: no write failed");
        disk.crash(IndexDamage::None, n);
        reopen_and_check(
            &history,
            &files.crash(n),
            &disk,
            &format!("a flipped bit in operation {n}"),
        );
    }
}

#[test]
fn any_failing_index_call_loses_nothing_acknowledged() {
    let mut hit = 0;
    for n in 0..200 {
        let (files, disk) = (SimFiles::new(), MemoryDisk::new());
        disk.fail_nth(n);
        let (history, poisoned) = run(&files, &disk);
        hit += u64::from(poisoned);
        disk.crash(IndexDamage::Unflushed, n);
        reopen_and_check(&history, &files.kill(), &disk, &format!("index call {n}"));
    }
    assert!(hit > 10, "{hit} of the calls stop the store");
}

#[test]
fn a_fault_while_opening_leaves_everything_for_the_next_try() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let (history, _) = run(&files, &disk);
    let files = files.kill();
    let before = files.counts().operations;
    reopen_and_check(&history, &files, &disk, "no fault");
    let operations = files.counts().operations - before;
    for fault in Fault::ERRORS {
        for n in 0..operations.min(40) {
            let (files, disk) = (SimFiles::new(), MemoryDisk::new());
            let (history, _) = run(&files, &disk);
            disk.crash(IndexDamage::Unflushed, n);
            let files = files.kill();
            files.fail_nth(n, fault);
            let failed = Store::open(&files, &disk, ShardOptions::small(), SEED + 7).is_err();
            disk.crash(IndexDamage::None, n);
            let files = if failed { files.crash(n) } else { files.kill() };
            reopen_and_check(
                &history,
                &files,
                &disk,
                &format!("{fault:?} at operation {n} of opening"),
            );
        }
    }
}

#[test]
fn a_start_that_fails_leaves_nothing_in_the_index_that_the_log_may_lose() {
    let mut twice = 0;
    for n in (0..operations()).step_by(4) {
        for m in 0..16 {
            let (files, disk) = (SimFiles::new(), MemoryDisk::new());
            files.fail_nth(n, Fault::Eio);
            let (history, poisoned) = run(&files, &disk);
            if !poisoned {
                break;
            }
            // The next process sees what the failed sync left, and fails as well; then the power goes.
            disk.crash(IndexDamage::Unflushed, n);
            let files = files.kill();
            files.fail_nth(m, Fault::Eio);
            if Store::open(&files, &disk, ShardOptions::small(), SEED + 7).is_ok() {
                continue;
            }
            twice += 1;
            disk.crash(IndexDamage::Unflushed, n);
            let case = format!("operation {n}, then {m} of opening");
            reopen_and_check(&history, &files.crash(n + m), &disk, &case);
        }
    }
    assert!(twice > 50, "{twice} starts failed");
}
