//! Bug 38: a record that rots on one disk spreads nowhere, hides nothing, and is whole again soon.

use kvorum_protocol::Key;
use kvorum_protocol::message::{Replacing, Request, RequestError, Response};

use crate::cluster::{Cluster, key, values};

fn pass(cluster: &mut Cluster, ms: u64) {
    for _ in 0..ms / 50 {
        cluster.pass_ms(50);
    }
}

/// Three nodes whose stores have put everything that was written on their disks, and forgotten it.
fn rested(write: impl FnOnce(&mut Cluster)) -> Cluster {
    let mut cluster = Cluster::new(3);
    write(&mut cluster);
    pass(&mut cluster, 3_000);
    cluster
}

/// A node dies, the record of a key rots on its disk, and it starts again.
fn rot(cluster: &mut Cluster, node: usize, key: &Key) {
    let record = cluster.record(key);
    cluster.kill(node);
    cluster.nodes[node].disk.rot(&record);
    cluster.restart(node);
}

fn held(cluster: &mut Cluster, node: usize, key: &Key) -> Option<String> {
    let record = cluster.record(key);
    let set = cluster.nodes[node].disk.peek(&record)?;
    let values: Vec<String> = set
        .values()
        .map(|(_, version)| String::from_utf8(version.value.to_vec()).unwrap())
        .collect();
    Some(values.join(" "))
}

#[test]
fn bug_38_a_damaged_record_is_healed_from_the_others_though_nobody_reads_it() {
    for node in 0..3 {
        let keys: Vec<Key> = (0..12).map(|number| key(&format!("key{number}"))).collect();
        let mut cluster = rested(|cluster| {
            keys.iter().for_each(|key| drop(cluster.put(0, key, "value", Replacing::Latest)));
        });
        rot(&mut cluster, node, &keys[5]);
        cluster.nodes[node].disk.scrub();
        pass(&mut cluster, 2_000);
        let stats = cluster.nodes[node].disk.stats();
        assert_eq!((stats.records_damaged, stats.records_healed), (1, 1));
        assert_eq!((stats.records_in_doubt, stats.refilling), (0, false));
        assert_eq!(cluster.nodes[node].engine.stats().healed, 1);
        for key in &keys {
            assert_eq!(held(&mut cluster, node, key).as_deref(), Some("value"));
        }
    }
}

#[test]
fn bug_38_what_takes_the_place_of_a_damaged_record_hides_no_acknowledged_write() {
    let key = key("key");
    // The newest version reached nodes 0 and 1, which acknowledged it, and rots at node 0.
    let mut cluster = rested(|cluster| {
        cluster.put(0, &key, "old", Replacing::Latest);
        cluster.cuts = vec![(0, 2), (1, 2), (2, 0), (2, 1)];
        let mut put = cluster.put_request(&key, "new", Replacing::Latest);
        put.options.strict = true;
        put.options.w = Some(2);
        let request = cluster.ask(0, Request::Put(put));
        cluster.settle();
        assert!(matches!(cluster.reply(request), Some(Response::Put(_))));
    });
    cluster.kill(1);
    rot(&mut cluster, 0, &key);
    cluster.cuts.clear();
    cluster.nodes[0].disk.scrub();
    pass(&mut cluster, 2_000);
    assert_eq!(
        held(&mut cluster, 0, &key).as_deref(),
        Some("old"),
        "one copy more of what there is"
    );
    assert_eq!(cluster.nodes[0].disk.stats().records_in_doubt, 1);
    for node in [0, 2] {
        let mut get = cluster.get_request(&key);
        (get.options.strict, get.options.r) = (true, Some(2));
        let request = cluster.ask(node, Request::Get(get));
        pass(&mut cluster, 10_000);
        let reply = cluster.reply(request);
        let refused =
            matches!(reply, Some(Response::Error { error: RequestError::Unavailable { .. } }));
        assert!(refused, "node {node}: {reply:?}");
    }
    cluster.restart(1);
    pass(&mut cluster, 2_000);
    assert_eq!(cluster.nodes[0].disk.stats().records_in_doubt, 0, "all others were asked");
    for node in 0..3 {
        assert_eq!(values(&cluster.strict_get(node, &key)), ["new"]);
    }
}

#[test]
fn a_record_that_nobody_else_holds_stays_damaged_and_is_not_called_absent() {
    let key = key("key");
    let mut cluster = rested(|cluster| {
        cluster.cuts = vec![(0, 1), (0, 2), (1, 0), (2, 0)];
        let mut put = cluster.put_request(&key, "only here", Replacing::Latest);
        put.options.w = Some(1);
        put.options.sloppy = false;
        let request = cluster.ask(0, Request::Put(put));
        cluster.settle();
        assert!(matches!(cluster.reply(request), Some(Response::Put(_))));
    });
    rot(&mut cluster, 0, &key);
    cluster.cuts.clear();
    cluster.nodes[0].disk.scrub();
    pass(&mut cluster, 3_000);
    let stats = cluster.nodes[0].disk.stats();
    assert_eq!((stats.records_in_doubt, stats.records_healed), (1, 0));
    let done = cluster.get(0, &key);
    assert!(values(&done).is_empty() && !done.complete, "{done:?}");
    cluster.put(1, &key, "anew", Replacing::Latest);
    assert_eq!(held(&mut cluster, 0, &key).as_deref(), Some("anew"));
}
