//! How a cluster is doing: every node asked for itself, and every partition judged by the nodes that answered.
//!
//! A node counts as up when it answers us. What it believes about its peers is shown beside that, because the difference
//! (we reach it, its peers do not) is the one that explains failed quorums.

use std::collections::BTreeMap;

use kvorum_client::{Client, OperationError, Topology};
use kvorum_protocol::message::StatusDone;
use kvorum_ring::NodeId;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::exit_code::ExitCode;

/// Partitions below quorum that are named: enough to look one up, few enough to read.
const NAMED_PARTITIONS: usize = 16;

/// What every node said, or why it said nothing.
#[derive(Debug)]
pub(crate) struct Health {
    /// By node, in the order of their names.
    pub(crate) nodes: Vec<NodeHealth>,
    /// The partitions.
    pub(crate) partitions: Partitions,
}

/// One node.
#[derive(Debug)]
pub(crate) struct NodeHealth {
    /// The node.
    pub(crate) id: NodeId,
    /// What people call it.
    pub(crate) name: String,
    /// Its own figures; why there are none.
    pub(crate) status: Result<StatusDone, OperationError>,
    /// The names of those nodes that believe it down although they answer.
    pub(crate) doubted_by: Vec<String>,
}

/// How many partitions have what they need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Partitions {
    /// All owners are up.
    pub(crate) healthy: u32,
    /// An owner is down, and a majority is up.
    pub(crate) degraded: u32,
    /// No majority of the owners is up.
    pub(crate) below_quorum: u32,
    /// The first of those that are below quorum, by number.
    pub(crate) first_below_quorum: Vec<u32>,
}

impl Partitions {
    /// Judges every partition of every class by the nodes that are up.
    pub(crate) fn judge(topology: &Topology, is_up: impl Fn(NodeId) -> bool) -> Partitions {
        let layout = &topology.layout;
        let mut judged = Partitions::default();
        for class in layout.classes() {
            for partition in layout.partitions().partitions() {
                let Some(preference) = layout.preference(class.id(), partition) else { continue };
                let owners = preference.owners().len();
                let up = preference.owners().filter(|owner| is_up(*owner)).count();
                if up == owners {
                    judged.healthy += 1;
                } else if up > owners / 2 {
                    judged.degraded += 1;
                } else {
                    judged.below_quorum += 1;
                    if judged.first_below_quorum.len() < NAMED_PARTITIONS {
                        judged.first_below_quorum.push(partition.0);
                    }
                }
            }
        }
        judged
    }

    /// The exit code of `kv status`.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Partitions { below_quorum: 1.., .. } => ExitCode::BelowQuorum,
            Partitions { degraded: 1.., .. } => ExitCode::Degraded,
            _ => ExitCode::Success,
        }
    }

    /// One word.
    pub(crate) fn word(&self) -> &'static str {
        match self.code() {
            ExitCode::BelowQuorum => "below quorum",
            ExitCode::Degraded => "degraded",
            _ => "healthy",
        }
    }
}

impl Health {
    /// Asks every member at once.
    pub(crate) async fn ask(client: &Client) -> Health {
        let topology = client.topology();
        let mut asking = JoinSet::new();
        for node in &topology.nodes {
            let (client, id) = (client.clone(), node.id);
            asking.spawn(async move { (id, client.status_of(id).await) });
        }
        let mut answers = BTreeMap::new();
        while let Some(answer) = asking.join_next().await {
            // A question that panicked is a node without an answer; the panic itself was printed.
            if let Ok((id, status)) = answer {
                answers.insert(id, status);
            }
        }
        let doubts = doubts(&topology, &answers);
        let is_up = |id: NodeId| answers.get(&id).is_some_and(Result::is_ok);
        let partitions = Partitions::judge(&topology, is_up);
        let mut nodes: Vec<NodeHealth> = answers
            .into_iter()
            .map(|(id, status)| NodeHealth {
                id,
                name: topology.name_of(id),
                status,
                doubted_by: doubts.get(&id).cloned().unwrap_or_default(),
            })
            .collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        Health { nodes, partitions }
    }

    /// The exit code of `kv status`: a node that is up but not seen by its peers degrades the cluster too.
    pub(crate) fn code(&self) -> ExitCode {
        let is_doubted =
            self.nodes.iter().any(|node| node.status.is_ok() && !node.doubted_by.is_empty());
        match self.partitions.code() {
            ExitCode::Success
                if is_doubted || self.nodes.iter().any(|node| node.status.is_err()) =>
            {
                ExitCode::Degraded
            }
            code => code,
        }
    }
}

/// Who believes whom down.
fn doubts(
    topology: &Topology,
    answers: &BTreeMap<NodeId, Result<StatusDone, OperationError>>,
) -> BTreeMap<NodeId, Vec<String>> {
    let mut doubts: BTreeMap<NodeId, Vec<String>> = BTreeMap::new();
    for (observer, status) in answers {
        let Ok(status) = status else { continue };
        for peer in status.peers.iter().filter(|peer| !peer.up && peer.node != *observer) {
            doubts.entry(peer.node).or_default().push(topology.name_of(*observer));
        }
    }
    doubts.values_mut().for_each(|names| names.sort());
    doubts
}

#[cfg(test)]
mod tests {
    use super::Partitions;
    use crate::exit_code::ExitCode;

    #[test]
    fn the_worst_partition_decides() {
        let code = |degraded, below_quorum| {
            Partitions { healthy: 9, degraded, below_quorum, ..Partitions::default() }.code()
        };
        assert_eq!(code(0, 0), ExitCode::Success);
        assert_eq!(code(1, 0), ExitCode::Degraded);
        assert_eq!(code(1, 1), ExitCode::BelowQuorum);
    }
}
