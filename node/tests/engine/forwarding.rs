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
    let get = cluster.get_request(&key);
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
            assert_eq!(error(response), RequestError::WrongLayout)
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
    let late = |error| PeerMessage::Forwarded { token, response: Response::Error { error } };
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
