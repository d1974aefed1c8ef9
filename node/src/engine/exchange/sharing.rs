//! What two owners share, and whether they see it alike.

use kvorum_antientropy::LeafKey;
use kvorum_ring::{ClassId, NodeId, PartitionId};

use crate::engine::view::ClusterView;

/// The partitions of a class that both own, ascending.
pub(crate) fn shared(
    view: &ClusterView,
    class: ClassId,
    one: NodeId,
    other: NodeId,
) -> Vec<PartitionId> {
    let is_shared = |partition: &PartitionId| {
        let preference = view.layout.preference(class, *partition);
        preference.is_some_and(|owners| owners.is_owner(one) && owners.is_owner(other))
    };
    view.layout.partitions().partitions().filter(is_shared).collect()
}

/// By what trees are made and partitions shared out: two owners compare only where both agree on it.
pub(crate) fn scope(view: &ClusterView) -> u64 {
    let key = LeafKey::derived_from(&view.context_keys.current).id();
    let layout = view.layout.name();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.to_be_bytes());
    hasher.update(layout.to_string().as_bytes());
    let mut scope = [0; 8];
    hasher.finalize_xof().fill(&mut scope);
    u64::from_be_bytes(scope)
}
