//! Fallbacks in the place of owners: what they take, who counts them, what they answer, and how it comes to the owners.

use kvorum_node::engine::Input;
use kvorum_node::peer_message::{PeerMessage, ReplicateOutcome};
use kvorum_protocol::message::{Replacing, Request, RequestError, Response, Way};
use kvorum_protocol::{Key, Space};
use kvorum_store::{ShardOptions, StoreRefusal};

use crate::cluster::{Cluster, Settings, error, get_done, key, node_id, put_done, values};

/// Six nodes: three own the key, the other three stand in for them.
fn six() -> (Cluster, Key, Vec<usize>, Vec<usize>) {
    let (cluster, key) = (Cluster::new(6), key("k"));
    let (owners, fallbacks) = (cluster.owners(&key), cluster.fallbacks(&key));
    assert_eq!((owners.len(), fallbacks.len()), (3, 3));
    (cluster, key, owners, fallbacks)
}

fn kill(cluster: &mut Cluster, nodes: &[usize]) {
    nodes.iter().for_each(|node| cluster.kill(*node));
}

/// The nodes come back; what has to rest before it goes on is given the time.
fn restart(cluster: &mut Cluster, nodes: &[usize]) {
    for node in nodes {
        cluster.restart(*node);
    }
    cluster.settle();
    for _ in 0..4 {
        cluster.pass_ms(1_000);
    }
}

fn held_by(cluster: &mut Cluster, key: &Key, node: usize) -> bool {
    let record = cluster.record(key);
    cluster.nodes[node].disk.peek_durable(&record).is_some()
}

#[test]
fn with_one_owner_left_fallbacks_make_up_the_quorum_and_are_counted_apart() {
    let (mut cluster, key, owners, fallbacks) = six();
    kill(&mut cluster, &owners[1..]);
    let done = cluster.put(owners[0], &key, "v", Replacing::Latest);
    assert_eq!((done.acked_owners, done.acked_fallbacks, done.needed), (1, 1, 2));
    assert_eq!(cluster.hints(), 2, "one for each owner that is away");
    assert_eq!(cluster.nodes[fallbacks[0]].disk.hints(), 1, "in the layout's order");
    assert!(!held_by(&mut cluster, &key, fallbacks[0]), "it is no owner's record");

    restart(&mut cluster, &owners[1..]);
    for owner in owners {
        assert!(held_by(&mut cluster, &key, owner));
    }
    assert_eq!(cluster.hints(), 0);
}

#[test]
fn with_all_owners_away_a_fallback_coordinates_and_any_node_reads_it() {
    let (mut cluster, key, owners, fallbacks) = six();
    kill(&mut cluster, &owners);
    for asked in [fallbacks[2], fallbacks[0]] {
        let done = cluster.put(asked, &key, "v", Replacing::Latest);
        assert_eq!((done.acked_owners, done.acked_fallbacks >= 2), (0, true));
    }
    for asked in fallbacks.clone() {
        let done = cluster.get(asked, &key);
        assert!(!values(&done).is_empty() && done.fallbacks >= 2 && done.owners == 0);
    }
    restart(&mut cluster, &owners);
    let holdings = cluster.holdings(&key);
    assert!(holdings[0].is_some() && holdings.iter().all(|held| *held == holdings[0]));
    assert_eq!(cluster.hints(), 0);
}

#[test]
fn a_fallback_replaces_what_it_holds_and_not_what_only_owners_have() {
    let (mut cluster, key, owners, fallbacks) = six();
    cluster.put(owners[0], &key, "before", Replacing::Latest);
    kill(&mut cluster, &owners);
    cluster.put(fallbacks[0], &key, "first", Replacing::Latest);
    cluster.put(fallbacks[0], &key, "second", Replacing::Latest);
    assert_eq!(values(&cluster.get(fallbacks[1], &key)), ["second"]);
    restart(&mut cluster, &owners);
    assert_eq!(values(&cluster.get(owners[1], &key)), ["before", "second"], "siblings");
}

#[test]
fn a_strict_request_counts_owners_only() {
    let (mut cluster, key, owners, fallbacks) = six();
    kill(&mut cluster, &owners[1..]);
    let mut put = cluster.put_request(&key, "v", Replacing::Latest);
    put.options.strict = true;
    let refused = error(cluster.call(owners[0], Request::Put(put)));
    assert!(matches!(refused, RequestError::Unavailable { needed: 2, got: 1, .. }), "{refused}");
    cluster.kill(owners[0]);
    let mut get = cluster.get_request(&key);
    get.options.strict = true;
    let refused = error(cluster.call(fallbacks[0], Request::Get(get)));
    assert!(matches!(refused, RequestError::Unavailable { got: 0, .. }), "{refused}");
    assert_eq!(cluster.hints(), 0);
}

