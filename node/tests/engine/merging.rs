//! Buckets that merge: an operation takes effect once and is never lost, and the last write wins by clocks that agree.

use bytes::Bytes;
use kvorum_node::engine::Now;
use kvorum_protocol::mergeable::{FieldChange, Joined, JoinedField, Operation};
use kvorum_protocol::message::{
    ArgumentKind, BatchPut, GetOutcome, List, MergeRule, MergedDone, OwnerCause, OwnerFailure,
    PutItem, PutOutcome, Replacing, Request, RequestError, RequestOptions, Response, Update,
    UpdateDone,
};

use crate::cluster::{Cluster, Settings, bucket, error, get_done, key, node_id, put_done, values};

fn cluster_of(rule: MergeRule) -> (Cluster, Vec<usize>) {
    let cluster = Cluster::with(3, Settings { rule, ..Settings::default() });
    let owners = cluster.owners(&key("k"));
    (cluster, owners)
}

fn update_request(cluster: &mut Cluster, change: Operation) -> Update {
    let options = RequestOptions::new(cluster.new_operation());
    Update { bucket: bucket(), key: key("k"), change, options }
}

fn update(cluster: &mut Cluster, node: usize, change: Operation) -> UpdateDone {
    let update = update_request(cluster, change);
    update_done(cluster.call(node, Request::Update(update)))
}

fn update_done(response: Response) -> UpdateDone {
    match response {
        Response::Update(done) => done,
        other => panic!("not an update: {other:?}"),
    }
}

/// What all owners hold together.
fn merged(cluster: &mut Cluster, node: usize) -> MergedDone {
    let mut get = cluster.get_request(&key("k"));
    get.options.r = Some(3);
    match cluster.call(node, Request::Get(get)) {
        Response::Merged(done) => done,
        other => panic!("not a merged value: {other:?}"),
    }
}

fn counter(magnitude: u64) -> Option<Joined> {
    Some(Joined::Counter { negative: false, magnitude })
}

fn increment(by: u64) -> Operation {
    Operation::Increment { by }
}

fn add(element: &'static str) -> Operation {
    Operation::Add { elements: vec![Bytes::from_static(element.as_bytes())] }
}

fn retry(mut update: Update) -> Request {
    update.options.retry = true;
    Request::Update(update)
}

#[test]
fn increments_through_every_owner_add_up_at_every_owner() {
    let (mut cluster, owners) = cluster_of(MergeRule::Counter);
    assert_eq!(merged(&mut cluster, owners[0]).value, None);
    for (number, owner) in owners.iter().enumerate() {
        let done = update(&mut cluster, *owner, increment(10));
        assert_eq!(done.value, counter(10 * (number as u64 + 1)));
        assert_eq!((done.acked_owners, done.needed, done.retry_checked), (2, 2, true));
    }
    let done = update(&mut cluster, owners[0], Operation::Decrement { by: 40 });
    assert_eq!(done.value, Some(Joined::Counter { negative: true, magnitude: 10 }));
    for owner in owners {
        let done = merged(&mut cluster, owner);
        assert_eq!(done.value, Some(Joined::Counter { negative: true, magnitude: 10 }));
    }
    let holdings = cluster.holdings(&key("k"));
    let live = |set: &Option<kvorum_protocol::VersionSet>| set.as_ref().unwrap().versions().len();
    assert!(holdings.iter().all(|set| live(set) == 1), "one dot replaces what it was applied to");
}

