//! Requests for many keys: listings and batches.

use bytes::Bytes;
use kvorum_protocol::Key;
use kvorum_protocol::message::{
    BatchGet, BatchPut, GetOutcome, List, ListDone, PutItem, PutOutcome, Replacing, Request,
    RequestError, RequestOptions, Response,
};
use kvorum_store::StoreRefusal;

use crate::cluster::{Cluster, Flight, bucket, error, key};

fn list(cluster: &mut Cluster, prefix: &str, after: Option<Key>, limit: u32) -> Request {
    let options = RequestOptions::new(cluster.new_operation());
    let prefix = Bytes::copy_from_slice(prefix.as_bytes());
    Request::List(List { bucket: bucket(), prefix, after, limit, partial: false, options })
}

fn listed(response: Response) -> ListDone {
    match response {
        Response::List(done) => done,
        other => panic!("not a listing: {other:?}"),
    }
}

fn names(done: &ListDone) -> Vec<String> {
    done.items.iter().map(|item| item.key.to_string()).collect()
}

/// Seven nodes, so that every listing needs several, and sixty keys.
fn filled() -> (Cluster, Vec<String>) {
    let mut cluster = Cluster::new(7);
    let mut all: Vec<String> = (0..60).map(|number| format!("k{number:02}")).collect();
    for name in &all {
        let owner = cluster.owners(&key(name))[0];
        cluster.put(owner, &key(name), "v", Replacing::Latest);
    }
    all.sort();
    (cluster, all)
}

#[test]
fn pages_put_together_are_all_keys_in_order_whatever_the_page_size() {
    let (mut cluster, all) = filled();
    for limit in [1, 2, 7, 59, 60, 1_000] {
        let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let request = list(&mut cluster, "k", after, limit);
            let done = listed(cluster.call(pages % 7, request));
            assert!(done.items.len() <= limit as usize);
            seen.extend(names(&done));
            pages += 1;
            assert!(pages <= 62, "every page brings keys");
            after = done.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, all, "limit {limit}");
    }
}

#[test]
fn a_listing_keeps_to_its_prefix_and_leaves_out_what_was_deleted() {
    let (mut cluster, _) = filled();
    let owner = cluster.owners(&key("k11"))[0];
    cluster.delete(owner, &key("k11"), Replacing::Latest);
    let request = list(&mut cluster, "k1", None, 100);
    let done = listed(cluster.call(0, request));
    assert_eq!(names(&done), ["k10", "k12", "k13", "k14", "k15", "k16", "k17", "k18", "k19"]);
    assert_eq!((done.next, done.items[0].siblings, done.items[0].value_bytes), (None, 1, 1));
}

#[test]
fn runs_of_tombstones_do_not_end_a_listing_early() {
    let (mut cluster, all) = filled();
    for name in &all[..59] {
        let owner = cluster.owners(&key(name))[0];
        cluster.delete(owner, &key(name), Replacing::Latest);
    }
    let request = list(&mut cluster, "", None, 2);
    let done = listed(cluster.call(3, request));
    assert_eq!(names(&done), all[59..]);
}

#[test]
fn a_listing_goes_on_over_other_owners_when_a_node_dies_in_the_middle() {
    let (mut cluster, all) = filled();
    let request = list(&mut cluster, "", None, 1_000);
    let request_id = cluster.ask(0, request);
    let victim = cluster.in_flight[0].to;
    cluster.kill(victim);
    cluster.settle();
    assert_eq!(names(&listed(cluster.reply(request_id).unwrap().clone())), all);
}

#[test]
fn a_listing_goes_on_over_other_owners_when_a_node_dies_between_two_of_its_pages() {
    let (mut cluster, all) = filled();
    // Only runs of tombstones make one answer need several pages of a node.
    for name in &all[..59] {
        let owner = cluster.owners(&key(name))[0];
        cluster.delete(owner, &key(name), Replacing::Latest);
    }
    cluster.freeze();
    for victim in 1..7 {
        cluster.thaw();
        let mut cluster = cluster.clone();
        let request = list(&mut cluster, "", None, 2);
        let request_id = cluster.ask(0, request);
        let is_to = |flight: &Flight| flight.to == victim;
        let Some(asked) = cluster.in_flight.iter().position(is_to) else { continue };
        cluster.deliver(asked);
        let answer = cluster.in_flight.iter().position(|flight| flight.from == victim).unwrap();
        cluster.deliver(answer);
        cluster.kill(victim);
        cluster.settle();
        let answer = cluster.reply(request_id).cloned().expect("an answer before the deadline");
        assert_eq!(names(&listed(answer)), all[59..], "without node {victim}");
    }
}

#[test]
fn an_owner_that_cannot_scan_is_replaced_by_another() {
    let (mut cluster, all) = filled();
    cluster.nodes[3].disk.refuses_scans = true;
    let request = list(&mut cluster, "", None, 1_000);
    assert_eq!(names(&listed(cluster.call(3, request))), all);
}

#[test]
fn an_owner_that_is_being_refilled_lists_nothing() {
    let (mut cluster, all) = filled();
    for node in [3, 4] {
        cluster.nodes[node].disk.refilling = true;
    }
    let request = list(&mut cluster, "", None, 1_000);
    assert_eq!(names(&listed(cluster.call(3, request))), all);
}

