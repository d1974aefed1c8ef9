//! Which node to ask, in which order.
//!
//! A request for a key goes to the first reachable node of its preference list: that one coordinates it, and every other
//! choice costs a forward. Other requests may go anywhere, so they are spread. A retry of something that may have been
//! applied goes back to its first coordinator, which knows the operation.

use kvorum_protocol::message::Request;
use kvorum_ring::NodeId;

use crate::topology::Topology;

/// Every node in the order in which it should be asked. `first` is the coordinator of an earlier attempt that may have
/// applied the request; `spread` shifts the nodes that have no reason to come first.
pub(crate) fn order(
    topology: &Topology,
    request: &Request,
    first: Option<NodeId>,
    spread: usize,
) -> Vec<NodeId> {
    let place = request.key().and_then(|(bucket, key)| topology.place_of(bucket, key));
    let mut order: Vec<NodeId> = first.into_iter().collect();
    if let Some(place) = place {
        let preferred = place.owners.iter().chain(&place.fallbacks);
        // A node that is believed down is asked only when all others of its kind have failed.
        order.extend(preferred.clone().filter(|node| is_up(topology, **node)));
        order.extend(preferred);
    }
    let count = topology.nodes.len();
    let shifted = (0..count).map(|position| &topology.nodes[(position + spread) % count]);
    order.extend(shifted.clone().filter(|node| node.up).map(|node| node.id));
    order.extend(shifted.map(|node| node.id));
    let mut seen = std::collections::BTreeSet::new();
    order.retain(|node| seen.insert(*node));
    order
}

fn is_up(topology: &Topology, node: NodeId) -> bool {
    topology.node(node).is_some_and(|node| node.up)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use kvorum_protocol::message::{
        BucketSettings, Get, Nothing, Request, RequestOptions, TopologyNode,
    };
    use kvorum_protocol::{Key, OperationId};
    use kvorum_ring::{
        ClassId, Layout, LayoutInput, Member, NodeId, PartitionCount, ReplicationClass,
    };

    use super::order;
    use crate::topology::Topology;

    pub(crate) fn topology(nodes: u128) -> Topology {
        let member = |id| Member::new(NodeId(id));
        let input = LayoutInput {
            lineage: 1,
            version: 1,
            partitions: PartitionCount::new(16).expect("a power of two"),
            classes: vec![ReplicationClass::new(ClassId(0), 3).expect("three copies")],
            members: (1..=nodes).map(member).collect(),
        };
        let node = |id| TopologyNode {
            id: NodeId(id),
            name: format!("n{id}"),
            zone: "default".to_owned(),
            weight: 100,
            peer_address: String::new(),
            client_address: String::new(),
            admin_address: String::new(),
            up: true,
        };
        let bucket = "default".parse().expect("a name");
        Topology {
            cluster: "test".to_owned(),
            told_by: NodeId(1),
            nodes: (1..=nodes).map(node).collect(),
            layout: Layout::plan(input, None).expect("a layout"),
            buckets: BTreeMap::from([(bucket, BucketSettings::default())]),
        }
    }

    fn get(key: &'static str) -> Request {
        let options = RequestOptions::new(OperationId(1));
        let key = Key::new(key.as_bytes()).expect("a key");
        Request::Get(Get { bucket: "default".parse().expect("a name"), key, options })
    }

    fn preferred(topology: &Topology, request: &Request) -> Vec<NodeId> {
        let (bucket, key) = request.key().expect("a request for a key");
        let place = topology.place_of(bucket, key).expect("a known bucket");
        place.owners.into_iter().chain(place.fallbacks).collect()
    }

    #[test]
    fn a_request_for_a_key_follows_its_preference_list_and_every_node_comes_once() {
        let topology = topology(7);
        for key in ["a", "b", "c", "d", "e"] {
            let request = get(key);
            let order = order(&topology, &request, None, 3);
            let preferred = preferred(&topology, &request);
            assert_eq!(order[..preferred.len()], preferred[..]);
            let mut all: Vec<NodeId> = order.clone();
            all.sort_unstable();
            assert_eq!(all, topology.nodes.iter().map(|node| node.id).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_node_believed_down_comes_behind_the_others_of_the_list() {
        let mut topology = topology(7);
        let request = get("a");
        let preferred = preferred(&topology, &request);
        for node in &mut topology.nodes {
            node.up = node.id != preferred[0];
        }
        let order = order(&topology, &request, None, 0);
        assert_eq!(order[0], preferred[1]);
        assert_eq!(order[preferred.len() - 1], preferred[0]);
    }

    #[test]
    fn a_retry_begins_with_its_first_coordinator() {
        let topology = topology(7);
        let request = get("a");
        let last = preferred(&topology, &request)[2];
        assert_eq!(order(&topology, &request, Some(last), 0)[0], last);
    }

    #[test]
    fn requests_without_a_key_are_spread() {
        let topology = topology(3);
        let request = Request::Status(Nothing {});
        let firsts: Vec<NodeId> =
            (0..3).map(|spread| order(&topology, &request, None, spread)[0]).collect();
        assert_eq!(firsts, [NodeId(1), NodeId(2), NodeId(3)]);
    }
}
