//! A connection is given up when it says nothing at all, and for nothing less.
#![allow(clippy::disallowed_methods)] // Tests of a client that has deadlines.

mod scripted;

use std::time::Duration;

use kvorum_client::bucket::Bucket;
use kvorum_protocol::message::RequestError;
use scripted::{Cluster, Node, Reaction};

/// Half of it is an attempt's, which is long enough to call a connection silent.
const DEADLINE: Duration = Duration::from_millis(1_500);

/// Gets a key again and again while something else happens; says of each which node answered at which attempt.
async fn meanwhile<T>(bucket: &Bucket, other: impl Future<Output = T>) -> (T, Vec<(u128, u32)>) {
    let mut answered = Vec::new();
    let asking = async {
        loop {
            let reply = bucket.get("k").send().await.expect("an answer");
            answered.push((reply.node.0, reply.attempts));
            tokio::task::yield_now().await;
        }
    };
    let other = tokio::select! {
        // What else happens is the first to be sent.
        biased;
        other = other => other,
        () = asking => unreachable!("it asks for ever"),
    };
    (other, answered)
}

fn all_by(node: &Node, answered: &[(u128, u32)]) {
    assert!(answered.len() > 100, "{}", answered.len());
    assert!(answered.iter().all(|answer| *answer == (node.id.0, 1)), "{answered:?}");
}

#[tokio::test]
async fn one_request_without_an_answer_costs_the_others_nothing() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let bucket = client.bucket("default").expect("a name");
    let order = cluster.preference(&client, "k");
    bucket.get("k").send().await.expect("a connection is open");
    let connections = order[0].connections();
    order[0].script([Reaction::Hang]);
    let put = bucket.put("k", "v").deadline(DEADLINE).send();
    let (put, answered) = meanwhile(&bucket, put).await;
    assert_eq!(put.expect("the second attempt").node, order[1].id, "another one may be quicker");
    all_by(&order[0], &answered);
    assert_eq!(bucket.get("k").send().await.expect("an answer").node, order[0].id);
    assert_eq!(order[0].connections(), connections, "nobody gave it up");
}

#[tokio::test]
async fn a_topology_that_does_not_come_costs_the_requests_nothing() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let node = &cluster.nodes[0];
    let bucket = client.bucket("default").expect("a name");
    node.mute(1);
    let (topology, answered) = meanwhile(&bucket, client.refresh_topology()).await;
    topology.expect("the seed has told it");
    all_by(node, &answered);
    assert_eq!(node.connections(), 2, "the seed was asked over one of its own");
    bucket.get("k").send().await.expect("an answer");
    assert_eq!(node.last_on(), 1, "the requests keep the one they had");
}

#[tokio::test]
async fn what_was_asked_over_a_connection_given_up_before_leaves_the_next_one_alone() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let node = &cluster.nodes[0];
    let bucket = client.bucket("default").expect("a name");
    node.script([Reaction::Hang, Reaction::Hang]);
    let short = bucket.get("k").deadline(Duration::from_millis(400)).send();
    let long = bucket.get("k").deadline(Duration::from_secs(6)).send();
    // Until the node may be connected to again, nobody reaches it.
    let again = async {
        short.await.expect_err("no answer");
        while bucket.get("k").deadline(DEADLINE).send().await.is_err() {}
        assert_eq!((node.connections(), node.last_on()), (2, 2));
    };
    let (long, ()) = tokio::join!(long, again);
    assert_eq!(long.expect("the second attempt").attempts, 2);
    assert_eq!((node.connections(), node.last_on()), (2, 2), "the new one was kept");
}

#[tokio::test]
async fn a_refusal_is_no_silence() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let node = &cluster.nodes[0];
    let bucket = client.bucket("default").expect("a name");
    let overloaded = RequestError::Overloaded { retry_after_ms: 1 };
    node.script([Reaction::Hang]);
    let put = bucket.put("k", "v").deadline(DEADLINE).send();
    let others = async {
        while node.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        for _ in 0..200 {
            node.script([Reaction::Fail(overloaded.clone())]);
            bucket.get("k").send().await.expect("the next attempt");
        }
    };
    let (put, ()) = tokio::join!(put, others);
    put.expect("the second attempt");
    assert_eq!(node.connections(), 1);
}
