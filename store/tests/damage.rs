//! Damage is noticed, counted and never served: in the log, in the index, in whole files.

mod support;

use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{
    DamageNotice, File, Files, IndexFate, IndexFault, ReadError, ShardOptions, StoreRequest,
};
use support::{Store, key};

fn options() -> ShardOptions {
    // One checkpoint at the end, so that all of the log is behind it until then.
    ShardOptions { checkpoint_bytes: 1 << 30, checkpoint_ms: 1 << 30, ..ShardOptions::small() }
}

fn written(keys: usize) -> (SimFiles, MemoryDisk, Store) {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, options(), 1).unwrap();
    for number in 0..keys {
        store.put(&format!("k{number}"), &format!("value {number}"));
        store.settle();
    }
    (files, disk, store)
}

fn segments(files: &SimFiles) -> Vec<String> {
    files.list().unwrap().into_iter().filter(|name| name.ends_with(".main")).collect()
}

#[test]
fn every_flipped_byte_below_the_synced_mark_is_noticed_at_the_next_start() {
    let keys = 7;
    let (files, disk, store) = written(keys);
    let log = store.opened.shard.stats();
    drop(store);
    let name = segments(&files).pop().unwrap();
    let end = log.bytes + 512;
    let last_batch = log.bytes / keys as u64 + 20;
    for offset in 512..end {
        let (files, disk) = (files.snapshot().kill(), disk.snapshot());
        disk.crash(IndexDamage::Empty, 1);
        assert!(files.flip(&name, offset, 0x20));
        let mut store = Store::open(&files, &disk, options(), 2).unwrap();
        let report = store.opened.report;
        if offset < end - last_batch {
            let noticed = report.damaged_batches + report.damaged_bytes > 0;
            assert!(noticed && report.refilling, "offset {offset}: {report:?}");
        }
        let missing = (0..keys).filter(|number| {
            let found = store.get(&format!("k{number}"));
            assert!(
                found.is_empty() || found == [format!("value {number}")],
                "offset {offset}: {found:?}"
            );
            found.is_empty()
        });
        assert!(missing.count() <= 1, "offset {offset}: a flipped byte costs one record at most");
    }
}

#[test]
fn a_damaged_record_reads_as_damaged_ends_the_run_and_heals() {
    let (files, disk, mut store) = written(5);
    let set = store.get_set("k0").unwrap();
    store.close();
    drop(store);
    let name = segments(&files)[0].clone();
    assert!(files.flip(&name, 512 + 60 + 60, 1), "in the first record");
    let mut store = Store::open(&files, &disk, options(), 2).unwrap();
    let run = store.opened.shard.run();
    let read = store.submit(|token| StoreRequest::Read { token, key: key("k0") });
    store.settle();
    assert_eq!(store.outcome(read).read, Some(Err(ReadError::Damaged)));
    assert!(matches!(store.damage[..], [DamageNotice::Record { .. }, ..]), "{:?}", store.damage);
    assert!(store.opened.shard.is_refilling() && store.opened.shard.run() != run);
    let merge = store.apply("k0", kvorum_store::Apply::Merge { set });
    store.settle();
    assert!(store.outcome(merge).durable);
    assert_eq!(store.get("k0"), ["value 0"], "healed");
    store.close();
    drop(store);
    let store = Store::open(&files, &disk, options(), 3).unwrap();
    assert!(store.opened.shard.is_refilling(), "until every co-owner was compared with");
}

#[test]
fn refilling_ends_when_the_engine_says_so_and_stays_ended() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let expecting = ShardOptions { expects_existing: true, ..options() };
    let mut store = Store::open(&files, &disk, expecting.clone(), 1).unwrap();
    assert!(store.opened.report.created && store.opened.shard.is_refilling(), "the log is gone");
    store.opened.shard.finish_refilling(store.now);
    store.pass_ms(1);
    drop(store);
    let store = Store::open(&files.kill(), &disk, expecting, 2).unwrap();
    assert!(!store.opened.shard.is_refilling());
}

