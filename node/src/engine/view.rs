//! What an engine knows of the cluster: members, layout, buckets. Immutable; a change is a new view.

use std::collections::BTreeMap;
use std::sync::Arc;

use kvorum_protocol::message::{BucketSettings, RequestError};
use kvorum_protocol::{BucketName, ContextKeys, Key, RecordKey};
use kvorum_ring::{ClassId, KeyHash, Layout, NodeId, PartitionId, Weight, Zone};

use crate::engine::quorum::Owners;

/// A member of the cluster as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberView {
    /// The node.
    pub id: NodeId,
    /// Its name for people.
    pub name: String,
    /// Its failure domain.
    pub zone: Zone,
    /// How much it carries.
    pub weight: Weight,
    /// `host:port` at which peers reach it (UDP).
    pub peer_addr: String,
    /// `host:port` at which clients reach it (TCP and UDP).
    pub client_addr: String,
    /// `host:port` of its administration page.
    pub admin_addr: String,
}

/// The cluster at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterView {
    /// The cluster's name.
    pub cluster_name: String,
    /// Its members, ascending by id.
    pub members: Vec<MemberView>,
    /// Who owns what.
    pub layout: Arc<Layout>,
    /// The buckets with their settings.
    pub buckets: BTreeMap<BucketName, BucketSettings>,
    /// What contexts are sealed and opened with.
    pub context_keys: ContextKeys,
}

/// Where a key lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The key's record.
    pub(crate) key: RecordKey,
    /// The hash of its bucket and key, made once for a request: contexts carry it, too.
    pub(crate) hash: KeyHash,
    /// Its owners in preference order; at least one.
    pub(crate) owners: Owners,
}

impl ClusterView {
    /// A bucket's settings.
    pub(crate) fn bucket(&self, name: &BucketName) -> Result<&BucketSettings, RequestError> {
        self.buckets.get(name).ok_or(RequestError::NoSuchBucket)
    }

    /// Where a key of an existing bucket lives.
    pub(crate) fn place(&self, bucket: &BucketName, key: &Key) -> Result<Place, RequestError> {
        let class = self.bucket(bucket)?.class;
        let hash = KeyHash::of(bucket.as_bytes(), key.as_bytes());
        let partition = self.layout.partitions().partition_of(hash);
        let key = RecordKey::hashed(class, partition, bucket.clone(), key.clone());
        match self.owners(class, partition) {
            owners if owners.is_empty() => Err(RequestError::WrongLayout),
            owners => Ok(Place { key, hash, owners }),
        }
    }

    /// The owners of a partition in preference order; none when the class or the partition does not exist.
    pub(crate) fn owners(&self, class: ClassId, partition: PartitionId) -> Owners {
        self.layout
            .preference(class, partition)
            .map_or_else(Owners::new, |preference| preference.owners().collect())
    }

    /// The nodes that stand in for owners of a partition, in preference order; none in a cluster as small as that.
    pub(crate) fn fallbacks(&self, class: ClassId, partition: PartitionId) -> Owners {
        self.layout
            .preference(class, partition)
            .map_or_else(Owners::new, |preference| preference.fallbacks().collect())
    }

    /// Whether anybody could stand in for an owner of a partition.
    pub(crate) fn has_fallbacks(&self, class: ClassId, partition: PartitionId) -> bool {
        let preference = self.layout.preference(class, partition);
        preference.is_some_and(|preference| preference.fallbacks().len() > 0)
    }

    /// Whether a node stands in for owners of a partition.
    pub(crate) fn stands_in(&self, node: NodeId, class: ClassId, partition: PartitionId) -> bool {
        let preference = self.layout.preference(class, partition);
        preference.is_some_and(|preference| preference.fallbacks().any(|other| other == node))
    }

    /// Whether a node owns a partition.
    pub(crate) fn owns(&self, node: NodeId, class: ClassId, partition: PartitionId) -> bool {
        self.layout.preference(class, partition).is_some_and(|preference| preference.is_owner(node))
    }
}
