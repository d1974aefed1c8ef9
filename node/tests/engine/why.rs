//! Why a key holds what it holds: whoever is asked collects what everybody knows, and the reasons that follow are what happened.

use kvorum_node::engine::EngineOptions;
use kvorum_protocol::Key;
use kvorum_protocol::explain::{
    Behind, Explanation, Finding, Forgotten, Mending, Reason, Verdict, explain,
};
use kvorum_protocol::message::{
    Happened, OwnerCause, Replacing, Request, RequestError, RequestOptions, Response, Way, Why,
    WhyDone,
};
use kvorum_store::ShardOptions;

use crate::cluster::{Cluster, Settings, bucket, error, key, node_id};

fn why(cluster: &mut Cluster, asked: usize, key: &Key) -> WhyDone {
    let options = RequestOptions::new(cluster.new_operation());
    let why = Why { bucket: bucket(), key: key.clone(), options };
    match cluster.call(asked, Request::Why(why)) {
        Response::Why(done) => done,
        other => panic!("no testimonies: {other:?}"),
    }
}

fn only_one_behind(explanation: &Explanation) -> &Behind {
    let mut behind = explanation.findings.iter().filter_map(|finding| match finding {
        Finding::Behind(behind) => Some(behind),
        _ => None,
    });
    let first = behind.next().unwrap_or_else(|| panic!("nobody is behind: {explanation:?}"));
    assert!(behind.next().is_none(), "{explanation:?}");
    first
}

/// Six nodes, a key, its owners and its fallbacks.
fn six() -> (Cluster, Key, Vec<usize>, Vec<usize>) {
    let (cluster, key) = (Cluster::new(6), key("k"));
    let (owners, fallbacks) = (cluster.owners(&key), cluster.fallbacks(&key));
    (cluster, key, owners, fallbacks)
}

/// What happened to the key on a node.
fn events(done: &WhyDone, node: usize) -> Vec<Happened> {
    let told = done.testimonies.iter().find(|told| told.node == node_id(node));
    told.expect("it answered").events.iter().map(|event| event.what).collect()
}

#[test]
fn whoever_is_asked_hears_all_owners_and_fallbacks_and_they_agree() {
    let (mut cluster, key, owners, fallbacks) = six();
    let put = cluster.put(owners[0], &key, "v", Replacing::Latest);
    for asked in [owners[0], owners[2], fallbacks[1]] {
        let done = why(&mut cluster, asked, &key);
        let heard: Vec<_> = done.testimonies.iter().map(|told| told.node).collect();
        let all = owners.iter().chain(&fallbacks).map(|node| node_id(*node));
        assert_eq!(heard, all.collect::<Vec<_>>(), "in preference order");
        let explanation = explain(&done);
        assert_eq!((explanation.verdict, explanation.findings), (Verdict::Agree, vec![]));
        let sibling = &explanation.siblings.0[0];
        assert_eq!((sibling.version.dot, sibling.writer), (put.dot, Some(node_id(owners[0]))));
        assert_eq!(sibling.written_at_ms, Some(cluster.now.wall_ms));
        let from = node_id(owners[0]);
        assert_eq!(events(&done, owners[1]), [Happened::Merged { from, way: Way::Write, live: 1 }]);
    }
}

#[test]
fn a_key_of_no_bucket_is_refused_and_one_that_nobody_has_is_nothing() {
    let (mut cluster, key, owners, _) = six();
    assert_eq!(explain(&why(&mut cluster, owners[0], &key)).verdict, Verdict::Nothing);
    let options = RequestOptions::new(cluster.new_operation());
    let request = Why { bucket: "nowhere".parse().unwrap(), key, options };
    let refused = error(cluster.call(owners[0], Request::Why(request)));
    assert_eq!(refused, RequestError::NoSuchBucket);
}

#[test]
fn an_owner_that_was_away_is_behind_until_its_hint_comes_and_every_step_is_told() {
    // A delivery that is lost is tried again after five seconds: what is held must not be dropped for its age by then.
    let store = ShardOptions { spare_ms: 60_000, ..ShardOptions::small() };
    let mut cluster = Cluster::with(6, Settings { store, ..Settings::default() });
    let key = key("k");
    let (owners, fallbacks) = (cluster.owners(&key), cluster.fallbacks(&key));
    cluster.put(owners[0], &key, "before", Replacing::Latest);
    cluster.kill(owners[2]);
    cluster.pass_ms(3_000);
    let put = cluster.put(owners[0], &key, "meanwhile", Replacing::Latest);
    let away = explain(&why(&mut cluster, owners[1], &key));
    assert_eq!(away.verdict, Verdict::AgreeAsFarAsKnown);
    let node = node_id(owners[2]);
    assert!(away.findings.iter().any(|finding| matches!(
        finding,
        Finding::Silent { node: silent, cause: OwnerCause::Unreachable, seen: Some(_) } if *silent == node
    )));

    // It is back, and what is held for it is kept back.
    cluster.cuts.push((fallbacks[0], owners[2]));
    cluster.restart(owners[2]);
    cluster.settle();
    let done = why(&mut cluster, owners[1], &key);
    let explanation = explain(&done);
    assert_eq!(explanation.verdict, Verdict::Behind { owners: 1 });
    let behind = only_one_behind(&explanation);
    assert_eq!((behind.node, behind.shows), (node, true));
    let [lack] = &behind.lacks[..] else { panic!("{behind:?}") };
    assert_eq!((lack.dot, lack.live), (put.dot, true));
    let Reason::LeftBehind { by, cause, outage: Some(outage), .. } = lack.reason else {
        panic!("{lack:?}")
    };
    assert_eq!((by, cause), (node_id(owners[0]), OwnerCause::Unreachable));
    assert_eq!((outage.fell_ms, outage.rose_ms), (Some(3_000), Some(0)));
    assert!(behind.mending.contains(&Mending::Hint { node: node_id(fallbacks[0]) }));

    cluster.cuts.clear();
    for _ in 0..8 {
        cluster.pass_ms(1_000);
    }
    let done = why(&mut cluster, owners[1], &key);
    assert_eq!(explain(&done).verdict, Verdict::Agree);
    assert!(events(&done, fallbacks[0]).contains(&Happened::HintDelivered { to: node }));
    let from = node_id(fallbacks[0]);
    assert!(events(&done, owners[2]).contains(&Happened::Merged { from, way: Way::Hint, live: 1 }));
}

