//! What is refused changes nothing: not at this node, not at any other.

use bytes::Bytes;
use kvorum_node::engine::EngineOptions;
use kvorum_node::peer_message::{
    FetchOutcome, PeerEntry, PeerMessage, PeerPage, PeerScan, ReplicaRefusal, ReplicateOutcome,
    ScanOutcome,
};
use kvorum_protocol::codec::Surplus;
use kvorum_protocol::message::{
    ArgumentKind, BatchGet, BatchPut, Delete, LimitKind, List, Nothing, Put, Replacing, Request,
    RequestError, RequestOptions, Response, Way,
};
use kvorum_protocol::{Actor, Clock, Context, ContextError, EncodedSet, VersionSet, limits};
use kvorum_ring::{ClassId, PartitionId};

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
    Flight {
        from,
        to,
        message: PeerMessage::Replicate { token: 77, key, set, deadline_ms, way: Way::Write },
    }
}

fn replicated(cluster: &mut Cluster, flight: Flight) -> ReplicateOutcome {
    cluster.in_flight.push(flight);
    cluster.deliver(0);
    match cluster.in_flight.pop().expect("an answer").message {
        PeerMessage::Replicated { token: 77, outcome, .. } => outcome,
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
fn a_replica_refuses_a_key_under_a_partition_that_is_not_its_own() {
    // With as many nodes as owners every node owns every partition, so only the hash can tell.
    let mut cluster = Cluster::new(3);
    let mut record = cluster.record(&key("k"));
    record.partition = PartitionId((record.partition.0 + 1) % 8);
    let before = cluster.state_hash();
    let mut sibling = Flight { to: 1, ..replicate(&cluster, 0, 1, 1_000) };
    if let PeerMessage::Replicate { key, .. } = &mut sibling.message {
        *key = record.clone();
    }
    let refused = ReplicateOutcome::Refused { reason: ReplicaRefusal::Misplaced };
    assert_eq!(replicated(&mut cluster, sibling), refused);
    assert_eq!(cluster.state_hash(), before);
    let message = PeerMessage::Fetch { token: 5, key: record, digest_only: false, deadline_ms: 9 };
    cluster.in_flight.push(Flight { from: 0, to: 1, message });
    cluster.deliver(0);
    let answer = cluster.in_flight.pop().unwrap().message;
    let reason = ReplicaRefusal::Misplaced;
    let outcome = FetchOutcome::Refused { reason };
    assert_eq!(answer, PeerMessage::Fetched { token: 5, outcome, refilling: false, handovers: 0 });
}

#[test]
fn a_replica_scans_no_partition_twice_for_one_question() {
    let mut cluster = Cluster::new(3);
    let mut scan = |partitions: &[u32]| {
        let range = Box::new(PeerScan {
            class: ClassId(0),
            partitions: partitions.iter().map(|number| PartitionId(*number)).collect(),
            bucket: bucket(),
            prefix: Bytes::new(),
            after: None,
            limit: 8,
            siblings_only: false,
        });
        let message = PeerMessage::Scan { token: 5, scan: 0, range, deadline_ms: 1_000 };
        cluster.in_flight.push(Flight { from: 0, to: 1, message });
        cluster.deliver(0);
        match cluster.in_flight.pop().expect("an answer").message {
            PeerMessage::Scanned { outcome, .. } => outcome,
            other => panic!("{other:?}"),
        }
    };
    let refused = ScanOutcome::Refused { reason: ReplicaRefusal::Unordered };
    for partitions in [&[1, 1][..], &[2, 1], &[0, 1, 1, 2]] {
        assert_eq!(scan(partitions), refused, "{partitions:?}");
    }
    assert!(matches!(scan(&[0, 1, 2]), ScanOutcome::Page(_)));
}

/// A set of one owner whose clock has as many entries as bytes may have.
fn largest_clock(actors: impl Iterator<Item = u64>) -> EncodedSet {
    let clock = Clock::of(actors.map(|actor| (Actor(actor), 1)));
    let set = VersionSet::from_parts(clock, Vec::new(), Vec::new(), Surplus::NONE).unwrap();
    EncodedSet::new(&set)
}

#[test]
fn clocks_of_a_misbehaving_peer_are_refused_when_they_do_not_fit_together() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    let record = cluster.record(&key);
    let entries = limits::CLOCK_ENTRIES as u64;
    let message = |set| PeerMessage::Replicate {
        token: 77,
        key: record.clone(),
        set,
        deadline_ms: 9,
        way: Way::Write,
    };
    let even = message(largest_clock((0..entries).map(|number| 2 * number)));
    let (from, to) = (owners[0], owners[1]);
    let before = cluster.holdings(&key);
    let outcome = replicated(&mut cluster, Flight { from, to, message: even });
    assert_eq!(outcome, ReplicateOutcome::Refused { reason: ReplicaRefusal::Oversized });
    assert_eq!(cluster.holdings(&key), before);

    // What two owners say in answer to one read need not fit together either.
    let get = cluster.get_request(&key);
    let request = cluster.ask(owners[0], Request::Get(get));
    for flight in std::mem::take(&mut cluster.in_flight) {
        let PeerMessage::Fetch { token, .. } = flight.message else { panic!("{flight:?}") };
        let odd = (0..entries).map(|number| 2 * number + flight.to as u64 % 2);
        let outcome = FetchOutcome::Held { set: largest_clock(odd) };
        let message = PeerMessage::Fetched { token, outcome, refilling: false, handovers: 0 };
        cluster.in_flight.push(Flight { from: flight.to, to: owners[0], message });
    }
    cluster.settle();
    let answer = error(cluster.reply(request).unwrap().clone());
    assert!(matches!(answer, RequestError::Unavailable { needed: 2, got: 1, .. }), "{answer:?}");
}

#[test]
fn a_peers_page_that_is_no_page_is_not_listed() {
    let entry = |name: &str| PeerEntry { key: key(name), siblings: 1, value_bytes: 1 };
    let unsorted = vec![entry("b"), entry("a")];
    let twice = vec![entry("a"), entry("a")];
    let behind = vec![entry("Z")];
    let many = (0..9).map(|number| entry(&format!("c{number}"))).collect();
    for entries in [unsorted, twice, behind, many] {
        let mut cluster = Cluster::new(5);
        let options = RequestOptions::new(cluster.new_operation());
        let after = Some(key("_"));
        let list = List {
            bucket: bucket(),
            prefix: Bytes::new(),
            after,
            limit: 8,
            partial: false,
            options,
        };
        let request = cluster.ask(0, Request::List(list));
        let asked = cluster.in_flight.remove(0);
        let PeerMessage::Scan { token, scan, .. } = asked.message else { panic!("{asked:?}") };
        let outcome = ScanOutcome::Page(PeerPage { entries, more: false, through: None });
        let message = PeerMessage::Scanned { token, scan, outcome };
        cluster.in_flight.push(Flight { from: asked.to, to: 0, message });
        cluster.settle();
        match cluster.reply(request).expect("other owners are asked") {
            Response::List(done) => assert_eq!(done.items, []),
            other => panic!("{other:?}"),
        }
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
        let message =
            PeerMessage::Replicated { token, outcome: ReplicateOutcome::Durable, held_for: 0 };
        cluster.in_flight.push(Flight { from: flight.to, to: owners[0], message });
    }
    cluster.settle();
    assert_eq!((cluster.reply(request), cluster.reply(second)), (None, None));
}

#[test]
fn a_retry_outlives_answers_that_do_not_fit_together() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.cuts.push((owners[0], owners[1]));
    let mut put = cluster.put_request(&key, "v", Replacing::Latest);
    let first = put_done(cluster.call(owners[0], Request::Put(put.clone())));
    cluster.pass_ms(20_000);
    cluster.cuts.clear();
    let held = cluster.holdings(&key)[2].clone().expect("it was at the quorum");

    put.options.retry = true;
    let request = cluster.ask(owners[1], Request::Put(put));
    let entries = limits::CLOCK_ENTRIES as u64;
    for flight in std::mem::take(&mut cluster.in_flight) {
        let PeerMessage::Fetch { token, .. } = flight.message else { panic!("{flight:?}") };
        let set = if flight.to == owners[0] {
            largest_clock((0..entries).map(|number| 2 * number))
        } else {
            let mut set = held.clone();
            set.merge_into(&largest_clock((0..entries - 1).map(|number| 2 * number + 1)));
            EncodedSet::new(&set)
        };
        let outcome = FetchOutcome::Held { set };
        let message = PeerMessage::Fetched { token, outcome, refilling: false, handovers: 0 };
        cluster.in_flight.push(Flight { from: flight.to, to: owners[1], message });
    }
    cluster.in_flight.sort_by_key(|flight| flight.from == owners[2]);
    cluster.settle();
    assert_eq!(put_done(cluster.reply(request).unwrap().clone()).dot, first.dot);
}
