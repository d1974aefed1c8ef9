//! A scrub finds what is damaged before somebody needs it, says whose it was, and finds nothing where nothing is.

mod support;

use kvorum_protocol::RecordKey;
use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{
    DamageNotice, Files, Location, ReadError, ScrubPhase, ShardOptions, StoreRequest,
};
use support::{Store, key};

/// Lets a scrub go on to its end, and says how long it took.
fn scrub(store: &mut Store) -> u64 {
    let passes = store.opened.shard.scrub_progress().passes;
    store.submit(|token| StoreRequest::Scrub { token });
    let began_ns = store.now.mono_ns;
    for _ in 0..100_000 {
        let progress = store.opened.shard.scrub_progress();
        if progress.passes > passes || progress.found > 0 && progress.phase == ScrubPhase::Idle {
            return (store.now.mono_ns - began_ns) / 1_000_000;
        }
        store.pass_ms(2);
    }
    panic!("it does not end: {:?}", store.opened.shard.scrub_progress());
}

/// A store of so many keys that was closed and opened again, so that memory has none of them.
fn reopened(keys: usize) -> (SimFiles, MemoryDisk, Store) {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
    for number in 0..keys {
        store.put(&format!("k{number}"), &format!("value {number}"));
        store.settle();
    }
    store.close();
    drop(store);
    let store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    (files, disk, store)
}

fn place(disk: &MemoryDisk, key: &RecordKey) -> Location {
    disk.entry(&key.to_index_bytes()).expect("the index names it")
}

fn flip(files: &SimFiles, place: Location, kind: &str) {
    let name = format!("{}.{kind}", place.segment);
    assert!(files.flip(&name, u64::from(place.offset + place.length / 2), 4));
}

#[test]
fn a_flipped_byte_is_found_and_its_key_is_said() {
    let (files, disk, mut store) = reopened(40);
    let run = store.opened.shard.run();
    flip(&files, place(&disk, &key("k7")), "main");
    scrub(&mut store);
    let notices = &store.damage;
    assert!(notices.iter().any(|notice| matches!(notice, DamageNotice::Segment { .. })));
    let said: Vec<&RecordKey> = notices
        .iter()
        .filter_map(|notice| match notice {
            DamageNotice::Record { key, .. } => Some(key),
            _ => None,
        })
        .collect();
    assert_eq!(said, [&key("k7")]);
    let stats = store.opened.shard.stats();
    assert_eq!((stats.records_damaged, stats.records_in_doubt), (1, 1));
    assert!(!stats.refilling && stats.run == run, "nothing else is in doubt");
    let read = store.submit(|token| StoreRequest::Read { token, key: key("k7") });
    store.settle();
    assert_eq!(store.outcome(read).read, Some(Err(ReadError::Damaged)));
    for number in (0..40).filter(|number| *number != 7) {
        assert_eq!(store.get(&format!("k{number}")), [format!("value {number}")]);
    }
}

#[test]
fn what_memory_still_has_of_a_damaged_record_is_written_again() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let large = ShardOptions { table_bytes: 1 << 20, ..ShardOptions::small() };
    let mut store = Store::open(&files, &disk, large.clone(), 1).unwrap();
    for number in 0..40 {
        store.put(&format!("k{number}"), &format!("value {number}"));
    }
    store.pass_ms(2_000);
    flip(&files, place(&disk, &key("k7")), "main");
    scrub(&mut store);
    let stats = store.opened.shard.stats();
    assert_eq!((stats.records_damaged, stats.records_healed, stats.records_in_doubt), (1, 1, 0));
    store.close();
    drop(store);
    let mut store = Store::open(&files, &disk, large, 2).unwrap();
    assert_eq!(store.get("k7"), ["value 7"]);
    scrub(&mut store);
    assert_eq!(store.opened.shard.stats().records_damaged, 0);
}

#[test]
fn a_removal_marker_that_is_damaged_twice_is_written_again_before_the_removed_comes_back() {
    for scrubs in [true, false] {
        let (files, disk, mut store) = reopened(10);
        store.remove("k3");
        store.settle();
        store.close();
        drop(store);
        let mut store = Store::open(&files, &disk, ShardOptions::small(), 3).unwrap();
        flip(&files, place(&disk, &key("k3")), "main");
        let bulk = files.list().unwrap().into_iter().find(|name| name.ends_with(".bulk")).unwrap();
        assert!(files.flip(&bulk, 512 + 60 + 33, 4), "in the second copy");
        if scrubs {
            scrub(&mut store);
            store.pass_ms(100);
        }
        store.close();
        drop(store);
        disk.crash(IndexDamage::Empty, 1);
        let mut store = Store::open(&files, &disk, ShardOptions::small(), 4).unwrap();
        assert_eq!(store.get("k3").is_empty(), scrubs, "without a scrub it does come back");
    }
}

