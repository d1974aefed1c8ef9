//! Exchanges between owners: what one of them missed comes to it without a read, once, and nothing else travels.

use kvorum_node::engine::{EngineOptions, EngineStats};
use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::message::Replacing;
use kvorum_protocol::{Key, VersionSet};
use kvorum_store::StoreRefusal;

use crate::cluster::{Cluster, Settings, key};

const EVERY_MS: u64 = 1_000;

fn cluster(nodes: usize) -> Cluster {
    let engine = EngineOptions { exchange_every_ms: EVERY_MS, ..EngineOptions::default() };
    Cluster::with(nodes, Settings { engine, ..Settings::default() })
}

fn keys(count: usize) -> Vec<Key> {
    (0..count).map(|number| key(&format!("key{number}"))).collect()
}

/// Lets time pass in small steps: pauses and answers take turns.
fn pass(cluster: &mut Cluster, ms: u64) {
    for _ in 0..ms / 50 {
        cluster.pass_ms(50);
    }
}

/// The sum of a figure over all nodes.
fn sum(cluster: &Cluster, figure: fn(&EngineStats) -> u64) -> u64 {
    cluster.nodes.iter().map(|node| figure(&node.engine.stats())).sum()
}

fn repairs(cluster: &Cluster) -> u64 {
    sum(cluster, |stats| stats.exchange_given + stats.exchange_taken)
}

fn live(set: &Option<VersionSet>) -> u128 {
    set.as_ref().map_or(0, |set| set.live_digest().0)
}

fn are_equal(cluster: &mut Cluster, keys: &[Key]) -> bool {
    keys.iter().all(|key| {
        let held = cluster.holdings(key);
        held.iter().all(|set| live(set) == live(&held[0]))
    })
}

#[test]
fn what_a_dead_owner_missed_comes_to_it_once_and_then_nothing_more() {
    for dead in 0..3 {
        let mut cluster = cluster(3);
        let keys = keys(40);
        for (number, key) in keys.iter().enumerate() {
            cluster.put(number % 3, key, "before", Replacing::Latest);
        }
        pass(&mut cluster, 3 * EVERY_MS);
        assert_eq!(repairs(&cluster), 0, "all writes reached all owners");

        cluster.kill(dead);
        for (number, key) in keys.iter().enumerate().take(30) {
            let coordinator = (dead + 1 + number % 2) % 3;
            if number % 5 == 0 {
                cluster.delete(coordinator, key, Replacing::Latest);
            } else {
                cluster.put(coordinator, key, "meanwhile", Replacing::Latest);
            }
        }
        cluster.restart(dead);
        assert!(!are_equal(&mut cluster, &keys));
        pass(&mut cluster, 10 * EVERY_MS);
        assert!(are_equal(&mut cluster, &keys), "without a read");
        assert_eq!(repairs(&cluster), 30, "each key once, though two owners could have given it");
        assert_eq!(sum(&cluster, |stats| stats.exchange_failures), 0);
        let exchanges = sum(&cluster, |stats| stats.exchanges);
        pass(&mut cluster, 5 * EVERY_MS);
        assert!(sum(&cluster, |stats| stats.exchanges) >= exchanges + 9, "they go on");
        assert_eq!(repairs(&cluster), 30, "and find nothing");
    }
}

#[test]
fn bug_13_trees_that_a_crash_left_behind_repair_nothing() {
    let mut cluster = cluster(3);
    let keys = keys(40);
    for round in 0..4 {
        for key in &keys {
            cluster.put(round % 3, key, &format!("round {round}"), Replacing::Latest);
        }
        cluster.kill(round % 3);
        cluster.restart(round % 3);
        pass(&mut cluster, 5 * EVERY_MS);
    }
    assert!(are_equal(&mut cluster, &keys));
    assert_eq!(repairs(&cluster), 0);
}

#[test]
fn writes_under_way_are_not_repaired_and_hold_no_exchange_up() {
    let mut cluster = cluster(3);
    let keys = keys(8);
    for round in 0..100 {
        let put = cluster.put_request(&keys[round % 8], &format!("{round}"), Replacing::Latest);
        cluster.ask(round % 3, kvorum_protocol::message::Request::Put(put));
        // Half of the time the copies are still on their way when time passes.
        if round % 2 == 0 {
            cluster.pass_ms(150);
        }
    }
    cluster.settle();
    assert!(sum(&cluster, |stats| stats.exchanges) > 6);
    assert_eq!(repairs(&cluster), 0);
    assert!(are_equal(&mut cluster, &keys));
}

#[test]
fn siblings_of_a_cut_meet_by_exchange() {
    let mut cluster = cluster(3);
    let key = key("key");
    cluster.cuts = vec![(0, 1), (0, 2), (1, 0), (2, 0)];
    for node in [0, 1] {
        let put = cluster.put_request(&key, &format!("of {node}"), Replacing::Latest);
        cluster.ask(node, kvorum_protocol::message::Request::Put(put));
        cluster.settle();
    }
    pass(&mut cluster, 10 * EVERY_MS);
    assert!(!are_equal(&mut cluster, std::slice::from_ref(&key)), "no exchange across the cut");
    cluster.cuts.clear();
    pass(&mut cluster, 20 * EVERY_MS);
    let held = cluster.holdings(&key);
    assert!(are_equal(&mut cluster, &[key]));
    assert_eq!(held[0].as_ref().map(|set| set.versions().len()), Some(2));
}

#[test]
fn what_an_owner_cannot_take_is_passed_over_and_the_rest_comes() {
    let mut cluster = cluster(3);
    let keys = keys(20);
    cluster.kill(2);
    keys.iter().for_each(|key| drop(cluster.put(0, key, "meanwhile", Replacing::Latest)));
    cluster.restart(2);
    cluster.nodes[2].disk.refuses_merges = Some(StoreRefusal::Oversized);
    pass(&mut cluster, 3 * EVERY_MS);
    let failures = sum(&cluster, |stats| stats.exchange_failures);
    assert!(failures >= 20 && repairs(&cluster) == 0, "{failures}");
    cluster.nodes[2].disk.refuses_merges = None;
    pass(&mut cluster, 5 * EVERY_MS);
    assert!(are_equal(&mut cluster, &keys));
    assert_eq!(repairs(&cluster), 20);
}

#[test]
fn an_equal_pair_says_one_thing_each_in_a_round() {
    let mut cluster = cluster(2);
    let keys = keys(40);
    keys.iter().for_each(|key| drop(cluster.put(0, key, "v", Replacing::Latest)));
    // Trees are counted and a first round is over.
    pass(&mut cluster, 2 * EVERY_MS);
    let mut said = Vec::new();
    for _ in 0..EVERY_MS / 50 {
        let now = cluster.now;
        cluster.now = kvorum_node::engine::Now { mono_ns: now.after_ms(50), ..now };
        for node in 0..2 {
            cluster.tell(node, kvorum_node::engine::Input::Tick);
        }
        while !cluster.in_flight.is_empty() {
            said.push(cluster.in_flight[0].message.clone());
            cluster.deliver(0);
        }
    }
    let bytes: usize =
        said.iter().map(|message| kvorum_protocol::codec::encode(message).len()).sum();
    assert!(
        matches!(said[..], [PeerMessage::Ask { .. }, PeerMessage::Answered { .. }]),
        "{said:?}"
    );
    assert!(bytes < 128, "{bytes} bytes a round");
}
