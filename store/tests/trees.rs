//! The hash trees of a shard are those of its records, whatever happened to either.
//!
//! Every run is a function of its seed, which a failure prints.

mod support;

use kvorum_antientropy::{LeafKey, Leaves, leaf_of};
use kvorum_protocol::Space;
use kvorum_ring::{ClassId, KeyHash, PartitionId};
use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{ContentsRange, Job, ShardOptions, StoreRequest};
use support::history::Rng;
use support::trees::{PARTITIONS, live_and_die, lose_the_log, whole};
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
fn bug_55_what_a_start_lost_is_not_hidden_by_trees_that_were_saved_before() {
    lose_the_log(&ShardOptions::small()).unwrap_or_else(|what| panic!("{what}"));
}

#[test]
fn a_value_is_hashed_with_the_index_and_not_at_each_put() {
    let options = ShardOptions { checkpoint_ms: 3_600_000, ..ShardOptions::default() };
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), options, 1).unwrap();
    for round in 0..50 {
        for number in 0..10 {
            store.put(&format!("key{number}"), &format!("{round}"));
        }
        store.settle();
    }
    let stats = store.opened.shard.stats();
    assert_eq!((stats.trees_digested, stats.indexed), (0, 0), "500 puts hashed nothing");
    store.check_trees().unwrap();
    assert_eq!(store.opened.shard.stats().trees_digested, 10, "asked for, each key is hashed once");
    store.check_trees().unwrap();
    assert_eq!(store.opened.shard.stats().trees_digested, 10, "and not again");
    store.close();
    assert_eq!(store.opened.shard.stats().trees_digested, 10);
    assert_eq!(store.opened.shard.stats().indexed, 10);
}

#[test]
fn while_there_are_writes_values_are_hashed_for_trees_at_a_pace_and_by_bytes() {
    let options = ShardOptions { checkpoint_ms: 3_600_000, ..ShardOptions::default() };
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), options, 1).unwrap();
    for number in 0..64 {
        store.put(&format!("key{number}"), &"v".repeat(100_000));
        store.settle();
    }
    // A batch is with the committer for as long as the question takes.
    store.put("key0", "another");
    let Some(commit @ Job::Commit(_)) = store.poll_job() else { panic!("a batch goes at once") };
    let partitions: Vec<PartitionId> = (0..PARTITIONS).map(PartitionId).collect();
    let token = store.submit(|token| StoreRequest::Roots { token, class: ClassId(0), partitions });
    let began = store.now.mono_ns;
    let mut jobs = 0;
    while store.outcome(token).roots.is_none() {
        if let Some(job) = store.poll_job() {
            assert!(matches!(job, Job::Read(_)), "nothing else is to be done");
            store.run(job);
            jobs += 1;
        } else {
            let due = store.opened.shard.next_deadline().expect("a pace has an end");
            assert!(due > store.now.mono_ns, "no deadline has passed");
            store.now.mono_ns = due;
            store.opened.shard.tick(store.now);
            store.collect();
        }
    }
    assert!((6..=8).contains(&jobs), "a mebibyte each: {jobs}");
    let took_ms = (store.now.mono_ns - began) / 1_000_000;
    assert!((60..=120).contains(&took_ms), "64 MB a second: {took_ms} ms");
    store.run(commit);
    store.check_trees().unwrap();
}

#[test]
fn a_question_about_too_much_that_changes_is_answered_at_once_and_one_about_little_in_time() {
    let options = ShardOptions {
        checkpoint_ms: 3_600_000,
        checkpoint_bytes: 1 << 30,
        unindexed_records: 10_000,
        told_for_an_answer: 20,
        table_bytes: 1 << 20,
        ..ShardOptions::small()
    };
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), options, 1).unwrap();
    fill(&mut store);
    store.put("key0", "another");
    let Some(commit @ Job::Commit(_)) = store.poll_job() else { panic!("a batch goes at once") };
    let roots = |store: &mut Store, partitions: Vec<u32>| {
        let partitions = partitions.into_iter().map(PartitionId).collect();
        store.submit(|token| StoreRequest::Roots { token, class: ClassId(0), partitions })
    };
    let of_all = roots(&mut store, (0..PARTITIONS).collect());
    assert_eq!(store.outcome(of_all).roots, Some(None));
    let of_one = roots(&mut store, vec![2]);
    for _ in 0..100 {
        store.pass_ms(1);
    }
    assert!(matches!(store.outcome(of_one).roots, Some(Some(_))));
    store.run(commit);
    store.settle();
    let of_all = roots(&mut store, (0..PARTITIONS).collect());
    store.settle();
    assert!(matches!(store.outcome(of_all).roots, Some(Some(_))), "nobody writes");
}

#[test]
fn trees_for_which_there_is_no_space_hold_up_no_checkpoint() {
    let (files, disk, mut store) = fresh();
    for round in 0..4 {
        store.put("key0", &format!("{round}"));
        store.settle();
        store.pass_ms(1_000);
    }
    // A few bytes for a manifest that names larger numbers, and no place for the trees of three more partitions.
    files.set_capacity(Some(files.used() + 100));
    fill(&mut store);
    store.pass_ms(1_000);
    store.pass_ms(2_000);
    let stats = store.opened.shard.stats();
    assert_eq!((store.poisoned, stats.checkpoint_batch), (None, stats.last_batch));
    files.set_capacity(None);
    disk.crash(IndexDamage::None, 1);
    let mut again = open(&files.crash(1), &disk, 2);
    again.check_trees().unwrap();
    assert!(again.opened.shard.stats().trees_counted > 0, "they were not saved");
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
    store.settle();
    let roots = store.outcome(token).roots.expect("an answer").expect("known in a new store");
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
