//! What is held for owners that were away is listed for them, survives whatever a record survives, ends only when an owner has
//! all of it, and is bounded.

mod support;

use std::collections::BTreeMap;

use kvorum_protocol::{EncodedSet, RecordKey, Replaces, Space};
use kvorum_ring::NodeId;
use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{
    Apply, DamageNotice, File, Files, Hint, HintStats, ReadError, ShardOptions, StoreRefusal,
    StoreRequest, TargetHints, Token,
};
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

fn release(store: &mut Store, name: &str, target: NodeId, set: EncodedSet) -> Token {
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
    let given = read(&mut store, "k").unwrap();
    mint(&mut store, "k", &[A], "2", 2);
    let stale = release(&mut store, "k", A, given);
    store.settle();
    assert!(store.outcome(stale).durable, "answered all the same");
    assert_eq!(listed(&mut store, A), ["k"], "A has not got the second write");

    let given = read(&mut store, "k").unwrap();
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
    let counted = |store: &Store| {
        let stats = store.opened.shard.stats().hints;
        (stats.refused, stats.spare_refused)
    };
    assert_eq!(counted(&store), (1, 0));
    for number in 2_000..2_020 {
        let change = update(Replaces::Latest, value(&"s".repeat(1_000)), number);
        hold(&mut store, &format!("s{number}"), &[A], true, change);
        store.settle();
    }
    let (bearing, spare) = counted(&store);
    assert!(bearing == 1 && spare > 5, "a write failed once, and nobody misses the spare ones");
    let set = read(&mut store, "k0").unwrap();
    release(&mut store, "k0", A, set);
    store.settle();
    let token = mint(&mut store, "again", &[A], "v", 2_000);
    store.settle();
    assert!(store.outcome(token).durable, "what is delivered makes room");
}

/// Writes these hints for A, each in a batch of its own, closes the store, and says where the key of the first stands in the log.
fn closed_with(names: &[&str], spare: bool) -> (SimFiles, MemoryDisk, String, u64) {
    let (files, disk, mut store) = open();
    for (name, number) in names.iter().zip(1..) {
        hold(&mut store, name, &[A], spare, update(Replaces::Latest, value("v"), number));
        store.settle();
    }
    store.close();
    drop(store);
    let first = names[0].as_bytes();
    let name = files.list().unwrap().into_iter().find(|name| name.ends_with(".main")).unwrap();
    let length = files.open(&name).unwrap().len().unwrap();
    let offset = (512..length)
        .find(|offset| {
            let mut bytes = vec![0; first.len()];
            let read = files.open(&name).unwrap().read_at(*offset, &mut bytes);
            read.is_ok() && bytes == first
        })
        .expect("the key's bytes");
    (files, disk, name, offset)
}

fn hint_stats(store: &Store) -> HintStats {
    store.opened.shard.stats().hints
}

fn holds(store: &Store, name: &str) -> bool {
    let place = key(name);
    store.opened.shard.holds_hints(place.class, place.partition)
        && store.opened.shard.holds_hint(&hinted(name))
}

#[test]
fn bug_21_a_hint_that_cannot_be_read_is_kept_and_stops_no_other() {
    let (files, disk, name, offset) = closed_with(&["bad", "good"], false);
    assert!(files.flip(&name, offset, 1));
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    assert_eq!(listed(&mut store, A), ["good"]);
    let stats = hint_stats(&store);
    assert_eq!((stats.keys, stats.unreadable, stats.unread, stats.damaged), (2, 1, 0, 0));
    assert!(!store.damage.is_empty(), "it is reported");
    assert!(holds(&store, "bad"), "nobody may take it for delivered");

    // It is no absence to who reads it, and what would be written over it is refused.
    let key = hinted("bad");
    let asked = store.submit(|token| StoreRequest::Read { token, key });
    let written = mint(&mut store, "bad", &[B], "2", 9);
    store.settle();
    assert_eq!(store.outcome(asked).read, Some(Err(ReadError::Unreadable)));
    assert!(matches!(store.outcome(written).refused, Some(StoreRefusal::Overloaded { .. })));
    let reports = store.damage.len();
    store.pass_ms(600_000);
    assert_eq!((hint_stats(&store).unreadable, store.damage.len()), (1, reports), "told once");

    // Another read finds it whole: it is listed again, and whoever delivers is told.
    assert!(files.flip(&name, offset, 1));
    store.pass_ms(60_000);
    assert_eq!(store.readable, [A]);
    assert_eq!(listed(&mut store, A), ["bad", "good"]);
    assert_eq!(hint_stats(&store).unreadable, 0);
    let given = read(&mut store, "bad").unwrap();
    release(&mut store, "bad", A, given);
    store.settle();
    assert!(!store.opened.shard.holds_hint(&hinted("bad")));
}

