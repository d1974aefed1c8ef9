//! What is refused changes nothing: not at this node, not at any other.

use bytes::Bytes;
use kvorum_node::engine::EngineOptions;
use kvorum_node::peer_message::{FetchOutcome, PeerMessage, ReplicaRefusal, ReplicateOutcome};
use kvorum_protocol::message::{
    ArgumentKind, BatchGet, BatchPut, Delete, LimitKind, List, Nothing, Put, Replacing, Request,
    RequestError, RequestOptions,
};
use kvorum_protocol::{Context, ContextError, EncodedSet, VersionSet, limits};

use crate::cluster::{Cluster, Flight, Settings, bucket, context, error, key, put_done};

/// Every change to `put` that makes it wrong, with the error that it must meet.
fn wrong_puts(put: &Put, foreign: Replacing) -> Vec<(Put, RequestError)> {
    let invalid = |argument| RequestError::InvalidArgument { argument };
    let wrong = |change: &dyn Fn(&mut Put), expected: RequestError| {
        let mut put = put.clone();
        change(&mut put);
        (put, expected)
    };
    let forged = Replacing::Context { context: Context::from_bytes(vec![1; 80]) };
    let bad_context = |reason| RequestError::BadContext { reason };
    let too_large = RequestError::TooLarge {
        what: LimitKind::Value,
        size: limits::INLINE_VALUE_BYTES as u64 + 1,
        limit: limits::INLINE_VALUE_BYTES as u64,
    };
    vec![
        wrong(&|put| put.bucket = "nowhere".parse().unwrap(), RequestError::NoSuchBucket),
        wrong(&|put| put.value = Bytes::from(vec![0; limits::INLINE_VALUE_BYTES + 1]), too_large),
        wrong(&|put| put.options.w = Some(0), invalid(ArgumentKind::WriteQuorum)),
        wrong(&|put| put.options.w = Some(4), invalid(ArgumentKind::WriteQuorum)),
        wrong(&|put| put.options.r = Some(4), invalid(ArgumentKind::ReadQuorum)),
        wrong(&|put| put.options.deadline_ms = 0, invalid(ArgumentKind::Deadline)),
        wrong(&|put| put.options.deadline_ms = 60_001, invalid(ArgumentKind::Deadline)),
        wrong(&|put| put.expires_at_ms = Some(1), invalid(ArgumentKind::Expired)),
        wrong(&|put| put.replaces = forged.clone(), bad_context(ContextError::Tag)),
        wrong(&|put| put.replaces = foreign.clone(), bad_context(ContextError::Key)),
    ]
}

#[test]
fn bad_input_is_refused_before_anything_happens() {
    let mut cluster = Cluster::new(4);
    let (key, other) = (key("k"), key("other"));
    let (owner, stranger) = (cluster.owners(&key)[0], cluster.stranger(&key));
    cluster.put(owner, &key, "v", Replacing::Latest);
    let elsewhere = cluster.owners(&other)[0];
    let foreign = context(&cluster.put(elsewhere, &other, "v", Replacing::Latest).context);
    let before = cluster.state_hash();
    let put = cluster.put_request(&key, "w", Replacing::Latest);
    for (wrong, expected) in wrong_puts(&put, foreign) {
        for node in [owner, stranger] {
            let request = cluster.ask(node, Request::Put(wrong.clone()));
            assert_eq!(error(cluster.reply(request).unwrap().clone()), expected);
            assert!(cluster.in_flight.is_empty(), "nobody was troubled with it");
        }
    }
    cluster.settle();
    assert_eq!(cluster.state_hash(), before);
}

#[test]
fn empty_oversized_and_misplaced_requests_are_refused() {
    let mut cluster = Cluster::new(3);
    let options = RequestOptions::new(cluster.new_operation());
    let invalid = |argument| RequestError::InvalidArgument { argument };
    let many = limits::BATCH_ITEMS + 1;
    let batch = |keys: usize| {
        let keys = vec![key("k"); keys];
        Request::BatchGet(BatchGet { bucket: bucket(), keys, options: options.clone() })
    };
    let list = |limit| {
        let (bucket, prefix, options) = (bucket(), Bytes::new(), options.clone());
        Request::List(List { bucket, prefix, after: None, limit, partial: false, options })
    };
    let replaces = Replacing::Nothing;
    let delete = Delete { bucket: bucket(), key: key("k"), replaces, options: options.clone() };
    let too_large = |what, limit: usize| RequestError::TooLarge {
        what,
        size: limit as u64 + 1,
        limit: limit as u64,
    };
    let no_puts = BatchPut { bucket: bucket(), items: Vec::new(), options: options.clone() };
    let cases = [
        (batch(0), invalid(ArgumentKind::Empty)),
        (batch(many), too_large(LimitKind::Batch, limits::BATCH_ITEMS)),
        (Request::BatchPut(no_puts), invalid(ArgumentKind::Empty)),
        (list(0), invalid(ArgumentKind::Empty)),
        (list(1_001), too_large(LimitKind::Page, limits::LIST_PAGE_ITEMS)),
        (Request::Delete(delete), invalid(ArgumentKind::NothingToDelete)),
        (Request::Topology(Nothing {}), invalid(ArgumentKind::UnknownRequest)),
    ];
    for (request, expected) in cases {
        assert_eq!(error(cluster.call(0, request)), expected);
    }
}

