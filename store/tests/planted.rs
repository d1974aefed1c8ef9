//! Every planted bug is found by the checks that the honest store passes. Without that, passing says little.
#![cfg(feature = "planted")]

mod support;

use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{Planted, ShardOptions};
use support::Store;
use support::history::{History, Mix, Rng, check_reopened};
use support::trees::{live_and_die, lose_the_log};

fn options(planted: Option<Planted>) -> ShardOptions {
    ShardOptions { planted, ..ShardOptions::small() }
}

/// Runs crashes, losses of index entries and reopenings with a planted bug until a check fails.
fn hunt(planted: Option<Planted>, runs: u64) -> Result<(), String> {
    for seed in 1..=runs {
        crash(planted, seed).map_err(|problem| format!("seed {seed}: {problem}"))?;
        lose_entries_and_compact(planted, seed)
            .map_err(|problem| format!("seed {seed}: {problem}"))?;
    }
    Ok(())
}

/// A workload, a power cut somewhere in it with an index that does not survive, and what must hold after it.
fn crash(planted: Option<Planted>, seed: u64) -> Result<(), String> {
    let (files, disk, mut rng) = (SimFiles::new(), MemoryDisk::new(), Rng(seed));
    let recording = files.start_recording();
    let mut store =
        Store::open(&files, &disk, options(planted), seed).map_err(|error| error.to_string())?;
    let mut history = History::new();
    let mix = Mix { keys: 4, steps: 60, removals: 4, bulk: 0 };
    history.run(&mut store, Some(&recording), &disk, &mut rng, mix);
    for _ in 0..12 {
        let n = rng.below(recording.len() as u64 + 1) as usize;
        let disk = history.index_at(n);
        let damage = IndexDamage::ALL[rng.below(6) as usize];
        disk.crash(damage, seed);
        let survivors = recording.prefix(n).torn(rng.next());
        check_reopened(&history, &survivors, &disk, &options(planted), n, seed + 1_000)?;
    }
    Ok(())
}

fn churn(store: &mut Store, rounds: usize) {
    for round in 0..rounds {
        store.put(&format!("churn{}", round % 4), &"c".repeat(300));
        store.settle();
        store.pass_ms(20);
    }
}

/// An index that loses entries while it is open, and enough overwriting that compaction comes by.
fn lose_entries_and_compact(planted: Option<Planted>, seed: u64) -> Result<(), String> {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store =
        Store::open(&files, &disk, options(planted), seed).map_err(|error| error.to_string())?;
    for number in 0..30 {
        store.put(&format!("kept{number}"), &format!("{number}"));
        store.settle();
    }
    store.close();
    drop(store);
    let mut store = Store::open(&files, &disk, options(planted), seed + 1)
        .map_err(|error| error.to_string())?;
    assert!(disk.lose_entries(seed) > 0);
    // The segment that holds them dies by half.
    for number in (1..30).step_by(2) {
        store.put(&format!("kept{number}"), &format!("{number}"));
        store.settle();
    }
    churn(&mut store, 250);
    store.close();
    drop(store);
    let mut store = Store::open(&files, &disk, options(planted), seed + 2)
        .map_err(|error| error.to_string())?;
    for number in (0..30).step_by(2) {
        let found = store.get(&format!("kept{number}"));
        if found != [format!("{number}")] {
            return Err(format!("kept{number}: {found:?}"));
        }
    }
    Ok(())
}

#[test]
fn nothing_is_armed_by_default() {
    assert_eq!(ShardOptions::default().planted, None);
    assert_eq!(ShardOptions::small().planted, None);
    for planted in Planted::ALL {
        assert_eq!(Planted::named(planted.name()), Some(planted));
    }
}

#[test]
fn the_honest_store_passes_the_hunt() {
    assert_eq!(hunt(None, 12), Ok(()));
}

/// Lives until a tree is not that of the records.
fn hunt_trees(planted: Planted) {
    let found = (1..=60).try_for_each(|seed| live_and_die(&options(Some(planted)), seed));
    assert!(found.expect_err("found").contains("the tree of partition"));
}

#[test]
fn bug_12_tree_not_canonical_is_found() {
    hunt_trees(Planted::TreeNotCanonical);
}

#[test]
fn bug_13_tree_misses_crash_is_found() {
    hunt_trees(Planted::TreeMissesCrash);
}

#[test]
fn bug_14_tree_keeps_deleted_is_found() {
    hunt_trees(Planted::TreeKeepsDeleted);
}

#[test]
fn bug_55_tree_hides_loss_is_found() {
    let found = lose_the_log(&options(Some(Planted::TreeHidesLoss)));
    assert!(found.expect_err("found").contains("the tree of partition"));
}

#[test]
fn bug_40_ack_before_sync_is_found() {
    let found = hunt(Some(Planted::AckBeforeSync), 12).unwrap_err();
    assert!(found.contains("last acknowledged"), "{found}");
}

#[test]
fn bug_46_actor_continued_is_found() {
    let found = hunt(Some(Planted::ActorContinued), 12).unwrap_err();
    assert!(found.contains("of an earlier run"), "{found}");
}

#[test]
fn bug_49_compaction_trusts_index_is_found() {
    let found = hunt(Some(Planted::CompactionTrustsIndex), 12).unwrap_err();
    assert!(found.contains("kept"), "{found}");
}

#[test]
fn bug_50_rebuild_resurrects_is_found() {
    let found = hunt(Some(Planted::RebuildResurrects), 12).unwrap_err();
    assert!(found.contains("last acknowledged"), "{found}");
}