#[test]
fn bug_21_a_file_that_cannot_be_read_says_nothing_about_a_hint() {
    for spare in [false, true] {
        let (files, disk, ..) = closed_with(&["one", "two"], spare);
        let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
        assert_eq!(listed(&mut store, A), ["one", "two"]);
        let bytes = |stats: HintStats| stats.bearing_bytes + stats.spare_bytes + stats.unread_bytes;
        let taken = bytes(hint_stats(&store));
        // What is in memory is read all the same, so that goes first.
        for number in 0..200 {
            store.put(&format!("other{number}"), &"v".repeat(200));
            store.settle();
        }
        files.set_unreadable(true);
        let key = hinted("one");
        let asked = store.submit(|token| StoreRequest::Read { token, key });
        store.settle();
        assert_eq!(store.outcome(asked).read, Some(Err(ReadError::Unreadable)), "{spare}");
        let stats = hint_stats(&store);
        assert_eq!((stats.keys, stats.unreadable, stats.damaged), (2, 1, 0));
        assert_eq!(bytes(stats), taken, "it takes its room");
        assert_eq!(listed(&mut store, A), ["two"]);
        files.set_unreadable(false);
        store.pass_ms(2_000);
        assert_eq!(store.readable, [A]);
        assert_eq!(
            (listed(&mut store, A), bytes(hint_stats(&store))),
            (vec!["one".into(), "two".into()], taken)
        );
    }
}

#[test]
fn bug_21_a_spare_hint_whose_bytes_are_damaged_is_given_up() {
    let (files, disk, name, offset) = closed_with(&["bad", "good"], true);
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    assert_eq!(listed(&mut store, A), ["bad", "good"], "it is known to be spare");
    for number in 0..200 {
        store.put(&format!("other{number}"), &"v".repeat(200));
        store.settle();
    }
    assert!(files.flip(&name, offset, 1));
    assert_eq!(read(&mut store, "bad"), None);
    assert_eq!(store.dropped, [hinted("bad")]);
    assert_eq!(listed(&mut store, A), ["good"]);
    assert_eq!((hint_stats(&store).damaged, hint_stats(&store).keys), (1, 1));
}

#[test]
fn a_listed_key_that_the_index_does_not_name_has_the_index_made_anew() {
    let (files, disk, ..) = closed_with(&["one", "two"], false);
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    assert_eq!(listed(&mut store, A), ["one", "two"]);
    for number in 0..200 {
        store.put(&format!("other{number}"), &"v".repeat(200));
        store.settle();
    }
    assert!(disk.lose_entry(&hinted("one").to_index_bytes()));
    let key = hinted("one");
    let asked = store.submit(|token| StoreRequest::Read { token, key });
    store.settle();
    let outcome = store.outcome(asked);
    assert!(matches!(outcome.refused, Some(StoreRefusal::Overloaded { .. })), "{outcome:?}");
    let is_rebuilt =
        |notice: &DamageNotice| matches!(notice, DamageNotice::IndexRebuilt { repaired: 1.. });
    assert!(store.damage.iter().any(is_rebuilt), "{:?}", store.damage);
    assert_eq!(texts(&read(&mut store, "one").unwrap()), ["v"], "the log has it");
    assert_eq!(listed(&mut store, A), ["one", "two"]);
}

#[test]
fn what_the_log_does_not_hold_is_not_listed_after_the_index_was_made_anew() {
    let (files, disk, name, offset) = closed_with(&["bad", "good"], false);
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    assert_eq!(listed(&mut store, A), ["bad", "good"]);
    for number in 0..200 {
        store.put(&format!("other{number}"), &"v".repeat(200));
        store.settle();
    }
    assert!(files.flip(&name, offset, 1));
    assert!(disk.lose_entry(&hinted("bad").to_index_bytes()));
    let key = hinted("bad");
    store.submit(|token| StoreRequest::Read { token, key });
    store.settle();
    assert_eq!(listed(&mut store, A), ["good"], "or a courier would ask for it for ever");
    assert_eq!((hint_stats(&store).damaged, hint_stats(&store).keys), (1, 1));
    assert!(store.opened.shard.is_refilling());
}

#[test]
fn what_is_held_is_counted_for_each_owner_and_takes_its_room_before_it_is_read() {
    let (files, disk, mut store) = open();
    mint(&mut store, "one", &[A, B], "1", 1);
    store.settle();
    store.pass_ms(3_000);
    hold(&mut store, "two", &[A], true, update(Replaces::Latest, value("2"), 2));
    store.settle();
    let targets = store.opened.shard.hint_targets();
    let told = |target: &TargetHints| (target.target, target.keys, target.bearing);
    assert_eq!(targets.iter().map(told).collect::<Vec<_>>(), [(A, 2, 1), (B, 1, 1)]);
    assert!((3_000..3_100).contains(&targets[0].oldest_ms), "{targets:?}");
    let stats = hint_stats(&store);
    assert_eq!(targets[0].bytes, stats.bearing_bytes + stats.spare_bytes);
    assert_eq!(targets[1].bytes, stats.bearing_bytes);
    let given = read(&mut store, "one").unwrap();
    release(&mut store, "one", A, given);
    store.settle();
    let targets = store.opened.shard.hint_targets();
    assert_eq!(targets.iter().map(told).collect::<Vec<_>>(), [(A, 1, 0), (B, 1, 1)]);
    assert!(targets[0].oldest_ms < 100, "the other one is younger: {targets:?}");
    drop(store);

    let store = Store::open(&files.kill(), &disk, ShardOptions::small(), 2).unwrap();
    let unread = hint_stats(&store);
    assert_eq!((unread.unread, unread.bearing_bytes, unread.spare_bytes), (2, 0, 0));
    assert!(unread.unread_bytes * 10 > (stats.bearing_bytes + stats.spare_bytes) * 8, "{unread:?}");
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
                Some(set) => (release(&mut store, &name, A, set), false),
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
