//! Who stands in for owners that do not answer: the next fallback when one does not take it, and few for owners that are only slow.

use kvorum_protocol::Key;
use kvorum_protocol::message::{PutDone, Replacing, Request};
use kvorum_store::StoreRefusal;

use crate::cluster::{Cluster, Flight, key, put_done};

/// Six nodes, and a put at the first owner whose messages to the other two are lost.
fn silent() -> (Cluster, Key, Vec<usize>, Vec<usize>) {
    let (mut cluster, key) = (Cluster::new(6), key("k"));
    let (owners, fallbacks) = (cluster.owners(&key), cluster.fallbacks(&key));
    owners[1..].iter().for_each(|silent| cluster.cuts.push((owners[0], *silent)));
    (cluster, key, owners, fallbacks)
}

fn put(cluster: &mut Cluster, at: usize, key: &Key) -> u64 {
    let put = cluster.put_request(key, "v", Replacing::Latest);
    let request = cluster.ask(at, Request::Put(put));
    cluster.settle();
    request
}

fn done(cluster: &Cluster, request: u64) -> PutDone {
    put_done(cluster.reply(request).expect("an answer").clone())
}

#[test]
fn a_fallback_that_refuses_in_the_place_of_a_silent_owner_is_replaced_by_the_next() {
    let (mut cluster, key, owners, fallbacks) = silent();
    for full in &fallbacks[..2] {
        cluster.nodes[*full].disk.refuses = Some(StoreRefusal::HintsFull);
    }
    let request = put(&mut cluster, owners[0], &key);
    cluster.pass_ms(3_000);
    let done = done(&cluster, request);
    assert_eq!((done.acked_owners, done.acked_fallbacks), (1, 1));
    let called = cluster.nodes[owners[0]].engine.stats().called_in;
    assert_eq!(called, 4, "two refused, and the last one was asked for the other owner as well");
}

#[test]
fn a_fallback_that_is_silent_itself_is_replaced_after_a_part_of_the_rest() {
    let (mut cluster, key, owners, fallbacks) = silent();
    for silent in &fallbacks[..2] {
        cluster.cuts.push((owners[0], *silent));
    }
    let request = put(&mut cluster, owners[0], &key);
    cluster.pass_ms(3_000);
    assert_eq!(cluster.reply(request), None);
    cluster.pass_ms(2_000);
    let done = done(&cluster, request);
    assert_eq!((done.acked_owners, done.acked_fallbacks), (1, 1));
}

/// Delivers and syncs everything, but keeps back what these nodes answer the first.
fn settle_slowly(
    cluster: &mut Cluster,
    first: usize,
    slow: &[usize],
    late: &mut Vec<(u64, Flight)>,
) {
    loop {
        (0..cluster.nodes.len()).for_each(|node| cluster.sync(node));
        let is_late = |flight: &Flight| slow.contains(&flight.from) && flight.to == first;
        while let Some(at) = cluster.in_flight.iter().position(is_late) {
            late.push((cluster.now.mono_ns, cluster.in_flight.remove(at)));
        }
        match cluster.in_flight.is_empty() {
            true => return,
            false => cluster.deliver(0),
        }
    }
}

#[test]
fn owners_that_write_however_slowly_have_few_stand_ins() {
    const WRITES: u64 = 400;
    let (mut cluster, key) = (Cluster::new(6), key("k"));
    let owners = cluster.owners(&key);
    // Both other owners answer each write after four seconds, and a write comes every 20 milliseconds.
    let (mut late, mut requests) = (Vec::new(), Vec::new());
    for round in 0..WRITES + 250 {
        if round < WRITES {
            let put = cluster.put_request(&key, "v", Replacing::Latest);
            requests.push(cluster.ask(owners[0], Request::Put(put)));
        }
        settle_slowly(&mut cluster, owners[0], &owners[1..], &mut late);
        let now_ns = cluster.now.mono_ns;
        let is_due = |(at_ns, _): &mut (u64, Flight)| *at_ns + 4_000_000_000 <= now_ns;
        cluster.in_flight.extend(late.extract_if(.., is_due).map(|(_, flight)| flight));
        cluster.pass_ms(20);
    }
    for request in requests {
        done(&cluster, request);
    }
    // Until the first of them has answered they are as good as dead: at most 80 writes, two owners. After that, five in a hundred.
    let stats = cluster.nodes[owners[0]].engine.stats();
    assert!(stats.slow_owners_spared > WRITES, "{stats:?}");
    assert!(stats.called_in <= 2 * 80 + WRITES * 5 / 100, "{stats:?}");
}
