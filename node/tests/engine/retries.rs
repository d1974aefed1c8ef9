//! Retries: one operation id makes one effect, whoever coordinates the second attempt.

use kvorum_node::engine::{EngineOptions, Input};
use kvorum_protocol::OperationId;
use kvorum_protocol::message::{Replacing, Request, RequestError, Response};
use kvorum_store::{PoisonReason, StoreEvent};

use crate::cluster::{Cluster, Settings, context, error, get_done, key, put_done, values};

/// A put whose answer was lost, and the request to repeat it.
fn put_with_lost_answer(cluster: &mut Cluster, owner: usize, value: &str) -> Request {
    let mut put = cluster.put_request(&key("k"), value, Replacing::Nothing);
    cluster.call(owner, Request::Put(put.clone()));
    put.options.retry = true;
    Request::Put(put)
}

#[test]
fn a_retry_at_the_same_coordinator_makes_no_second_version() {
    let mut cluster = Cluster::new(3);
    let owners = cluster.owners(&key("k"));
    let retry = put_with_lost_answer(&mut cluster, owners[0], "v");
    let before = cluster.holdings(&key("k"));
    let done = put_done(cluster.call(owners[0], retry));
    assert!(done.retry_checked);
    assert_eq!(cluster.holdings(&key("k")), before);
}

#[test]
fn a_retry_at_another_coordinator_finds_the_first_attempts_dot_and_spreads_it() {
    let mut cluster = Cluster::new(3);
    let owners = cluster.owners(&key("k"));
    cluster.cuts.extend([(owners[0], owners[1]), (owners[0], owners[2])]);
    let mut put = cluster.put_request(&key("k"), "v", Replacing::Nothing);
    let first = cluster.ask(owners[0], Request::Put(put.clone()));
    cluster.settle();
    cluster.pass_ms(20_000);
    assert!(matches!(
        error(cluster.reply(first).unwrap().clone()),
        RequestError::AppliedBelowW { got: 1, .. }
    ));
    cluster.cuts.clear();

    put.options.retry = true;
    let done = put_done(cluster.call(owners[1], Request::Put(put)));
    let holdings = cluster.holdings(&key("k"));
    let versions = holdings[0].as_ref().unwrap().versions();
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].0, done.dot, "the first attempt's dot");
    assert!(holdings.iter().all(|holding| *holding == holdings[0]));
}

#[test]
fn a_retry_of_a_write_that_was_replaced_does_not_bring_it_back() {
    let mut cluster = Cluster::new(3);
    let owners = cluster.owners(&key("k"));
    let retry = put_with_lost_answer(&mut cluster, owners[0], "old");
    cluster.put(owners[0], &key("k"), "new", Replacing::Latest);
    let done = put_done(cluster.call(owners[1], retry));
    assert!(done.retry_checked);
    assert_eq!(values(&cluster.get(owners[2], &key("k"))), ["new"]);
}

#[test]
fn a_retry_that_finds_nothing_is_applied_and_says_whether_it_could_be_checked() {
    let mut cluster = Cluster::new(3);
    let owners = cluster.owners(&key("k"));
    let mut put = cluster.put_request(&key("k"), "v", Replacing::Nothing);
    put.options.retry = true;
    assert!(put_done(cluster.call(owners[0], Request::Put(put))).retry_checked);

    cluster.kill(owners[2]);
    let mut put = cluster.put_request(&key("k"), "w", Replacing::Nothing);
    put.options.retry = true;
    assert!(!put_done(cluster.call(owners[0], Request::Put(put))).retry_checked);
    assert_eq!(values(&cluster.get(owners[1], &key("k"))), ["v", "w"]);
}

#[test]
fn a_retry_does_not_wait_for_a_silent_owner_longer_than_half_of_its_time() {
    let mut cluster = Cluster::new(3);
    let owners = cluster.owners(&key("k"));
    cluster.cuts.push((owners[0], owners[2]));
    let mut put = cluster.put_request(&key("k"), "v", Replacing::Nothing);
    put.options.retry = true;
    put.options.deadline_ms = 10_000;
    let request = cluster.ask(owners[0], Request::Put(put));
    cluster.settle();
    assert_eq!(cluster.reply(request), None);
    cluster.pass_ms(5_000);
    let done = put_done(cluster.reply(request).unwrap().clone());
    assert!(!done.retry_checked);
}

