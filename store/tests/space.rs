//! Space: compaction keeps what is alive and nothing else, markers last as long as they must, and a full disk stops clients
//! before it stops the store.

mod support;

use kvorum_protocol::{Change, Replaces};
use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{Apply, Job, ShardOptions, StoreRefusal};
use support::history::{History, Mix, Rng};
use support::{Store, update};

fn churn(store: &mut Store, rounds: usize) {
    for round in 0..rounds {
        store.put(&format!("churn{}", round % 5), &"c".repeat(200));
        store.settle();
        store.pass_ms(20);
    }
}

#[test]
fn overwriting_does_not_grow_the_log() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
    for number in 0..20 {
        store.put(&format!("kept{number}"), &format!("{number}"));
        store.settle();
    }
    churn(&mut store, 150);
    let early = store.opened.shard.stats();
    churn(&mut store, 600);
    let late = store.opened.shard.stats();
    assert!(late.moved > 0 && late.bytes > 4 * early.log_bytes, "{late:?}");
    assert!(
        late.log_bytes < 2 * early.log_bytes && late.segments <= early.segments + 1,
        "{early:?} {late:?}"
    );
    for number in 0..20 {
        assert_eq!(store.get(&format!("kept{number}")), [format!("{number}")]);
    }
    assert!(store.damage.is_empty(), "{:?}", store.damage);
}

#[test]
fn a_lone_writer_waits_for_no_company_while_compaction_moves_records() {
    let hour_ns = 3_600_000_000_000;
    let options = ShardOptions { paced_entries: 4, pace_ns: hour_ns, ..ShardOptions::small() };
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), options, 1).unwrap();
    for number in 0..20 {
        store.put(&format!("kept{number}"), &format!("{number}"));
        store.settle();
    }
    for round in 0..600 {
        let put = store.put(&format!("churn{}", round % 5), &"c".repeat(200));
        store.settle();
        assert!(store.outcome(put).durable, "write {round} waits");
        store.pass_ms(20);
    }
    let stats = store.opened.shard.stats();
    assert!(stats.moved > 20, "{stats:?}");
}

#[test]
fn what_was_removed_stays_removed_and_its_marker_goes_in_the_end() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
    for number in 0..15 {
        store.put(&format!("gone{number}"), &"g".repeat(100));
    }
    store.settle();
    for number in 0..15 {
        let removed = store.remove(&format!("gone{number}"));
        store.settle();
        assert!(store.outcome(removed).durable);
    }
    for round in 0..8 {
        // Bulk segments come and go, too.
        store.put("churn", &"b".repeat(66_000));
        churn(&mut store, 60);
        // Whatever moment the index is lost at, the rebuild finds marker or nothing, never the record.
        let (files, disk) = (files.snapshot(), disk.snapshot());
        disk.crash(IndexDamage::Empty, round);
        let mut rebuilt =
            Store::open(&files.crash(round), &disk, ShardOptions::small(), 2 + round).unwrap();
        assert!(!rebuilt.opened.report.refilling);
        for number in 0..15 {
            assert_eq!(
                rebuilt.get(&format!("gone{number}")),
                Vec::<String>::new(),
                "round {round}"
            );
        }
    }
    store.put("churn", "small again");
    churn(&mut store, 200);
    let stats = store.opened.shard.stats();
    assert_eq!(stats.keys, 6, "the markers are forgotten: {stats:?}");
    assert!(store.damage.is_empty(), "{:?}", store.damage);
}

#[test]
fn a_full_disk_stops_clients_first_and_lets_deletes_make_room() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let options = ShardOptions { max_segments: Some(8), ..ShardOptions::small() };
    let mut store = Store::open(&files, &disk, options, 1).unwrap();
    let mut written = 0;
    loop {
        let put = store.put(&format!("k{written}"), &"v".repeat(300));
        store.settle();
        store.pass_ms(20);
        match store.outcome(put).refused {
            None => written += 1,
            Some(StoreRefusal::DiskFull) => break,
            Some(other) => panic!("{other}"),
        }
        assert!(written < 1_000, "the limit is never felt");
    }
    assert!(store.poisoned.is_none() && store.opened.shard.stats().disk_full);
    let delete = update(Replaces::Latest, Change::Delete, 1);
    let deleted = store.apply("k0", delete);
    let merge = Apply::Merge { set: store.get_set("k1").unwrap() };
    let merged = store.apply("k1", merge);
    store.settle();
    let outcomes = (store.outcome(deleted), store.outcome(merged));
    let stats = store.opened.shard.stats();
    assert!(
        outcomes.0.durable && outcomes.1.durable,
        "deletes and peers go on: {outcomes:?} {stats:?}"
    );
    for number in 1..written {
        store.remove(&format!("k{number}"));
        store.settle();
        store.pass_ms(20);
    }
    for _ in 0..20 {
        store.pass_ms(1_100);
    }
    let put = store.put("again", "v");
    store.settle();
    assert!(
        store.outcome(put).durable,
        "{:?} {:?}",
        store.outcome(put),
        store.opened.shard.stats()
    );
}

