//! Listing: every key once, in order, wherever it is at the moment.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use kvorum_protocol::{Change, Key, Replaces, Space};
use kvorum_ring::{ClassId, PartitionId};
use kvorum_store::memory_index::MemoryDisk;
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{ScanRange, ShardOptions, StoreRefusal, StoreRequest};
use support::history::{Rng, text};
use support::{Store, bucket, update};

fn range(partitions: &[u32], prefix: &str, after: Option<Key>, limit: u32) -> ScanRange {
    ScanRange {
        space: Space::Owned,
        class: ClassId(0),
        partitions: partitions.iter().copied().map(PartitionId).collect(),
        bucket: bucket(),
        prefix: Bytes::copy_from_slice(prefix.as_bytes()),
        after,
        limit,
        siblings_only: false,
    }
}

/// All keys with how many live values they have, page by page.
fn list(store: &mut Store, partitions: &[u32], prefix: &str, limit: u32) -> Vec<(String, u16)> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let range = range(partitions, prefix, after, limit);
        let token = store.submit(|token| StoreRequest::Scan { token, range });
        while store.outcome(token).scanned.is_none() {
            assert!(store.step());
        }
        let page = store.outcome(token).scanned.unwrap().unwrap();
        assert!(page.keys.len() <= limit as usize);
        let named = |key: &Key| String::from_utf8(key.as_bytes().to_vec()).unwrap();
        found.extend(page.keys.iter().map(|scanned| (named(&scanned.key), scanned.values)));
        after = page.keys.last().map(|last| last.key.clone());
        if !page.more {
            return found;
        }
    }
}

/// Among them keys that are themselves the prefix that is listed.
fn name(rng: &mut Rng) -> String {
    let begin = ["a", "ab", "b"][rng.below(3) as usize];
    match rng.below(40) {
        0 => begin.to_owned(),
        number => format!("{begin}{number}"),
    }
}

#[test]
fn a_listing_agrees_with_a_sorted_map_at_any_moment() {
    for seed in 1..=4 {
        let (files, disk, mut rng) = (SimFiles::new(), MemoryDisk::new(), Rng(seed));
        let mut store = Store::open(&files, &disk, ShardOptions::small(), seed).unwrap();
        let mut model: BTreeMap<String, u16> = BTreeMap::new();
        let mut refused = 0;
        for round in 0..250_u128 {
            let name = name(&mut rng);
            let (token, values) = match rng.below(5) {
                0 if model.contains_key(&name) => {
                    let deleted = update(Replaces::Latest, Change::Delete, round);
                    (store.apply(&name, deleted), Some(0))
                }
                1 => (store.remove(&name), None),
                _ => {
                    let written = update(Replaces::Latest, text(format!("{round}")), round);
                    (store.apply(&name, written), Some(1))
                }
            };
            // What is refused, because the index has to catch up first, has no effect.
            match (&store.outcome(token).refused, values) {
                (Some(StoreRefusal::NothingToDelete), _) => assert_eq!(model[&name], 0),
                (Some(reason), _) => {
                    assert!(matches!(reason, StoreRefusal::Overloaded { .. }), "{reason:?}");
                    refused += 1;
                }
                (None, Some(values)) => drop(model.insert(name, values)),
                (None, None) => drop(model.remove(&name)),
            }
            // The requests on a key must have been applied before a scan sees them; a scan does not wait for reads.
            while store.opened.shard.stats().queued > 0 {
                assert!(store.step());
            }
            for _ in 0..rng.below(4) {
                store.step();
            }
            if rng.below(6) == 0 {
                store.now.mono_ns += 10_000_000;
            }
            let prefix = ["", "a", "ab", "zz"][rng.below(4) as usize];
            let expected: Vec<(String, u16)> = model
                .iter()
                .filter(|(name, _)| name.starts_with(prefix))
                .map(|(name, values)| (name.clone(), *values))
                .collect();
            let limit = 1 + rng.below(30) as u32;
            assert_eq!(
                list(&mut store, &[0, 1, 2, 3], prefix, limit),
                expected,
                "seed {seed}, round {round}"
            );
            store.outcomes.clear();
        }
        assert!(refused < 50, "nearly everything is taken, but {refused} were refused");
        let parts: usize =
            (0..4).map(|partition| list(&mut store, &[partition], "", 7).len()).sum();
        assert_eq!(parts, model.len(), "each key is in one partition");
        assert!(list(&mut store, &[], "", 7).is_empty());
    }
}

#[test]
fn keys_with_siblings_are_found_page_by_page_however_few_keys_a_page_looks_at() {
    let mut store =
        Store::open(&SimFiles::new(), &MemoryDisk::new(), ShardOptions::small(), 1).unwrap();
    let mut expected = Vec::new();
    for number in 0..240 {
        let name = format!("k{number:03}");
        store.put(&name, "one");
        if number % 7 == 3 {
            store.apply(&name, update(Replaces::Nothing, support::value("two"), 9_000 + number));
            expected.push(name);
        }
        // A small store takes few writes at once.
        store.settle();
        // Some of it is in the index, and some is not.
        if number == 200 {
            store.pass_ms(60_000);
        }
    }
    store.settle();
    let refused = store.outcomes.values().filter(|outcome| outcome.refused.is_some());
    assert_eq!(refused.count(), 0, "every write was taken");
    // So many partitions that each is looked at for a few keys only; four of them hold something.
    let partitions: Vec<u32> = (0..65_536).collect();
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let range = ScanRange { siblings_only: true, ..range(&partitions, "k", after, 4) };
        let token = store.submit(|token| StoreRequest::Scan { token, range });
        store.settle();
        let page = store.outcome(token).scanned.unwrap().unwrap();
        assert!(page.keys.len() <= 4 && page.keys.iter().all(|key| key.values == 2));
        pages += 1;
        let name = |key: &Key| String::from_utf8(key.as_bytes().to_vec()).unwrap();
        found.extend(page.keys.iter().map(|scanned| name(&scanned.key)));
        after = page.through.or_else(|| page.keys.last().map(|last| last.key.clone()));
        if !page.more {
            break;
        }
    }
    assert_eq!(found, expected);
    assert!((9..60).contains(&pages), "{pages}");
}
