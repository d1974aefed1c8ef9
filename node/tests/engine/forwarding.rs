//! Any node takes any request.

use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::message::{Replacing, Request, RequestError, Response};

use crate::cluster::{Cluster, Flight, error, key, values};

#[test]
fn a_node_that_does_not_own_the_key_passes_the_request_to_the_first_owner() {
    let mut cluster = Cluster::new(5);
    let key = key("k");
    let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
    cluster.put(stranger, &key, "v", Replacing::Latest);
    assert_eq!(values(&cluster.get(stranger, &key)), ["v"]);
    assert_eq!(cluster.nodes[owners[0]].engine.stats().writes_applied, 1);
    assert_eq!(cluster.nodes[stranger].engine.stats().forwarded, 2);
    let record = cluster.record(&key);
    assert_eq!(cluster.nodes[stranger].disk.peek(&record), None);
}

#[test]
fn an_owner_that_is_down_is_passed_over() {
    let mut cluster = Cluster::new(5);
    let key = key("k");
    let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
    cluster.kill(owners[0]);
    cluster.put(stranger, &key, "v", Replacing::Latest);
    assert_eq!(cluster.nodes[owners[1]].engine.stats().writes_applied, 1);
}

#[test]
fn a_write_whose_coordinator_dies_with_it_is_unknown_and_not_sent_elsewhere() {
    let mut cluster = Cluster::new(5);
    let key = key("k");
    let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    let operation = put.options.operation;
    let request = cluster.ask(stranger, Request::Put(put));
    cluster.kill(owners[0]);
    assert_eq!(
        error(cluster.reply(request).unwrap().clone()),
        RequestError::OutcomeUnknown { operation }
    );
    assert!(cluster.in_flight.is_empty());
}

#[test]
fn a_read_whose_coordinator_dies_with_it_is_tried_at_the_next_owner() {
    let mut cluster = Cluster::new(5);
    let key = key("k");
    let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
    cluster.put(stranger, &key, "v", Replacing::Latest);
    let get = cluster.get_request(&key);
    let request = cluster.ask(stranger, Request::Get(get));
    cluster.kill(owners[0]);
    cluster.settle();
    assert_eq!(values(&crate::cluster::get_done(cluster.reply(request).unwrap().clone())), ["v"]);
}

#[test]
fn a_read_does_not_spend_all_of_its_time_on_a_silent_owner() {
    let mut cluster = Cluster::new(5);
    let key = key("k");
    let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
    cluster.put(stranger, &key, "v", Replacing::Latest);
    cluster.cuts.push((stranger, owners[0]));
    let mut get = cluster.get_request(&key);
    get.options.deadline_ms = 3_000;
    let request = cluster.ask(stranger, Request::Get(get));
    cluster.settle();
    assert_eq!(cluster.reply(request), None);
    cluster.pass_ms(1_000);
    assert_eq!(values(&crate::cluster::get_done(cluster.reply(request).unwrap().clone())), ["v"]);
}