#[test]
fn a_disk_without_any_room_refuses_and_recovers() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
    store.put("a", "1");
    store.settle();
    files.set_capacity(Some(files.used()));
    let mut refused = 0;
    for number in 0..200 {
        let put = store.put(&format!("k{}", number % 7), &"v".repeat(300));
        store.settle();
        store.pass_ms(20);
        refused += u32::from(store.outcome(put).refused == Some(StoreRefusal::DiskFull));
    }
    assert!(refused > 0 && store.poisoned.is_none(), "{refused} refused, {:?}", store.poisoned);
    files.set_capacity(None);
    store.pass_ms(1_100);
    let put = store.put("b", "2");
    store.settle();
    assert!(store.outcome(put).durable);
    assert_eq!(store.get("a"), ["1"]);
}

#[test]
fn many_starts_leave_few_segments() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut files = files;
    for start in 0..40 {
        let mut store = Store::open(&files, &disk, ShardOptions::small(), 10 + start).unwrap();
        store.put(&format!("k{start}"), "v");
        store.settle();
        store.pass_ms(600);
        store.pass_ms(600);
        assert!(store.opened.shard.stats().segments < 16, "{:?}", store.opened.shard.stats());
        drop(store);
        disk.crash(IndexDamage::None, start);
        files = files.crash(start);
    }
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 99).unwrap();
    for start in 0..40 {
        assert_eq!(store.get(&format!("k{start}")), ["v"]);
    }
}

#[test]
fn a_long_life_of_crashes_keeps_everything() {
    for seed in 1..=6 {
        let (mut files, disk, mut rng) = (SimFiles::new(), MemoryDisk::new(), Rng(seed));
        let mut history = History::new();
        let (mut moved, mut rebuilt) = (0, 0);
        for life in 0..12 {
            let mut store =
                Store::open(&files, &disk, ShardOptions::small(), seed * 100 + life).unwrap();
            let report = store.opened.report;
            assert!(!report.refilling, "seed {seed}, life {life}: {report:?}");
            rebuilt += u64::from(matches!(report.index, kvorum_store::IndexFate::Rebuilt(_)));
            let checked = history.check(&mut store, usize::MAX);
            checked.unwrap_or_else(|problem| panic!("seed {seed}, life {life}: {problem}"));
            history.forget_lost(&mut store);
            history.run(
                &mut store,
                None,
                &disk,
                &mut rng,
                Mix { keys: 8, steps: 60, removals: 8, bulk: 40 },
            );
            moved += store.opened.shard.stats().moved;
            assert!(store.damage.is_empty(), "seed {seed}, life {life}: {:?}", store.damage);
            drop(store);
            disk.crash(IndexDamage::ALL[rng.below(6) as usize], life);
            files = if rng.below(3) == 0 { files.kill() } else { files.crash(rng.next()) };
        }
        assert!(moved > 0 && rebuilt > 0, "seed {seed}: {moved} moved, {rebuilt} rebuilt");
    }
}

#[test]
fn a_full_disk_refuses_large_records_of_peers_before_it_stops_the_store() {
    let options = ShardOptions {
        segment_bytes: 256 * 1024,
        pending_bytes: 1024 * 1024,
        ..ShardOptions::small()
    };
    let mut peer = Store::open(&SimFiles::new(), &MemoryDisk::new(), options.clone(), 9).unwrap();
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, options, 1).unwrap();
    store.put("a", "1");
    store.settle();
    store.pass_ms(20);
    files.set_capacity(Some(files.used()));
    let mut refused = 0;
    for number in 0..60 {
        let (name, small) = (format!("large{number}"), format!("small{number}"));
        let put = peer.put(&name, &"x".repeat(100_000));
        peer.settle();
        let set = peer.outcome(put).applied.unwrap();
        let merged = store.apply(&name, Apply::Merge { set });
        store.put(&small, &"s".repeat(300));
        store.settle();
        store.pass_ms(20);
        assert_eq!(store.poisoned, None, "after {number} merges and {refused} refusals");
        refused += u32::from(store.outcome(merged).refused == Some(StoreRefusal::DiskFull));
    }
    assert!(refused > 0);
    let deleted = store.apply("a", update(Replaces::Latest, Change::Delete, 1));
    store.settle();
    assert!(store.outcome(deleted).durable, "{:?}", store.outcome(deleted));
}