#[test]
fn an_owner_that_is_away_is_left_a_spare_copy_that_nobody_waits_for() {
    let (mut cluster, key, owners, fallbacks) = six();
    cluster.kill(owners[2]);
    let done = cluster.put(owners[0], &key, "v", Replacing::Latest);
    assert_eq!((done.acked_owners, done.acked_fallbacks), (2, 0));
    assert_eq!(cluster.nodes[fallbacks[0]].disk.hints(), 1);
    let stats = cluster.nodes[owners[0]].engine.stats();
    assert_eq!((stats.called_in, stats.writes_with_fallbacks), (1, 0));
    restart(&mut cluster, &owners[2..]);
    assert!(held_by(&mut cluster, &key, owners[2]), "without any read");
    assert_eq!(cluster.hints(), 0);
}

#[test]
fn a_silent_owner_is_replaced_after_a_part_of_the_time() {
    let (mut cluster, key, owners, fallbacks) = six();
    for silent in &owners[1..] {
        cluster.cuts.push((owners[0], *silent));
    }
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    let request = cluster.ask(owners[0], Request::Put(put));
    cluster.settle();
    cluster.pass_ms(1_000);
    assert_eq!(cluster.reply(request), None, "an owner may be slow");
    cluster.pass_ms(2_000);
    let done = put_done(cluster.reply(request).expect("long before its deadline").clone());
    assert_eq!((done.acked_owners, done.acked_fallbacks), (1, 1));
    cluster.cuts.clear();
    for _ in 0..8 {
        cluster.pass_ms(5_000);
    }
    assert_eq!(cluster.hints(), 0, "the fallbacks reach the owners all the time");
    assert!(held_by(&mut cluster, &key, owners[2]) && !held_by(&mut cluster, &key, fallbacks[0]));
}

#[test]
fn an_owner_that_has_too_much_to_do_is_not_away() {
    let (mut cluster, key, owners, _) = six();
    for busy in &owners[1..] {
        cluster.nodes[*busy].disk.refuses = Some(StoreRefusal::Overloaded { retry_after_ms: 20 });
    }
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    let answer = error(cluster.call(owners[0], Request::Put(put)));
    assert!(matches!(answer, RequestError::AppliedBelowW { got: 1, .. }), "{answer}");
    assert_eq!(cluster.hints(), 0, "to write elsewhere would be more work");
}

#[test]
fn not_found_is_certain_only_when_the_fallbacks_say_so_too() {
    let (mut cluster, key, owners, fallbacks) = six();
    assert!(cluster.get(owners[0], &key).complete);
    kill(&mut cluster, &owners);
    cluster.put(fallbacks[0], &key, "v", Replacing::Latest);
    kill(&mut cluster, &fallbacks);
    for owner in &owners {
        cluster.restart(*owner);
    }
    cluster.settle();
    let done = cluster.get(owners[0], &key);
    assert!(!done.is_found() && !done.complete, "the fallbacks may hold it, and do");
    restart(&mut cluster, &fallbacks);
    assert_eq!(values(&cluster.get(owners[0], &key)), ["v"]);
}

#[test]
fn bug_20_a_hint_is_forgotten_only_when_its_owner_has_it_durably() {
    let (mut cluster, key, owners, fallbacks) = six();
    cluster.kill(owners[2]);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    cluster.nodes[owners[2]].holds_syncs = true;
    restart(&mut cluster, &owners[2..]);
    assert_eq!(cluster.hints(), 1, "the owner has it, and a crash would lose it");
    cluster.kill(owners[2]);
    cluster.nodes[owners[2]].holds_syncs = false;
    assert_eq!(cluster.nodes[fallbacks[0]].disk.hints(), 1);
    restart(&mut cluster, &owners[2..]);
    assert!(held_by(&mut cluster, &key, owners[2]));
    assert_eq!(cluster.hints(), 0);
}

#[test]
fn bug_20_an_acknowledgement_that_is_lost_costs_a_second_delivery_and_nothing_else() {
    let (mut cluster, key, owners, _) = six();
    cluster.kill(owners[2]);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    cluster.restart(owners[2]);
    loop {
        let is_answer = |message: &PeerMessage| {
            let durable = ReplicateOutcome::Durable;
            matches!(message, PeerMessage::Delivered { outcome, .. } if *outcome == durable)
        };
        let answers = |cluster: &Cluster| {
            cluster.in_flight.iter().position(|flight| is_answer(&flight.message))
        };
        if let Some(answer) = answers(&cluster) {
            cluster.in_flight.remove(answer);
            break;
        }
        (0..cluster.nodes.len()).for_each(|node| cluster.sync(node));
        if answers(&cluster).is_none() && !cluster.in_flight.is_empty() {
            cluster.deliver(0);
        }
    }
    cluster.settle();
    assert_eq!(cluster.hints(), 1);
    for _ in 0..4 {
        cluster.pass_ms(5_000);
    }
    assert_eq!(cluster.hints(), 0);
}

