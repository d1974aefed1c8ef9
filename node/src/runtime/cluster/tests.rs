//! Facts become views and answers, and what is answered is on disk.

use kvorum_gossip::facts::{NodeAddresses, decode_file};
use kvorum_gossip::{FactKey, FactSet, Facts, FactsMessage, MemberFact};
use kvorum_protocol::message::{
    ArgumentKind, Bucket, BucketRequest, BucketSet, Diag, Nothing, StatusDone, TopologyDone,
};
use kvorum_protocol::{BucketName, BucketSettings, ContextKeys, Request, RequestError, Response};
use kvorum_ring::{Layout, NodeId, PartitionCount, Weight, Zone};

use crate::config::{
    ClusterConfig, Config, ListenConfig, LogConfig, MemberConfig, NodeConfig, PathsConfig,
    StoreConfig,
};
use crate::runtime::access::Caller;
use crate::runtime::cluster::{Cluster, ClusterOutput, DeriveError, Figures};
use crate::runtime::listener::ClientNumber;

const CLIENT: ClientNumber = ClientNumber(1);

/// Where a node has moved to.
const MOVED: &str = "10.9.9.9:1";

fn config(me: u128) -> Config {
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    let member = |number: u128| MemberConfig {
        id: NodeId(number),
        name: format!("n{number}"),
        addresses: NodeAddresses::from_base(at(7_000 + number as u16 * 10)),
        zone: Zone::default(),
        weight: Weight::default(),
    };
    Config {
        node: NodeConfig { id: NodeId(me), name: format!("n{me}") },
        cluster: ClusterConfig {
            name: "test".to_owned(),
            partitions: PartitionCount::new(16).unwrap(),
            members: (1..=4).map(member).collect(),
        },
        listen: ListenConfig { peers: at(1), clients: at(2), admin: at(3), dev_plaintext: false },
        paths: PathsConfig::default(),
        store: StoreConfig::default(),
        log: LogConfig::default(),
    }
}

fn with_keys(config: &Config, saved: FactSet) -> Cluster {
    Cluster::new(config, saved, ContextKeys { current: [7; 32], previous: None }).unwrap()
}

fn cluster(me: u128, saved: FactSet) -> Cluster {
    let mut cluster = with_keys(&config(me), saved);
    assert!(save(&mut cluster).is_some(), "what is derived is saved");
    cluster
}

/// Answers the saves that are asked for until none is; gives the last file.
fn save(cluster: &mut Cluster) -> Option<Vec<u8>> {
    let mut last = None;
    while let Some(output) = cluster.poll_output() {
        if let ClusterOutput::Save(file) = output {
            last = Some(file);
            cluster.saved();
        }
    }
    last
}

fn figures(up: &[u128]) -> Figures {
    let mut figures = Figures::sample();
    figures.peers.iter_mut().for_each(|peer| peer.up = up.contains(&peer.node.0));
    figures
}

fn named(name: &str) -> BucketName {
    name.parse().unwrap()
}

/// Asks, answers all saves, and gives the answer.
fn ask(cluster: &mut Cluster, request: Request) -> Response {
    cluster.request((CLIENT, Caller::Operator), 9, request, &figures(&[2, 3, 4]));
    loop {
        match cluster.poll_output().expect("an answer") {
            ClusterOutput::Reply { client: CLIENT, request_id: 9, response } => return response,
            ClusterOutput::Save(_) => cluster.saved(),
            _ => {}
        }
    }
}

fn create(name: &str, settings: BucketSettings) -> Request {
    Request::BucketCreate(BucketSet { bucket: Bucket { name: named(name), settings } })
}

fn set(name: &str, settings: BucketSettings) -> Request {
    Request::BucketSet(BucketSet { bucket: Bucket { name: named(name), settings } })
}

#[track_caller]
fn error(response: Response) -> RequestError {
    match response {
        Response::Error { error } => error,
        other => panic!("an error, not {other:?}"),
    }
}

fn quorums(r: Option<u8>, w: Option<u8>) -> BucketSettings {
    BucketSettings { r, w, ..BucketSettings::default() }
}