#[test]
fn a_full_disk_refuses_merges_that_would_grow_large_before_they_stop_the_store() {
    let options = ShardOptions {
        segment_bytes: 256 * 1024,
        pending_bytes: 1024 * 1024,
        compact_segments: 1_000,
        ..ShardOptions::small()
    };
    let mut peer = Store::open(&SimFiles::new(), &MemoryDisk::new(), options.clone(), 9).unwrap();
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, options, 1).unwrap();
    for number in 0..61 {
        store.put(&format!("k{number}"), &"x".repeat(40_000));
        store.settle();
    }
    files.set_capacity(Some(files.used()));
    let mut refused = 0;
    // Every fifth, so that no segment becomes empty and is given back.
    for number in (0..60).step_by(5) {
        // What comes is small, and so is what is here; only together they belong to a bulk segment.
        let name = format!("k{number}");
        let put = peer.put(&name, &"y".repeat(40_000));
        peer.settle();
        let set = peer.outcome(put).applied.unwrap();
        let merged = store.apply(&name, Apply::Merge { set });
        store.settle();
        assert_eq!(store.poisoned, None, "after {number} keys and {refused} refusals");
        refused += u32::from(store.outcome(merged).refused == Some(StoreRefusal::DiskFull));
    }
    assert!(refused > 0);
}

#[test]
fn a_full_disk_refuses_removals_before_they_stop_the_store() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let options = ShardOptions { compact_segments: 1_000, ..ShardOptions::small() };
    let mut store = Store::open(&files, &disk, options, 1).unwrap();
    for number in 0..400 {
        store.put(&format!("k{number}"), "v");
        store.settle();
    }
    files.set_capacity(Some(files.used()));
    let mut refused = 0;
    for number in (0..400).step_by(2) {
        let removed = store.remove(&format!("k{number}"));
        store.settle();
        assert_eq!(store.poisoned, None, "after {number} keys and {refused} refusals");
        refused += u32::from(store.outcome(removed).refused == Some(StoreRefusal::DiskFull));
    }
    assert!(refused > 0);
}

#[test]
fn a_full_disk_is_not_asked_again_and_again_while_the_compactor_is_at_work() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
    churn(&mut store, 20);
    files.set_capacity(Some(files.used()));
    let mut held = 0;
    for round in 0..400 {
        store.put(&format!("k{}", round % 7), &"v".repeat(300));
        store.now.mono_ns += 20_000_000;
        store.opened.shard.tick(store.now);
        store.collect();
        while let Some(job) = store.poll_job() {
            let is_step = matches!(&job, Job::Compact(job) if format!("{job:?}").contains("Step"));
            if is_step && store.opened.shard.stats().disk_full {
                held += 1;
                store.now.mono_ns += 2_000_000_000;
                store.opened.shard.tick(store.now);
                // Whatever is due is handed out; then there is nothing to do before a later moment.
                let due: Vec<Job> = std::iter::from_fn(|| store.poll_job()).collect();
                let next = store.opened.shard.next_deadline();
                assert!(next.is_none_or(|at| at > store.now.mono_ns), "round {round}: {next:?}");
                due.into_iter().for_each(|job| store.run(job));
            }
            store.run(job);
        }
    }
    assert!(held > 0, "no step was held while the disk was full");
}

#[test]
fn large_values_are_refused_while_compaction_is_slow_and_taken_again_after() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let options =
        ShardOptions { segment_bytes: 64 * 1024, table_bytes: 64 * 1024, ..ShardOptions::small() };
    let mut store = Store::open(&files, &disk, options, 1).unwrap();
    let text = "v".repeat(4 * 1024);
    let (mut held, mut refused) = (None, None);
    for round in 0..400 {
        let name = if held.is_some() { format!("key {round}") } else { format!("k{}", round % 7) };
        let put = store.put(&name, &text);
        while let Some(job) = store.poll_job() {
            // With spares in stock, and something moved by the step before, it is a step that is slow.
            let stats = store.opened.shard.stats();
            match job {
                Job::Compact(_) if stats.moved > 0 && stats.spares > 2 => held = Some(job),
                job => store.run(job),
            }
        }
        if store.outcome(put).refused.is_some() {
            refused = Some(store.opened.shard.stats());
            break;
        }
    }
    let stats = refused.expect("what compaction keeps in the table is bounded in bytes");
    assert!((2 * 64 * 1024..3 * 64 * 1024).contains(&stats.table_bytes), "{stats:?}");
    assert_eq!(stats.index_backlog, 0, "the index keeps nothing there");
    store.run(held.expect("the step that is slow"));
    store.settle();
    let put = store.put("after", &text);
    store.settle();
    assert!(store.outcome(put).durable, "compaction has come on");
}
