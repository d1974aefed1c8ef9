//! Gets: enough owners heard, nothing hidden, stale owners healed.

use std::sync::Arc;

use kvorum_node::engine::Input;
use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::message::{ArgumentKind, OwnerCause, Replacing, Request, RequestError};

use crate::cluster::{Cluster, bucket, context, error, get_done, key, put_done, values, view_of};

/// A cluster whose third owner missed the write of `k`.
fn one_owner_behind() -> (Cluster, Vec<usize>) {
    let mut cluster = Cluster::new(3);
    let owners = cluster.owners(&key("k"));
    cluster.cuts.push((owners[0], owners[2]));
    cluster.put(owners[0], &key("k"), "v", Replacing::Latest);
    cluster.pass_ms(20_000);
    cluster.cuts.clear();
    assert_eq!(cluster.holdings(&key("k"))[2], None);
    (cluster, owners)
}

#[test]
fn a_get_heals_the_owner_that_missed_a_write() {
    let (mut cluster, owners) = one_owner_behind();
    let read = cluster.get(owners[2], &key("k"));
    assert_eq!(values(&read), ["v"]);
    let holdings = cluster.holdings(&key("k"));
    assert_eq!(holdings[2], holdings[0]);
    let before = cluster.nodes[owners[2]].engine.stats().repairs;
    assert_eq!(before, 1);
    cluster.get(owners[2], &key("k"));
    assert_eq!(
        cluster.nodes[owners[2]].engine.stats().repairs,
        before,
        "equal owners need no repair"
    );
}

#[test]
fn a_get_answers_at_r_and_the_late_owner_is_healed_after_the_answer() {
    let (mut cluster, owners) = one_owner_behind();
    let get = cluster.get_request(&key("k"));
    let request = cluster.ask(owners[0], Request::Get(get));
    let asked = cluster.in_flight.iter().position(|flight| flight.to == owners[1]).unwrap();
    cluster.deliver(asked);
    let answer = cluster.in_flight.iter().position(|flight| flight.from == owners[1]).unwrap();
    cluster.deliver(answer);
    assert_eq!(values(&get_done(cluster.reply(request).unwrap().clone())), ["v"]);
    assert_eq!(cluster.holdings(&key("k"))[2], None);
    cluster.settle();
    assert!(cluster.holdings(&key("k"))[2].is_some());
}

#[test]
fn a_coordinator_that_was_behind_has_what_its_read_returned_although_an_owner_stays_silent() {
    let (mut cluster, owners) = one_owner_behind();
    // The owner between has died, and nobody has noticed yet.
    cluster.cuts.push((owners[2], owners[1]));
    let get = cluster.get_request(&key("k"));
    let request = cluster.ask(owners[2], Request::Get(get));
    cluster.settle();
    assert_eq!(values(&get_done(cluster.reply(request).unwrap().clone())), ["v"]);
    let put = cluster.put(owners[2], &key("k"), "next", Replacing::Latest);
    assert_eq!(put.replaced.len(), 1, "the next write replaces what the read returned");
    cluster.cuts.clear();
    assert_eq!(values(&cluster.get(owners[0], &key("k"))), ["next"]);
}

#[test]
fn a_context_covers_just_what_was_returned_although_more_was_heard_later() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.cuts.extend([(owners[2], owners[0]), (owners[2], owners[1])]);
    cluster.put(owners[0], &key, "seen", Replacing::Latest);
    let unseen = cluster.put_request(&key, "unseen", Replacing::Nothing);
    cluster.ask(owners[2], Request::Put(unseen));
    cluster.settle();
    cluster.pass_ms(20_000);
    cluster.cuts.clear();

    let get = cluster.get_request(&key);
    let request = cluster.ask(owners[0], Request::Get(get));
    let asked = cluster.in_flight.iter().position(|flight| flight.to == owners[1]).unwrap();
    cluster.deliver(asked);
    let answer = cluster.in_flight.iter().position(|flight| flight.from == owners[1]).unwrap();
    cluster.deliver(answer);
    let read = get_done(cluster.reply(request).unwrap().clone());
    assert_eq!(values(&read), ["seen"]);
    cluster.settle();

    cluster.put(owners[0], &key, "next", context(&read.context));
    assert_eq!(values(&cluster.get(owners[1], &key)), ["next", "unseen"]);
}

#[test]
fn not_found_is_complete_only_when_every_owner_said_so() {
    let mut cluster = Cluster::new(3);
    let key = key("nothing");
    let owners = cluster.owners(&key);
    let read = cluster.get(owners[0], &key);
    assert_eq!((read.values.len(), read.complete, read.owners), (0, true, 3));
    assert_eq!(read.context, None);

    cluster.kill(owners[2]);
    let read = cluster.get(owners[0], &key);
    assert_eq!((read.values.len(), read.complete, read.owners), (0, false, 2));

    let strict = cluster.strict_get(owners[0], &key);
    assert!(strict.complete, "any two of three owners meet every write that two acknowledged");
}