#[test]
fn a_writer_that_died_is_told_to_have_forgotten_and_its_record_still_names_it() {
    let (mut cluster, key, owners, _) = six();
    cluster.cuts.push((owners[0], owners[2]));
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    cluster.kill(owners[0]);
    cluster.restart(owners[0]);
    cluster.settle();
    let explanation = explain(&why(&mut cluster, owners[1], &key));
    let Reason::WriterUnknown { suspects } = &only_one_behind(&explanation).lacks[0].reason else {
        panic!("{explanation:?}")
    };
    assert_eq!((suspects.len(), suspects[0].node), (1, node_id(owners[0])));
    assert!(matches!(suspects[0].why, Forgotten::Restarted { is_writer: true, .. }));
}

#[test]
fn a_write_on_its_way_is_no_difference_to_worry_about() {
    let (mut cluster, key) = (Cluster::new(3), key("k"));
    cluster.cuts.push((0, 2));
    cluster.put(0, &key, "v", Replacing::Latest);
    cluster.cuts.clear();
    let explanation = explain(&why(&mut cluster, 0, &key));
    let behind = only_one_behind(&explanation);
    assert!(matches!(behind.lacks[0].reason, Reason::UnderWay { .. }), "{behind:?}");
    cluster.pass_ms(11_000);
    let explanation = explain(&why(&mut cluster, 0, &key));
    let behind = only_one_behind(&explanation);
    assert!(
        matches!(
            behind.lacks[0].reason,
            Reason::LeftBehind { cause: OwnerCause::TimedOut, outage: None, .. }
        ),
        "{behind:?}"
    );
}

#[test]
fn a_node_that_does_not_answer_is_named_and_holds_nothing_up() {
    let (mut cluster, key, owners, _) = six();
    cluster.put(owners[0], &key, "v", Replacing::Latest);
    cluster.cuts.push((owners[0], owners[1]));
    let options = RequestOptions::new(cluster.new_operation());
    let request =
        cluster.ask(owners[0], Request::Why(Why { bucket: bucket(), key: key.clone(), options }));
    cluster.settle();
    assert!(cluster.reply(request).is_none(), "it is waited for");
    cluster.pass_ms(2_000);
    let Some(Response::Why(done)) = cluster.reply(request) else { panic!("no answer") };
    let silent: Vec<_> = done.silent.iter().map(|one| (one.node, one.cause)).collect();
    assert_eq!(silent, [(node_id(owners[1]), OwnerCause::TimedOut)]);
    assert_eq!(explain(done).verdict, Verdict::AgreeAsFarAsKnown);
}

#[test]
fn siblings_are_told_with_their_writers_and_a_read_repair_with_its_way() {
    let (mut cluster, key) = (Cluster::new(3), key("k"));
    cluster.cuts = vec![(0, 1), (0, 2), (1, 0), (1, 2)];
    for writer in [0, 1] {
        let put = cluster.put_request(&key, "v", Replacing::Latest);
        cluster.ask(writer, Request::Put(put));
        cluster.settle();
    }
    cluster.pass_ms(11_000);
    cluster.cuts.clear();
    cluster.get(2, &key);
    let done = why(&mut cluster, 2, &key);
    let explanation = explain(&done);
    assert_eq!(explanation.verdict, Verdict::Agree, "{explanation:?}");
    let mut writers: Vec<_> = explanation.siblings.0.iter().map(|one| one.writer).collect();
    writers.sort_unstable();
    assert_eq!(writers, [Some(node_id(0)), Some(node_id(1))]);
    let repaired = Happened::Merged { from: node_id(2), way: Way::ReadRepair, live: 2 };
    assert!(events(&done, 0).contains(&repaired), "{:?}", events(&done, 0));
}

#[test]
fn memory_is_bounded_and_says_how_far_back_it_goes() {
    let engine = EngineOptions { events: 4, ..EngineOptions::default() };
    let mut cluster = Cluster::with(3, Settings { engine, ..Settings::default() });
    let (first, others) = (key("k"), [key("a"), key("b"), key("c"), key("d"), key("e")]);
    cluster.put(0, &first, "v", Replacing::Latest);
    cluster.pass_ms(500);
    assert_eq!(events(&why(&mut cluster, 0, &first), 0).len(), 1);
    for other in &others {
        cluster.put(0, other, "v", Replacing::Latest);
    }
    cluster.pass_ms(500);
    let done = why(&mut cluster, 0, &first);
    assert!(events(&done, 0).is_empty());
    assert!(done.testimonies.iter().all(|told| told.remembers_ms == 500 && told.up_ms == 1_000));
}
