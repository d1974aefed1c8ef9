//! What a shard promises while nothing fails.

mod support;

use kvorum_protocol::codec::Surplus;
use kvorum_protocol::limits::CLOCK_ENTRIES;
use kvorum_protocol::{Actor, Change, Clock, EncodedSet, Replaces, VersionSet};
use kvorum_store::memory_index::MemoryDisk;
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{Apply, Files, IndexFate, Job, ShardOptions, StoreRefusal, StoreRequest};
use support::{Store, key, texts, update, value};

fn fresh() -> (SimFiles, MemoryDisk, Store) {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let store = Store::open(&files, &disk, ShardOptions::small(), 1).unwrap();
    (files, disk, store)
}

#[test]
fn a_write_is_visible_at_once_and_durable_after_its_sync() {
    let (_, _, mut store) = fresh();
    let put = store.put("a", "one");
    assert!(store.outcome(put).applied.is_none(), "the key must be read first");
    assert!(store.step(), "a read job");
    let outcome = store.outcome(put);
    assert_eq!(texts(&outcome.applied.unwrap()), ["one"]);
    assert!(!outcome.durable);
    let read = store.submit(|token| StoreRequest::Read { token, key: key("a") });
    assert_eq!(
        texts(&store.outcome(read).read.unwrap().unwrap().unwrap()),
        ["one"],
        "visible before it is durable"
    );
    assert!(store.step(), "the commit");
    assert!(store.outcome(put).durable);
}

#[test]
fn a_closed_store_opens_with_everything_and_replays_nothing() {
    let (files, disk, mut store) = fresh();
    for number in 0..50 {
        store.put(&format!("k{number}"), &format!("v{number}"));
        store.settle();
    }
    store.close();
    assert!(store.closed);
    drop(store);
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    let report = store.opened.report;
    assert!(report.clean && report.index == IndexFate::Kept && report.replayed == 0, "{report:?}");
    assert_eq!(report.keys, 50);
    for number in 0..50 {
        assert_eq!(store.get(&format!("k{number}")), [format!("v{number}")]);
    }
}

#[test]
fn writes_that_wait_together_share_one_sync() {
    let (files, _, mut store) = fresh();
    let puts: Vec<_> = (0..40).map(|number| store.put(&format!("k{number}"), "v")).collect();
    while store.outcome(puts[39]).applied.is_none() {
        assert!(store.step());
    }
    let before = files.counts().syncs;
    while !store.outcome(puts[39]).durable {
        assert!(store.step());
    }
    assert!(puts.iter().all(|put| store.outcome(*put).durable));
    // A sync for the directory (a new segment) and one for the batch, a few times: small batches end at their limit.
    assert!(
        files.counts().syncs - before <= 12,
        "{} syncs for 40 writes",
        files.counts().syncs - before
    );
}

#[test]
fn a_run_goes_on_under_its_own_actor_and_the_next_run_does_not() {
    let (files, disk, mut store) = fresh();
    let puts = [store.put("a", "1"), store.put("a", "2")];
    store.settle();
    let dots = puts.map(|put| store.outcome(put).minted.unwrap().dot);
    assert_eq!((dots[0].actor, dots[0].counter + 1), (dots[1].actor, dots[1].counter));
    store.close();
    drop(store);
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    let put = store.put("a", "3");
    store.settle();
    assert_ne!(store.outcome(put).minted.unwrap().dot.actor, dots[0].actor);
    assert_eq!(store.get("a"), ["3"]);
}

#[test]
fn a_merge_that_knows_more_of_my_actor_ends_it() {
    let (_, _, mut store) = fresh();
    let first = store.put("a", "1");
    store.settle();
    let dot = store.outcome(first).minted.unwrap().dot;
    // A peer holds an event of my actor that I have lost.
    let mut other =
        Store::open(&SimFiles::new(), &MemoryDisk::new(), ShardOptions::small(), 1).unwrap();
    other.put("a", "1");
    let ahead = other.put("a", "2");
    other.settle();
    let ahead = other.outcome(ahead);
    assert_eq!(ahead.minted.unwrap().dot.actor, dot.actor, "the same seed draws the same actor");
    store.apply("a", Apply::Merge { set: ahead.applied.unwrap() });
    store.settle();
    let next = store.put("a", "3");
    store.settle();
    assert_ne!(store.outcome(next).minted.unwrap().dot.actor, dot.actor);
}