#[test]
fn a_full_engine_refuses_at_once_and_recovers() {
    let engine = EngineOptions { max_requests: 2, ..EngineOptions::default() };
    let mut cluster = Cluster::with(3, Settings { engine, ..Settings::default() });
    let key = key("k");
    let owner = cluster.owners(&key)[0];
    let puts: Vec<Put> =
        (0..3).map(|_| cluster.put_request(&key, "v", Replacing::Latest)).collect();
    let requests: Vec<u64> =
        puts.into_iter().map(|put| cluster.ask(owner, Request::Put(put))).collect();
    let refusal = error(cluster.reply(requests[2]).unwrap().clone());
    assert!(matches!(refusal, RequestError::Overloaded { retry_after_ms: 1.. }));
    cluster.settle();
    for request in &requests[..2] {
        put_done(cluster.reply(*request).unwrap().clone());
    }
    assert_eq!(cluster.nodes[owner].engine.stats().requests, 0);
    cluster.put(owner, &key, "w", Replacing::Latest);
}

fn replicate(cluster: &Cluster, from: usize, to: usize, deadline_ms: u32) -> Flight {
    let set = EncodedSet::new(&VersionSet::empty());
    let key = cluster.record(&key("k"));
    Flight { from, to, message: PeerMessage::Replicate { token: 77, key, set, deadline_ms } }
}

fn replicated(cluster: &mut Cluster, flight: Flight) -> ReplicateOutcome {
    cluster.in_flight.push(flight);
    cluster.deliver(0);
    match cluster.in_flight.pop().expect("an answer").message {
        PeerMessage::Replicated { token: 77, outcome } => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_replica_refuses_what_is_late_not_its_own_or_too_much() {
    let mut cluster = Cluster::new(4);
    let (owners, stranger) = (cluster.owners(&key("k")), cluster.stranger(&key("k")));
    let before = cluster.state_hash();
    let refused = |reason| ReplicateOutcome::Refused { reason };
    let late = replicate(&cluster, owners[0], owners[1], 0);
    assert_eq!(replicated(&mut cluster, late), refused(ReplicaRefusal::Late));
    let misplaced = replicate(&cluster, owners[0], stranger, 1_000);
    assert_eq!(replicated(&mut cluster, misplaced), refused(ReplicaRefusal::NotAnOwner));
    assert_eq!(cluster.state_hash(), before);

    let engine = EngineOptions { max_replica_tasks: 0, ..EngineOptions::default() };
    let mut cluster = Cluster::with(4, Settings { engine, ..Settings::default() });
    let key = cluster.record(&key("k"));
    let message = PeerMessage::Fetch { token: 5, key, digest_only: false, deadline_ms: 1_000 };
    cluster.in_flight.push(Flight { from: owners[0], to: owners[1], message });
    cluster.deliver(0);
    match cluster.in_flight.pop().unwrap().message {
        PeerMessage::Fetched { outcome: FetchOutcome::Refused { reason }, .. } => {
            assert!(matches!(reason, ReplicaRefusal::Overloaded { retry_after_ms: 1.. }));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_that_nobody_waits_for_do_nothing() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    let request = cluster.ask(owners[0], Request::Put(put));
    // The node starts again: what its peers answer to its earlier life must not count for anything in this one.
    let late = cluster.in_flight.clone();
    cluster.in_flight.clear();
    cluster.kill(owners[0]);
    cluster.restart(owners[0]);
    let put = cluster.put_request(&key, "w", Replacing::Latest);
    cluster.nodes[owners[1]].holds_syncs = true;
    cluster.nodes[owners[2]].holds_syncs = true;
    let second = cluster.ask(owners[0], Request::Put(put));
    for flight in late {
        let PeerMessage::Replicate { token, .. } = flight.message else { panic!("{flight:?}") };
        let message = PeerMessage::Replicated { token, outcome: ReplicateOutcome::Durable };
        cluster.in_flight.push(Flight { from: flight.to, to: owners[0], message });
    }
    cluster.settle();
    assert_eq!((cluster.reply(request), cluster.reply(second)), (None, None));
}
