//! What the client promises about requests, against nodes that follow a script.
#![allow(clippy::disallowed_methods)] // Tests of a client that has deadlines.

mod scripted;

use std::time::{Duration, Instant};

use kvorum_client::{Client, Config, ConnectError, Endpoint, ErrorKind, OpenError};
use kvorum_protocol::message::{ErrorClass, Request, RequestError, RequestOptions};
use kvorum_ring::NodeId;
use scripted::{Cluster, Reaction};

fn options(request: &Request) -> &RequestOptions {
    request.options().expect("a request for data")
}

fn unavailable() -> RequestError {
    RequestError::Unavailable { needed: 2, got: 1, causes: Vec::new() }
}

#[tokio::test]
async fn any_endpoint_that_answers_leads_to_the_whole_cluster() {
    let cluster = Cluster::start(5).await;
    let dead = Endpoint::loopback(1);
    let alive = Endpoint::loopback(cluster.nodes[3].address.port());
    let client = Client::connect(Config::new([dead, alive])).await.expect("one answers");
    assert_eq!(client.topology().nodes.len(), 5);
    assert_eq!(client.topology().name_of(NodeId(2)), "n2");
}

#[tokio::test]
async fn when_nobody_answers_every_endpoint_is_named_with_its_reason() {
    let endpoints = [Endpoint::loopback(1), "plain://192.0.2.1:7401".parse().expect("an endpoint")];
    let error = Client::connect(Config::new(endpoints)).await.expect_err("nobody there");
    let OpenError::NoNode(causes) = error else { panic!("{error}") };
    assert_eq!(causes.len(), 2);
    assert!(causes.iter().any(|(_, cause)| matches!(cause, ConnectError::Tcp(_))), "{causes:?}");
    assert!(
        causes.iter().any(|(_, cause)| matches!(cause, ConnectError::PlaintextBeyondLoopback)),
        "{causes:?}"
    );
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused() {
    let cluster = Cluster::start(1).await;
    let seed = Endpoint::loopback(cluster.nodes[0].address.port());
    let error =
        Client::connect(Config::new([seed]).cluster("prod")).await.expect_err("another cluster");
    let OpenError::NoNode(causes) = error else { panic!("{error}") };
    assert!(matches!(&causes[0].1, ConnectError::WrongCluster(name) if &**name == "test"));
}

#[tokio::test]
async fn a_request_for_a_key_goes_to_the_first_owner() {
    let cluster = Cluster::start(5).await;
    let client = cluster.client().await;
    let bucket = client.bucket("default").expect("a name");
    for key in ["a", "b", "c", "d", "e", "f"] {
        let reply = bucket.put(key, "value").send().await.expect("stored");
        assert_eq!(reply.node, cluster.preference(&client, key)[0].id);
        assert_eq!(reply.attempts, 1);
    }
}

#[tokio::test]
async fn answers_in_any_order_reach_their_own_requests() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let bucket = client.bucket("default").expect("a name");
    cluster.nodes[0].script([Reaction::Gather(63)]);
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..64 {
        let key = format!("key {number}");
        let get = bucket.get(key.clone()).deadline(Duration::from_secs(20));
        requests.spawn(async move { (key, get.send().await) });
    }
    while let Some(done) = requests.join_next().await {
        let (key, read) = done.expect("no panic");
        assert_eq!(read.expect("an answer").values[0].value, key.as_bytes());
    }
}

#[tokio::test]
async fn a_write_whose_coordinator_dies_is_retried_elsewhere_as_a_retry_of_the_same_operation() {
    let cluster = Cluster::start(5).await;
    let client = cluster.client().await;
    let order = cluster.preference(&client, "k");
    let bucket = client.bucket("default").expect("a name");
    bucket.get("k").send().await.expect("a connection is open");
    order[0].stop().await;

    let reply = bucket.put("k", "v").send().await.expect("another one takes it");
    assert_eq!(reply.node, order[1].id);
    let asked = order[1].asked();
    assert_eq!(options(&asked[0]).operation, reply.operation);
}