#[test]
fn every_node_derives_the_same_layout_members_and_first_bucket() {
    let (one, two) = (cluster(1, FactSet::default()), cluster(2, FactSet::default()));
    assert_eq!(one.view(), two.view());
    assert_eq!(one.facts.set().digest(), two.facts.set().digest());
    assert_eq!(one.view().members.len(), 4);
    assert!(one.view().buckets.contains_key(&named("default")));
    assert_eq!(one.view().layout.partitions().get(), 16);
}

#[test]
fn a_new_bucket_is_answered_only_when_it_is_on_disk() {
    let mut cluster = cluster(1, FactSet::default());
    cluster.request(
        (CLIENT, Caller::Operator),
        9,
        create("photos", quorums(Some(1), Some(3))),
        &figures(&[2, 3, 4]),
    );
    let mut file = None;
    while let Some(output) = cluster.poll_output() {
        match output {
            ClusterOutput::Reply { .. } => panic!("answered before it was saved"),
            ClusterOutput::Save(content) => file = Some(content),
            _ => {}
        }
    }
    cluster.saved();
    assert!(matches!(cluster.poll_output(), Some(ClusterOutput::Reply { .. })));
    // The file alone is enough to know the bucket again.
    let restarted = self::cluster(1, decode_file(&file.unwrap()).unwrap());
    assert_eq!(restarted.view().buckets[&named("photos")].w, Some(3));
}

#[test]
fn corrected_settings_take_effect_and_a_node_is_right_about_its_own_addresses() {
    let mut one = cluster(1, FactSet::default());
    one.facts.write(FactKey::bucket("kept"), BucketSettings::default().to_bytes()).unwrap();
    one.settle();
    let file = save(&mut one).unwrap();

    // Nodes 1 and 2 have moved, and the settings of node 1 say so.
    let mut moved = config(1);
    for member in &mut moved.cluster.members[..2] {
        member.addresses.peers = MOVED.to_owned();
    }
    let restarted = with_keys(&moved, decode_file(&file).unwrap());
    assert!(restarted.view().members[..2].iter().all(|member| member.peer_addr == MOVED));
    assert!(restarted.view().buckets.contains_key(&named("kept")));

    // Somebody had written something else about node 1: node 1 knows better, and its word is newer.
    let mut other = Facts::new(NodeId(3), FactSet::default());
    let stale =
        MemberFact::decode(one.facts.set().body(&FactKey::member(NodeId(1))).unwrap()).unwrap();
    other.write(FactKey::member(NodeId(1)), stale.encode()).unwrap();
    let corrected = with_keys(&moved, other.set().clone());
    assert_eq!(corrected.view().members[0].peer_addr, MOVED);
    let mut older = cluster(3, other.set().clone());
    older.message(NodeId(1), FactsMessage::Bodies(corrected.facts.set().iter().cloned().collect()));
    assert_eq!(older.view().members[0].peer_addr, MOVED);
}

#[test]
fn settings_that_would_move_the_data_are_refused_and_inconsistent_ones_end_in_one_layout() {
    let mut one = cluster(1, FactSet::default());
    one.generation += 1;
    one.settle();
    let saved = decode_file(&save(&mut one).unwrap()).unwrap();
    let mut other = config(1);
    other.cluster.partitions = PartitionCount::new(32).unwrap();
    let keys = || ContextKeys { current: [7; 32], previous: None };
    let refused = Cluster::new(&other, saved, keys());
    assert!(matches!(refused, Err(DeriveError::LayoutChanged { .. })));

    // Two nodes that begin with different settings still agree on one of the layouts.
    let mut two = Cluster::new(&other, FactSet::default(), keys()).unwrap();
    for (from, to) in [(&one.facts.set().clone(), &mut two), (&facts_of(&other), &mut one)] {
        to.message(NodeId(9), FactsMessage::Bodies(from.iter().cloned().collect()));
    }
    assert_eq!(one.view().layout.name(), two.view().layout.name());
}

fn facts_of(config: &Config) -> FactSet {
    with_keys(config, FactSet::default()).facts.set().clone()
}

