//! A start after a kill: what the log holds beyond the index waits in the backlog as it did before the kill, is served from
//! there, and survives the next kill, however far the index has come by then.

mod support;

use bytes::Bytes;
use kvorum_protocol::Space;
use kvorum_ring::{ClassId, PartitionId};
use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{ScanRange, ShardOptions, StoreRequest};
use support::history::{History, Mix, Rng};
use support::{Store, bucket};

/// Makes no checkpoint of its own accord, has room for everything, and feeds in small portions.
fn patient() -> ShardOptions {
    ShardOptions {
        checkpoint_bytes: 1 << 40,
        checkpoint_ms: 1_000,
        spread_ms: 0,
        segment_bytes: 64 * 1024,
        table_bytes: 1 << 20,
        unindexed_records: 1 << 10,
        ..ShardOptions::small()
    }
}

/// Ends the process: what was written stays, synced or not, and so does what the index was told.
fn kill(store: Store, files: SimFiles, disk: &MemoryDisk) -> SimFiles {
    drop(store);
    disk.crash(IndexDamage::Unflushed, 0);
    files.kill()
}

fn names(store: &mut Store) -> Vec<String> {
    let range = ScanRange {
        space: Space::Owned,
        class: ClassId(0),
        partitions: (0..4).map(PartitionId).collect(),
        bucket: bucket(),
        prefix: Bytes::new(),
        after: None,
        limit: 1_000,
        siblings_only: false,
    };
    let token = store.submit(|token| StoreRequest::Scan { token, range });
    while store.outcome(token).scanned.is_none() {
        assert!(store.step(), "a listing is answered");
    }
    let page = store.outcome(token).scanned.unwrap().unwrap();
    let name = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    page.keys.iter().map(|scanned| name(scanned.key.as_bytes())).collect()
}

/// Of forty keys in the index the first ten are written anew, the next ten removed, and ten more come in.
fn written(files: &SimFiles, disk: &MemoryDisk) -> Store {
    let mut store = Store::open(files, disk, patient(), 1).unwrap();
    for number in 0..40 {
        store.put(&format!("k{number:02}"), "old");
    }
    store.settle();
    store.pass_ms(1_000);
    assert_eq!(store.opened.shard.stats().index_backlog, 0);
    for number in (0..10).chain(40..50) {
        store.put(&format!("k{number:02}"), "new");
    }
    for number in 10..20 {
        store.remove(&format!("k{number:02}"));
    }
    store.settle();
    store
}

/// Everything is as [`written`] left it.
fn check(store: &mut Store) {
    let expected: Vec<String> =
        (0..10).chain(20..50).map(|number| format!("k{number:02}")).collect();
    assert_eq!(names(store), expected);
    for number in 0..50 {
        let expected: &[&str] = match number {
            0..10 | 40..50 => &["new"],
            10..20 => &[],
            _ => &["old"],
        };
        assert_eq!(store.get(&format!("k{number:02}")), expected, "k{number:02}");
    }
}

#[test]
fn what_is_replayed_waits_for_the_index_and_is_served_meanwhile() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let store = written(&files, &disk);
    let before = store.opened.shard.stats();
    let files = kill(store, files, &disk);

    let mut store = Store::open(&files, &disk, patient(), 2).unwrap();
    let (report, stats) = (store.opened.report, store.opened.shard.stats());
    assert_eq!((report.waiting, report.keys), (30, 50), "{report:?}");
    assert_eq!((stats.index_backlog, stats.keys, disk.entries()), (30, 50, 40));
    assert_eq!(
        (stats.live_bytes, stats.checkpoint_batch),
        (before.live_bytes, before.checkpoint_batch)
    );
    check(&mut store);
    assert_eq!(store.opened.shard.stats().indexed, 0, "nobody waits for it");

    store.pass_ms(1_000);
    let stats = store.opened.shard.stats();
    assert_eq!((stats.index_backlog, stats.indexed, disk.entries()), (0, 30, 50));
    assert_eq!(stats.checkpoint_batch, stats.last_batch, "the checkpoint moves when all is fed");
    let files = kill(store, files, &disk);
    let mut store = Store::open(&files, &disk, patient(), 3).unwrap();
    assert_eq!((store.opened.report.waiting, store.opened.report.replayed), (0, 0));
    check(&mut store);
}