#[test]
fn bug_18_a_fallback_that_restarts_behind_its_owner_still_delivers() {
    let (mut cluster, key, owners, fallbacks) = six();
    cluster.kill(owners[2]);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    cluster.kill(fallbacks[0]);
    restart(&mut cluster, &owners[2..]);
    assert!(!held_by(&mut cluster, &key, owners[2]));
    restart(&mut cluster, &fallbacks[..1]);
    assert!(held_by(&mut cluster, &key, owners[2]));
    assert_eq!(cluster.hints(), 0);
}

#[test]
fn bug_47_hints_without_room_are_refused_and_those_that_count_stay() {
    let store = ShardOptions { bearing_bytes: 4_000, ..ShardOptions::small() };
    let mut cluster = Cluster::with(6, Settings { store, ..Settings::default() });
    let first = key("k");
    let owners = cluster.owners(&first);
    kill(&mut cluster, &owners);
    let asked = cluster.fallbacks(&first)[0];
    let mut applied = Vec::new();
    let refusal = (0..100).find_map(|number| {
        let key = key(&format!("k{number}"));
        if cluster.owners(&key).iter().any(|owner| !owners.contains(owner)) {
            return None;
        }
        let put = cluster.put_request(&key, "v", Replacing::Latest);
        match cluster.call(asked, Request::Put(put)) {
            Response::Put(_) => {
                applied.push(key);
                None
            }
            other => Some(error(other)),
        }
    });
    assert!(matches!(refusal, Some(RequestError::Overloaded { .. })), "{refusal:?}");
    assert!(applied.len() > 2, "{applied:?}");
    restart(&mut cluster, &owners);
    for key in applied {
        assert_eq!(values(&cluster.strict_get(owners[0], &key)), ["v"], "{key}");
    }
    assert_eq!(cluster.hints(), 0);
}

#[test]
fn a_retry_finds_what_its_first_attempt_left_with_another_fallback() {
    let (mut cluster, key, owners, fallbacks) = six();
    kill(&mut cluster, &owners);
    let mut put = cluster.put_request(&key, "v", Replacing::Latest);
    let first = put_done(cluster.call(fallbacks[0], Request::Put(put.clone())));
    put.options.retry = true;
    let again = put_done(cluster.call(fallbacks[2], Request::Put(put.clone())));
    assert_eq!(again.dot, first.dot);
    for owner in &owners {
        cluster.restart(*owner);
    }
    let again = put_done(cluster.call(owners[1], Request::Put(put)));
    assert_eq!(again.dot, first.dot, "an owner asks the fallbacks as well");
    assert_eq!(values(&cluster.get(owners[0], &key)), ["v"]);
}

/// Keys that this node owns, of those that the named one does not coordinate.
fn keys_of(cluster: &Cluster, owner: usize, count: usize) -> Vec<Key> {
    let keys = (0..1_000).map(|number| key(&format!("k{number}")));
    keys.filter(|key| cluster.owners(key).contains(&owner)).take(count).collect()
}

/// Leaves a hint of each key for an owner that is away.
fn leave_hints(cluster: &mut Cluster, owner: usize, keys: &[Key]) {
    for key in keys {
        let asked = cluster.owners(key).into_iter().find(|other| *other != owner).unwrap();
        cluster.put(asked, key, "v", Replacing::Latest);
    }
    assert_eq!(cluster.hints(), keys.len());
}

/// Hints that neither room nor age ends.
fn roomy() -> ShardOptions {
    ShardOptions { spare_bytes: 1 << 20, spare_ms: 1 << 30, ..ShardOptions::small() }
}

fn undelivered(cluster: &Cluster) -> u64 {
    cluster.nodes.iter().map(|node| node.engine.stats().hints_undelivered).sum()
}