#[test]
fn a_get_about_to_say_not_found_waits_for_the_owner_that_knows() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.cuts.extend([(owners[2], owners[0]), (owners[2], owners[1])]);
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    cluster.ask(owners[2], Request::Put(put));
    cluster.settle();
    cluster.pass_ms(20_000);
    cluster.cuts.clear();
    assert_eq!(values(&cluster.get(owners[0], &key)), ["v"]);
}

#[test]
fn a_get_whose_last_owner_stays_silent_says_not_found_and_not_complete_at_its_deadline() {
    let mut cluster = Cluster::new(3);
    let key = key("nothing");
    let owners = cluster.owners(&key);
    cluster.cuts.push((owners[0], owners[2]));
    let get = cluster.get_request(&key);
    let request = cluster.ask(owners[0], Request::Get(get));
    cluster.settle();
    assert_eq!(cluster.reply(request), None);
    cluster.pass_ms(20_000);
    let read = get_done(cluster.reply(request).unwrap().clone());
    assert!(read.values.is_empty() && !read.complete);
}

#[test]
fn a_damaged_or_refilling_owner_counts_for_no_r() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.kill(owners[2]);
    cluster.nodes[owners[1]].disk.refilling = true;
    let get = cluster.get_request(&key);
    match error(cluster.call(owners[0], Request::Get(get))) {
        RequestError::Unavailable { needed: 2, got: 1, causes } => {
            let causes: Vec<OwnerCause> = causes.iter().map(|failure| failure.cause).collect();
            assert_eq!(causes, [OwnerCause::Refilling, OwnerCause::Unreachable]);
        }
        other => panic!("{other:?}"),
    }
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    assert_eq!(
        values(&cluster.get(owners[0], &key)),
        ["v"],
        "what a refilling owner holds does count"
    );

    for owner in &owners[..2] {
        cluster.nodes[*owner].disk.damaged = true;
    }
    cluster.restart(owners[2]);
    cluster.nodes[owners[2]].disk.damaged = true;
    let get = cluster.get_request(&key);
    assert_eq!(error(cluster.call(owners[0], Request::Get(get))), RequestError::Damaged);
}

#[test]
fn what_a_refilling_owner_holds_counts_for_no_strict_get() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    cluster.kill(owners[2]);
    cluster.nodes[owners[1]].disk.refilling = true;
    let mut get = cluster.get_request(&key);
    get.options.strict = true;
    // It may hold a write that came after the loss, and lack one that was acknowledged before.
    let answer = error(cluster.call(owners[0], Request::Get(get.clone())));
    assert!(matches!(answer, RequestError::Unavailable { needed: 2, got: 1, .. }), "{answer:?}");
    cluster.restart(owners[2]);
    assert_eq!(values(&get_done(cluster.call(owners[0], Request::Get(get)))), ["v"]);
}

#[test]
fn a_strict_get_that_hears_more_after_it_confirmed_repairs_once_and_ends() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.put(owners[0], &key, "old", Replacing::Latest);
    cluster.cuts.push((owners[0], owners[2]));
    cluster.put(owners[0], &key, "new", Replacing::Latest);
    cluster.pass_ms(20_000);
    cluster.cuts.clear();
    let mut get = cluster.get_request(&key);
    (get.options.strict, get.options.r) = (true, Some(1));
    // The coordinator is behind and has its own answer first; one owner's answer is lost, so the get stays open.
    let request = cluster.ask(owners[2], Request::Get(get));
    cluster.in_flight.retain(|flight| {
        flight.to != owners[1] || !matches!(flight.message, PeerMessage::Fetch { .. })
    });
    cluster.settle();
    assert!(cluster.reply(request).is_some());
    let newest = cluster.holdings(&key)[0].clone();
    assert!(cluster.holdings(&key).iter().all(|held| *held == newest));
}

#[test]
fn a_strict_get_repairs_before_it_answers() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    // A put that only its coordinator has: not acknowledged, and yet readable.
    cluster.cuts.extend([(owners[0], owners[1]), (owners[0], owners[2])]);
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    cluster.ask(owners[0], Request::Put(put));
    cluster.settle();
    cluster.pass_ms(20_000);
    cluster.cuts.clear();
    cluster.nodes[owners[1]].holds_syncs = true;
    cluster.nodes[owners[2]].holds_syncs = true;

    let mut get = cluster.get_request(&key);
    get.options.strict = true;
    let request = cluster.ask(owners[0], Request::Get(get));
    cluster.settle();
    assert_eq!(cluster.reply(request), None, "only one owner has it durably");
    cluster.sync(owners[1]);
    cluster.settle();
    assert_eq!(values(&get_done(cluster.reply(request).unwrap().clone())), ["v"]);

    // Whoever reads next, without the coordinator, and after everybody forgot what was not durable, sees it.
    cluster.kill(owners[0]);
    cluster.nodes[owners[2]].disk.crash();
    cluster.nodes[owners[1]].holds_syncs = false;
    cluster.nodes[owners[2]].holds_syncs = false;
    assert_eq!(values(&cluster.strict_get(owners[1], &key)), ["v"]);
}

