//! Whole nodes in this process: on loopback, each on a thread of its own, with real disks, real QUIC between them and small
//! clients.

// Whole nodes need real threads, real time and real certificates.
#![allow(clippy::disallowed_methods)]

mod access;
mod client;
mod doors;
mod nodes;
mod tenants;

use std::net::TcpListener;

use kvorum_node::runtime::{RunError, run_until};
use kvorum_protocol::message::{Bucket, BucketSet, Nothing};
use kvorum_protocol::{BucketName, BucketSettings, Request, Response};

use crate::client::values;
use crate::nodes::{TestNode, eventually, provisioned, started};

#[test]
fn what_one_node_stores_every_node_reads_also_after_a_restart() {
    let mut cluster = started(3);
    let put = cluster.nodes[0].client().put("default", "greeting", b"hello", 1);
    assert!(matches!(put, Response::Put(_)), "{put:?}");
    for node in &cluster.nodes {
        assert_eq!(values(&node.client().get("greeting")), [b"hello"]);
    }

    // Its own disk has it: the node that was away is stopped in good order and reads what it held.
    cluster.nodes[2].stop().unwrap();
    let away =
        cluster.nodes[0].client().put("default", "meanwhile", b"written with two of three", 2);
    assert!(matches!(away, Response::Put(_)), "{away:?}");
    cluster.nodes[2].start();
    let mut client = cluster.nodes[2].client();
    assert_eq!(client.status().node.run, 2);
    eventually("its peers", || client.status().peers.iter().all(|peer| peer.up).then_some(()));
    assert_eq!(values(&client.get("greeting")), [b"hello"]);
    assert_eq!(values(&client.get("meanwhile")), [b"written with two of three"]);
    // It holds the first record itself, whether or not the repair of the second has arrived.
    assert!(client.status().node.keys >= 1);
}

#[test]
fn a_bucket_made_on_one_node_serves_on_all_and_survives_a_restart_of_all() {
    let mut cluster = started(3);
    let name: BucketName = "photos".parse().unwrap();
    let bucket = Bucket {
        name: name.clone(),
        settings: BucketSettings { w: Some(3), ..BucketSettings::default() },
    };
    let made = cluster.nodes[1].client().ask(&Request::BucketCreate(BucketSet { bucket }));
    assert!(matches!(made, Response::Buckets(_)), "{made:?}");
    for (number, node) in (1..).zip(&cluster.nodes) {
        let mut client = node.client();
        let needed =
            eventually("the bucket", || match client.put("photos", "cat", b"meow", number) {
                Response::Put(done) => Some(done.needed),
                _ => None,
            });
        assert_eq!(needed, 3, "the bucket's own setting");
    }
    for node in &mut cluster.nodes {
        node.stop().unwrap();
    }
    cluster.nodes.iter_mut().for_each(TestNode::start);
    for node in &cluster.nodes {
        let Response::Buckets(listed) = node.client().ask(&Request::BucketList(Nothing {})) else {
            panic!("buckets")
        };
        assert!(listed.buckets.iter().any(|bucket| bucket.name == name));
    }
}

#[test]
fn a_node_whose_log_was_lost_says_that_its_absences_do_not_count() {
    let mut cluster = started(3);
    let put = cluster.nodes[0].client().put("default", "greeting", b"hello", 1);
    assert!(matches!(put, Response::Put(_)), "{put:?}");
    let node = &mut cluster.nodes[1];
    assert!(!node.client().status().node.refilling);
    node.stop().unwrap();
    std::fs::remove_dir_all(node.directory.join("log")).unwrap();
    std::fs::remove_dir_all(node.directory.join("index")).unwrap();
    node.start();
    let mut client = node.client();
    assert!(client.status().node.refilling);
    // The others make up for it.
    eventually("its peers", || client.status().peers.iter().all(|peer| peer.up).then_some(()));
    assert_eq!(values(&client.get("greeting")), [b"hello"]);
}

#[test]
fn a_node_whose_disk_fails_ends_with_an_error_and_acknowledges_nothing_more() {
    let mut cluster = provisioned(1);
    let node = &mut cluster.nodes[0];
    node.start();
    let mut client = node.client();
    let put = client.put("default", "before", b"the disk works", 1);
    assert!(matches!(put, Response::Put(_)), "{put:?}");
    // Open files go on working; the next segment cannot be made where the directory was.
    std::fs::rename(node.directory.join("log"), node.directory.join("gone")).unwrap();
    let mut operation = 1;
    let refused = eventually("an end of the acknowledgements", || {
        operation += 1;
        match client.try_put("default", "after", &[7; 64 << 10], operation) {
            Ok(Response::Put(_)) => None,
            Ok(other) => Some(Ok(other)),
            Err(error) => Some(Err(error)),
        }
    });
    let ended = node.wait();
    assert!(matches!(ended, Err(RunError::Poisoned(_))), "{ended:?} after {refused:?}");
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let mut cluster = provisioned(1);
    let node = &mut cluster.nodes[0];
    node.start();
    node.client();
    let again = run_until(&node.directory, node.config.clone(), std::future::pending());
    assert!(matches!(again, Err(RunError::Locked { .. })), "{again:?}");
}

#[test]
fn a_taken_port_stops_a_start_before_anything_is_touched() {
    let cluster = provisioned(1);
    let node = &cluster.nodes[0];
    let taken = TcpListener::bind(node.config.listen.clients).unwrap();
    let ended = run_until(&node.directory, node.config.clone(), std::future::pending());
    let Err(error @ RunError::PortTaken { .. }) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
    assert!(!node.directory.join("log").exists(), "the store was not opened");
}

#[test]
fn another_nodes_certificate_is_refused_at_the_start() {
    let mut cluster = provisioned(2);
    let certificates = cluster.nodes[0].directory.join("certificates");
    let node = &mut cluster.nodes[1];
    node.config.paths.certificates = certificates;
    let ended = run_until(&node.directory, node.config.clone(), std::future::pending());
    assert!(matches!(ended, Err(RunError::OtherNode { .. })), "{ended:?}");
}
