//! Building the cluster that a plan describes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kvorum_node::engine::{ClusterView, MemberView};
use kvorum_protocol::{BucketName, BucketSettings, ContextKeys, Key, MergeRule, RecordKey};
use kvorum_ring::{
    ClassId, Layout, LayoutInput, Member, NodeId, PartitionCount, Preference, ReplicationClass,
    Weight, Zone,
};

use super::World;
use super::beliefs::Beliefs;
use super::clients::Client;
use super::explanations::Explanations;
use super::finish::Phase;
use super::node::Node;
use crate::bits::Bits;
use crate::history::History;
use crate::holders::Holders;
use crate::network::Network;
use crate::oracle::KeyOracle;
use crate::plan::{Plan, PlanError, Rule, Topology};
use crate::reached::Reached;
use crate::schedule::Schedule;

use crate::trace::Trace;

impl World {
    /// The cluster of `plan` before anything happened; with the trace's text if `text` says so.
    pub(crate) fn new(plan: Plan, text: bool) -> Result<Self, PlanError> {
        plan.validate()?;
        let view = Arc::new(view(&plan.topology, plan.rule).ok_or(PlanError::Topology)?);
        let ids: Vec<NodeId> = view.members.iter().map(|member| member.id).collect();
        let bucket = bucket();
        let keys: Vec<Key> = (0..plan.topology.keys).map(key).collect();
        let owners = keys.iter().map(|key| owners(&view, &bucket, key, &ids)).collect();
        let nodes = ids.iter().zip(0..).map(|(id, number)| Node::new(&plan, *id, number)).collect();
        let mut world = Self {
            schedule: Schedule::default(),
            background: 0,
            detectors_stopped: false,
            current: (0, 0),
            events: 0,
            phase: Phase::Faults,
            healed: false,
            exchange_every_ms: plan.exchange_every_ms,
            digests: BTreeMap::new(),
            network: Network::new(plan.seed, plan.topology.nodes, &plan.network),
            nodes,
            beliefs: Beliefs::new(plan.seed, plan.topology.nodes, &plan.detector),
            view,
            bucket,
            owners,
            clients: (0..plan.topology.clients)
                .map(|number| Client::new(plan.seed, number, keys.len()))
                .collect(),
            running: Vec::new(),
            history: History::default(),
            oracle: vec![KeyOracle::default(); keys.len()],
            holders: Holders::default(),
            spread: vec![Bits::new(); keys.len()],
            acked_by_owners: vec![Bits::new(); keys.len()],
            latest_ms: 0,
            jumped_ns: 0,
            removed: BTreeSet::new(),
            explanations: Explanations::default(),
            trace: Trace::new(text),
            reached: Reached::default(),
            violation: None,
            buffer: Vec::new(),
            keys,
            plan,
        };
        for node in 0..world.plan.topology.nodes {
            world.start(node);
        }
        world.introduce_all();
        Ok(world)
    }

    /// The nodes that stand in for the owners of a key.
    pub(super) fn fallbacks(&self, key: u16) -> Vec<u16> {
        let preference = preference(&self.view, &self.bucket, &self.keys[usize::from(key)]);
        let fallbacks = preference.into_iter().flat_map(|preference| preference.fallbacks());
        fallbacks.map(|node| self.number_of(node)).collect()
    }
}

fn bucket() -> BucketName {
    BucketName::from_bytes(Bytes::from_static(b"sim")).expect("the name is valid")
}

fn key(number: u16) -> Key {
    Key::new(Bytes::from(format!("k{number}").into_bytes()))
        .expect("the key is short and not empty")
}

fn owners(view: &ClusterView, bucket: &BucketName, key: &Key, ids: &[NodeId]) -> Vec<u16> {
    let owners =
        preference(view, bucket, key).into_iter().flat_map(|preference| preference.owners());
    owners.map(|owner| ids.partition_point(|id| *id < owner) as u16).collect()
}

fn preference<'a>(view: &'a ClusterView, bucket: &BucketName, key: &Key) -> Option<Preference<'a>> {
    let record =
        RecordKey::new(ClassId::default(), view.layout.partitions(), bucket.clone(), key.clone());
    view.layout.preference(record.class, record.partition)
}

/// The cluster's facts. Node ids ascend with the nodes' numbers.
fn view(topology: &Topology, rule: Rule) -> Option<ClusterView> {
    let ids: Vec<NodeId> =
        (1..=u128::from(topology.nodes)).map(|number| NodeId(number << 64 | 0x5eed)).collect();
    let replicas = topology.replicas.min(u8::try_from(topology.nodes).ok()?);
    let class = ReplicationClass::new(ClassId::default(), replicas).ok()?;
    let input = LayoutInput {
        lineage: 1,
        version: 1,
        partitions: PartitionCount::new(topology.partitions).ok()?,
        members: ids.iter().map(|id| Member::new(*id)).collect(),
        classes: vec![class],
    };
    let layout = Arc::new(Layout::plan(input, None).ok()?);
    let members = ids
        .iter()
        .zip(0..)
        .map(|(id, number): (&NodeId, u32)| MemberView {
            id: *id,
            name: format!("n{number}"),
            zone: Zone::default(),
            weight: Weight::default(),
            peer_addr: format!("n{number}:1"),
            client_addr: format!("n{number}:2"),
            admin_addr: format!("n{number}:3"),
        })
        .collect();
    let rule = match rule {
        Rule::Siblings => MergeRule::Siblings,
        Rule::Counter => MergeRule::Counter,
        Rule::Set => MergeRule::Set,
        Rule::LossyLww => MergeRule::LossyLww,
    };
    let settings = BucketSettings { class: ClassId::default(), rule, ..BucketSettings::default() };
    Some(ClusterView {
        cluster_name: "simulated".to_owned(),
        members,
        layout,
        buckets: BTreeMap::from([(bucket(), settings)]),
        context_keys: ContextKeys { current: [7; 32], previous: None },
    })
}