#[test]
fn a_partition_without_an_owner_is_an_error_unless_gaps_were_asked_for() {
    let (mut cluster, all) = filled();
    let owners = cluster.owners(&key("k00"));
    for owner in &owners {
        cluster.kill(*owner);
    }
    let asker = (0..7).find(|node| !owners.contains(node)).unwrap();
    let request = list(&mut cluster, "", None, 1_000);
    let uncovered = match error(cluster.call(asker, request)) {
        RequestError::Uncovered { partitions } => partitions,
        other => panic!("{other:?}"),
    };
    let Request::List(mut partial) = list(&mut cluster, "", None, 1_000) else { unreachable!() };
    partial.partial = true;
    let done = listed(cluster.call(asker, Request::List(partial)));
    assert_eq!(done.uncovered.len(), uncovered as usize);
    assert!(done.uncovered.contains(&cluster.record(&key("k00")).partition));
    assert!(!done.items.is_empty() && done.items.len() < all.len());
}

#[test]
fn a_silent_owner_ends_a_listing_only_at_its_deadline() {
    let (mut cluster, _) = filled();
    let request = list(&mut cluster, "", None, 1_000);
    let request_id = cluster.ask(0, request);
    let silent = cluster.in_flight[0].to;
    cluster.cuts.push((0, silent));
    cluster.settle();
    assert_eq!(cluster.reply(request_id), None);
    cluster.pass_ms(20_000);
    match error(cluster.reply(request_id).unwrap().clone()) {
        RequestError::Uncovered { partitions } => assert!(partitions > 0),
        other => panic!("{other:?}"),
    }
}

fn batch_put(cluster: &mut Cluster, items: &[(&str, &str)]) -> BatchPut {
    let item = |(name, value): &(&str, &str)| (key(name), Bytes::copy_from_slice(value.as_bytes()));
    let items = items.iter().map(item).collect::<Vec<_>>();
    let items = items
        .into_iter()
        .map(|(key, value)| PutItem {
            key,
            value,
            replaces: Replacing::Latest,
            operation: cluster.new_operation(),
            expires_at_ms: None,
        })
        .collect();
    BatchPut { bucket: bucket(), items, options: RequestOptions::new(cluster.new_operation()) }
}

#[test]
fn a_batchs_outcomes_come_in_the_order_of_its_items_each_by_itself() {
    let mut cluster = Cluster::new(5);
    let names: Vec<String> = (0..40).map(|number| format!("b{number}")).collect();
    let items: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let mut batch = batch_put(&mut cluster, &items);
    batch.items[7].value = Bytes::from(vec![0; 2 << 20]);
    let Response::BatchPut(done) = cluster.call(0, Request::BatchPut(batch)) else { panic!() };
    assert_eq!(done.outcomes.len(), 40);
    for (index, outcome) in done.outcomes.iter().enumerate() {
        let is_too_large = matches!(
            outcome,
            PutOutcome::Failed { error: RequestError::TooLarge { size: 2097152, .. } }
        );
        assert_eq!(is_too_large, index == 7, "{outcome:?}");
    }

    let keys: Vec<Key> = names.iter().rev().map(|name| key(name)).collect();
    let options = RequestOptions::new(cluster.new_operation());
    let batch = BatchGet { bucket: bucket(), keys, options };
    let Response::BatchGet(done) = cluster.call(4, Request::BatchGet(batch)) else { panic!() };
    for (name, outcome) in names.iter().rev().zip(&done.outcomes) {
        let GetOutcome::Done(read) = outcome else { panic!("{outcome:?}") };
        let values: Vec<&[u8]> = read.values.iter().map(|value| &value.value[..]).collect();
        let expected: Vec<&[u8]> = if name == "b7" { vec![] } else { vec![name.as_bytes()] };
        assert_eq!(values, expected);
    }
}

#[test]
fn one_failing_item_does_not_fail_its_batch() {
    let mut cluster = Cluster::new(3);
    cluster.nodes[0].disk.refuses = Some(StoreRefusal::DiskFull);
    let batch = batch_put(&mut cluster, &[("a", "1"), ("b", "2")]);
    let Response::BatchPut(done) = cluster.call(0, Request::BatchPut(batch)) else { panic!() };
    let full = PutOutcome::Failed { error: RequestError::DiskFull };
    assert_eq!(done.outcomes, [full.clone(), full]);
}

#[test]
fn a_batch_with_a_silent_coordinator_ends_at_its_deadline() {
    let mut cluster = Cluster::new(5);
    let stranger = cluster.stranger(&key("k"));
    let owner = cluster.owners(&key("k"))[0];
    cluster.cuts.push((stranger, owner));
    let batch = batch_put(&mut cluster, &[("k", "1")]);
    let operation = batch.items[0].operation;
    let request_id = cluster.ask(stranger, Request::BatchPut(batch));
    cluster.settle();
    cluster.pass_ms(20_000);
    let Some(Response::BatchPut(done)) = cluster.reply(request_id) else { panic!() };
    let unknown = PutOutcome::Failed { error: RequestError::OutcomeUnknown { operation } };
    assert_eq!(done.outcomes, [unknown]);
}
