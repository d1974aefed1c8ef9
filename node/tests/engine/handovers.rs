//! A record that is on its way from a fallback to its owner is never hidden: not from who reads it, nor from who repeats the write.

use kvorum_node::engine::Input;
use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::Key;
use kvorum_protocol::message::{Put, PutDone, Replacing, Request};

use crate::cluster::{Cluster, Flight, get_done, key, put_done, values};

/// Six nodes of which three hold a write for the owners, which are back and have not been given it.
struct Held {
    cluster: Cluster,
    key: Key,
    owners: Vec<usize>,
    fallbacks: Vec<usize>,
    put: Put,
    done: PutDone,
}

fn held() -> Held {
    let (mut cluster, key) = (Cluster::new(6), key("k"));
    let (owners, fallbacks) = (cluster.owners(&key), cluster.fallbacks(&key));
    owners.iter().for_each(|owner| cluster.kill(*owner));
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    let done = put_done(cluster.call(fallbacks[0], Request::Put(put.clone())));
    fallbacks.iter().for_each(|node| cluster.tell(*node, Input::HintsPaused(true)));
    owners.iter().for_each(|owner| cluster.restart(*owner));
    cluster.settle();
    assert!(cluster.hints() > 0);
    Held { cluster, key, owners, fallbacks, put, done }
}

impl Held {
    /// Asks the first owner. When its questions to fallbacks are on their way, and all owners have answered, everything is handed
    /// over; only then do the questions arrive.
    fn ask_across_a_handover(&mut self, request: Request) -> u64 {
        let Held { cluster, owners, fallbacks, .. } = self;
        let request = cluster.ask(owners[0], request);
        let is_late = |flight: &Flight| {
            fallbacks.contains(&flight.to) && matches!(flight.message, PeerMessage::Fetch { .. })
        };
        let mut late = Vec::new();
        loop {
            while let Some(at) = cluster.in_flight.iter().position(is_late) {
                late.push(cluster.in_flight.remove(at));
            }
            match cluster.in_flight.is_empty() {
                true => break,
                false => cluster.deliver(0),
            }
        }
        assert_eq!((late.len(), cluster.reply(request)), (3, None), "the fallbacks are asked");
        fallbacks.iter().for_each(|node| cluster.tell(*node, Input::HintsPaused(false)));
        cluster.settle();
        assert_eq!(cluster.hints(), 0, "all of it is handed over");
        cluster.in_flight.extend(late);
        cluster.settle();
        request
    }
}

#[test]
fn a_get_finds_what_is_handed_over_between_its_questions() {
    let mut held = held();
    let get = Request::Get(held.cluster.get_request(&held.key));
    let request = held.ask_across_a_handover(get);
    let done = get_done(held.cluster.reply(request).expect("answered").clone());
    assert_eq!(values(&done), ["v"], "complete: {}", done.complete);
    assert_eq!((done.owners, done.needed), (3, 2));
}

#[test]
fn where_nothing_is_handed_over_nobody_is_asked_twice() {
    let mut cluster = Cluster::new(6);
    let owner = cluster.owners(&key("k"))[0];
    for _ in 0..5 {
        let done = cluster.get(owner, &key("k"));
        assert!(done.complete && !done.is_found());
        cluster.pass_ms(1);
    }
    let looks = cluster.nodes[owner].engine.stats().second_looks;
    assert_eq!(looks, 1, "fallbacks that were never heard of may have handed over anything");
}

#[test]
fn a_retry_does_not_call_its_search_certain_across_a_handover() {
    let mut held = held();
    let put = Put { options: held.put.options.clone(), ..held.put.clone() };
    let mut again = put;
    again.options.retry = true;
    let request = held.ask_across_a_handover(Request::Put(again));
    let done = put_done(held.cluster.reply(request).expect("answered").clone());
    assert!(!done.retry_checked || done.dot == held.done.dot, "{done:?}");
    let fallbacks = held.fallbacks.clone();
    let (mut cluster, key, owners) = (held.cluster, held.key, held.owners);
    assert_eq!(values(&cluster.get(owners[1], &key)), ["v"], "{fallbacks:?}");
}