#[test]
fn a_merge_that_changes_nothing_waits_for_what_it_found() {
    let (_, _, mut store) = fresh();
    let put = store.put("a", "1");
    assert!(store.step(), "the read");
    let set = store.outcome(put).applied.unwrap();
    let merge = store.apply("a", Apply::Merge { set: set.clone() });
    let outcome = store.outcome(merge);
    assert!(
        outcome.applied.is_some() && !outcome.changed && !outcome.durable,
        "the put is not synced yet"
    );
    store.settle();
    assert!(store.outcome(merge).durable);
    let again = store.apply("a", Apply::Merge { set });
    assert!(store.outcome(again).durable, "what it found is on disk");
}

#[test]
fn an_update_that_comes_twice_mints_once() {
    let (_, _, mut store) = fresh();
    let first = store.apply("a", update(Replaces::Nothing, value("one"), 77));
    let second = store.apply("a", update(Replaces::Nothing, value("one"), 77));
    store.settle();
    let (first, second) = (store.outcome(first), store.outcome(second));
    assert!(first.minted.is_some() && first.changed && first.durable);
    assert!(second.minted.is_none() && !second.changed && second.durable);
    assert_eq!(second.applied, first.applied);
    store.put("a", "two");
    let late = store.apply("a", update(Replaces::Nothing, value("one"), 77));
    store.settle();
    assert!(store.outcome(late).minted.is_none(), "what replaced it remembers it");
    assert_eq!(store.get("a"), ["two"]);
}

#[test]
fn operations_on_a_key_that_is_being_read_keep_their_order() {
    let (files, disk, mut store) = fresh();
    store.put("a", "0");
    store.settle();
    store.close();
    drop(store);
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    store.put("a", "1");
    let read = store.submit(|token| StoreRequest::Read { token, key: key("a") });
    let none = store.apply("a", update(Replaces::Nothing, value("2"), 77));
    let late = store.submit(|token| StoreRequest::Read { token, key: key("a") });
    store.settle();
    let found = |token| texts(&store.outcome(token).read.unwrap().unwrap().unwrap());
    assert_eq!(found(read), ["1"]);
    assert_eq!(found(late), ["1", "2"]);
    assert!(store.outcome(none).durable);
}

#[test]
fn refused_writes_mint_nothing() {
    let (_, _, mut store) = fresh();
    let delete = store.apply("a", update(Replaces::Latest, Change::Delete, 1));
    store.settle();
    assert_eq!(store.outcome(delete).refused, Some(StoreRefusal::NothingToDelete));
    for number in 0..64 {
        store.apply("a", update(Replaces::Nothing, value("s"), 100 + number));
        store.settle();
    }
    let sibling = store.apply("a", update(Replaces::Nothing, value("s"), 999));
    store.settle();
    assert_eq!(store.outcome(sibling).refused, Some(StoreRefusal::TooManySiblings));
    assert_eq!(store.get("a").len(), 64);
}

#[test]
fn a_full_queue_answers_overloaded_before_anything_happens() {
    let (_, _, mut store) = fresh();
    let puts: Vec<_> = (0..2_000).map(|number| store.put(&format!("k{number}"), "value")).collect();
    let refused = puts.iter().filter(|put| store.outcome(**put).refused.is_some()).count();
    assert!(refused > 1_500, "{refused} refused");
    store.settle();
    for (number, put) in puts.iter().enumerate() {
        let outcome = store.outcome(*put);
        assert_eq!(outcome.durable, outcome.refused.is_none(), "put {number}: {outcome:?}");
    }
    let late = store.put("late", "v");
    store.settle();
    assert!(store.outcome(late).durable, "there is room again");
}