#[tokio::test]
async fn a_write_that_may_have_been_applied_is_sent_again_with_the_retry_mark() {
    let cluster = Cluster::start(5).await;
    let client = cluster.client().await;
    let order = cluster.preference(&client, "k");
    order[0].script([Reaction::Hangup]);
    let bucket = client.bucket("default").expect("a name");
    let reply = bucket.put("k", "v").send().await.expect("the second attempt succeeds");
    assert_eq!(
        (reply.node, reply.attempts),
        (order[0].id, 2),
        "the first coordinator can be reached again"
    );
    let asked = order[0].asked();
    let marks: Vec<bool> = asked.iter().map(|request| options(request).retry).collect();
    assert_eq!(marks, [false, true]);
    assert_eq!(options(&asked[0]).operation, options(&asked[1]).operation);
}

#[tokio::test]
async fn a_write_that_was_refused_is_sent_again_without_the_mark() {
    let cluster = Cluster::start(5).await;
    let client = cluster.client().await;
    let order = cluster.preference(&client, "k");
    order[0].script([Reaction::Fail(unavailable())]);
    let reply =
        client.bucket("default").expect("a name").put("k", "v").send().await.expect("stored");
    assert_eq!(reply.node, order[1].id);
    assert!(!options(&order[1].asked()[0]).retry);
}

#[tokio::test]
async fn a_coordinator_that_hangs_leaves_time_for_another() {
    let cluster = Cluster::start(5).await;
    let client = cluster.client().await;
    let order = cluster.preference(&client, "k");
    order[0].script([Reaction::Hang]);
    let put =
        client.bucket("default").expect("a name").put("k", "v").deadline(Duration::from_secs(2));
    let reply = put.send().await.expect("another one takes it");
    assert_eq!(reply.node, order[1].id);
    assert!(options(&order[1].asked()[0]).retry);
}

#[tokio::test]
async fn a_write_that_nobody_answered_is_unknown_and_keeps_its_operation_id() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    for node in &cluster.nodes {
        node.script(std::iter::repeat_n(Reaction::Hang, 100));
    }
    let operation = Client::draw_operation();
    let put = client.bucket("default").expect("a name").put("k", "v");
    let begun = Instant::now();
    let error = put
        .operation(operation)
        .deadline(Duration::from_millis(600))
        .send()
        .await
        .expect_err("nobody answers");
    assert!(begun.elapsed() < Duration::from_secs(5), "the deadline holds");
    assert_eq!((error.operation, error.class()), (operation, ErrorClass::Unknown));
    assert!(matches!(error.kind, ErrorKind::OutcomeUnknown));
}

#[tokio::test]
async fn after_a_doubt_a_refusal_does_not_become_not_applied() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let order = cluster.preference(&client, "k");
    order[0].script([Reaction::Hangup]);
    for node in &order {
        node.script(std::iter::repeat_n(Reaction::Fail(unavailable()), 100));
    }
    let put = client
        .bucket("default")
        .expect("a name")
        .put("k", "v")
        .deadline(Duration::from_millis(500));
    let error = put.send().await.expect_err("never applied as asked");
    assert!(!error.is_not_applied(), "{error}");
}

#[tokio::test]
async fn a_read_that_nobody_answers_is_unavailable() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    for node in &cluster.nodes {
        node.script(std::iter::repeat_n(Reaction::Hang, 100));
    }
    let get =
        client.bucket("default").expect("a name").get("k").deadline(Duration::from_millis(300));
    let error = get.send().await.expect_err("nobody answers");
    assert_eq!(error.class(), ErrorClass::Unavailable);
}