#[test]
fn bug_21_a_record_that_cannot_be_read_stays_and_stops_no_other() {
    let store = roomy();
    let mut cluster = Cluster::with(6, Settings { store, ..Settings::default() });
    let away = cluster.owners(&key("k"))[2];
    let keys = keys_of(&cluster, away, 20);
    cluster.kill(away);
    leave_hints(&mut cluster, away, &keys);
    let bad = cluster.record(&keys[3]).in_space(Space::Hinted);
    let holder = cluster.fallbacks(&keys[3])[0];
    cluster.nodes[holder].disk.unreadable.push(bad);
    restart(&mut cluster, &[away]);
    assert_eq!(cluster.hints(), 1, "all but the one");
    for _ in 0..4 {
        cluster.pass_ms(30_000);
    }
    assert_eq!(cluster.hints(), 1, "it is kept, however often it could not be read");

    // What comes now does not wait for the long rest.
    cluster.kill(away);
    let late = keys_of(&cluster, away, 21).pop().unwrap();
    let asked = cluster.owners(&late).into_iter().find(|other| *other != away).unwrap();
    cluster.put(asked, &late, "v", Replacing::Latest);
    restart(&mut cluster, &[away]);
    assert!(held_by(&mut cluster, &late, away));
    cluster.nodes[holder].disk.unreadable.clear();
    cluster.pass_ms(60_000);
    assert_eq!(cluster.hints(), 0);
    assert!(held_by(&mut cluster, &keys[3], away));
}

#[test]
fn an_owner_that_takes_nothing_is_sent_one_record_at_a_time_and_goes_on_where_it_stopped() {
    let store = roomy();
    for refusal in [StoreRefusal::DiskFull, StoreRefusal::Overloaded { retry_after_ms: 20 }] {
        let mut cluster =
            Cluster::with(6, Settings { store: store.clone(), ..Settings::default() });
        let away = cluster.owners(&key("k"))[2];
        let keys = keys_of(&cluster, away, 80);
        cluster.kill(away);
        leave_hints(&mut cluster, away, &keys);
        cluster.nodes[away].disk.refuses_merges = Some(refusal);
        cluster.restart(away);
        cluster.settle();
        for _ in 0..8 {
            cluster.pass_ms(30_000);
        }
        // Each of the others tries once at first, and then once after each rest.
        let tries = undelivered(&cluster);
        assert!((9..=5 * 10).contains(&tries), "{refusal:?}: {tries}");
        assert_eq!(cluster.hints(), keys.len());

        // Another hint is no reason to try sooner.
        cluster.cuts = (0..6).map(|from| (from, away)).collect();
        let asked = cluster.owners(&keys[0]).into_iter().find(|other| *other != away).unwrap();
        let put = cluster.put_request(&keys[0], "w", Replacing::Latest);
        cluster.ask(asked, Request::Put(put));
        cluster.settle();
        cluster.cuts.clear();
        cluster.pass_ms(1_000);
        assert!(undelivered(&cluster) <= tries + 1, "{refusal:?}");

        cluster.nodes[away].disk.refuses_merges = None;
        for _ in 0..3 {
            cluster.pass_ms(31_000);
        }
        assert_eq!(cluster.hints(), 0, "{refusal:?}");
        for key in &keys {
            assert!(held_by(&mut cluster, key, away), "{key}");
        }
    }
}

#[test]
fn what_a_fallback_coordinates_is_seen_off_to_owners_that_were_never_away() {
    let (mut cluster, key, owners, fallbacks) = six();
    let put = cluster.put_request(&key, "v", Replacing::Latest);
    // A request that was passed on as often as it may be is not passed on again.
    let message = PeerMessage::Forward {
        token: 1,
        hops: kvorum_node::limits::MAX_HOPS,
        request: Box::new(Request::Put(put)),
        deadline_ms: 5_000,
    };
    let from = node_id(fallbacks[1]);
    cluster.tell(fallbacks[0], Input::Peer { from, message });
    cluster.settle();
    for owner in &owners {
        assert!(held_by(&mut cluster, &key, *owner));
    }
    assert_eq!(cluster.hints(), 0);
}

#[test]
fn hints_that_are_paused_wait_and_go_on_when_they_are_resumed() {
    let (mut cluster, key, owners, fallbacks) = six();
    cluster.kill(owners[2]);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    cluster.tell(fallbacks[0], Input::HintsPaused(true));
    restart(&mut cluster, &owners[2..]);
    assert_eq!(cluster.hints(), 1);
    cluster.tell(fallbacks[0], Input::HintsPaused(false));
    cluster.settle();
    assert_eq!(cluster.hints(), 0);
    assert!(held_by(&mut cluster, &key, owners[2]));
}

