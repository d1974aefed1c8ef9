//! What is known of a key can be asked, in every place where a record can be, and asking changes nothing.

mod support;

use kvorum_protocol::{Change, RecordKey, Replaces, Space};
use kvorum_ring::NodeId;
use kvorum_store::memory_index::MemoryDisk;
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{Hint, Inspected, Inspection, ShardOptions, StoreRequest};
use support::{Store, key, update, value};

fn opened(files: &SimFiles, disk: &MemoryDisk, seed: u64) -> Store {
    Store::open(files, disk, ShardOptions::small(), seed).expect("opens")
}

fn inspect(store: &mut Store, key: RecordKey) -> Inspection {
    let token = store.submit(|token| StoreRequest::Inspect { token, key });
    store.settle();
    store.outcome(token).inspection.expect("answered")
}

fn live(inspection: &Inspection) -> usize {
    match &inspection.found {
        Inspected::Record(record) => record.set.versions().len(),
        other => panic!("no record but {other:?}"),
    }
}

#[test]
fn a_record_is_followed_from_its_minting_to_the_disk_and_back_into_memory() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let mut store = opened(&files, &disk, 1);
    assert_eq!(inspect(&mut store, key("a")).found, Inspected::Absent);

    store.put("a", "one");
    store.settle();
    store.put("a", "two");
    let name = key("a");
    let token = store.submit(|token| StoreRequest::Inspect { token, key: name });
    let unsynced = store.outcome(token).inspection.expect("answered at once");
    assert!(!unsynced.is_synced && unsynced.was_in_memory);
    assert!(unsynced.location.is_some(), "the version before is on the disk");

    store.settle();
    let synced = inspect(&mut store, key("a"));
    assert!(synced.is_synced && synced.location != unsynced.location);
    assert_eq!((synced.sequence, live(&synced)), (unsynced.sequence, 1));

    store.close();
    let mut store = opened(&files, &disk, 2);
    let read = inspect(&mut store, key("a"));
    assert!(!read.was_in_memory && read.is_indexed && read.is_synced);
    assert_eq!((read.sequence, read.location), (synced.sequence, synced.location));
    assert!(inspect(&mut store, key("a")).was_in_memory, "it was read to be looked at");
}

#[test]
fn tombstones_removals_and_what_is_held_for_others_are_told_apart() {
    let mut store = opened(&SimFiles::new(), &MemoryDisk::new(), 1);
    store.put("a", "one");
    store.apply("a", update(Replaces::Latest, Change::Delete, 77));
    store.settle();
    let tombstone = inspect(&mut store, key("a"));
    assert_eq!((live(&tombstone), tombstone.held_ms), (0, None));

    store.remove("a");
    store.settle();
    assert_eq!(inspect(&mut store, key("a")).found, Inspected::Removed);

    let hinted = key("a").in_space(Space::Hinted);
    let (hint, record) = (Hint { targets: vec![NodeId(7)], spare: false }, hinted.clone());
    let change = update(Replaces::Latest, value("kept"), 78);
    store.submit(|token| StoreRequest::Hold { token, key: record, hint, change });
    store.settle();
    store.pass_ms(40);
    let held = inspect(&mut store, hinted);
    assert_eq!((held.space, live(&held)), (Space::Hinted, 1));
    assert!(held.held_ms.is_some_and(|held_ms| held_ms >= 40), "{held:?}");
    assert_eq!(inspect(&mut store, key("a")).found, Inspected::Removed, "apart from it");
}
