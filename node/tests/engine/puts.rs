//! Puts and deletes: durable before acknowledged, honest below that, exact about what they replace.

use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::message::{
    ArgumentKind, OwnerCause, Replacing, Request, RequestError, Response,
};
use kvorum_store::StoreRefusal;

use crate::cluster::{Cluster, context, error, key, put_done, values};

#[test]
fn a_put_is_acknowledged_only_when_w_owners_have_it_durably() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let (_, request, owners) = cluster.put_unsynced(&key, "v");
    assert!(cluster.holdings(&key).iter().all(Option::is_some), "it is visible everywhere");
    assert_eq!(cluster.reply(request), None, "and durable nowhere");

    cluster.sync(owners[1]);
    cluster.settle();
    assert_eq!(cluster.reply(request), None, "one durable copy is not two");

    cluster.sync(owners[2]);
    cluster.settle();
    let done = put_done(cluster.reply(request).unwrap().clone());
    assert_eq!(
        (done.acked_owners, done.needed),
        (2, 2),
        "the coordinator's own copy is not among them"
    );
    let record = cluster.record(&key);
    let durable =
        owners.iter().filter(|owner| cluster.nodes[**owner].disk.peek_durable(&record).is_some());
    assert_eq!(durable.count(), 2);
}

#[test]
fn every_replica_is_sent_the_same_bytes() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let coordinator = cluster.owners(&key)[0];
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    cluster.ask(coordinator, Request::Put(put));
    let sent: Vec<(u64, *const u8)> = cluster
        .in_flight
        .iter()
        .map(|flight| match &flight.message {
            PeerMessage::Replicate { token, set, .. } => (*token, set.encoded().as_ptr()),
            other => panic!("not a replica's message: {other:?}"),
        })
        .collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], sent[1]);
}

