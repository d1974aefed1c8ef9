//! Repair by order: all owners hold the same durably afterwards, or the answer says which does not and why.

use kvorum_antientropy::Question;
use kvorum_node::engine::Input;
use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::message::{
    BatchPut, OwnerCause, PutItem, PutOutcome, Repair, RepairDone, RepairHolding, RepairTarget,
    Replacing, Request, RequestError, RequestOptions, Response,
};
use kvorum_protocol::{Key, VersionSet};
use kvorum_ring::{ClassId, KeyHash, PartitionId};
use kvorum_store::StoreRefusal;

use crate::cluster::{Cluster, bucket, error, key, node_id};

const CLASS: ClassId = ClassId(0);

fn repair(cluster: &mut Cluster, target: RepairTarget) -> Request {
    let options = RequestOptions::new(cluster.new_operation());
    Request::Repair(Repair { target, options })
}

fn done(response: Response) -> RepairDone {
    match response {
        Response::Repair(done) => done,
        other => panic!("not a repair: {other:?}"),
    }
}

fn repair_key(cluster: &mut Cluster, node: usize, key: &Key) -> RepairDone {
    let target = RepairTarget::Key { bucket: bucket(), key: key.clone() };
    let request = repair(cluster, target);
    done(cluster.call(node, request))
}

fn step(cluster: &mut Cluster, partition: PartitionId, from: KeyHash) -> Request {
    repair(cluster, RepairTarget::Partition { class: CLASS, partition, from })
}

/// All steps of a partition's repair, led by one node.
fn repair_partition(cluster: &mut Cluster, node: usize, partition: PartitionId) -> Vec<RepairDone> {
    let (mut steps, mut from) = (Vec::new(), Some(KeyHash(0)));
    while let Some(hash) = from {
        let request = step(cluster, partition, hash);
        let told = done(cluster.call(node, request));
        assert!(told.next.is_none_or(|next| next > hash), "it comes further");
        from = told.next;
        steps.push(told);
    }
    steps
}