#[test]
fn many_hints_are_delivered_by_the_receivers_credit() {
    let store = ShardOptions { spare_bytes: 1 << 20, ..ShardOptions::small() };
    let mut cluster = Cluster::with(6, Settings { store, ..Settings::default() });
    let owners = cluster.owners(&key("k"));
    cluster.kill(owners[2]);
    let keys: Vec<Key> = (0..400).map(|number| key(&format!("k{number}"))).collect();
    let is_owner = |cluster: &Cluster, key: &Key| cluster.owners(key).contains(&owners[2]);
    for key in &keys {
        let asked = cluster.owners(key).into_iter().find(|owner| *owner != owners[2]).unwrap();
        cluster.put(asked, key, "v", Replacing::Latest);
    }
    let left = keys.iter().filter(|key| is_owner(&cluster, key)).count();
    assert!(left > 100 && cluster.hints() == left, "{left}, {}", cluster.hints());
    cluster.restart(owners[2]);
    let mut most = 0;
    while !cluster.in_flight.is_empty() {
        let is_delivery = |message: &PeerMessage| matches!(message, PeerMessage::Deliver { .. });
        let out = cluster.in_flight.iter().filter(|flight| is_delivery(&flight.message)).count();
        most = most.max(out);
        cluster.deliver(0);
        (0..cluster.nodes.len()).for_each(|node| cluster.sync(node));
    }
    assert!((2..=5 * 64).contains(&most), "{most}");
    cluster.settle();
    assert_eq!(cluster.hints(), 0);
    for key in keys.iter().filter(|key| is_owner(&cluster, key)).cloned().collect::<Vec<_>>() {
        assert!(held_by(&mut cluster, &key, owners[2]), "{key}");
    }
}

#[test]
fn bug_02_an_actor_is_not_continued_from_what_fallbacks_hand_back() {
    // A writes once with fallbacks in the place of B and C, then twice with B and C. A loses its record, reads back the first
    // write from a fallback, and writes again.
    let (mut cluster, key, owners, _) = six();
    kill(&mut cluster, &owners[1..]);
    cluster.put(owners[0], &key, "1", Replacing::Latest);
    let fallbacks: Vec<usize> = cluster.fallbacks(&key);
    for fallback in &fallbacks {
        cluster.tell(*fallback, Input::HintsPaused(true));
    }
    for owner in &owners[1..] {
        cluster.restart(*owner);
    }
    cluster.settle();
    cluster.put(owners[0], &key, "2", Replacing::Latest);
    let third = cluster.put(owners[0], &key, "3", Replacing::Latest);
    let record = cluster.record(&key);
    cluster.nodes[owners[0]].disk.forget(&record);
    let hinted = record.clone().in_space(Space::Hinted);
    let first = cluster.nodes[fallbacks[0]].disk.peek(&hinted).expect("the first write");
    let set = kvorum_protocol::EncodedSet::new(&first);
    let merge =
        PeerMessage::Replicate { token: 1, key: record, set, deadline_ms: 1_000, way: Way::Write };
    cluster.tell(owners[0], Input::Peer { from: node_id(fallbacks[0]), message: merge });
    cluster.settle();
    let fourth = cluster.put(owners[0], &key, "4", Replacing::Latest);
    assert_ne!(fourth.dot.actor, third.dot.actor, "the third write is unknown here");
    assert_eq!(values(&cluster.get(owners[1], &key)), ["3", "4"], "and is not covered");
}

#[test]
fn what_is_for_nobody_or_for_another_place_is_not_held() {
    let (mut cluster, key, owners, fallbacks) = six();
    kill(&mut cluster, &owners);
    cluster.put(fallbacks[0], &key, "v", Replacing::Latest);
    let record = cluster.record(&key).in_space(Space::Hinted);
    let held = cluster.nodes[fallbacks[0]].disk.peek(&record).expect("it is held");
    for owner in &owners {
        cluster.restart(*owner);
    }
    cluster.settle();
    let set = kvorum_protocol::EncodedSet::new(&held);
    for (to, targets) in [
        (owners[0], vec![node_id(owners[1])]),
        (fallbacks[0], vec![]),
        (fallbacks[0], vec![node_id(fallbacks[1])]),
    ] {
        let held = kvorum_node::peer_message::PeerHold {
            key: record.clone(),
            set: set.clone(),
            targets,
            spare: false,
        };
        let message = PeerMessage::Hold { token: 1, held: Box::new(held), deadline_ms: 1_000 };
        cluster.tell(to, Input::Peer { from: node_id(fallbacks[1]), message });
        let answer = cluster.in_flight.pop().expect("refused at once").message;
        let PeerMessage::Replicated { outcome: ReplicateOutcome::Refused { .. }, .. } = answer
        else {
            panic!("{answer:?}")
        };
    }
    let get = cluster.get_request(&key);
    let read = get_done(cluster.call(fallbacks[2], Request::Get(get)));
    assert_eq!(values(&read), ["v"]);
}