#[test]
fn a_write_below_w_says_how_far_it_got() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.nodes[owners[1]].holds_syncs = true;
    cluster.nodes[owners[2]].holds_syncs = true;
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    let operation = put.options.operation;
    let request = cluster.ask(owners[0], Request::Put(put));
    cluster.settle();
    assert_eq!(cluster.reply(request), None);
    cluster.pass_ms(20_000);
    match error(cluster.reply(request).unwrap().clone()) {
        RequestError::AppliedBelowW { needed: 2, got: 1, operation: named, causes } => {
            assert_eq!(named, operation);
            assert_eq!(
                causes.iter().map(|failure| failure.cause).collect::<Vec<_>>(),
                [OwnerCause::TimedOut; 2]
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_write_that_is_durable_nowhere_by_its_deadline_is_unknown() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let (put, request, _) = cluster.put_unsynced(&key, "v");
    let operation = put.options.operation;
    cluster.pass_ms(20_000);
    assert_eq!(
        error(cluster.reply(request).unwrap().clone()),
        RequestError::OutcomeUnknown { operation }
    );
}

#[test]
fn an_answer_below_w_does_not_wait_for_the_deadline_when_nobody_is_left() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    let request = cluster.ask(owners[0], Request::Put(put));
    cluster.kill(owners[1]);
    cluster.kill(owners[2]);
    cluster.settle();
    match error(cluster.reply(request).unwrap().clone()) {
        RequestError::AppliedBelowW { got: 1, causes, .. } => {
            assert!(causes.iter().all(|failure| failure.cause == OwnerCause::Unreachable));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn too_few_reachable_owners_mean_that_nothing_is_applied() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.kill(owners[1]);
    cluster.kill(owners[2]);
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    match error(cluster.call(owners[0], Request::Put(put))) {
        RequestError::Unavailable { needed: 2, got: 1, causes } => assert_eq!(causes.len(), 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(cluster.holdings(&key), [None, None, None]);
}

#[test]
fn what_the_store_refuses_is_not_applied_and_says_why() {
    let cases = [
        (
            StoreRefusal::Overloaded { retry_after_ms: 9 },
            RequestError::Overloaded { retry_after_ms: 9 },
        ),
        (StoreRefusal::DiskFull, RequestError::DiskFull),
        (StoreRefusal::Closing, RequestError::Stopping),
    ];
    for (refusal, expected) in cases {
        let mut cluster = Cluster::new(3);
        let key = key("k");
        let coordinator = cluster.owners(&key)[0];
        cluster.nodes[coordinator].disk.refuses = Some(refusal);
        let put = cluster.put_request(&key, "v", Replacing::Latest);
        assert_eq!(error(cluster.call(coordinator, Request::Put(put))), expected);
        assert_eq!(cluster.holdings(&key), [None, None, None]);
    }
}

#[test]
fn an_owner_whose_disk_is_full_does_not_stop_a_put_that_two_others_hold() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.nodes[owners[2]].disk.refuses = Some(StoreRefusal::DiskFull);
    let done = cluster.put(owners[0], &key, "v", Replacing::Latest);
    assert_eq!(done.acked_owners, 2);
}

#[test]
fn two_puts_with_one_old_context_leave_siblings_and_one_with_both_contexts_leaves_one() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.put(owners[0], &key, "first", Replacing::Latest);
    let old = context(&cluster.get(owners[0], &key).context);

    cluster.put(owners[0], &key, "one", old.clone());
    cluster.put(owners[1], &key, "two", old);
    let both = cluster.get(owners[2], &key);
    assert_eq!(values(&both), ["one", "two"]);

    let done = cluster.put(owners[2], &key, "resolved", context(&both.context));
    assert_eq!(done.replaced.len(), 2);
    for owner in owners {
        assert_eq!(values(&cluster.get(owner, &key)), ["resolved"]);
    }
}

#[test]
fn bug_07_clients_that_alternate_read_and_write_never_pile_up_siblings() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    let mut contexts = [Replacing::Nothing, Replacing::Nothing];
    for round in 0..100 {
        let client = round % 2;
        let owner = owners[round % 3];
        cluster.put(owner, &key, &format!("{round}"), contexts[client].clone());
        contexts[client] = context(&cluster.get(owner, &key).context);
        let siblings = cluster.get(owner, &key).values.len();
        assert!(siblings <= 2, "{siblings} siblings after {round} writes");
    }
}

#[test]
fn a_puts_own_context_replaces_just_that_put() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    let first = cluster.put(owners[0], &key, "mine", Replacing::Nothing);
    cluster.put(owners[0], &key, "theirs", Replacing::Nothing);
    cluster.put(owners[0], &key, "mine again", context(&first.context));
    assert_eq!(values(&cluster.get(owners[0], &key)), ["mine again", "theirs"]);
}

#[test]
fn a_put_that_skipped_another_writers_dot_has_no_context() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owner = cluster.owners(&key)[0];
    cluster.put(owner, &key, "theirs", Replacing::Nothing);
    let mine = cluster.put(owner, &key, "mine", Replacing::Nothing);
    assert_eq!(mine.context, None, "a clock that covers my dot would cover theirs");
}

#[test]
fn a_delete_leaves_nothing_and_a_concurrent_put_survives_it() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.put(owners[0], &key, "read", Replacing::Latest);
    let read = context(&cluster.get(owners[0], &key).context);
    cluster.put(owners[1], &key, "concurrent", read.clone());
    cluster.delete(owners[2], &key, read.clone());
    assert_eq!(values(&cluster.get(owners[0], &key)), ["concurrent"]);
    cluster.delete(owners[0], &key, Replacing::Latest);
    let gone = cluster.get(owners[1], &key);
    assert!(gone.values.is_empty() && gone.complete && gone.context.is_some());
}

#[test]
fn a_delete_of_nothing_is_refused() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owner = cluster.owners(&key)[0];
    let delete = cluster.delete_request(&key, Replacing::Latest);
    let nothing = RequestError::InvalidArgument { argument: ArgumentKind::NothingToDelete };
    assert_eq!(error(cluster.call(owner, Request::Delete(delete))), nothing);
    assert_eq!(cluster.holdings(&key), [None, None, None]);
}