/// Keys of one partition.
fn keys_of(cluster: &Cluster, partition: PartitionId, count: usize) -> Vec<Key> {
    let names = (0..).map(|number| key(&format!("key{number}")));
    names.filter(|key| cluster.record(key).partition == partition).take(count).collect()
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

/// What a node missed while it was down.
fn miss(cluster: &mut Cluster, node: usize, change: impl FnOnce(&mut Cluster)) {
    cluster.kill(node);
    change(cluster);
    cluster.restart(node);
}

#[test]
fn a_repaired_key_is_the_same_everywhere_and_survives_a_crash_of_everybody() {
    let mut cluster = Cluster::new(3);
    let key = key("key");
    cluster.cuts = vec![(0, 1), (0, 2), (1, 0), (2, 0)];
    for node in [0, 1] {
        let put = cluster.put_request(&key, &format!("of {node}"), Replacing::Latest);
        cluster.ask(node, Request::Put(put));
        cluster.settle();
    }
    cluster.cuts.clear();
    let told = repair_key(&mut cluster, 2, &key);
    assert!(told.all_agree(), "{told:?}");
    assert_eq!((told.compared, told.differing, told.left, told.next), (1, 1, 0, None));
    for owner in &told.owners {
        let Some(RepairHolding::Record { values, .. }) = owner.before else {
            panic!("it held one of the two: {owner:?}");
        };
        assert_eq!((values, owner.given), (1, 1));
    }
    let Some(RepairHolding::Record { values: 2, digest, .. }) = told.after else {
        panic!("both of them: {told:?}");
    };
    for node in 0..3 {
        cluster.kill(node);
        cluster.restart(node);
    }
    let held = cluster.holdings(&key);
    assert!(held.iter().all(|set| set == &held[0] && live(set) != 0));
    let again = repair_key(&mut cluster, 0, &key);
    assert!(again.all_agree());
    assert_eq!(
        (again.differing, again.owners.iter().map(|owner| owner.given).sum::<u64>()),
        (0, 0)
    );
    let same = again.owners.iter().all(|owner| {
        matches!(owner.before, Some(RepairHolding::Record { digest: held, .. }) if held == digest)
    });
    assert!(same, "equal records are told by equal digests");
}

#[test]
fn a_repair_waits_until_every_owner_has_the_merge_durably() {
    let mut cluster = Cluster::new(3);
    let key = key("key");
    cluster.put(0, &key, "v", Replacing::Latest);
    let owners = cluster.owners(&key);
    let last = owners[2];
    miss(&mut cluster, last, |cluster| {
        cluster.put(owners[0], &key, "newer", Replacing::Latest);
    });
    cluster.nodes[last].holds_syncs = true;
    let target = RepairTarget::Key { bucket: bucket(), key: key.clone() };
    let request = repair(&mut cluster, target);
    let request = cluster.ask(owners[0], request);
    cluster.settle();
    assert!(cluster.reply(request).is_none(), "the last one has not synced");
    cluster.nodes[last].holds_syncs = false;
    cluster.settle();
    assert!(done(cluster.reply(request).cloned().unwrap()).all_agree());
}

#[test]
fn an_owner_that_is_down_is_named_and_the_others_are_repaired() {
    let mut cluster = Cluster::new(4);
    let key = key("key");
    let owners = cluster.owners(&key);
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    let fallback = cluster.fallbacks(&key)[0];
    cluster.kill(fallback);
    miss(&mut cluster, owners[1], |cluster| {
        cluster.put(owners[0], &key, "newer", Replacing::Latest);
    });
    cluster.kill(owners[2]);
    let told = repair_key(&mut cluster, owners[0], &key);
    assert!(!told.all_agree());
    assert_eq!((told.differing, told.left), (1, 1));
    let causes: Vec<Option<OwnerCause>> = told.owners.iter().map(|owner| owner.cause).collect();
    assert_eq!(causes, [None, None, Some(OwnerCause::Unreachable)]);
    assert_eq!(told.owners[2].before, None, "it said nothing");
    let held = cluster.holdings(&key);
    assert_eq!(held[0], held[1]);
}

#[test]
fn any_node_takes_a_keys_repair_and_what_fallbacks_hold_counts() {
    let mut cluster = Cluster::new(5);
    let key = key("key");
    let owners = cluster.owners(&key);
    for node in 0..5 {
        cluster.tell(node, Input::HintsPaused(true));
    }
    owners.iter().for_each(|owner| cluster.kill(*owner));
    let fallback = cluster.fallbacks(&key)[0];
    cluster.put(fallback, &key, "v", Replacing::Latest);
    for owner in &owners {
        cluster.restart(*owner);
    }
    assert!(cluster.holdings(&key).iter().all(Option::is_none), "only fallbacks hold it");
    let stranger = cluster.stranger(&key);
    let told = repair_key(&mut cluster, stranger, &key);
    assert!(told.all_agree(), "{told:?}");
    assert!(told.owners.iter().all(|owner| owner.before == Some(RepairHolding::Nothing)));
    assert!(cluster.holdings(&key).iter().all(|set| live(set) != 0));
}

#[test]
fn a_delete_is_given_to_who_has_a_record_and_to_nobody_else() {
    let mut cluster = Cluster::new(3);
    let (known, unknown) = (key("known"), key("unknown"));
    cluster.put(0, &known, "v", Replacing::Latest);
    miss(&mut cluster, 2, |cluster| {
        cluster.put(0, &unknown, "v", Replacing::Latest);
        cluster.delete(0, &unknown, Replacing::Latest);
        cluster.delete(0, &known, Replacing::Latest);
    });
    let told = repair_key(&mut cluster, 0, &unknown);
    assert!(told.all_agree() && told.differing == 0, "{told:?}");
    assert!(cluster.holdings(&unknown).iter().any(Option::is_none), "it is not sent a tombstone");
    let told = repair_key(&mut cluster, 0, &known);
    assert!(told.all_agree() && told.differing == 1, "{told:?}");
    assert!(matches!(told.after, Some(RepairHolding::Record { values: 0, .. })));
    assert!(cluster.holdings(&known).iter().all(|set| live(set) == 0));
}

#[test]
fn a_partition_is_repaired_whoever_leads_and_whoever_lacks_what() {
    for leader in 0..3 {
        let mut cluster = Cluster::new(3);
        let partition = PartitionId(3);
        let keys = keys_of(&cluster, partition, 40);
        for key in &keys[..30] {
            cluster.put(0, key, "before", Replacing::Latest);
        }
        for (dead, part) in [(0, 0..10), (1, 10..20), (2, 20..40)] {
            miss(&mut cluster, dead, |cluster| {
                for (number, key) in keys[part].iter().enumerate() {
                    let coordinator = (dead + 1) % 3;
                    match number % 4 {
                        0 if live(&cluster.holdings(key)[0]) != 0 => {
                            cluster.delete(coordinator, key, Replacing::Latest);
                        }
                        _ => drop(cluster.put(coordinator, key, "meanwhile", Replacing::Latest)),
                    }
                }
            });
        }
        assert!(!are_equal(&mut cluster, &keys));
        let steps = repair_partition(&mut cluster, leader, partition);
        assert!(steps.iter().all(RepairDone::all_agree), "{steps:?}");
        assert!(are_equal(&mut cluster, &keys), "led by {leader}");
        let differing: u64 = steps.iter().map(|step| step.differing).sum();
        assert_eq!(differing, 40, "each key was missed by somebody");
        let given = |node: usize| -> u64 {
            let owners = steps.iter().flat_map(|step| &step.owners);
            owners.filter(|owner| owner.node == node_id(node)).map(|owner| owner.given).sum()
        };
        assert_eq!([given(0), given(1), given(2)], [10, 10, 20], "and given to nobody else");

        let steps = repair_partition(&mut cluster, leader, partition);
        assert!(steps.iter().all(|step| step.all_agree() && step.differing == 0));
        let elsewhere = repair_partition(&mut cluster, leader, PartitionId(4));
        assert_eq!(elsewhere.iter().map(|step| step.compared).sum::<u64>(), 0);
    }
}

#[test]
fn a_leader_that_lost_everything_learns_of_it_in_steps() {
    let mut cluster = Cluster::new(3);
    let partition = PartitionId(0);
    let keys = keys_of(&cluster, partition, 530);
    miss(&mut cluster, 0, |cluster| {
        let mut left = keys.clone();
        for _ in 0..100 {
            if left.is_empty() {
                break;
            }
            let some: Vec<Key> = left.drain(..left.len().min(50)).collect();
            let items = some.iter().map(|key| PutItem {
                key: key.clone(),
                value: bytes::Bytes::from_static(b"v"),
                replaces: Replacing::Latest,
                operation: cluster.new_operation(),
                expires_at_ms: None,
            });
            let items = items.collect();
            let options = RequestOptions::new(cluster.new_operation());
            let put = BatchPut { bucket: bucket(), items, options };
            let Response::BatchPut(done) = cluster.call(1, Request::BatchPut(put)) else {
                panic!("a batch is answered by a batch");
            };
            // A small store refuses while its index is fed.
            let failed = some.into_iter().zip(done.outcomes);
            let failed = failed.filter(|(_, outcome)| matches!(outcome, PutOutcome::Failed { .. }));
            left.extend(failed.map(|(key, _)| key));
            cluster.pass_ms(20);
        }
        assert_eq!(left, [], "all were taken at last");
    });
    let steps = repair_partition(&mut cluster, 0, partition);
    assert!(steps.len() > 1, "an answer names so many keys that were not listed");
    assert!(steps.iter().all(RepairDone::all_agree));
    assert_eq!(steps.iter().map(|step| step.compared).sum::<u64>(), 530, "each once");
    assert_eq!(steps.iter().map(|step| step.owners.len()).max(), Some(3));
    assert!(are_equal(&mut cluster, &keys));
}

#[test]
fn what_an_owner_does_not_take_is_told_and_the_rest_is_repaired() {
    let mut cluster = Cluster::new(3);
    let partition = PartitionId(3);
    let keys = keys_of(&cluster, partition, 20);
    miss(&mut cluster, 2, |cluster| {
        keys.iter().for_each(|key| drop(cluster.put(0, key, "v", Replacing::Latest)));
    });
    cluster.nodes[2].disk.refuses_merges = Some(StoreRefusal::DiskFull);
    let steps = repair_partition(&mut cluster, 0, partition);
    assert_eq!(steps.iter().map(|step| step.left).sum::<u64>(), 20);
    let causes: Vec<_> = steps[0].owners.iter().map(|owner| owner.cause).collect();
    assert_eq!(causes.iter().flatten().collect::<Vec<_>>(), [&OwnerCause::DiskFull]);
    cluster.nodes[2].disk.refuses_merges = None;
    assert!(repair_partition(&mut cluster, 0, partition).iter().all(RepairDone::all_agree));
    assert!(are_equal(&mut cluster, &keys));
}

#[test]
fn only_an_owner_leads_the_repair_of_a_partition() {
    let mut cluster = Cluster::new(5);
    let key = key("key");
    let (stranger, partition) = (cluster.stranger(&key), cluster.record(&key).partition);
    let request = step(&mut cluster, partition, KeyHash(0));
    assert_eq!(error(cluster.call(stranger, request)), RequestError::WrongLayout);
    let request = step(&mut cluster, PartitionId(8), KeyHash(0));
    let refused = error(cluster.call(stranger, request));
    assert!(matches!(refused, RequestError::InvalidArgument { .. }), "{refused:?}");
}

#[test]
fn an_owner_that_is_busy_with_the_partition_is_asked_again() {
    let mut cluster = Cluster::new(3);
    let partition = PartitionId(3);
    let keys = keys_of(&cluster, partition, 5);
    miss(&mut cluster, 1, |cluster| {
        keys.iter().for_each(|key| drop(cluster.put(0, key, "v", Replacing::Latest)));
    });
    // The third owner looks closely at the partition, of which the second one tells nobody else meanwhile.
    let scope = scope_of(&mut cluster, partition);
    let leaves = bytes::Bytes::from(vec![0; 256]);
    let question = Box::new(Question::Leaves { class: CLASS, partition, scope, leaves });
    let message = PeerMessage::Ask { token: 1, number: 1, question };
    cluster.tell(1, Input::Peer { from: node_id(2), message });
    let mut request = step(&mut cluster, partition, KeyHash(0));
    request.options_mut().unwrap().deadline_ms = 30_000;
    let request = cluster.ask(0, request);
    cluster.settle();
    assert!(cluster.reply(request).is_none(), "it waits");
    for _ in 0..40 {
        cluster.pass_ms(250);
    }
    let told = done(cluster.reply(request).cloned().expect("the claim has lapsed"));
    assert!(told.all_agree() && told.differing == 5, "{told:?}");
    assert!(are_equal(&mut cluster, &keys));
}

/// What two owners compare by, as the first step of a repair says it.
fn scope_of(cluster: &mut Cluster, partition: PartitionId) -> u64 {
    let request = step(cluster, partition, KeyHash(0));
    cluster.ask(0, request);
    let asked = cluster.in_flight.iter().find_map(|flight| match &flight.message {
        PeerMessage::Ask { question, .. } => match **question {
            Question::Contents { scope, .. } => Some(scope),
            _ => None,
        },
        _ => None,
    });
    // Lost on the way: nobody is claimed for it.
    cluster.in_flight.clear();
    asked.expect("it asks what the others hold")
}

#[test]
fn a_silent_owner_holds_a_repair_up_no_longer_than_its_deadline() {
    let mut cluster = Cluster::new(3);
    let partition = PartitionId(3);
    let keys = keys_of(&cluster, partition, 5);
    miss(&mut cluster, 1, |cluster| {
        keys.iter().for_each(|key| drop(cluster.put(0, key, "v", Replacing::Latest)));
    });
    cluster.cuts = vec![(2, 0)];
    let of_partition = step(&mut cluster, partition, KeyHash(0));
    let of_key = repair(&mut cluster, RepairTarget::Key { bucket: bucket(), key: keys[0].clone() });
    let asked = [cluster.ask(0, of_partition), cluster.ask(0, of_key)];
    cluster.settle();
    for _ in 0..40 {
        cluster.pass_ms(250);
    }
    for request in asked {
        let told = done(cluster.reply(request).cloned().expect("within ten seconds"));
        let silent = told.owners.iter().find(|owner| owner.node == node_id(2)).unwrap();
        assert_eq!(silent.cause, Some(OwnerCause::TimedOut));
    }
    let held = cluster.holdings(&keys[0]);
    assert!(held.iter().all(|set| live(set) == live(&held[0])), "the others are equal");
}

#[test]
fn a_step_for_which_there_is_no_time_says_where_it_stopped() {
    let mut cluster = Cluster::new(3);
    let partition = PartitionId(3);
    let keys = keys_of(&cluster, partition, 100);
    miss(&mut cluster, 1, |cluster| {
        keys.iter().for_each(|key| drop(cluster.put(0, key, "v", Replacing::Latest)));
    });
    cluster.nodes[1].holds_syncs = true;
    let request = step(&mut cluster, partition, KeyHash(0));
    let request = cluster.ask(0, request);
    cluster.settle();
    for _ in 0..40 {
        cluster.pass_ms(250);
    }
    let told = done(cluster.reply(request).cloned().expect("within ten seconds"));
    assert!((1..100).contains(&told.differing) && told.left == told.differing, "{told:?}");
    let next = told.next.expect("most are left");
    let hashes = || keys.iter().map(|key| KeyHash::of(bucket().as_bytes(), key.as_bytes()));
    assert_eq!(hashes().filter(|hash| *hash < next).count() as u64, told.differing);
    cluster.nodes[1].holds_syncs = false;
    cluster.settle();
    let steps = repair_partition(&mut cluster, 0, partition);
    assert!(steps.iter().all(RepairDone::all_agree));
    assert!(are_equal(&mut cluster, &keys));
}
