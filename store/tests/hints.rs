//! What is held for owners that were away is listed for them, survives whatever a record survives, ends only when an owner has
//! all of it, and is bounded.

mod support;

use std::collections::BTreeMap;

use kvorum_protocol::{EncodedSet, RecordKey, Replaces, Space};
use kvorum_ring::NodeId;
use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{Apply, File, Files, Hint, ShardOptions, StoreRefusal, StoreRequest, Token};
use support::history::Rng;
use support::{Store, key, texts, update, value};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn hinted(name: &str) -> RecordKey {
    key(name).in_space(Space::Hinted)
}

fn hold(store: &mut Store, name: &str, targets: &[NodeId], spare: bool, change: Apply) -> Token {
    let hint = Hint { targets: targets.to_vec(), spare };
    let key = hinted(name);
    store.submit(|token| StoreRequest::Hold { token, key, hint, change })
}

/// A write that is coordinated here for owners that are away.
fn mint(store: &mut Store, name: &str, targets: &[NodeId], text: &str, operation: u128) -> Token {
    hold(store, name, targets, false, update(Replaces::Latest, value(text), operation))
}

fn release(store: &mut Store, name: &str, target: NodeId, set: Option<EncodedSet>) -> Token {
    let key = hinted(name);
    store.submit(|token| StoreRequest::Release { token, key, target, set })
}

fn read(store: &mut Store, name: &str) -> Option<EncodedSet> {
    let key = hinted(name);
    let token = store.submit(|token| StoreRequest::Read { token, key });
    store.settle();
    store.outcome(token).read.expect("answered").expect("readable")
}

/// The keys that are held for an owner, once all of them have been read.
fn listed(store: &mut Store, target: NodeId) -> Vec<String> {
    store.pass_ms(1);
    let token =
        store.submit(|token| StoreRequest::ListHints { token, target, after: None, limit: 100 });
    let (keys, unread) = store.outcome(token).hints.expect("answered at once");
    assert!(!unread, "a few keys are read in no time");
    let name = |key: &RecordKey| {
        assert_eq!(key.space, Space::Hinted);
        String::from_utf8(key.key.as_bytes().to_vec()).unwrap()
    };
    let mut names: Vec<String> = keys.iter().map(name).collect();
    names.sort();
    names
}

fn open() -> (SimFiles, MemoryDisk, Store) {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
    (files, disk, store)
}

#[test]
fn what_is_held_is_listed_for_its_owners_and_is_no_record_of_an_owner() {
    let (_, _, mut store) = open();
    mint(&mut store, "one", &[A], "1", 1);
    mint(&mut store, "two", &[A, B], "2", 2);
    mint(&mut store, "one", &[B], "3", 3);
    store.settle();
    assert_eq!(listed(&mut store, A), ["one", "two"]);
    assert_eq!(listed(&mut store, B), ["one", "two"]);
    assert_eq!(texts(&read(&mut store, "one").unwrap()), ["3"]);
    assert_eq!(store.get_set("one"), None, "an owner's record of the same key is another one");
    let stats = store.opened.shard.stats().hints;
    assert_eq!((stats.keys, stats.bearing, stats.unread), (2, 2, 0));
    let place = key("one");
    assert!(store.opened.shard.holds_hints(place.class, place.partition));
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let (_, _, mut store) = open();
    for number in 0..7 {
        mint(&mut store, &format!("k{number}"), &[A], "v", number);
    }
    store.settle();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let token = store.submit(|token| StoreRequest::ListHints {
            token,
            target: A,
            after: after.clone(),
            limit: 3,
        });
        let (keys, _) = store.outcome(token).hints.unwrap();
        let Some(last) = keys.last() else { break };
        after = Some(last.clone());
        seen.extend(keys);
    }
    assert!(seen.is_sorted() && seen.len() == 7, "{seen:?}");
}

#[test]
fn a_hint_ends_when_its_last_owner_has_it_and_not_when_it_has_changed_meanwhile() {
    let (_, _, mut store) = open();
    mint(&mut store, "k", &[A, B], "1", 1);
    store.settle();
    let given = read(&mut store, "k");
    mint(&mut store, "k", &[A], "2", 2);
    let stale = release(&mut store, "k", A, given);
    store.settle();
    assert!(store.outcome(stale).durable, "answered all the same");
    assert_eq!(listed(&mut store, A), ["k"], "A has not got the second write");

    let given = read(&mut store, "k");
    release(&mut store, "k", A, given.clone());
    store.settle();
    assert_eq!(listed(&mut store, A), [""; 0]);
    assert_eq!(listed(&mut store, B), ["k"]);
    let last = release(&mut store, "k", B, given);
    store.settle();
    assert!(store.outcome(last).durable);
    assert_eq!((listed(&mut store, B), read(&mut store, "k")), (Vec::new(), None));
    assert_eq!(store.opened.shard.stats().hints.bearing_bytes, 0);
    let place = key("k");
    assert!(!store.opened.shard.holds_hints(place.class, place.partition));
}