#[test]
fn bug_61_an_increment_retried_on_another_branch_counts_once_and_loses_nothing() {
    let (mut cluster, owners) = cluster_of(MergeRule::Counter);
    cluster.cuts.extend([(owners[0], owners[1]), (owners[0], owners[2])]);
    cluster.cuts.extend([(owners[1], owners[0]), (owners[2], owners[0])]);
    let first = update_request(&mut cluster, increment(5));
    let request = cluster.ask(owners[0], Request::Update(first.clone()));
    cluster.settle();
    update(&mut cluster, owners[1], increment(100));
    cluster.pass_ms(20_000);
    let failed = error(cluster.reply(request).unwrap().clone());
    assert!(matches!(failed, RequestError::AppliedBelowW { got: 1, .. }), "{failed:?}");
    // The first owner cannot be asked, and the other two never heard of it.
    let again = cluster.ask(owners[1], retry(first));
    cluster.settle();
    cluster.pass_ms(5_000);
    let done = update_done(cluster.reply(again).unwrap().clone());
    assert_eq!((done.value, done.retry_checked), (counter(105), false));
    update(&mut cluster, owners[2], increment(1_000));
    cluster.cuts.clear();
    for owner in &owners {
        assert_eq!(merged(&mut cluster, *owner).value, counter(1_105));
    }
    let done = update(&mut cluster, owners[0], increment(0));
    assert_eq!(done.value, counter(1_105), "and stays so when the branches are one version");
}

#[test]
fn bug_56_a_retry_at_another_owner_of_an_increment_that_was_built_upon_counts_once() {
    let (mut cluster, owners) = cluster_of(MergeRule::Counter);
    let first = update_request(&mut cluster, increment(1));
    cluster.call(owners[0], Request::Update(first.clone()));
    for _ in 0..30 {
        update(&mut cluster, owners[0], increment(1));
    }
    // Far more writes than a version remembers ids of; the counter remembers them itself.
    let done = update_done(cluster.call(owners[1], retry(first.clone())));
    assert_eq!((done.value, done.retry_checked), (counter(31), true));
    cluster.kill(owners[0]);
    cluster.restart(owners[0]);
    let done = update_done(cluster.call(owners[0], retry(first)));
    assert_eq!((done.value, done.retry_checked), (counter(31), true));
}

#[test]
fn an_increment_whose_coordinator_died_is_found_at_who_has_it() {
    let (mut cluster, owners) = cluster_of(MergeRule::Counter);
    cluster.nodes[owners[0]].holds_syncs = true;
    let first = update_request(&mut cluster, increment(3));
    cluster.ask(owners[0], Request::Update(first.clone()));
    cluster.settle();
    cluster.kill(owners[0]);
    let done = update_done(cluster.call(owners[1], retry(first.clone())));
    assert_eq!(done.value, counter(3));
    cluster.nodes[owners[0]].holds_syncs = false;
    cluster.restart(owners[0]);
    update(&mut cluster, owners[0], increment(10));
    assert_eq!(merged(&mut cluster, owners[0]).value, counter(13));
    let done = update_done(cluster.call(owners[0], retry(first)));
    assert_eq!(done.value, counter(13));
}

#[test]
fn an_add_wins_against_a_remove_that_did_not_see_it() {
    let (mut cluster, owners) = cluster_of(MergeRule::Set);
    update(&mut cluster, owners[0], add("tea"));
    update(&mut cluster, owners[0], add("milk"));
    cluster.cuts.extend([(owners[0], owners[1]), (owners[1], owners[0])]);
    let elements = vec![Bytes::from_static(b"tea"), Bytes::from_static(b"milk")];
    update(&mut cluster, owners[0], Operation::Remove { elements });
    // The third owner heard of the remove, the second one did not.
    let request = update_request(&mut cluster, add("tea"));
    cluster.cuts.extend([(owners[1], owners[2]), (owners[2], owners[1])]);
    let request = cluster.ask(owners[1], Request::Update(request));
    cluster.settle();
    cluster.pass_ms(20_000);
    assert!(cluster.reply(request).is_some());
    cluster.cuts.clear();
    let elements = vec![Bytes::from_static(b"tea")];
    for owner in owners {
        let done = merged(&mut cluster, owner);
        assert_eq!(done.value, Some(Joined::Set { elements: elements.clone() }));
    }
}