#[test]
fn an_evicted_record_comes_back_whole() {
    let (_, _, mut store) = fresh();
    for number in 0..300 {
        store.put(&format!("k{number:03}"), &format!("value {number}"));
        store.settle();
        store.pass_ms(10);
    }
    let stats = store.opened.shard.stats();
    assert!(
        stats.table_bytes <= ShardOptions::small().table_bytes && stats.table_keys < 300,
        "{stats:?}"
    );
    for number in 0..300 {
        assert_eq!(store.get(&format!("k{number:03}")), [format!("value {number}")]);
    }
}

#[test]
fn a_large_record_goes_to_a_segment_of_its_own_kind() {
    let (files, disk, mut store) = fresh();
    let large = "x".repeat(200_000);
    store.put("large", &large);
    store.settle();
    store.put("small", "s");
    store.settle();
    store.close();
    drop(store);
    assert!(files.list().unwrap().iter().any(|name| name.ends_with(".bulk")));
    let mut store = Store::open(&files, &disk, ShardOptions::small(), 2).unwrap();
    assert_eq!(store.get("large"), [large]);
    assert_eq!(store.get("small"), ["s"]);
}

/// A shard that makes no checkpoint of its own accord and has room for everything.
fn patient() -> ShardOptions {
    let never = 1 << 40;
    let options =
        ShardOptions { table_bytes: 1 << 20, unindexed_records: 1 << 10, ..ShardOptions::small() };
    ShardOptions {
        checkpoint_bytes: never,
        checkpoint_ms: 1_000,
        spread_ms: 0,
        segment_bytes: 1 << 20,
        ..options
    }
}

#[test]
fn a_key_that_is_overwritten_often_reaches_the_index_once() {
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), patient(), 1).unwrap();
    for round in 0..50 {
        for number in 0..20 {
            store.put(&format!("k{number}"), &format!("{round}"));
        }
        store.settle();
    }
    let stats = store.opened.shard.stats();
    assert_eq!(
        (stats.indexed, stats.index_backlog, stats.keys),
        (0, 20, 20),
        "nobody waits for it"
    );
    store.pass_ms(1_000);
    let stats = store.opened.shard.stats();
    assert_eq!((stats.indexed, stats.index_backlog, stats.keys), (20, 0, 20));
    assert_eq!(stats.checkpoint_batch, stats.last_batch);
}

/// Lets `count` writes gather and says how many entries the next batch has, which is synced then.
fn next_batch(store: &mut Store, count: usize) -> Option<usize> {
    for number in 0..count {
        store.put(&format!("k{number}"), "v");
    }
    let Job::Commit(job) = store.opened.shard.poll_job()? else { return None };
    let entries = job.entries();
    let done = store.opened.committer.run(job);
    store.opened.shard.complete(store.now, done);
    store.collect();
    Some(entries)
}

#[test]
fn after_a_crowd_a_batch_waits_for_company_and_has_a_deadline() {
    let options =
        ShardOptions { paced_entries: 4, pace_ns: 1_000_000, pending_bytes: 1 << 20, ..patient() };
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), options, 1).unwrap();
    for _ in 0..3 {
        // The keys are new, and the first writes of each wait for the index to say so.
        store.put("k0", "v");
        store.settle();
        assert_eq!(next_batch(&mut store, 1), Some(1), "a lone writer waits for nobody");
    }
    for number in 0..200 {
        store.put(&format!("k{number}"), "v");
    }
    store.settle();
    store.pass_ms(2);
    store.now.mono_ns += 2_000_000;
    let began_ns = store.now.mono_ns;
    assert_eq!(next_batch(&mut store, 4), Some(4), "long after the batch before");

    assert_eq!(next_batch(&mut store, 2), None, "it waits");
    let last = store.put("k9", "last");
    assert!(!store.outcome(last).durable);
    assert_eq!(store.opened.shard.next_deadline(), Some(began_ns + 1_000_000));
    store.now.mono_ns = began_ns + 999_999;
    store.opened.shard.tick(store.now);
    assert_eq!(next_batch(&mut store, 0), None, "not early");
    store.now.mono_ns += 1;
    store.opened.shard.tick(store.now);
    assert_eq!(next_batch(&mut store, 0), Some(3), "and then they go together");
    assert!(store.outcome(last).durable);

    store.now.mono_ns += 2_000_000;
    assert_eq!(next_batch(&mut store, 4), Some(4));
    assert_eq!(next_batch(&mut store, 130), Some(130), "a full company waits for nobody");
    assert_eq!(next_batch(&mut store, 1), None);
    store.close();
    assert!(store.closed, "closing does not wait");
}