#[test]
fn a_retry_never_claims_that_nothing_was_applied() {
    let mut cluster = Cluster::new(3);
    let owners = cluster.owners(&key("k"));
    let retry = put_with_lost_answer(&mut cluster, owners[0], "v");
    let Request::Put(put) = &retry else { unreachable!() };
    let operation = put.options.operation;
    cluster.kill(owners[0]);
    cluster.kill(owners[2]);
    let record = cluster.record(&key("k"));
    cluster.nodes[owners[1]].disk.forget(&record);
    match error(cluster.call(owners[1], retry)) {
        RequestError::EarlierAttemptUnknown { operation: named, refusal } => {
            assert_eq!(named, operation);
            assert!(matches!(*refusal, RequestError::Unavailable { needed: 2, got: 1, .. }));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_duplicated_request_makes_one_version() {
    let mut cluster = Cluster::new(4);
    let stranger = cluster.stranger(&key("k"));
    let put = cluster.put_request(&key("k"), "v", Replacing::Nothing);
    let request = cluster.ask(stranger, Request::Put(put));
    let forwarded = cluster.in_flight[0].clone();
    cluster.in_flight.push(forwarded);
    cluster.settle();
    assert!(matches!(cluster.reply(request), Some(Response::Put(_))));
    for holding in cluster.holdings(&key("k")) {
        assert_eq!(holding.unwrap().versions().len(), 1);
    }
}

#[test]
fn a_retry_of_a_write_that_was_replaced_unseen_says_that_it_could_not_be_checked() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.cuts.extend([(owners[0], owners[1]), (owners[0], owners[2])]);
    let mut first = cluster.put_request(&key, "first", Replacing::Nothing);
    cluster.ask(owners[0], Request::Put(first.clone()));
    cluster.settle();
    cluster.pass_ms(20_000);

    // Somebody reads it, and replaces it at an owner that has never heard of it.
    let mut get = cluster.get_request(&key);
    get.options.r = Some(1);
    let read = get_done(cluster.call(owners[0], Request::Get(get)));
    cluster.put(owners[1], &key, "second", context(&read.context));
    cluster.cuts.clear();
    assert_eq!(values(&cluster.get(owners[2], &key)), ["second"]);

    first.options.retry = true;
    assert!(!put_done(cluster.call(owners[2], Request::Put(first))).retry_checked);
}

#[test]
fn what_an_owner_that_lost_records_does_not_know_makes_no_retry_certain() {
    let mut cluster = Cluster::new(3);
    let owners = cluster.owners(&key("k"));
    cluster.put(owners[0], &key("k"), "v", Replacing::Nothing);
    cluster.nodes[owners[2]].disk.refilling = true;
    let mut put = cluster.put_request(&key("k"), "w", Replacing::Nothing);
    put.options.retry = true;
    assert!(!put_done(cluster.call(owners[0], Request::Put(put))).retry_checked);
}

#[test]
fn a_retry_after_the_expiry_of_what_it_wrote_is_not_called_invalid() {
    let mut cluster = Cluster::new(3);
    let owners = cluster.owners(&key("k"));
    let mut put = cluster.put_request(&key("k"), "v", Replacing::Nothing);
    put.expires_at_ms = Some(cluster.now.wall_ms + 1_000);
    let dot = put_done(cluster.call(owners[0], Request::Put(put.clone()))).dot;
    cluster.pass_ms(20_000);
    put.options.retry = true;
    assert_eq!(put_done(cluster.call(owners[1], Request::Put(put))).dot, dot);
}

/// The wrapped error that a retry must meet wherever the bare one would say that nothing was applied.
fn earlier_unknown(operation: OperationId, refusal: RequestError) -> RequestError {
    RequestError::EarlierAttemptUnknown { operation, refusal: Box::new(refusal) }
}

#[test]
fn a_retry_refused_before_it_began_does_not_deny_its_first_attempt() {
    let engine = EngineOptions { max_requests: 0, ..EngineOptions::default() };
    let full = Cluster::with(3, Settings { engine, ..Settings::default() });
    for (mut cluster, change) in
        [(Cluster::new(3), "nowhere"), (Cluster::new(4), "nowhere"), (full, "default")]
    {
        let mut put = cluster.put_request(&key("k"), "v", Replacing::Latest);
        put.bucket = change.parse().unwrap();
        let operation = put.options.operation;
        let refusal = error(cluster.call(0, Request::Put(put.clone())));
        assert!(refusal.is_not_applied());
        put.options.retry = true;
        let answer = error(cluster.call(0, Request::Put(put)));
        assert_eq!(answer.retry(), refusal.retry(), "the advice stays");
        assert_eq!(answer, earlier_unknown(operation, refusal));
        assert!(!answer.is_not_applied());
    }
}

#[test]
fn a_retry_that_can_be_passed_on_to_nobody_does_not_deny_its_first_attempt() {
    let mut cluster = Cluster::new(5);
    let (owners, stranger) = (cluster.owners(&key("k")), cluster.stranger(&key("k")));
    for owner in owners {
        cluster.kill(owner);
    }
    let mut put = cluster.put_request(&key("k"), "v", Replacing::Latest);
    put.options.strict = true;
    let operation = put.options.operation;
    let refusal = error(cluster.call(stranger, Request::Put(put.clone())));
    assert!(matches!(refusal, RequestError::Unavailable { got: 0, .. }));
    put.options.retry = true;
    let answer = error(cluster.call(stranger, Request::Put(put)));
    assert_eq!(answer, earlier_unknown(operation, refusal));
}

#[test]
fn a_retry_whose_first_owner_is_stopping_goes_to_the_next() {
    let mut cluster = Cluster::new(5);
    let (owners, stranger) = (cluster.owners(&key("k")), cluster.stranger(&key("k")));
    let mut put = cluster.put_request(&key("k"), "v", Replacing::Latest);
    put.options.retry = true;
    cluster.tell(
        owners[0],
        Input::Store(StoreEvent::Poisoned {
            reason: PoisonReason::Index(kvorum_store::IndexError::Io),
        }),
    );
    put_done(cluster.call(stranger, Request::Put(put)));
}