#[test]
fn a_strict_get_that_cannot_make_its_answer_last_does_not_answer() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let (_, _, owners) = cluster.put_unsynced(&key, "v");
    let mut get = cluster.get_request(&key);
    get.options.strict = true;
    let request = cluster.ask(owners[0], Request::Get(get));
    cluster.settle();
    cluster.pass_ms(20_000);
    match error(cluster.reply(request).unwrap().clone()) {
        RequestError::Unavailable { needed: 2, got: 0, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn repair_gives_a_tombstone_back_to_nobody_who_has_no_record() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    cluster.delete(owners[0], &key, Replacing::Latest);
    let record = cluster.record(&key);
    cluster.nodes[owners[1]].disk.forget(&record);
    cluster.get(owners[0], &key);
    assert_eq!(cluster.holdings(&key)[1], None, "it may have reclaimed that very tombstone");
}

#[test]
fn an_expired_value_reads_as_deleted_and_is_not_gone() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owner = cluster.owners(&key)[0];
    let mut put = cluster.put_request(&key, "v", Replacing::Latest);
    put.expires_at_ms = Some(cluster.now.wall_ms + 1_000);
    cluster.call(owner, Request::Put(put));
    assert_eq!(values(&cluster.get(owner, &key)), ["v"]);
    cluster.pass_ms(1_000);
    let read = cluster.get(owner, &key);
    assert!(read.values.is_empty() && read.complete && read.context.is_some());
    assert!(cluster.holdings(&key).iter().flatten().all(|set| set.versions().len() == 1));
}

#[test]
fn an_r_above_the_number_of_owners_is_unavailable_and_not_damage() {
    let mut cluster = Cluster::new(2);
    let mut view = view_of(2, 8);
    view.buckets.get_mut(&bucket()).unwrap().r = Some(3);
    cluster.tell(0, Input::View(Arc::new(view)));
    let get = cluster.get_request(&key("k"));
    let answer = error(cluster.call(0, Request::Get(get)));
    assert!(matches!(answer, RequestError::Unavailable { needed: 3, .. }), "{answer:?}");
}

#[test]
fn what_a_get_finds_out_only_at_its_deadline_is_repaired_all_the_same() {
    let (mut cluster, owners) = one_owner_behind();
    // Nothing else is heard in time, so the coordinator, which lacks the record, learns of it just before the end.
    cluster.cuts.push((owners[2], owners[0]));
    let mut get = cluster.get_request(&key("k"));
    get.options.r = Some(3);
    let deadline_ms = u64::from(get.options.deadline_ms);
    let third = owners[0];
    let request = cluster.ask(owners[1], Request::Get(get));
    cluster.in_flight.retain(|flight| flight.to != third);
    cluster.settle();
    cluster.pass_ms(deadline_ms);
    let answer = error(cluster.reply(request).unwrap().clone());
    assert!(matches!(answer, RequestError::Unavailable { needed: 3, got: 2, .. }), "{answer:?}");
    let holdings = cluster.holdings(&key("k"));
    assert_eq!(holdings[2], holdings[1], "the owner that was behind has it now");
}

#[test]
fn a_get_with_one_good_answer_of_two_speaks_of_too_few_and_not_of_damage() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    for owner in &owners[1..] {
        cluster.nodes[*owner].disk.damaged = true;
    }
    let get = cluster.get_request(&key);
    match error(cluster.call(owners[0], Request::Get(get))) {
        RequestError::Unavailable { needed: 2, got: 1, causes } => {
            assert!(causes.iter().all(|failure| failure.cause == OwnerCause::Damaged));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_strict_not_found_is_complete_by_the_buckets_w_and_not_by_what_the_get_names() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    // Two owners hold the write; the get hears the third, and takes every write for one that three acknowledged.
    cluster.kill(owners[2]);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    cluster.restart(owners[2]);
    cluster.kill(owners[0]);
    cluster.kill(owners[1]);
    let mut get = cluster.get_request(&key);
    (get.options.strict, get.options.r, get.options.w) = (true, Some(1), Some(3));
    let read = get_done(cluster.call(owners[2], Request::Get(get)));
    assert!(read.values.is_empty() && !read.complete);
}

#[test]
fn a_strict_write_that_would_undercut_the_buckets_w_is_refused_and_any_other_may() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    let mut put = cluster.put_request(&key, "v", Replacing::Latest);
    (put.options.strict, put.options.w) = (true, Some(1));
    let undercut = RequestError::InvalidArgument { argument: ArgumentKind::StrictWriteQuorum };
    assert_eq!(error(cluster.call(owners[0], Request::Put(put.clone()))), undercut);
    assert_eq!(cluster.holdings(&key), [None, None, None]);
    put.options.strict = false;
    assert_eq!(put_done(cluster.call(owners[0], Request::Put(put))).needed, 1);
}
