//! The hash trees of a shard are those of its records, whatever happened to either.
//!
//! Every run is a function of its seed, which a failure prints.

mod support;

use kvorum_antientropy::{LeafKey, Leaves, leaf_of};
use kvorum_protocol::Space;
use kvorum_ring::{ClassId, KeyHash, PartitionId};
use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{ContentsRange, ShardOptions, StoreRequest};
use support::history::Rng;
use support::trees::{PARTITIONS, live_and_die, whole};
use support::{Store, key};

fn open(files: &SimFiles, disk: &MemoryDisk, seed: u64) -> Store {
    Store::open(files, disk, ShardOptions::small(), seed).unwrap()
}

fn fresh() -> (SimFiles, MemoryDisk, Store) {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let store = open(&files, &disk, 1);
    (files, disk, store)
}

/// Half a dozen keys in every partition.
fn fill(store: &mut Store) {
    for number in 0..24 {
        store.put(&format!("key{number}"), &format!("value {number}"));
    }
    store.settle();
}

#[test]
fn bug_13_and_55_kept_trees_are_those_of_the_records_through_any_history_and_crash() {
    for seed in 1..=120 {
        live_and_die(&ShardOptions::small(), seed).unwrap_or_else(|what| panic!("{what}"));
    }
}

#[test]
fn bug_16_a_clean_stop_loses_nothing_of_the_trees() {
    let (files, disk, mut store) = fresh();
    fill(&mut store);
    store.apply(
        "key3",
        support::update(kvorum_protocol::Replaces::Latest, kvorum_protocol::Change::Delete, 99),
    );
    store.settle();
    let before: Vec<_> = (0..PARTITIONS).map(|partition| store.tree(partition)).collect();
    store.put("key5", "the last word");
    store.close();
    assert!(store.closed);
    disk.crash(IndexDamage::None, 1);
    let mut again = open(&files.crash(1), &disk, 2);
    let after: Vec<_> = (0..PARTITIONS).map(|partition| again.tree(partition)).collect();
    assert_eq!(again.opened.shard.stats().trees_counted, 0, "nothing had to be counted");
    again.check_trees().unwrap();
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!(changed, 1, "the partition of the last word");
}

#[test]
fn bug_15_damaged_trees_are_counted_anew_and_keep_nothing_from_opening() {
    for slot in ["trees-a", "trees-b"] {
        for offset in [0, 9, 12, 40, 300] {
            let (files, disk, mut store) = fresh();
            fill(&mut store);
            store.close();
            disk.crash(IndexDamage::None, 1);
            if !files.flip(slot, offset, 4) {
                continue;
            }
            files.flip(if slot == "trees-a" { "trees-b" } else { "trees-a" }, offset, 4);
            let mut again = open(&files, &disk, 2);
            again.check_trees().unwrap();
            assert_eq!(again.opened.shard.stats().trees_counted, u64::from(PARTITIONS));
        }
    }
}

#[test]
fn trees_made_under_another_key_are_counted_anew() {
    let (files, disk, mut store) = fresh();
    fill(&mut store);
    let before = store.tree(0);
    store.close();
    disk.crash(IndexDamage::None, 1);
    let leaf_key = LeafKey::new([1; 32]);
    let options = ShardOptions { leaf_key, ..ShardOptions::small() };
    let mut again = Store::open(&files, &disk, options, 2).unwrap();
    assert_ne!(again.tree(0), before);
    assert_eq!(again.opened.shard.stats().trees_counted, 1);
}

#[test]
fn after_a_crash_only_partitions_that_were_written_to_since_the_checkpoint_are_counted() {
    let (files, disk, mut store) = fresh();
    fill(&mut store);
    store.pass_ms(1_000);
    store.pass_ms(1_000);
    assert_eq!(store.opened.shard.stats().index_backlog, 0, "a checkpoint was made");
    let written = key("key7").partition;
    store.put("key7", "after the checkpoint");
    store.settle();
    disk.crash(IndexDamage::None, 1);
    let mut again = open(&files.crash(1), &disk, 2);
    again.check_trees().unwrap();
    assert_eq!(again.opened.shard.stats().trees_counted, 1, "only {written}");
}