#[test]
fn a_write_that_is_known_already_may_be_held_for_one_owner_more_durably() {
    let (files, disk, mut store) = open();
    mint(&mut store, "k", &[A], "1", 1);
    store.settle();
    let set = read(&mut store, "k").unwrap();
    let again = hold(&mut store, "k", &[B], true, Apply::Merge { set });
    store.settle();
    let outcome = store.outcome(again);
    assert!(outcome.durable && !outcome.changed);
    drop(store);
    disk.crash(IndexDamage::Empty, 0);
    let files = files.crash(3);
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    assert_eq!(listed(&mut store, B), ["k"]);
    assert_eq!(store.opened.shard.stats().hints.bearing, 1, "one bearing write makes it bearing");
}

#[test]
fn what_is_spare_is_dropped_for_its_age_and_what_is_bearing_never() {
    let (files, disk, mut store) = open();
    let change = update(Replaces::Latest, value("spare"), 1);
    hold(&mut store, "spare", &[A], true, change);
    mint(&mut store, "bearing", &[A], "b", 2);
    store.settle();
    store.pass_ms(ShardOptions::small().spare_ms - 100);
    assert_eq!(listed(&mut store, A), ["bearing", "spare"]);
    store.pass_ms(200);
    assert_eq!(store.dropped, [hinted("spare")]);
    assert_eq!(listed(&mut store, A), ["bearing"]);
    store.pass_ms(100 * ShardOptions::small().spare_ms);
    assert_eq!(listed(&mut store, A), ["bearing"]);
    drop(store);
    let mut store = Store::open(&files.kill(), &disk, ShardOptions::small(), 2).unwrap();
    assert_eq!(listed(&mut store, A), ["bearing"], "it was dropped for good");
}

#[test]
fn a_hint_without_room_is_refused_and_what_is_there_stays() {
    let (_, _, mut store) = open();
    let mut taken = 0;
    let refused = loop {
        let token = mint(&mut store, &format!("k{taken}"), &[A], &"v".repeat(1_000), taken);
        store.settle();
        match store.outcome(token).refused {
            Some(reason) => break reason,
            None => taken += 1,
        }
    };
    assert_eq!(refused, StoreRefusal::HintsFull);
    assert!((5..20).contains(&taken), "{taken}");
    assert_eq!(listed(&mut store, A).len() as u128, taken);
    let change = update(Replaces::Latest, value("spare"), 1_000);
    let spare = hold(&mut store, "spare", &[A], true, change);
    store.settle();
    assert!(store.outcome(spare).durable, "spare ones have room of their own");
    assert_eq!(store.opened.shard.stats().hints.refused, 1);
    let set = read(&mut store, "k0");
    release(&mut store, "k0", A, set);
    store.settle();
    let token = mint(&mut store, "again", &[A], "v", 2_000);
    store.settle();
    assert!(store.outcome(token).durable, "what is delivered makes room");
}

#[test]
fn bug_21_a_hint_that_cannot_be_read_is_given_up_and_stops_no_other() {
    let (files, disk, mut store) = open();
    mint(&mut store, "bad", &[A], "1", 1);
    store.settle();
    mint(&mut store, "good", &[A], "2", 2);
    store.settle();
    store.close();
    drop(store);
    let name = files.list().unwrap().into_iter().find(|name| name.ends_with(".main")).unwrap();
    let length = files.open(&name).unwrap().len().unwrap();
    let offset = (512..length)
        .find(|offset| {
            let mut byte = [0; 3];
            let read = files.open(&name).unwrap().read_at(*offset, &mut byte);
            read.is_ok() && &byte == b"bad"
        })
        .expect("the key's bytes");
    assert!(files.flip(&name, offset, 1));
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    assert_eq!(listed(&mut store, A), ["good"]);
    let stats = store.opened.shard.stats().hints;
    assert_eq!((stats.damaged, stats.keys), (1, 1));
    assert!(!store.damage.is_empty(), "it is reported");
}