#[test]
fn whatever_is_wrong_with_the_index_it_is_rebuilt() {
    let faults = [
        (IndexDamage::None, IndexFate::Kept),
        (IndexDamage::Unflushed, IndexFate::Kept),
        (IndexDamage::Stale, IndexFate::Rebuilt(IndexFault::Stale)),
        (IndexDamage::Empty, IndexFate::Rebuilt(IndexFault::Foreign)),
        (IndexDamage::MissingEntries, IndexFate::Rebuilt(IndexFault::Incomplete)),
        (IndexDamage::Unopenable, IndexFate::Rebuilt(IndexFault::Unopenable)),
    ];
    for (damage, fate) in faults {
        let (files, disk) = (SimFiles::new(), MemoryDisk::new());
        let mut store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
        for number in 0..80 {
            store.put(&format!("k{number}"), &format!("value {number}"));
            store.settle();
            store.pass_ms(30);
        }
        drop(store);
        disk.crash(damage, 9);
        let mut store = Store::open(&files.kill(), &disk, ShardOptions::small(), 2).unwrap();
        let report = store.opened.report;
        assert_eq!((report.index, report.refilling, report.keys), (fate, false, 80), "{damage:?}");
        for number in 0..80 {
            assert_eq!(store.get(&format!("k{number}")), [format!("value {number}")], "{damage:?}");
        }
    }
}

#[test]
fn an_index_that_loses_entries_while_open_is_rebuilt_before_anything_is_dropped() {
    let (files, disk, mut store) = written(30);
    store.close();
    drop(store);
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    let run = store.opened.shard.run();
    assert!(disk.lose_entries(3) > 0);
    // The segment that holds them dies by half, and compaction comes by.
    for number in (1..30).step_by(2) {
        store.put(&format!("k{number}"), &format!("value {number}"));
        store.settle();
    }
    for round in 0..300 {
        store.put(&format!("churn{}", round % 4), &"c".repeat(200));
        store.settle();
        store.pass_ms(20);
    }
    let rebuilt = store
        .damage
        .iter()
        .any(|notice| matches!(notice, DamageNotice::IndexRebuilt { repaired } if *repaired > 0));
    assert!(rebuilt, "{:?}", store.damage);
    assert_ne!(store.opened.shard.run(), run, "all marks are void");
    for number in 0..30 {
        assert_eq!(store.get(&format!("k{number}")), [format!("value {number}")]);
    }
}

#[test]
fn a_lost_segment_is_missed() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
    for number in 0..120 {
        store.put(&format!("k{number}"), &"v".repeat(200));
        store.settle();
        store.pass_ms(20);
    }
    store.close();
    drop(store);
    let lost = segments(&files)[0].clone();
    files.remove(&lost).unwrap();
    files.sync_dir().unwrap();
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    let report = store.opened.report;
    assert_eq!(
        (report.missing_segments, report.index),
        (1, IndexFate::Rebuilt(IndexFault::LogDamaged))
    );
    assert!(report.refilling && report.keys > 0 && report.keys < 120, "{report:?}");
    let found = (0..120).filter(|number| !store.get(&format!("k{number}")).is_empty()).count();
    assert_eq!(found as u64, report.keys, "what is left is served, what is gone is gone");
}

#[test]
fn a_lost_manifest_costs_the_marks_and_nothing_else() {
    let (files, disk, mut store) = written(20);
    store.close();
    drop(store);
    for slot in ["manifest-a", "manifest-b"] {
        let _ = files.remove(slot);
    }
    let mut store = Store::open(&files, &disk, options(), 2).unwrap();
    let report = store.opened.report;
    assert_eq!((report.keys, report.refilling), (20, true), "{report:?}");
    for number in 0..20 {
        assert_eq!(store.get(&format!("k{number}")), [format!("value {number}")]);
    }
}

#[test]
fn a_directory_of_another_shard_is_refused() {
    let (files, disk, mut store) = written(1);
    store.close();
    drop(store);
    let other = ShardOptions { shards: 2, ..options() };
    let error = Store::open(&files, &disk, other, 2).err().unwrap();
    assert_eq!(error, kvorum_store::OpenError::OtherShard { shard: 0, shards: 1 });
    let size = files.open(&segments(&files)[0]).unwrap().len().unwrap();
    assert!(size > 0);
}