#[test]
fn a_partition_is_counted_rightly_while_it_is_written_to() {
    for seed in 1..=200 {
        let (files, disk, mut store) = fresh();
        fill(&mut store);
        disk.crash(IndexDamage::Unflushed, 1);
        let mut again = open(&files.kill(), &disk, 2);
        let mut rng = Rng(seed);
        for round in 0..40 {
            let partition = PartitionId(rng.below(u64::from(PARTITIONS)) as u32);
            match rng.below(6) {
                0 => drop(again.submit(|token| StoreRequest::Leaves {
                    token,
                    class: ClassId(0),
                    partition,
                })),
                1 => drop(again.remove(&format!("key{}", rng.below(24)))),
                2 => drop(again.put(&format!("key{}", rng.below(30)), &format!("{round}"))),
                _ => drop(again.step()),
            }
        }
        again.settle();
        again.check_trees().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    }
}

#[test]
fn roots_of_all_partitions_are_told_together_or_not_at_all() {
    let (_files, _disk, mut store) = fresh();
    fill(&mut store);
    let partitions: Vec<PartitionId> = (0..PARTITIONS).map(PartitionId).collect();
    let token = store.submit(|token| StoreRequest::Roots { token, class: ClassId(0), partitions });
    let roots = store.outcome(token).roots.expect("told at once").expect("known in a new store");
    let trees: Vec<_> = (0..PARTITIONS).map(|partition| store.tree(partition).root()).collect();
    assert_eq!(roots, trees);
}

#[test]
fn records_held_for_others_belong_to_no_tree_and_to_no_list() {
    let (_files, _disk, mut store) = fresh();
    fill(&mut store);
    let before: Vec<_> = (0..PARTITIONS).map(|partition| store.tree(partition)).collect();
    let held = store.held(whole(1)).0;
    for number in 0..24 {
        let hinted = key(&format!("key{number}")).in_space(Space::Hinted);
        let change = support::update(
            kvorum_protocol::Replaces::Latest,
            support::value("hinted"),
            1_000 + number,
        );
        store.submit(|token| StoreRequest::Apply { token, key: hinted, change });
    }
    store.settle();
    let after: Vec<_> = (0..PARTITIONS).map(|partition| store.tree(partition)).collect();
    assert_eq!(before, after);
    assert_eq!(held, store.held(whole(1)).0);
}

#[test]
fn what_a_partition_holds_is_listed_by_hash_in_pages_and_by_leaves() {
    let (_files, _disk, mut store) = fresh();
    for number in 0..200 {
        store.put(&format!("key{number}"), "v");
        if number % 40 == 0 {
            // Some of it is in the index, the rest waits.
            store.pass_ms(600);
        }
    }
    store.apply(
        "key2",
        support::update(kvorum_protocol::Replaces::Latest, kvorum_protocol::Change::Delete, 9_999),
    );
    store.settle();
    let tombstone = key("key2");
    let partition = tombstone.partition.0;
    let (all, more) = store.held(whole(partition));
    assert!(!more && all.is_sorted_by(|left, right| left.hash < right.hash));
    let expected: Vec<KeyHash> = {
        let keys = (0..200).map(|number| key(&format!("key{number}")));
        let mut hashes: Vec<KeyHash> =
            keys.filter(|key| key.partition.0 == partition).map(|key| key.key_hash()).collect();
        hashes.sort_unstable();
        hashes
    };
    assert_eq!(all.iter().map(|held| held.hash).collect::<Vec<_>>(), expected);
    assert!(all.iter().all(|held| held.tag.is_none() == (held.key == tombstone)));

    let mut paged = Vec::new();
    let mut from = KeyHash(0);
    loop {
        let (page, more) = store.held(ContentsRange { from, limit: 7, ..whole(partition) });
        assert_eq!(more, page.len() == 7 && paged.len() + 7 < all.len());
        from = KeyHash(page.last().map_or(0, |last| last.hash.0 + 1));
        paged.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(paged, all);
    let (some, _) = store.held(ContentsRange { leaves: Leaves(0b101), ..whole(partition) });
    let of_leaves = all.iter().filter(|held| [0, 2].contains(&leaf_of(held.hash)));
    assert_eq!(some, of_leaves.cloned().collect::<Vec<_>>());
}