#[test]
fn a_kill_at_any_moment_of_the_feeding_loses_nothing() {
    let options = || ShardOptions { index_batch: 4, ..patient() };
    for jobs in 0..12 {
        let (mut files, disk) = (SimFiles::new(), MemoryDisk::new());
        let store = written(&files, &disk);
        files = kill(store, files, &disk);
        let mut waiting = 30;
        for life in 0..3 {
            let mut store = Store::open(&files, &disk, options(), 10 + life).unwrap();
            assert!(store.opened.report.waiting <= waiting, "what was fed does not wait again");
            waiting = store.opened.report.waiting;
            check(&mut store);
            store.now.mono_ns += 1_000_000_000;
            store.opened.shard.tick(store.now);
            for _ in 0..jobs {
                store.step();
            }
            files = kill(store, files, &disk);
        }
        assert!(waiting < 30 || jobs == 0, "{jobs} jobs: something was fed");
        let mut store = Store::open(&files, &disk, options(), 20).unwrap();
        check(&mut store);
        store.close();
        assert!(store.closed);
        drop(store);
        let mut store = Store::open(&files, &disk, options(), 21).unwrap();
        assert!(store.opened.report.clean && store.opened.report.keys == 50);
        check(&mut store);
    }
}

#[test]
fn more_than_the_backlog_may_hold_goes_to_the_index_at_once() {
    for (unindexed_records, table_bytes) in [(40, 1 << 20), (1 << 10, 20_000), (40, 1)] {
        let (files, disk) = (SimFiles::new(), MemoryDisk::new());
        let mut store = Store::open(&files, &disk, patient(), 1).unwrap();
        for number in 0..300 {
            store.put(&format!("k{number:03}"), "one");
            store.settle();
        }
        let files = kill(store, files, &disk);

        let options = ShardOptions { unindexed_records, table_bytes, ..patient() };
        let mut store = Store::open(&files, &disk, options, 2).unwrap();
        let (report, stats) = (store.opened.report, store.opened.shard.stats());
        assert!(report.waiting as usize <= unindexed_records * 7 / 8, "{report:?}");
        assert!(stats.table_bytes <= table_bytes * 3 / 2, "{stats:?}");
        assert_eq!((stats.keys, report.keys), (300, 300));
        assert_eq!(disk.entries() as u64 + report.waiting, 300);
        let put = store.put("k000", "two");
        store.settle();
        assert!(store.outcome(put).durable, "there is room for a write: {:?}", store.outcome(put));
        assert_eq!(names(&mut store).len(), 300);
        for number in 1..300 {
            assert_eq!(store.get(&format!("k{number:03}")), ["one"]);
        }
    }
}

#[test]
fn a_history_of_kills_in_the_middle_of_everything_keeps_everything() {
    let (mut waited, mut fed) = (0, 0);
    for seed in 1..=8 {
        let (mut files, disk, mut rng) = (SimFiles::new(), MemoryDisk::new(), Rng(seed));
        let options = ShardOptions { index_batch: 2, checkpoint_bytes: 16_384, ..patient() };
        let mut history = History::new();
        for life in 0..15 {
            let mut store = Store::open(&files, &disk, options.clone(), seed * 100 + life).unwrap();
            let report = store.opened.report;
            assert!(!report.refilling, "seed {seed}, life {life}: {report:?}");
            waited += report.waiting;
            history
                .check(&mut store, usize::MAX)
                .unwrap_or_else(|problem| panic!("seed {seed}, life {life}: {problem}"));
            history.forget_lost(&mut store);
            let mix = Mix { keys: 30, steps: 40, removals: 8, bulk: 30 };
            history.run(&mut store, None, &disk, &mut rng, mix);
            fed += store.opened.shard.stats().indexed;
            drop(store);
            let damage = if rng.below(2) == 0 { IndexDamage::Unflushed } else { IndexDamage::None };
            disk.crash(damage, life);
            files = if rng.below(2) == 0 { files.kill() } else { files.crash(rng.next()) };
        }
    }
    assert!(waited > 100 && fed > 100, "{waited} waited, {fed} were fed");
}
