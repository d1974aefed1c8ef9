//! An index without space: the store serves on, keeps what the index does not name in memory, and goes on by itself when there is
//! space again.

mod support;

use kvorum_store::memory_index::MemoryDisk;
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{DamageNotice, ShardOptions, StoreRefusal};
use support::Store;

fn check(store: &mut Store, keys: usize, round: usize) {
    for number in 0..keys {
        assert_eq!(store.get(&format!("k{number}")), [format!("value {number} of {round}")]);
    }
}

fn write(store: &mut Store, keys: usize, round: usize) {
    for number in 0..keys {
        let token = store.put(&format!("k{number}"), &format!("value {number} of {round}"));
        store.settle();
        assert!(store.outcome(token).durable, "{number}: {:?}", store.outcome(token));
        store.pass_ms(10);
    }
}

#[test]
fn a_full_index_stops_nothing_and_is_caught_up_when_there_is_space_again() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let options = ShardOptions { table_bytes: 1 << 20, ..ShardOptions::small() };
    let mut store = Store::open(&files, &disk, options.clone(), 1).unwrap();
    write(&mut store, 40, 1);
    store.pass_ms(2_000);
    let run = store.opened.shard.run();
    assert!(disk.entries() > 30);

    disk.set_full(true);
    write(&mut store, 40, 2);
    store.pass_ms(3_000);
    let stats = store.opened.shard.stats();
    assert!(stats.index_full && stats.index_refused > 1, "{stats:?}");
    assert_eq!(store.poisoned, None);
    check(&mut store, 40, 2);
    let mut refused = 0;
    for number in 0..100 {
        let token = store.put(&format!("more{number}"), "v");
        store.settle();
        match store.outcome(token).refused {
            Some(StoreRefusal::Overloaded { .. }) => refused += 1,
            other => assert!(other.is_none() && store.outcome(token).durable),
        }
    }
    assert!(refused > 0, "memory is not without an end");

    disk.set_full(false);
    for _ in 0..30 {
        store.pass_ms(200);
    }
    let stats = store.opened.shard.stats();
    assert!(!stats.index_full && stats.index_backlog == 0, "{stats:?}");
    assert!(!stats.refilling && stats.run == run, "nothing was ever in doubt");
    let rebuilt = |notice: &DamageNotice| matches!(notice, DamageNotice::IndexRebuilt { .. });
    assert!(store.damage.iter().any(rebuilt), "what it had lost is from the log");
    check(&mut store, 40, 2);
    store.put("after", "v");
    store.settle();
    store.close();
    assert!(store.closed);
    drop(store);
    let mut store = Store::open(&files, &disk, options, 2).unwrap();
    assert!(store.opened.report.clean);
    check(&mut store, 40, 2);
}

#[test]
fn a_node_that_dies_while_its_index_is_full_has_everything_afterwards() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
    write(&mut store, 20, 1);
    store.pass_ms(1_000);
    disk.set_full(true);
    write(&mut store, 20, 2);
    drop(store);
    disk.set_full(false);
    disk.crash(kvorum_store::memory_index::IndexDamage::None, 5);
    let mut store = Store::open(&files.crash(3), &disk, ShardOptions::small(), 2).unwrap();
    check(&mut store, 20, 2);
}