#[test]
fn what_does_not_fit_the_buckets_rule_is_refused_and_changes_nothing() {
    let refused = RequestError::InvalidArgument { argument: ArgumentKind::Rule };
    let operations = [
        (MergeRule::Counter, increment(1)),
        (MergeRule::Set, add("a")),
        (MergeRule::Register, Operation::Assign { value: Bytes::new() }),
        (
            MergeRule::Map,
            Operation::Fields {
                changes: vec![FieldChange { name: Bytes::from_static(b"f"), change: increment(1) }],
            },
        ),
    ];
    let rules = MergeRule::ALL;
    for rule in rules {
        let (mut cluster, owners) = cluster_of(rule);
        let before = cluster.state_hash();
        for (fits, operation) in &operations {
            if *fits != rule {
                let update = update_request(&mut cluster, operation.clone());
                assert_eq!(error(cluster.call(owners[0], Request::Update(update))), refused);
            }
        }
        let clear = update_request(&mut cluster, Operation::Clear);
        assert_eq!(error(cluster.call(owners[0], Request::Update(clear))), refused);
        if rule.is_mergeable() {
            let put = cluster.put_request(&key("k"), "v", Replacing::Latest);
            let item = PutItem {
                key: put.key.clone(),
                value: put.value.clone(),
                replaces: Replacing::Latest,
                operation: put.options.operation,
                expires_at_ms: None,
            };
            let options = put.options.clone();
            assert_eq!(error(cluster.call(owners[0], Request::Put(put))), refused);
            let batch = BatchPut { bucket: bucket(), items: vec![item], options };
            match cluster.call(owners[0], Request::BatchPut(batch)) {
                Response::BatchPut(done) => {
                    assert_eq!(done.outcomes, [PutOutcome::Failed { error: refused.clone() }])
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(cluster.state_hash(), before, "{rule:?}");
    }
}

#[test]
fn a_field_keeps_its_kind_and_a_refused_change_changes_none() {
    let (mut cluster, owners) = cluster_of(MergeRule::Map);
    let change = |name: &'static str, change| FieldChange {
        name: Bytes::from_static(name.as_bytes()),
        change,
    };
    let changes = vec![change("logins", increment(2)), change("tags", add("new"))];
    update(&mut cluster, owners[0], Operation::Fields { changes });
    let changes = vec![change("logins", increment(1)), change("tags", increment(1))];
    let wrong = update_request(&mut cluster, Operation::Fields { changes });
    assert_eq!(
        error(cluster.call(owners[1], Request::Update(wrong))),
        RequestError::InvalidArgument { argument: ArgumentKind::FieldKind }
    );
    let field = |name: &'static str, value| JoinedField {
        name: Bytes::from_static(name.as_bytes()),
        value,
    };
    let fields = vec![
        field("logins", counter(2).unwrap()),
        field("tags", Joined::Set { elements: vec![Bytes::from_static(b"new")] }),
    ];
    assert_eq!(merged(&mut cluster, owners[2]).value, Some(Joined::Map { fields }));
}

#[test]
fn a_deleted_counter_is_not_found_and_begins_anew() {
    let (mut cluster, owners) = cluster_of(MergeRule::Counter);
    update(&mut cluster, owners[0], increment(7));
    let delete = cluster.delete_request(&key("k"), Replacing::Latest);
    put_done(cluster.call(owners[1], Request::Delete(delete)));
    let done = merged(&mut cluster, owners[2]);
    assert_eq!((done.value, done.complete), (None, true));
    let again = cluster.delete_request(&key("k"), Replacing::Latest);
    assert_eq!(
        error(cluster.call(owners[1], Request::Delete(again))),
        RequestError::InvalidArgument { argument: ArgumentKind::NothingToDelete }
    );
    assert_eq!(update(&mut cluster, owners[0], increment(1)).value, counter(1));
}

#[test]
fn a_delete_searches_for_a_counter_that_its_own_coordinator_lost() {
    let (mut cluster, owners) = cluster_of(MergeRule::Counter);
    update(&mut cluster, owners[0], increment(7));
    let record = cluster.record(&key("k"));
    cluster.nodes[owners[0]].disk.forget(&record);
    let delete = cluster.delete_request(&key("k"), Replacing::Latest);
    put_done(cluster.call(owners[0], Request::Delete(delete)));
    assert_eq!(merged(&mut cluster, owners[1]).value, None);
}

#[test]
fn concurrent_states_are_one_key_in_a_listing_and_one_value_in_a_batch() {
    let (mut cluster, owners) = cluster_of(MergeRule::Counter);
    for owner in &owners[..2] {
        let cut = owners.iter().filter(|other| *other != owner);
        cluster.cuts.extend(cut.flat_map(|other| [(*owner, *other), (*other, *owner)]));
        let update = update_request(&mut cluster, increment(1));
        let request = cluster.ask(*owner, Request::Update(update));
        cluster.settle();
        cluster.pass_ms(20_000);
        assert!(cluster.reply(request).is_some());
        cluster.cuts.clear();
    }
    let mut get = cluster.get_request(&key("k"));
    get.options.r = Some(3);
    let keys = vec![key("k")];
    let batch = kvorum_protocol::message::BatchGet { bucket: bucket(), keys, options: get.options };
    match cluster.call(owners[2], Request::BatchGet(batch)) {
        Response::BatchGet(done) => match &done.outcomes[..] {
            [GetOutcome::Merged(done)] => assert_eq!(done.value, counter(2)),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    let options = RequestOptions::new(cluster.new_operation());
    let (prefix, after, limit) = (Bytes::new(), None, 10);
    let list = List { bucket: bucket(), prefix, after, limit, partial: false, options };
    match cluster.call(owners[0], Request::List(list)) {
        Response::List(done) => {
            let siblings: Vec<u32> = done.items.iter().map(|item| item.siblings).collect();
            assert_eq!(siblings, [1]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_coordinator_whose_clock_is_no_majoritys_refuses_to_stamp_and_writes_nothing() {
    let (mut cluster, owners) = cluster_of(MergeRule::LossyLww);
    cluster.nodes[owners[0]].ahead_ms = 3_600_000;
    let before = cluster.state_hash();
    let put = cluster.put_request(&key("k"), "early", Replacing::Latest);
    assert_eq!(
        error(cluster.call(owners[0], Request::Put(put.clone()))),
        RequestError::ClockSkew { skew_ms: 3_600_000 }
    );
    assert_eq!(cluster.state_hash(), before);
    let mut again = put;
    again.options.retry = true;
    match error(cluster.call(owners[0], Request::Put(again))) {
        RequestError::EarlierAttemptUnknown { refusal, .. } => {
            assert!(matches!(*refusal, RequestError::ClockSkew { .. }));
        }
        other => panic!("{other:?}"),
    }
    // One wrong clock among three does not stop the other two.
    cluster.put(owners[1], &key("k"), "right", Replacing::Latest);
    assert_eq!(values(&cluster.get(owners[2], &key("k"))), ["right"]);
}

#[test]
fn clocks_within_the_bound_agree_and_the_later_stamp_wins_at_every_owner() {
    let (mut cluster, owners) = cluster_of(MergeRule::LossyLww);
    cluster.nodes[owners[0]].ahead_ms = 900;
    // Two writes at the same time, neither of which sees the other.
    let early = cluster.put_request(&key("k"), "behind", Replacing::Latest);
    let late = cluster.put_request(&key("k"), "ahead", Replacing::Nothing);
    let requests =
        [cluster.ask(owners[1], Request::Put(early)), cluster.ask(owners[0], Request::Put(late))];
    cluster.settle();
    for request in requests {
        put_done(cluster.reply(request).unwrap().clone());
    }
    for owner in &owners {
        let mut get = cluster.get_request(&key("k"));
        get.options.r = Some(1);
        let done = get_done(cluster.call(*owner, Request::Get(get)));
        assert_eq!(values(&done), ["ahead"], "one winner, wherever it is read");
    }
    // A write that has seen the winner beats it, although its clock is behind.
    cluster.put(owners[1], &key("k"), "last", Replacing::Latest);
    for owner in &owners {
        assert_eq!(values(&cluster.get(*owner, &key("k"))), ["last"]);
    }
}

#[test]
fn without_a_majority_to_compare_clocks_with_nothing_is_stamped() {
    let (mut cluster, owners) = cluster_of(MergeRule::LossyLww);
    cluster.cuts.extend([(owners[0], owners[1]), (owners[0], owners[2])]);
    let mut put = cluster.put_request(&key("k"), "v", Replacing::Latest);
    put.options.w = Some(1);
    let request = cluster.ask(owners[0], Request::Put(put));
    cluster.settle();
    assert_eq!(cluster.reply(request), None);
    cluster.pass_ms(10_000);
    let failed = error(cluster.reply(request).unwrap().clone());
    assert!(matches!(failed, RequestError::Unavailable { needed: 2, got: 1, .. }), "{failed:?}");
    assert_eq!(cluster.holdings(&key("k")), [None, None, None]);
}

/// Asks the first owner, whose clock is ahead, to put; the questions about the time are on their way.
fn asked_with_clock_ahead(ahead_ms: u64) -> (Cluster, Vec<usize>, u64) {
    let (mut cluster, owners) = cluster_of(MergeRule::LossyLww);
    cluster.nodes[owners[0]].ahead_ms = ahead_ms;
    let put = cluster.put_request(&key("k"), "v", Replacing::Latest);
    let request = cluster.ask(owners[0], Request::Put(put));
    assert_eq!(cluster.in_flight.len(), 2);
    (cluster, owners, request)
}

#[test]
fn a_stamp_of_a_clock_that_is_set_right_before_the_answers_come_is_refused() {
    let (mut cluster, owners, request) = asked_with_clock_ahead(3_600_000);
    cluster.nodes[owners[0]].ahead_ms = 0;
    cluster.settle();
    let failed = error(cluster.reply(request).unwrap().clone());
    assert_eq!(failed, RequestError::ClockSkew { skew_ms: 3_600_000 });
    assert_eq!(cluster.holdings(&key("k")), [None, None, None]);
    assert_eq!(cluster.nodes[owners[0]].engine.stats().clocks_refused, 1);
}

#[test]
fn a_right_stamp_stays_right_when_the_clock_is_set_wrong_before_the_answers_come() {
    let (mut cluster, owners, request) = asked_with_clock_ahead(0);
    cluster.nodes[owners[0]].ahead_ms = 3_600_000;
    cluster.settle();
    put_done(cluster.reply(request).unwrap().clone());
    cluster.nodes[owners[0]].ahead_ms = 0;
    // So that whoever writes next wins, by a right clock.
    cluster.pass_ms(1);
    let put = cluster.put_request(&key("k"), "next", Replacing::Nothing);
    put_done(cluster.call(owners[1], Request::Put(put)));
    assert_eq!(values(&cluster.get(owners[2], &key("k"))), ["next"]);
}

#[test]
fn an_answer_that_took_longer_than_clocks_may_differ_does_not_count() {
    let (mut cluster, owners, request) = asked_with_clock_ahead(1_500);
    // Nobody is woken meanwhile: it is the answers that come late.
    cluster.now =
        Now { mono_ns: cluster.now.after_ms(1_001), wall_ms: cluster.now.wall_ms + 1_001 };
    cluster.settle();
    let failed = error(cluster.reply(request).unwrap().clone());
    assert!(matches!(failed, RequestError::Unavailable { needed: 2, got: 1, .. }), "{failed:?}");
    assert_eq!(cluster.nodes[owners[0]].engine.stats().clocks_refused, 0);
    // The sooner one counts: the others' clocks have come nearer to the stamp, and are 900 ms away.
    let (mut cluster, _, request) = asked_with_clock_ahead(1_500);
    let late = std::mem::take(&mut cluster.in_flight);
    cluster.pass_ms(600);
    cluster.in_flight = late;
    cluster.settle();
    put_done(cluster.reply(request).unwrap().clone());
}

#[test]
fn one_differing_clock_is_no_verdict_where_another_owner_does_not_answer() {
    let (mut cluster, owners) = cluster_of(MergeRule::LossyLww);
    cluster.nodes[owners[1]].ahead_ms = 3_600_000;
    cluster.cuts.push((owners[0], owners[2]));
    let put = cluster.put_request(&key("k"), "v", Replacing::Latest);
    let request = cluster.ask(owners[0], Request::Put(put));
    cluster.settle();
    assert_eq!(cluster.reply(request), None, "the third owner could still agree");
    cluster.pass_ms(1_000);
    match error(cluster.reply(request).unwrap().clone()) {
        RequestError::Unavailable { needed: 2, got: 1, causes } => {
            let silent = OwnerFailure { node: node_id(owners[2]), cause: OwnerCause::TimedOut };
            assert_eq!(causes, [silent]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_retry_does_not_wait_for_an_owner_that_went_down_while_clocks_were_compared() {
    let (mut cluster, owners) = cluster_of(MergeRule::LossyLww);
    let mut put = cluster.put_request(&key("k"), "v", Replacing::Latest);
    put.options.retry = true;
    let request = cluster.ask(owners[0], Request::Put(put));
    cluster.kill(owners[2]);
    cluster.settle();
    let done = put_done(cluster.reply(request).expect("without a deadline passing").clone());
    assert_eq!((done.acked_owners, done.retry_checked), (2, false));
}

/// Asks a node of a cluster of so many to put, and says what it is answered; the node may be missing owners.
fn stamped_by(cluster: &mut Cluster, node: usize) -> Response {
    let put = cluster.put_request(&key("k"), "v", Replacing::Latest);
    cluster.call(node, Request::Put(put))
}

fn cluster_with_fallbacks(nodes: usize) -> (Cluster, Vec<usize>, Vec<usize>) {
    let settings = Settings { rule: MergeRule::LossyLww, ..Settings::default() };
    let cluster = Cluster::with(nodes, settings);
    let (owners, fallbacks) = (cluster.owners(&key("k")), cluster.fallbacks(&key("k")));
    (cluster, owners, fallbacks)
}

#[test]
fn an_owner_and_a_fallback_with_the_same_wrong_clock_do_not_outvote_the_owners() {
    for nodes in [4, 5, 6] {
        let (mut cluster, owners, fallbacks) = cluster_with_fallbacks(nodes);
        for wrong in [owners[0], fallbacks[0]] {
            cluster.nodes[wrong].ahead_ms = 3_600_000;
        }
        owners[1..].iter().for_each(|owner| cluster.kill(*owner));
        let before = cluster.state_hash();
        let failed = error(stamped_by(&mut cluster, owners[0]));
        let RequestError::Unavailable { needed, got, .. } = failed else {
            panic!("{nodes} nodes: {failed:?}")
        };
        // Where too few can be reached nobody is asked.
        assert!(usize::from(needed) == nodes / 2 + 1 && got <= 2, "{nodes} nodes: {needed}, {got}");
        assert_eq!(cluster.state_hash(), before, "{nodes} nodes");
    }
}

#[test]
fn a_majority_of_owners_and_fallbacks_together_stamps_where_two_owners_are_away() {
    for nodes in [5, 6] {
        let (mut cluster, owners, fallbacks) = cluster_with_fallbacks(nodes);
        owners[1..].iter().for_each(|owner| cluster.kill(*owner));
        put_done(stamped_by(&mut cluster, owners[0]));
        // One of those that are left is wrong: the rest are no majority of all.
        cluster.nodes[fallbacks[0]].ahead_ms = 3_600_000;
        assert!(matches!(
            error(stamped_by(&mut cluster, owners[0])),
            RequestError::Unavailable { .. }
        ));
    }
}

#[test]
fn fallbacks_alone_are_no_majority_and_stamp_nothing() {
    let (mut cluster, owners, fallbacks) = cluster_with_fallbacks(6);
    owners.iter().for_each(|owner| cluster.kill(*owner));
    let before = cluster.state_hash();
    let failed = error(stamped_by(&mut cluster, fallbacks[0]));
    assert!(matches!(failed, RequestError::Unavailable { needed: 4, .. }), "{failed:?}");
    assert_eq!(cluster.state_hash(), before);
    cluster.restart(owners[2]);
    put_done(stamped_by(&mut cluster, fallbacks[0]));
}