#[test]
fn after_the_answer_the_late_owner_still_gets_the_write() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    let request = cluster.ask(owners[0], Request::Put(put));
    cluster.sync(owners[0]);
    let first = cluster.in_flight.iter().position(|flight| flight.to == owners[1]).unwrap();
    cluster.deliver(first);
    cluster.sync(owners[1]);
    let answer = cluster.in_flight.iter().position(|flight| flight.from == owners[1]).unwrap();
    cluster.deliver(answer);
    assert!(matches!(cluster.reply(request), Some(Response::Put(_))));
    assert_eq!(cluster.nodes[owners[0]].engine.stats().requests, 1, "it waits for the third owner");
    cluster.settle();
    assert!(cluster.holdings(&key).iter().all(Option::is_some));
    let stats = cluster.nodes[owners[0]].engine.stats();
    assert_eq!((stats.requests, stats.writes_left_behind), (0, 0));
}

#[test]
fn a_delete_at_an_owner_that_lacks_the_record_deletes_what_the_others_hold() {
    for lacks in ["the record", "the last write"] {
        let mut cluster = Cluster::new(3);
        let key = key("k");
        let owners = cluster.owners(&key);
        if lacks == "the last write" {
            cluster.put(owners[0], &key, "first", Replacing::Latest);
            cluster.delete(owners[0], &key, Replacing::Latest);
        }
        cluster.cuts.push((owners[0], owners[2]));
        let put = cluster.put(owners[0], &key, "v", Replacing::Latest);
        cluster.pass_ms(20_000);
        cluster.cuts.clear();
        let deleted = cluster.delete(owners[2], &key, Replacing::Latest);
        assert_eq!(deleted.replaced, [put.dot], "an owner lacked {lacks}");
        for owner in &owners {
            assert!(cluster.get(*owner, &key).values.is_empty(), "an owner lacked {lacks}");
        }
    }
}

#[test]
fn a_delete_that_cannot_ask_enough_owners_does_not_say_that_there_is_nothing() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.kill(owners[2]);
    let delete = cluster.delete_request(&key, Replacing::Latest);
    let answer = error(cluster.call(owners[0], Request::Delete(delete.clone())));
    assert!(matches!(answer, RequestError::Unavailable { needed: 3, got: 2, .. }), "{answer:?}");
    cluster.restart(owners[2]);
    cluster.cuts.push((owners[0], owners[2]));
    let request = cluster.ask(owners[0], Request::Delete(delete));
    cluster.settle();
    assert_eq!(cluster.reply(request), None, "the third owner may know of something");
    cluster.pass_ms(5_000);
    let answer = error(cluster.reply(request).unwrap().clone());
    assert!(matches!(answer, RequestError::Unavailable { needed: 3, got: 2, .. }), "{answer:?}");
}

#[test]
fn a_delete_whose_owner_cannot_be_given_what_the_others_hold_does_not_say_that_there_is_nothing() {
    let refusals = [
        StoreRefusal::Overloaded { retry_after_ms: 9 },
        StoreRefusal::DiskFull,
        StoreRefusal::Oversized,
    ];
    for refusal in refusals {
        let mut cluster = Cluster::new(3);
        let key = key("k");
        let owners = cluster.owners(&key);
        cluster.cuts.push((owners[0], owners[2]));
        let put = cluster.put(owners[0], &key, "v", Replacing::Latest);
        cluster.pass_ms(20_000);
        cluster.cuts.clear();
        cluster.nodes[owners[2]].disk.refuses_merges = Some(refusal);

        let mut delete = cluster.delete_request(&key, Replacing::Latest);
        let answer = error(cluster.call(owners[2], Request::Delete(delete.clone())));
        assert!(matches!(answer, RequestError::Unavailable { .. }), "{refusal:?}: {answer:?}");
        assert!(answer.is_not_applied(), "{refusal:?}");
        assert_eq!(values(&cluster.get(owners[0], &key)), ["v"], "{refusal:?}");

        cluster.nodes[owners[2]].disk.refuses_merges = None;
        delete.options.retry = true;
        let deleted = put_done(cluster.call(owners[2], Request::Delete(delete)));
        assert_eq!(deleted.replaced, [put.dot], "{refusal:?}");
    }
}
