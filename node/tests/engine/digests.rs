//! Gets by digest: one record is read whole while all owners hold the same, and nothing is missed when they do not.

use kvorum_node::engine::Input;
use kvorum_node::peer_message::{FetchOutcome, PeerMessage};
use kvorum_protocol::Key;
use kvorum_protocol::message::{Replacing, Request, RequestError};

use crate::cluster::{Cluster, error, get_done, key, node_id, values};

/// A cluster whose owners all hold `k`, and the owners.
fn healthy() -> (Cluster, Vec<usize>, Key) {
    let mut cluster = Cluster::new(3);
    let key = key("k");
    let owners = cluster.owners(&key);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    (cluster, owners, key)
}

/// The same, but the third owner missed the second write.
fn one_behind() -> (Cluster, Vec<usize>, Key) {
    let (mut cluster, owners, key) = healthy();
    cluster.cuts.push((owners[0], owners[2]));
    cluster.put(owners[0], &key, "w", Replacing::Latest);
    cluster.pass_ms(20_000);
    cluster.cuts.clear();
    (cluster, owners, key)
}

/// Delivers everything, and counts the digests and the whole records that went over the network.
fn deliver_all(cluster: &mut Cluster) -> (usize, usize) {
    let (mut digests, mut whole) = (0, 0);
    while !cluster.in_flight.is_empty() {
        match &cluster.in_flight[0].message {
            PeerMessage::Fetched { outcome: FetchOutcome::Digest { .. }, .. } => digests += 1,
            PeerMessage::Fetched { outcome: FetchOutcome::Held { .. }, .. } => whole += 1,
            _ => {}
        }
        cluster.deliver(0);
    }
    (digests, whole)
}

#[test]
fn owners_that_agree_send_no_record() {
    let (mut cluster, owners, key) = healthy();
    let get = cluster.get_request(&key);
    let request = cluster.ask(owners[1], Request::Get(get));
    assert_eq!(deliver_all(&mut cluster), (2, 0));
    let read = get_done(cluster.reply(request).unwrap().clone());
    assert_eq!(values(&read), ["v"]);
    let stats = cluster.nodes[owners[1]].engine.stats();
    assert_eq!((stats.digests_agreed, stats.digests_differed, stats.repairs), (2, 0, 0));
}

#[test]
fn an_owner_that_differs_is_asked_for_its_record_and_healed() {
    for coordinator in 0..3 {
        let (mut cluster, owners, key) = one_behind();
        let get = cluster.get_request(&key);
        let request = cluster.ask(owners[coordinator], Request::Get(get));
        let (digests, whole) = deliver_all(&mut cluster);
        // The owner that is behind agrees with nobody.
        assert_eq!((digests, whole), (2, if coordinator == 2 { 2 } else { 1 }));
        assert_eq!(values(&get_done(cluster.reply(request).unwrap().clone())), ["w"]);
        cluster.settle();
        let holdings = cluster.holdings(&key);
        assert!(holdings.iter().all(|held| *held == holdings[0]), "coordinator {coordinator}");
    }
}

#[test]
fn an_owner_without_a_record_of_its_own_asks_for_the_others() {
    let (mut cluster, owners, key) = healthy();
    let record = cluster.record(&key);
    cluster.nodes[owners[0]].disk.forget(&record);
    assert_eq!(values(&cluster.get(owners[0], &key)), ["v"]);
    assert!(cluster.holdings(&key)[0].is_some(), "and is given it");

    let (mut cluster, owners, key) = healthy();
    cluster.nodes[owners[0]].disk.damaged = true;
    assert_eq!(values(&cluster.get(owners[0], &key)), ["v"], "two others are enough");
}

#[test]
fn a_slow_own_disk_does_not_keep_a_read_from_the_owners_that_could_answer() {
    let (mut cluster, owners, key) = healthy();
    cluster.nodes[owners[0]].disk.holds_reads = true;
    let get = cluster.get_request(&key);
    let request = cluster.ask(owners[0], Request::Get(get));
    assert_eq!(deliver_all(&mut cluster), (2, 0));
    assert_eq!(cluster.reply(request), None);
    cluster.pass_ms(kvorum_node::limits::OWN_READ_PATIENCE_MS.into());
    assert_eq!(values(&get_done(cluster.reply(request).unwrap().clone())), ["v"]);
    cluster.nodes[owners[0]].disk.holds_reads = false;
    cluster.settle();
    assert_eq!(cluster.nodes[owners[0]].engine.stats().requests, 0);
}

#[test]
fn a_slow_own_disk_holds_nobody_up_when_an_owner_has_no_record_either() {
    for absent_first in [false, true] {
        let mut cluster = Cluster::new(3);
        let key = key("k");
        let owners = cluster.owners(&key);
        cluster.cuts.push((owners[0], owners[2]));
        cluster.put(owners[0], &key, "v", Replacing::Latest);
        cluster.pass_ms(20_000);
        cluster.cuts.clear();
        cluster.nodes[owners[0]].disk.holds_reads = true;
        let get = cluster.get_request(&key);
        let request = cluster.ask(owners[0], Request::Get(get));
        while !cluster.in_flight.is_empty() {
            let last = cluster.in_flight.len() - 1;
            cluster.deliver(if absent_first { last } else { 0 });
        }
        cluster.pass_ms(kvorum_node::limits::OWN_READ_PATIENCE_MS.into());
        let reply = cluster.reply(request).unwrap_or_else(|| panic!("{absent_first}"));
        assert_eq!(values(&get_done(reply.clone())), ["v"]);
    }
}

#[test]
fn a_digest_counts_although_its_owner_died_before_the_own_record_was_read() {
    let (mut cluster, owners, key) = healthy();
    cluster.nodes[owners[0]].disk.holds_reads = true;
    let get = cluster.get_request(&key);
    let request = cluster.ask(owners[0], Request::Get(get));
    deliver_all(&mut cluster);
    for owner in &owners[1..] {
        cluster.tell(owners[0], Input::PeerDown { node: node_id(*owner) });
    }
    cluster.nodes[owners[0]].disk.holds_reads = false;
    cluster.settle();
    assert_eq!(values(&get_done(cluster.reply(request).unwrap().clone())), ["v"]);
}

#[test]
fn a_digest_that_matches_nothing_is_no_answer() {
    let (mut cluster, owners, key) = one_behind();
    cluster.nodes[owners[2]].disk.holds_reads = true;
    let get = cluster.get_request(&key);
    let request = cluster.ask(owners[2], Request::Get(get));
    deliver_all(&mut cluster);
    for owner in &owners[..2] {
        cluster.tell(owners[2], Input::PeerDown { node: node_id(*owner) });
    }
    cluster.nodes[owners[2]].disk.holds_reads = false;
    cluster.settle();
    let answer = error(cluster.reply(request).unwrap().clone());
    assert!(matches!(answer, RequestError::Unavailable { needed: 2, got: 1, .. }), "{answer:?}");
}