#[test]
fn a_record_is_held_for_no_more_owners_than_can_be_read_back() {
    let (files, disk, mut store) = open();
    let all: Vec<NodeId> = (1..=64).map(NodeId).collect();
    mint(&mut store, "k", &all[..40], "v", 1);
    let set = |store: &mut Store| read(store, "k").expect("it is held");
    let held = set(&mut store);
    let more = hold(&mut store, "k", &all, false, Apply::Merge { set: held.clone() });
    let one_more = [NodeId(65)];
    let refused = hold(&mut store, "k", &one_more, false, Apply::Merge { set: held.clone() });
    store.settle();
    assert!(store.outcome(more).durable);
    assert_eq!(store.outcome(refused).refused, Some(StoreRefusal::Oversized));
    drop(store);
    disk.crash(IndexDamage::Empty, 0);
    let mut store = Store::open(&files.kill(), &disk, ShardOptions::small(), 2).unwrap();
    assert_eq!(set(&mut store), held);
    assert_eq!(
        (listed(&mut store, NodeId(64)), listed(&mut store, NodeId(65))),
        (vec!["k".into()], vec![])
    );
}

#[test]
fn a_store_that_closes_does_not_ask_to_be_called_for_hints_that_it_will_not_drop() {
    let (_, _, mut store) = open();
    let change = update(Replaces::Latest, value("spare"), 1);
    hold(&mut store, "spare", &[A], true, change);
    store.settle();
    store.opened.shard.begin_close(store.now);
    store.now.mono_ns += 10 * ShardOptions::small().spare_ms * 1_000_000;
    store.opened.shard.tick(store.now);
    let due = store.opened.shard.next_deadline();
    assert!(due.is_none_or(|due| due > store.now.mono_ns), "{due:?}");
    store.settle();
    assert!(store.dropped.is_empty());
}

/// What is known of a key that a random course holds and releases.
#[derive(Clone, Default)]
struct Course {
    /// The last request that was called durable: the operations of the disk by then, and whether it left a hint.
    durable: Vec<(usize, bool)>,
    /// Requests that may be durable without having been called so.
    begun: Vec<(usize, Token, bool)>,
}

#[test]
fn a_crash_at_any_moment_keeps_what_was_held_durably_and_brings_nothing_back() {
    for seed in 1..4 {
        let (files, disk) = (SimFiles::new(), MemoryDisk::new());
        let recording = files.start_recording();
        let mut store = Store::open(&files, &disk, ShardOptions::small(), seed).unwrap();
        let mut courses: BTreeMap<String, Course> = BTreeMap::new();
        let mut indexes = vec![(0, disk.snapshot())];
        let mut rng = Rng(seed);
        for step in 0..40 {
            let name = format!("k{}", rng.below(4));
            let given = read(&mut store, &name).filter(|_| rng.below(3) == 0);
            let (token, leaves) = match given {
                Some(set) => (release(&mut store, &name, A, Some(set)), false),
                None => (mint(&mut store, &name, &[A], "v", step + 1), true),
            };
            let course = courses.entry(name).or_default();
            course.begun.push((recording.len(), token, leaves));
            for _ in 0..rng.below(6) {
                store.step();
                indexes.push((recording.len(), disk.snapshot()));
                for course in courses.values_mut() {
                    let done =
                        course.begun.iter().filter(|(_, token, _)| store.outcome(*token).durable);
                    let done =
                        done.map(|(_, _, leaves)| (recording.len(), *leaves)).collect::<Vec<_>>();
                    let known = course.durable.len();
                    course.durable.extend(done.into_iter().skip(known));
                }
            }
        }
        for n in (0..=recording.len()).step_by(3) {
            let at = indexes.iter().rposition(|(length, _)| *length <= n).unwrap();
            let disk = indexes[at].1.snapshot();
            disk.crash(IndexDamage::ALL[n % IndexDamage::ALL.len()], n as u64);
            let files = recording.prefix(n).torn(seed);
            let mut store = Store::open(&files, &disk, ShardOptions::small(), seed + 100).unwrap();
            let listed = listed(&mut store, A);
            for (name, course) in &courses {
                let last = course.durable.iter().rposition(|(at, _)| *at <= n);
                // Whatever was begun behind the last one that is durable may have taken effect or not.
                let behind = last.map_or(0, |last| last + 1);
                let open = course.begun[behind..].iter().filter(|(at, ..)| *at <= n);
                let mut allowed: Vec<bool> = open.map(|(_, _, leaves)| *leaves).collect();
                allowed.push(last.is_some_and(|last| course.durable[last].1));
                let is_listed = listed.contains(name);
                assert!(
                    allowed.contains(&is_listed),
                    "seed {seed}, crash after {n}: {name} listed: {is_listed}"
                );
                assert_eq!(is_listed, read(&mut store, name).is_some(), "{name}");
            }
        }
    }
}