/// A shard that spreads a checkpoint over a second, with forty keys that wait for it.
fn spreading(checkpoint_bytes: u64) -> Store {
    let options = ShardOptions { spread_ms: 1_000, index_batch: 16, checkpoint_bytes, ..patient() };
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), options, 1).unwrap();
    for number in 0..40 {
        store.put(&format!("k{number}"), "v");
    }
    store.settle();
    store.now.mono_ns = store.opened.shard.next_deadline().expect("a checkpoint comes in time");
    store.opened.shard.tick(store.now);
    store
}

#[test]
fn a_checkpoint_that_nobody_waits_for_spreads_what_it_feeds() {
    let mut store = spreading(1 << 40);
    let began = store.now.mono_ns;
    let mut fed = Vec::new();
    while store.opened.shard.stats().checkpoint_batch == 0 {
        store.settle();
        fed.push(store.opened.shard.stats().indexed);
        if let Some(at) = store.opened.shard.next_deadline() {
            assert!(at > store.now.mono_ns || store.opened.shard.stats().checkpoint_batch > 0);
            store.now.mono_ns = at;
            store.opened.shard.tick(store.now);
        }
        assert!(fed.len() < 20, "it ends: {fed:?}");
    }
    assert_eq!(fed[..10], [4, 8, 12, 16, 20, 24, 28, 32, 36, 40], "a quarter of a batch each");
    let took_ms = (store.now.mono_ns - began) / 1_000_000;
    assert!((900..=1_001).contains(&took_ms), "{took_ms} ms");
}

#[test]
fn a_checkpoint_spreads_over_what_is_written_when_that_is_sooner() {
    // A quarter of this is what forty small records take, about.
    let mut store = spreading(40_000);
    store.settle();
    assert_eq!(store.opened.shard.stats().indexed, 4);
    for _ in 0..60 {
        store.put("k0", &"v".repeat(100));
        store.settle();
    }
    let stats = store.opened.shard.stats();
    assert!(stats.checkpoint_batch > 0 && stats.indexed >= 39, "{stats:?}");
}

#[test]
fn a_checkpoint_that_somebody_waits_for_feeds_at_once() {
    let mut store = spreading(1 << 40);
    store.settle();
    assert_eq!(store.opened.shard.stats().indexed, 4);
    store.opened.shard.finish_refilling(store.now);
    store.settle();
    assert_eq!(store.opened.shard.stats().indexed, 40);
    let mut store = spreading(1 << 40);
    store.close();
    assert!(store.closed, "and so does a close");
}

#[test]
fn at_half_of_its_limit_the_backlog_is_fed_without_waiting() {
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), patient(), 1).unwrap();
    for number in 0..900 {
        store.put(&format!("k{number}"), "v");
        if number % 30 == 0 {
            store.settle();
        }
    }
    store.settle();
    let stats = store.opened.shard.stats();
    assert!(
        stats.index_backlog < 512 && stats.indexed + stats.index_backlog as u64 == 900,
        "{stats:?}"
    );
}

