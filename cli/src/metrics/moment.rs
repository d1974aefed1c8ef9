//! What every node tells at one moment, or why it tells nothing.
//!
//! All are asked at once, each through the client's own connections and rights, so that one that hangs holds up no other.

use std::time::{Duration, Instant};

use kvorum_client::{Client, ConnectError, Endpoint, ErrorKind, OperationError};
use kvorum_protocol::message::ErrorClass;
use kvorum_ring::NodeId;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::metrics::Metrics;

/// The section of a diagnosis that holds the figures.
const SECTION: &str = "metrics";

/// Why a node has told nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Silence {
    /// It cannot be reached at this place, for this reason.
    #[error("does not answer: {0}: {1}")]
    Unreachable(Endpoint, ConnectError),
    /// It could not be asked, or said no.
    #[error("tells nothing: {0}")]
    Failed(OperationError),
    /// It did not answer in time.
    #[error("does not answer within {} s", .0.as_secs_f64())]
    TooLate(Duration),
    /// Its version has no figures.
    #[error("tells nothing: its version has no figures")]
    NoFigures,
}

impl Silence {
    /// The node answered that we may not ask this: no outage, and waiting does not help.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Silence::Failed(error) if error.class() == ErrorClass::Refused)
    }

    fn of(error: OperationError) -> Silence {
        match &error.kind {
            ErrorKind::NoNode(causes) => match causes.last() {
                Some((place, cause)) => Silence::Unreachable(place.clone(), cause.clone()),
                None => Silence::Failed(error),
            },
            _ => Silence::Failed(error),
        }
    }
}

/// One node's answer.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Whose.
    pub(crate) node: NodeId,
    /// What people call it.
    pub(crate) name: String,
    /// Its figures.
    pub(crate) metrics: Result<Metrics, Silence>,
}

/// The nodes' figures at one moment, by name.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// When the last answer had come, by our clock.
    pub(crate) at: Instant,
    /// A line for each node that was asked.
    pub(crate) nodes: Vec<Told>,
}

impl Moment {
    /// Asks every node, or the one, and waits for each at most as long as the client's deadline and `patience` allow.
    pub(crate) async fn ask(client: &Client, only: Option<NodeId>, patience: Duration) -> Moment {
        let topology = client.topology();
        let mut asking = JoinSet::new();
        for node in &topology.nodes {
            if only.is_none_or(|only| only == node.id) {
                let (client, node, name) = (client.clone(), node.id, node.name.clone());
                asking.spawn(async move {
                    let answer = timeout(patience, ask_one(&client, node)).await;
                    let metrics = answer.unwrap_or(Err(Silence::TooLate(patience)));
                    Told { node, name, metrics }
                });
            }
        }
        // A question that panicked is none; the panic itself was printed.
        let mut nodes = asking.join_all().await;
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        Moment { at: Instant::now(), nodes }
    }

    /// The figures of a node, if it told them.
    pub(crate) fn of(&self, node: NodeId) -> Option<&Metrics> {
        let told = self.nodes.iter().find(|told| told.node == node)?;
        told.metrics.as_ref().ok()
    }
}

async fn ask_one(client: &Client, node: NodeId) -> Result<Metrics, Silence> {
    let diagnosis = client.diagnosis_of(node, &[SECTION]).await.map_err(Silence::of)?;
    let section = diagnosis.sections.into_iter().find(|section| section.name == SECTION);
    section.map(|section| Metrics::parse(&section.text)).ok_or(Silence::NoFigures)
}

#[cfg(test)]
impl Moment {
    /// Nodes n1, n2, .. that tell these figures or do not answer.
    pub(crate) fn sample<const N: usize>(at: Instant, nodes: [Option<Metrics>; N]) -> Moment {
        let told = |(position, metrics): (usize, Option<Metrics>)| Told {
            node: NodeId(position as u128 + 1),
            name: format!("n{}", position + 1),
            metrics: metrics.ok_or(Silence::TooLate(Duration::from_secs(1))),
        };
        Moment { at, nodes: nodes.into_iter().enumerate().map(told).collect() }
    }
}
