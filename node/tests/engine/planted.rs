//! The tests find the bugs that they are for. Only in a build with the `planted` feature.

use kvorum_node::engine::EngineOptions;
use kvorum_node::engine::planted::Planted;
use kvorum_protocol::message::{Replacing, Response};
use kvorum_store::ShardOptions;

use crate::actor_rule::{Fault, explore};
use crate::cluster::{Cluster, Settings, context, key};

fn in_store(planted: kvorum_store::Planted) -> Settings {
    let store = ShardOptions { planted: Some(planted), ..ShardOptions::small() };
    Settings { store, ..Settings::default() }
}

fn in_engine(planted: Planted) -> Settings {
    let engine = EngineOptions { planted: Some(planted), ..EngineOptions::default() };
    Settings { engine, ..Settings::default() }
}

#[test]
fn bug_46_an_actor_continued_after_a_crash_is_found() {
    let found =
        explore(Fault::Crash, &in_store(kvorum_store::Planted::ActorContinued)).unwrap_err();
    assert!(found.starts_with("P5"), "{found}");
}

#[test]
fn bug_01_an_actor_continued_after_a_lost_record_is_found() {
    let found = explore(Fault::Loss, &in_store(kvorum_store::Planted::ActorReused)).unwrap_err();
    assert!(found.starts_with("P5") || found.starts_with("P4"), "{found}");
}

#[test]
fn bug_07_a_coordinator_that_ignores_contexts_piles_up_siblings() {
    let mut cluster = Cluster::with(3, in_engine(Planted::SiblingExplosion));
    let key = key("k");
    let owner = cluster.owners(&key)[0];
    let mut siblings = 0;
    for round in 0..5 {
        let read = cluster.get(owner, &key);
        siblings = read.values.len();
        let replaces = if round == 0 { Replacing::Latest } else { context(&read.context) };
        cluster.put(owner, &key, "v", replaces);
    }
    assert!(siblings > 2, "{siblings} siblings: the bug is not armed");
}

#[test]
fn bug_40_a_coordinator_that_counts_its_own_unsynced_copy_acknowledges_too_early() {
    let mut cluster = Cluster::with(3, in_engine(Planted::CountsUnsynced));
    let key = key("k");
    let (_, request, owners) = cluster.put_unsynced(&key, "v");
    cluster.sync(owners[1]);
    cluster.settle();
    assert!(
        matches!(cluster.reply(request), Some(Response::Put(_))),
        "with one durable copy of two"
    );
}