#[tokio::test]
async fn an_error_without_a_remedy_is_not_retried_and_keeps_its_type() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let order = cluster.preference(&client, "k");
    let below = RequestError::TooManySiblings;
    order[0].script([Reaction::Fail(below.clone())]);
    let error =
        client.bucket("default").expect("a name").put("k", "v").send().await.expect_err("refused");
    assert_eq!(error.attempts, 1);
    assert!(
        matches!(error.kind, ErrorKind::Answered { node, error } if node == order[0].id && error == below)
    );
}

#[tokio::test]
async fn an_overloaded_node_is_left_alone_for_as_long_as_it_asked() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    cluster.nodes[0].script([Reaction::Fail(RequestError::Overloaded { retry_after_ms: 120 })]);
    let begun = Instant::now();
    let reply = client
        .bucket("default")
        .expect("a name")
        .put("k", "v")
        .send()
        .await
        .expect("then it takes it");
    assert_eq!(reply.attempts, 2);
    assert!(begun.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn with_one_attempt_a_refusal_is_the_callers() {
    let cluster = Cluster::start(1).await;
    let seed = Endpoint::loopback(cluster.nodes[0].address.port());
    let client = Client::connect(Config::new([seed]).attempts(1)).await.expect("it answers");
    let overloaded = RequestError::Overloaded { retry_after_ms: 1 };
    cluster.nodes[0].script([Reaction::Fail(overloaded.clone())]);
    let put = client.bucket("default").expect("a name").put("k", "v");
    let error = put.send().await.expect_err("refused, and not sent again");
    assert_eq!(error.attempts, 1);
    assert!(matches!(error.kind, ErrorKind::Answered { error, .. } if error == overloaded));
}

#[tokio::test]
async fn as_many_are_in_flight_on_a_connection_as_was_asked_for() {
    for (in_flight, gathered) in [(2_000, 2_000), (8, 8)] {
        let cluster = Cluster::start(1).await;
        let seed = Endpoint::loopback(cluster.nodes[0].address.port());
        let client = Client::connect(Config::new([seed]).in_flight(in_flight)).await;
        let bucket = client.expect("it answers").bucket("default").expect("a name");
        // Nobody is answered before all of them have come.
        cluster.nodes[0].script([Reaction::Gather(gathered - 1)]);
        let mut requests = tokio::task::JoinSet::new();
        for number in 0..2_000 {
            let get = bucket.get(format!("key {number}")).deadline(Duration::from_secs(20));
            requests.spawn(get.send());
        }
        while let Some(done) = requests.join_next().await {
            done.expect("no panic").expect("an answer");
        }
        assert_eq!(cluster.nodes[0].asked().len(), 2_000);
    }
}

#[tokio::test]
async fn the_only_attempt_is_waited_for_until_the_deadline() {
    let cluster = Cluster::start(1).await;
    let seed = Endpoint::loopback(cluster.nodes[0].address.port());
    let client = Client::connect(Config::new([seed]).attempts(1)).await.expect("it answers");
    cluster.nodes[0].script([Reaction::Hang]);
    let (begun, deadline) = (Instant::now(), Duration::from_millis(800));
    let put = client.bucket("default").expect("a name").put("k", "v").deadline(deadline);
    let error = put.send().await.expect_err("nobody answers");
    assert!(matches!(error.kind, ErrorKind::OutcomeUnknown), "{error:?}");
    assert!(begun.elapsed() >= deadline, "{:?}: a part of it was given away", begun.elapsed());
}

#[tokio::test]
async fn a_restarted_node_is_found_again() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let node = &cluster.nodes[0];
    node.stop().await;
    let bucket = client.bucket("default").expect("a name");
    let error =
        bucket.get("k").deadline(Duration::from_millis(300)).send().await.expect_err("it is down");
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error:?}");
    let listener =
        tokio::net::TcpListener::bind(node.address).await.expect("the port is free again");
    node.serve(listener, std::sync::Arc::clone(&cluster.shape));
    bucket.get("k").deadline(Duration::from_secs(10)).send().await.expect("it is back");
}