#[test]
fn entries_that_the_index_lost_are_found_and_put_back() {
    let (_files, disk, mut store) = reopened(40);
    assert!(disk.lose_entries(5) > 0);
    scrub(&mut store);
    let notices = &store.damage;
    let repaired = notices
        .iter()
        .any(|notice| matches!(notice, DamageNotice::IndexRebuilt { repaired } if *repaired > 0));
    assert!(repaired, "{notices:?}");
    for number in 0..40 {
        assert_eq!(store.get(&format!("k{number}")), [format!("value {number}")]);
    }
}

#[test]
fn an_entry_that_says_what_is_not_so_is_found_and_mended() {
    let (_files, disk, mut store) = reopened(40);
    assert!(disk.misdescribe(&key("k9").to_index_bytes(), 77));
    scrub(&mut store);
    let notices = &store.damage;
    assert!(
        matches!(
            notices[..],
            [DamageNotice::IndexRebuildStarted, DamageNotice::IndexRebuilt { .. }]
        ),
        "{notices:?}"
    );
    store.damage.clear();
    scrub(&mut store);
    assert_eq!(store.damage, [], "it is what it says again");
}

#[test]
fn a_damaged_frame_that_the_index_lost_as_well_makes_the_store_refilling() {
    let (files, disk, mut store) = reopened(40);
    let damaged = place(&disk, &key("k7"));
    assert!(disk.lose_entry(&key("k7").to_index_bytes()));
    flip(&files, damaged, "main");
    scrub(&mut store);
    assert!(store.opened.shard.is_refilling(), "nobody can say whose record it was");
}

#[test]
fn a_scrub_keeps_to_its_rate_and_comes_when_it_is_due() {
    let (files, disk, mut store) = reopened(100);
    let quick_ms = scrub(&mut store);
    let bytes = store.opened.shard.scrub_progress().done_bytes;
    store.close();
    drop(store);
    let options = ShardOptions {
        scrub_bytes_per_s: bytes / 4,
        scrub_every_ms: 60_000,
        ..ShardOptions::small()
    };
    let mut store = Store::open(&files, &disk, options.clone(), 3).unwrap();
    let slow_ms = scrub(&mut store);
    assert!((3_000..9_000).contains(&slow_ms) && slow_ms > 2 * quick_ms, "{slow_ms} {quick_ms}");
    let ended_at_ms = store.opened.shard.scrub_progress().ended_at_ms;
    store.close();
    drop(store);
    let mut store = Store::open(&files, &disk, options, 4).unwrap();
    let progress = store.opened.shard.scrub_progress();
    assert_eq!(progress.ended_at_ms, ended_at_ms, "a restart does not forget when it was");
    for passed_ms in (0..).step_by(500) {
        store.now.wall_ms += 500;
        store.pass_ms(500);
        let progress = store.opened.shard.scrub_progress();
        if progress.passes > 0 {
            assert!((59_000..80_000).contains(&passed_ms), "{passed_ms}");
            break;
        }
        assert!(passed_ms < 100_000, "{progress:?}");
    }
}

#[test]
fn after_a_clean_start_the_index_is_added_up_at_once() {
    let (files, disk, mut store) = reopened(60);
    store.close();
    drop(store);
    let options = ShardOptions { scrub_every_ms: 1 << 40, ..ShardOptions::small() };
    let mut store = Store::open(&files, &disk, options, 3).unwrap();
    assert!(store.opened.report.clean && disk.lose_entries(5) > 0);
    store.now.wall_ms = 1;
    for _ in 0..50 {
        store.pass_ms(2);
    }
    let rebuilt = |notice: &DamageNotice| matches!(notice, DamageNotice::IndexRebuilt { .. });
    assert!(store.damage.iter().any(rebuilt), "{:?}", store.damage);
}

#[test]
fn a_scrub_of_a_store_that_is_written_to_removed_from_and_compacted_finds_nothing() {
    for seed in 0..6_u64 {
        let (files, disk) = (SimFiles::new(), MemoryDisk::new());
        let mut store = Store::open(&files, &disk, ShardOptions::small(), seed + 1).unwrap();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for step in 0..1_500 {
            let name = format!("k{}", draw(60));
            match draw(6) {
                0 => drop(store.remove(&name)),
                1 => drop(store.submit(|token| StoreRequest::Scrub { token })),
                _ => drop(store.put(&name, &"v".repeat(draw(300) as usize + 1))),
            }
            match draw(3) {
                0 => store.settle(),
                1 => store.pass_ms(draw(20)),
                _ => drop(store.step()),
            }
            assert_eq!((&store.damage[..], store.poisoned), (&[][..], None), "{seed}: {step}");
        }
        scrub(&mut store);
        let stats = store.opened.shard.stats();
        assert!(stats.scrub.passes > 2 && stats.moved > 0, "seed {seed}: {stats:?}");
        assert_eq!((stats.scrub.found, &store.damage[..]), (0, &[][..]), "seed {seed}");
    }
}
