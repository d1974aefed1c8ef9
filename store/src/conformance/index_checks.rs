//! The contract of [`Index`] and [`IndexOpener`].

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::index::{
    EntryState, EntrySum, Index, IndexBatch, IndexEntry, IndexKey, IndexOpener, Sentinel, visit_all,
};
use crate::location::{Location, SegmentId};
use crate::random::Stream;

/// Runs all checks. `fresh` gives the opener of an index that does not exist yet, another one each time.
pub(crate) fn check_all<O: IndexOpener>(mut fresh: impl FnMut() -> O) {
    a_new_index_is_empty(fresh());
    batches_act_whole_and_in_order(fresh());
    scans_ascend_from_their_start(fresh());
    random_batches_match_a_sorted_map(fresh());
    a_flushed_index_reopens_as_it_was(fresh());
    a_destroyed_index_is_new_again(fresh());
}

fn entry(sequence: u64) -> IndexEntry {
    let state = match sequence % 3 {
        0 => EntryState::Removed { covers_through: SegmentId(sequence as u32) },
        _ => EntryState::Record,
    };
    let location = Location { segment: SegmentId(7), offset: sequence as u32 * 64, length: 64 };
    IndexEntry {
        sequence,
        location,
        state,
        values: 1,
        value_bytes: 12,
        digest: u128::from(sequence) << 64,
    }
}

fn key(text: &str) -> IndexKey {
    text.as_bytes().into()
}

fn batch(number: u64, changes: &[(&str, Option<u64>)], sum: EntrySum) -> IndexBatch {
    let changes = changes.iter().map(|(name, sequence)| (key(name), sequence.map(entry))).collect();
    IndexBatch { changes, sentinel: Sentinel { store_id: 1, batch: number, sum } }
}

fn all<I: Index>(index: &I, start: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let visit = &mut |key: &[u8], entry: &IndexEntry| {
        found.push((String::from_utf8(key.to_vec()).unwrap(), entry.sequence));
        ControlFlow::Continue(())
    };
    index.scan(start.as_bytes(), visit).unwrap();
    found
}

fn a_new_index_is_empty<O: IndexOpener>(mut opener: O) {
    let index = opener.open().unwrap();
    assert_eq!(index.sentinel().unwrap(), None);
    assert_eq!(index.get(b"a").unwrap(), None);
    assert_eq!(all(&index, ""), []);
}

fn batches_act_whole_and_in_order<O: IndexOpener>(mut opener: O) {
    let index = opener.open().unwrap();
    index.apply(&batch(1, &[("a", Some(1)), ("b", Some(2))], EntrySum::default())).unwrap();
    let second =
        batch(2, &[("a", None), ("b", Some(3)), ("c", Some(4))], EntrySum { entries: 2, hash: 9 });
    index.apply(&second).unwrap();
    assert_eq!(index.get(b"a").unwrap(), None);
    assert_eq!(index.get(b"b").unwrap(), Some(entry(3)), "the newest entry, with all its fields");
    assert_eq!(all(&index, ""), [("b".into(), 3), ("c".into(), 4)]);
    assert_eq!(index.sentinel().unwrap(), Some(second.sentinel));
    index.apply(&batch(3, &[], EntrySum::default())).unwrap();
    assert_eq!(index.sentinel().unwrap().unwrap().batch, 3, "a batch may carry the sentinel alone");
}

fn scans_ascend_from_their_start<O: IndexOpener>(mut opener: O) {
    let index = opener.open().unwrap();
    let names: Vec<String> = (0..40).map(|number| format!("k{number:02}")).collect();
    let changes: Vec<(&str, Option<u64>)> =
        names.iter().zip(1..).map(|(name, at)| (&**name, Some(at))).collect();
    index.apply(&batch(1, &changes, EntrySum::default())).unwrap();
    assert_eq!(all(&index, "").len(), 40);
    assert_eq!(all(&index, "k37"), [("k37".into(), 38), ("k38".into(), 39), ("k39".into(), 40)]);
    assert_eq!(all(&index, "k371"), [("k38".into(), 39), ("k39".into(), 40)]);
    assert_eq!(all(&index, "l"), []);
    let mut seen = 0;
    let visit = &mut |_: &[u8], _: &IndexEntry| {
        seen += 1;
        if seen == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    index.scan(b"", visit).unwrap();
    assert_eq!(seen, 5, "a scan stops when the visitor says so");
}

/// A model of the index, and batches of random changes to it.
fn random_changes(
    stream: &mut Stream,
    model: &mut BTreeMap<IndexKey, u64>,
    sum: &mut EntrySum,
    number: u64,
) -> IndexBatch {
    let mut changes: BTreeMap<IndexKey, Option<IndexEntry>> = BTreeMap::new();
    for _ in 0..stream.below(30) {
        let name: IndexKey = vec![stream.below(4) as u8; 1 + stream.below(9) as usize].into();
        if changes.contains_key(&name) {
            continue;
        }
        if let Some(old) = model.remove(&name) {
            sum.subtract(&name, old);
        }
        let change = (!stream.one_in(3)).then(|| entry(number * 100 + stream.below(100)));
        if let Some(new) = change {
            sum.add(&name, new.sequence);
            model.insert(name.clone(), new.sequence);
        }
        changes.insert(name, change);
    }
    IndexBatch {
        changes: changes.into_iter().collect(),
        sentinel: Sentinel { store_id: 1, batch: number, sum: *sum },
    }
}

fn random_batches_match_a_sorted_map<O: IndexOpener>(mut opener: O) {
    let index = opener.open().unwrap();
    let mut stream = Stream::new(11, "index conformance");
    let (mut model, mut sum) = (BTreeMap::new(), EntrySum::default());
    for number in 1..=60 {
        index.apply(&random_changes(&mut stream, &mut model, &mut sum, number)).unwrap();
    }
    let (mut found, mut scanned) = (Vec::new(), EntrySum::default());
    let visit = |key: &[u8], entry: &IndexEntry| {
        scanned.add(key, entry.sequence);
        found.push((IndexKey::from(key), entry.sequence));
    };
    visit_all(&index, visit).unwrap();
    assert_eq!(scanned, sum, "the sum follows every change");
    assert_eq!(found, model.into_iter().collect::<Vec<_>>());
}

fn a_flushed_index_reopens_as_it_was<O: IndexOpener>(mut opener: O) {
    let first = batch(4, &[("a", Some(1)), ("b", Some(3))], EntrySum { entries: 2, hash: 5 });
    {
        let index = opener.open().unwrap();
        index.apply(&first).unwrap();
        index.flush().unwrap();
        index.size_on_disk().unwrap();
    }
    let index = opener.open().unwrap();
    assert_eq!(index.get(b"b").unwrap(), Some(entry(3)));
    assert_eq!(all(&index, ""), [("a".into(), 1), ("b".into(), 3)]);
    assert_eq!(index.sentinel().unwrap(), Some(first.sentinel));
}

fn a_destroyed_index_is_new_again<O: IndexOpener>(mut opener: O) {
    {
        let index = opener.open().unwrap();
        index.apply(&batch(1, &[("a", Some(1))], EntrySum::default())).unwrap();
        index.flush().unwrap();
    }
    opener.destroy().unwrap();
    opener.destroy().unwrap();
    a_new_index_is_empty(opener);
}

#[test]
fn the_memory_index_keeps_the_contract() {
    check_all(crate::memory_index::MemoryDisk::new);
}