#[test]
fn a_request_is_not_passed_on_for_ever() {
    let mut cluster = Cluster::new(5);
    let key = key("k");
    let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
    let mut get = cluster.get_request(&key);
    get.options.strict = true;
    cluster.ask(stranger, Request::Get(get));
    let mut flight = cluster.in_flight.remove(0);
    let PeerMessage::Forward { hops, .. } = &mut flight.message else { panic!("{flight:?}") };
    assert_eq!(*hops, 1);
    *hops = kvorum_node::limits::MAX_HOPS;
    // By a layout of its own, the sender took another node for an owner that is none.
    flight.to = (0..5).find(|node| *node != stranger && !owners.contains(node)).unwrap();
    let to = flight.to;
    cluster.in_flight.push(flight);
    cluster.deliver(0);
    let answer = cluster.in_flight.pop().unwrap();
    assert_eq!(answer.from, to);
    match answer.message {
        PeerMessage::Forwarded { response, .. } => {
            assert_eq!(error(*response), RequestError::WrongLayout)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_forwarded_write_that_arrives_twice_is_minted_once() {
    let mut cluster = Cluster::new(5);
    let key = key("k");
    let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    cluster.ask(stranger, Request::Put(put));
    let forward = cluster.in_flight.pop().expect("the request is passed on");
    assert!(matches!(forward.message, PeerMessage::Forward { .. }));
    cluster.in_flight.push(Flight { message: forward.message.clone(), ..forward });
    cluster.in_flight.push(forward);
    cluster.settle();
    assert_eq!(cluster.nodes[owners[0]].engine.stats().writes_applied, 1);
    assert_eq!(values(&cluster.get(stranger, &key)), ["v"]);
}

#[test]
fn a_late_error_of_an_owner_given_up_does_not_end_a_read_that_another_has_in_hand() {
    let mut cluster = Cluster::new(5);
    let key = key("k");
    let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
    cluster.put(stranger, &key, "v", Replacing::Latest);
    let mut get = cluster.get_request(&key);
    get.options.deadline_ms = 3_000;
    let request = cluster.ask(stranger, Request::Get(get));
    let PeerMessage::Forward { token, .. } = cluster.in_flight.remove(0).message else { panic!() };
    cluster.cuts.push((stranger, owners[1]));
    cluster.pass_ms(1_000);
    let late =
        |error| PeerMessage::Forwarded { token, response: Box::new(Response::Error { error }) };
    for error in [RequestError::Damaged, RequestError::Stopping] {
        let message = late(error);
        cluster.in_flight.push(Flight { from: owners[0], to: stranger, message });
        cluster.settle();
        assert_eq!(cluster.reply(request), None);
        assert_eq!(cluster.nodes[stranger].engine.stats().forwarded, 3, "the second has it still");
    }
    cluster.pass_ms(1_000);
    assert_eq!(values(&crate::cluster::get_done(cluster.reply(request).unwrap().clone())), ["v"]);
}

/// A node that owns no part of `k`, which has passed on enough reads to know how long the first owner takes: a millisecond.
fn used_to_quick_reads() -> (Cluster, Vec<usize>, usize) {
    let mut cluster = Cluster::new(5);
    let key = key("k");
    let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
    cluster.put(stranger, &key, "v", Replacing::Latest);
    for _ in 0..100 {
        read_within_ms(&mut cluster, stranger, 1);
    }
    (cluster, owners, stranger)
}

/// Passes on a read whose messages take `ms` in the air, and settles.
fn read_within_ms(cluster: &mut Cluster, stranger: usize, ms: u64) {
    let get = cluster.get_request(&key("k"));
    let request = cluster.ask(stranger, Request::Get(get));
    cluster.now.mono_ns = cluster.now.after_ms(ms);
    cluster.settle();
    assert!(cluster.reply(request).is_some());
}

#[test]
fn a_slow_read_is_asked_of_a_second_owner_and_the_first_ones_time_stays_its_own() {
    let (mut cluster, owners, stranger) = used_to_quick_reads();
    let before = cluster.nodes[stranger].engine.stats();
    assert_eq!(before.hedged, 0, "nothing was slow");
    let get = cluster.get_request(&key("k"));
    let request = cluster.ask(stranger, Request::Get(get));
    let slow = cluster.in_flight.remove(0);
    assert_eq!(slow.to, owners[0]);
    cluster.pass_ms(2);
    let read = crate::cluster::get_done(cluster.reply(request).expect("the second owner").clone());
    assert_eq!(values(&read), ["v"]);
    let after = cluster.nodes[stranger].engine.stats();
    assert_eq!((after.hedged, after.forwarded), (1, before.forwarded + 2));
    assert_eq!(after.requests, 1, "it stays to learn what the first one takes");
    cluster.in_flight.push(slow);
    cluster.settle();
    assert_eq!(cluster.nodes[stranger].engine.stats().requests, 0);
}

#[test]
fn hedges_are_a_small_share_of_all_reads_however_slow_everybody_is() {
    let (mut cluster, owners, stranger) = used_to_quick_reads();
    // From now on the first owner is silent for longer than usual, every time.
    let before = cluster.nodes[stranger].engine.stats();
    let reads = 400;
    for _ in 0..reads {
        let get = cluster.get_request(&key("k"));
        cluster.ask(stranger, Request::Get(get));
        let held: Vec<Flight> = std::mem::take(&mut cluster.in_flight);
        cluster.pass_ms(2);
        cluster.in_flight.extend(held);
        cluster.settle();
    }
    let after = cluster.nodes[stranger].engine.stats();
    let (hedged, forwarded) = (after.hedged - before.hedged, after.forwarded - before.forwarded);
    assert!(hedged > 0 && forwarded == reads + hedged, "{hedged} hedges, {forwarded} sent");
    assert!(hedged <= 10 + forwarded / 20, "{hedged} hedges of {reads} reads");
    assert_eq!(cluster.owners(&key("k")), owners);
}

#[test]
fn an_error_of_one_hedged_owner_is_told_only_when_the_other_fails_too() {
    let (mut cluster, owners, stranger) = used_to_quick_reads();
    let get = cluster.get_request(&key("k"));
    let request = cluster.ask(stranger, Request::Get(get));
    let PeerMessage::Forward { token, .. } = cluster.in_flight.remove(0).message else { panic!() };
    cluster.cuts.push((stranger, owners[1]));
    cluster.cuts.push((stranger, owners[2]));
    cluster.pass_ms(2);
    let response = Box::new(Response::Error { error: RequestError::Damaged });
    let message = PeerMessage::Forwarded { token, response };
    cluster.in_flight.push(Flight { from: owners[0], to: stranger, message });
    cluster.settle();
    assert_eq!(cluster.reply(request), None);
    for _ in 0..3 {
        cluster.pass_ms(5_000);
    }
    assert_eq!(error(cluster.reply(request).unwrap().clone()), RequestError::Damaged);
}

#[test]
fn a_peers_p95_is_known_once_it_has_answered_often_enough() {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    let peer = cluster.nodes[owners[1]].id;
    assert_eq!(cluster.nodes[owners[0]].engine.peer_stats(peer).p95_us, None);
    for _ in 0..100 {
        read_within_ms(&mut cluster, owners[0], 3);
    }
    let p95_us = cluster.nodes[owners[0]].engine.peer_stats(peer).p95_us.unwrap();
    assert!((3_000..=3_750).contains(&p95_us), "{p95_us} us");
}