#[tokio::test]
async fn a_key_or_bucket_that_cannot_be_is_refused_before_anything_is_sent() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    assert!(client.bucket("No Such Name").is_err());
    let error = client
        .bucket("default")
        .expect("a name")
        .put("", "v")
        .send()
        .await
        .expect_err("an empty key");
    assert_eq!((error.attempts, error.class()), (0, ErrorClass::Usage));
    assert!(cluster.nodes[0].asked().is_empty());
}

#[tokio::test]
async fn a_node_that_hung_is_passed_over_by_the_next_requests() {
    let cluster = Cluster::start(5).await;
    let client = cluster.client().await;
    let order = cluster.preference(&client, "k");
    order[0].script(std::iter::repeat_n(Reaction::Hang, 100));
    let bucket = client.bucket("default").expect("a name");
    bucket
        .put("k", "v")
        .deadline(Duration::from_secs(2))
        .send()
        .await
        .expect("another one takes it");
    for _ in 0..20 {
        let reply =
            bucket.put("k", "v").deadline(Duration::from_secs(2)).send().await.expect("stored");
        assert_eq!((reply.node, reply.attempts), (order[1].id, 1));
    }
    assert_eq!(order[0].asked().len(), 1);
}

#[tokio::test]
async fn a_bucket_that_is_known_but_not_yet_everywhere_is_asked_for_elsewhere() {
    let cluster = Cluster::start(5).await;
    let client = cluster.client().await;
    let order = cluster.preference(&client, "k");
    order[0].script([Reaction::Fail(RequestError::NoSuchBucket)]);
    let bucket = client.bucket("default").expect("a name");
    let reply = bucket.put("k", "v").send().await.expect("the next one knows it");
    assert_eq!(reply.node, order[1].id);
    for node in &cluster.nodes {
        node.script([Reaction::Fail(RequestError::NoSuchBucket)]);
    }
    let unknown = client.bucket("unknown").expect("a name");
    let error = unknown.get("k").send().await.expect_err("nobody knows it");
    assert_eq!((error.class(), error.attempts), (ErrorClass::NotFound, 1));
}

#[tokio::test]
async fn a_question_about_one_node_is_put_to_it_even_if_it_was_out_of_reach_a_moment_ago() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let node = &cluster.nodes[1];
    node.stop().await;
    client.status_of(node.id).await.expect_err("it is down");
    let listener =
        tokio::net::TcpListener::bind(node.address).await.expect("the port is free again");
    node.serve(listener, std::sync::Arc::clone(&cluster.shape));
    let error =
        client.status_of(node.id).await.expect_err("a scripted node answers a put to everything");
    assert!(matches!(error.kind, ErrorKind::UnexpectedAnswer { .. }), "{error:?}");
}

#[tokio::test]
async fn what_a_request_is_told_reaches_the_node() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let bucket = client.bucket("default").expect("a name");
    bucket.put("k", "v").expires_at_ms(4_000_000_000_000).send().await.expect("stored");
    // The scripted node answers them as puts: what counts is what it was asked.
    bucket.put_batch(Vec::new()).w(3).strict().retry().send().await.expect_err("a put's answer");
    bucket.get_batch(Vec::new()).r(1).strict().send().await.expect_err("a put's answer");
    let asked = cluster.nodes[0].asked();
    let Request::Put(put) = &asked[0] else { panic!("{asked:?}") };
    assert_eq!(put.expires_at_ms, Some(4_000_000_000_000));
    let of = |kind: fn(&Request) -> bool| {
        let options = options(asked.iter().find(|request| kind(request)).expect("it was asked"));
        (options.r, options.w, options.strict, options.retry)
    };
    assert_eq!(of(|it| matches!(it, Request::BatchPut(_))), (None, Some(3), true, true));
    assert_eq!(of(|it| matches!(it, Request::BatchGet(_))), (Some(1), None, true, false));
}
