//! The cluster as one node knew it a moment ago: nodes, layout, buckets.
//!
//! Only a hint for routing. A request that goes to the wrong node is forwarded there, so an old topology costs a hop and
//! never a wrong answer.

use std::collections::BTreeMap;

use kvorum_protocol::message::{Bucket, BucketSettings, TopologyDone, TopologyNode};
use kvorum_protocol::{BucketName, Key};
use kvorum_ring::{ClassId, KeyHash, Layout, NodeId, PartitionId};

use crate::error::TopologyError;

/// Nodes, layout and buckets of a cluster.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The cluster's name.
    pub cluster: String,
    /// The node that told.
    pub told_by: NodeId,
    /// All members, ascending by id.
    pub nodes: Vec<TopologyNode>,
    /// Which partition belongs to whom.
    pub layout: Layout,
    /// Settings by bucket.
    pub buckets: BTreeMap<BucketName, BucketSettings>,
}

/// Where one key lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The hash of bucket and key.
    pub hash: KeyHash,
    /// The partition that the hash falls into.
    pub partition: PartitionId,
    /// The replication class of the bucket.
    pub class: ClassId,
    /// The owners, in the order in which they coordinate.
    pub owners: Vec<NodeId>,
    /// The fallbacks behind them.
    pub fallbacks: Vec<NodeId>,
}

impl Topology {
    pub(crate) fn from_wire(
        told: TopologyDone,
        buckets: Vec<Bucket>,
    ) -> Result<Topology, TopologyError> {
        let layout: Layout =
            rmp_serde::from_slice(&told.layout).map_err(|_| TopologyError::Layout)?;
        let buckets = buckets.into_iter().map(|bucket| (bucket.name.detached(), bucket.settings));
        Ok(Topology {
            cluster: told.cluster_name,
            told_by: told.node,
            nodes: told.nodes,
            layout,
            buckets: buckets.collect(),
        })
    }

    /// A member by its id.
    pub fn node(&self, id: NodeId) -> Option<&TopologyNode> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// What people call a node; its id when it is unknown.
    pub fn name_of(&self, id: NodeId) -> String {
        self.node(id).map_or_else(|| id.to_string(), |node| node.name.clone())
    }

    /// Where a key of a bucket lives; `None` when the bucket is unknown.
    pub fn place_of(&self, bucket: &BucketName, key: &Key) -> Option<Place> {
        let class = self.buckets.get(bucket)?.class;
        let hash = KeyHash::of(bucket.as_bytes(), key.as_bytes());
        let preference = self.layout.preference_of(class, hash)?;
        Some(Place {
            hash,
            partition: self.layout.partitions().partition_of(hash),
            class,
            owners: preference.owners().collect(),
            fallbacks: preference.fallbacks().collect(),
        })
    }
}