#[test]
fn records_that_fill_the_table_are_fed_without_waiting() {
    let options = ShardOptions { table_bytes: 20_000, ..patient() };
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), options, 1).unwrap();
    for number in 0..50 {
        store.put(&format!("k{number}"), &"v".repeat(1_000));
        store.settle();
    }
    let stats = store.opened.shard.stats();
    assert!(stats.table_bytes <= 22_500 && stats.indexed > 30, "{stats:?}");
}

#[test]
fn a_shard_that_is_never_done_feeding_makes_checkpoints_all_the_same() {
    let options = ShardOptions {
        checkpoint_bytes: 10_000,
        unindexed_records: 64,
        index_batch: 4,
        ..patient()
    };
    let mut store = Store::open(&SimFiles::new(), &MemoryDisk::new(), options, 1).unwrap();
    let mut checkpoints = std::collections::BTreeSet::new();
    for number in 0..4_000 {
        store.put(&format!("k{number}"), "v");
        store.step();
        let stats = store.opened.shard.stats();
        checkpoints.insert(stats.checkpoint_batch);
    }
    assert!(store.opened.shard.stats().index_backlog > 32, "it is busy to the end");
    assert!(checkpoints.len() > 5, "{checkpoints:?}");
}

#[test]
fn a_context_that_knows_more_of_the_own_actor_begins_a_fresh_one() {
    let (_, _, mut store) = fresh();
    store.put("a", "one");
    store.settle();
    let set = store.get_set("a").unwrap();
    let own = set.versions()[0].0;
    // As from a record that this store had and lost: its counter went on without it.
    for (known, is_fresh) in [(own.counter, false), (own.counter + 5, true)] {
        let context = Replaces::Context(Clock::of([(own.actor, known)]));
        store.apply("a", update(context, value("next"), u128::from(known) + 100));
        store.settle();
        let set = store.get_set("a").unwrap();
        let newest = set.versions().iter().map(|(dot, _)| *dot).find(|dot| *dot != own).unwrap();
        assert_eq!(newest.actor != own.actor, is_fresh, "a context up to {known}");
    }
}

#[test]
fn a_record_that_no_reader_would_take_is_refused_and_what_was_there_stays() {
    let (_, _, mut store) = fresh();
    let clock = |odd: u64| Clock::of((0..CLOCK_ENTRIES as u64).map(|n| (Actor(2 * n + odd), 1)));
    let set = |odd| VersionSet::from_parts(clock(odd), Vec::new(), Vec::new(), Surplus::NONE);
    let merge = |odd| Apply::Merge { set: EncodedSet::new(&set(odd).unwrap()) };
    let full = store.apply("a", merge(0));
    store.settle();
    assert!(store.outcome(full).durable);
    let changes = [merge(1), update(Replaces::Latest, value("one too many"), 7)];
    for change in changes {
        let refused = store.apply("a", change);
        store.settle();
        assert_eq!(store.outcome(refused).refused, Some(StoreRefusal::Oversized));
    }
    assert_eq!(store.get_set("a").unwrap().clock(), &clock(0));
}

#[test]
fn large_values_are_refused_while_the_index_is_slow_and_taken_again_after() {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let options = ShardOptions {
        segment_bytes: 1 << 20,
        table_bytes: 64 * 1024,
        unindexed_records: 100_000,
        ..ShardOptions::small()
    };
    let mut store = Store::open(&files, &disk, options, 1).unwrap();
    let text = "v".repeat(4 * 1024);
    let mut held = None;
    let mut refused = None;
    for number in 0..200 {
        let put = store.put(&format!("key {number}"), &text);
        while let Some(job) = store.poll_job() {
            match job {
                Job::Index(_) => held = Some(job),
                job => store.run(job),
            }
        }
        if store.outcome(put).refused.is_some() {
            refused = Some(number);
            break;
        }
    }
    let refused = refused.expect("what may not leave the table is bounded in bytes");
    assert!((20..40).contains(&refused), "at about twice the budget, not at {refused}");
    store.run(held.expect("the index job that is slow"));
    store.settle();
    let put = store.put("after", &text);
    store.settle();
    assert!(store.outcome(put).durable, "the index has caught up");
}