#[test]
fn a_bucket_is_created_once_and_its_fixed_settings_stay() {
    let mut cluster = cluster(1, FactSet::default());
    assert!(matches!(ask(&mut cluster, create("a", quorums(None, None))), Response::Buckets(_)));
    assert_eq!(
        error(ask(&mut cluster, create("a", quorums(None, None)))),
        RequestError::BucketExists
    );
    assert_eq!(error(ask(&mut cluster, set("b", quorums(None, None)))), RequestError::NoSuchBucket);
    assert!(matches!(ask(&mut cluster, set("a", quorums(None, Some(2)))), Response::Buckets(_)));
    assert_eq!(cluster.view().buckets[&named("a")].w, Some(2));
    let other_class =
        BucketSettings { class: kvorum_ring::ClassId(5), ..BucketSettings::default() };
    let fixed = RequestError::InvalidArgument { argument: ArgumentKind::FixedSetting };
    assert_eq!(error(ask(&mut cluster, set("a", other_class.clone()))), fixed);
    let class = RequestError::InvalidArgument { argument: ArgumentKind::Class };
    assert_eq!(error(ask(&mut cluster, create("c", other_class))), class);
    for (r, w, argument) in
        [(Some(0), None, ArgumentKind::ReadQuorum), (None, Some(4), ArgumentKind::WriteQuorum)]
    {
        let refused = RequestError::InvalidArgument { argument };
        assert_eq!(error(ask(&mut cluster, create("d", quorums(r, w)))), refused);
    }
    let show = Request::BucketShow(BucketRequest { name: named("d") });
    assert_eq!(error(ask(&mut cluster, show)), RequestError::NoSuchBucket);
}

#[test]
fn a_bucket_made_on_one_node_is_known_on_its_peers_in_one_message() {
    let (mut one, mut two) = (cluster(1, FactSet::default()), cluster(2, FactSet::default()));
    one.peer_up(NodeId(2));
    one.request(
        (CLIENT, Caller::Operator),
        9,
        create("photos", quorums(None, None)),
        &figures(&[2, 3, 4]),
    );
    while let Some(output) = one.poll_output() {
        if let ClusterOutput::Send { to: NodeId(2), message } = output {
            two.message(NodeId(1), message);
        }
    }
    assert!(two.view().buckets.contains_key(&named("photos")));
    let mut told = false;
    while let Some(output) = two.poll_output() {
        told |= matches!(output, ClusterOutput::View(_));
    }
    assert!(told, "the engine is told");
}

#[test]
fn the_topology_carries_a_layout_that_decodes_to_its_name() {
    let mut cluster = cluster(1, FactSet::default());
    let Response::Topology(TopologyDone { layout, layout_name, nodes, .. }) =
        ask(&mut cluster, Request::Topology(Nothing {}))
    else {
        panic!("a topology")
    };
    let layout: Layout = rmp_serde::from_slice(&layout).unwrap();
    assert_eq!(layout.name().hash, layout_name.hash.0);
    assert_eq!(nodes.len(), 4);
    assert_eq!(nodes[1].client_address, "127.0.0.1:7021");
}

#[test]
fn the_status_counts_partitions_in_trouble() {
    let mut cluster = cluster(1, FactSet::default());
    let mut status = |up: &[u128]| -> StatusDone {
        cluster.request((CLIENT, Caller::Operator), 9, Request::Status(Nothing {}), &figures(up));
        match cluster.poll_output() {
            Some(ClusterOutput::Reply { response: Response::Status(done), .. }) => done,
            _ => panic!("a status"),
        }
    };
    let healthy = status(&[2, 3, 4]);
    assert_eq!((healthy.degraded, healthy.below_quorum), (0, 0));
    assert_eq!(healthy.node.name, "n1");
    let degraded = status(&[2, 3]);
    assert!(degraded.degraded > 0 && degraded.below_quorum == 0);
    let alone = status(&[]);
    assert!(alone.below_quorum > 0 && alone.below_quorum <= alone.degraded);
}

#[test]
fn a_diagnosis_has_the_sections_that_were_asked_for() {
    let mut cluster = cluster(1, FactSet::default());
    let mut sections = |wanted: &[&str]| -> Vec<String> {
        let sections = wanted.iter().map(|name| (*name).to_owned()).collect();
        match ask(&mut cluster, Request::Diag(Diag { sections })) {
            Response::Diag(done) => done.sections.into_iter().map(|section| section.name).collect(),
            other => panic!("a diagnosis, not {other:?}"),
        }
    };
    assert_eq!(
        sections(&[]),
        ["node", "peers", "store", "engine", "facts", "settings", "recent errors", "metrics"]
    );
    assert_eq!(sections(&["facts"]), ["facts"]);
}
