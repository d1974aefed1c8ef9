//! The client: what is shared by everything that a program asks of one cluster.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvorum_protocol::codec::Invalid;
use kvorum_protocol::message::{
    Bucket as BucketDescription, Nothing, Request, Response, TopologyNode,
};
use kvorum_protocol::{BucketName, OperationId};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout_at};

use crate::bucket::Bucket;
use crate::config::Config;
use crate::connection::{Connection, NoAnswer};
use crate::endpoint::{Endpoint, Transport};
use crate::error::{ConnectError, OpenError, TopologyError};
use crate::limits;
use crate::nodes::{Insistence, Nodes};
use crate::topology::Topology;
use crate::transport::Dialler;

/// A handle to a cluster. Cheap to clone; all clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) nodes: Nodes,
    pub(crate) deadline: Duration,
    pub(crate) attempts: u32,
    seeds: Vec<Endpoint>,
    known: Mutex<Known>,
    refreshing: AsyncMutex<()>,
    spread: AtomicUsize,
    /// A node could not be reached: the topology may know by now that it is down.
    doubted: AtomicBool,
}

#[derive(Debug, Clone)]
struct Known {
    topology: Arc<Topology>,
    since: Instant,
    /// The transport that the seed insisted on, or plaintext: the other nodes are reached the same way.
    transport: Option<Transport>,
}

impl Client {
    /// Connects to the first of the endpoints that answers and learns the cluster from it.
    ///
    /// # Errors
    /// [`OpenError`] says why each endpoint cannot be used.
    pub async fn connect(config: Config) -> Result<Client, OpenError> {
        let dialler = Dialler::new(config.identity, config.token);
        let nodes = Nodes::new(dialler, config.cluster, config.in_flight);
        let (connection, seed) =
            nodes.first_of(&config.endpoints).await.map_err(OpenError::NoNode)?;
        let known = learn(&connection, &seed, config.deadline).await;
        let known = known
            .map_err(|not| OpenError::Topology { node: connection.node(), error: not.error })?;
        let shared = Shared {
            nodes,
            deadline: config.deadline,
            attempts: config.attempts,
            seeds: config.endpoints,
            known: Mutex::new(known),
            refreshing: AsyncMutex::default(),
            spread: AtomicUsize::new(rand::random_range(0..limits::NODES)),
            doubted: AtomicBool::new(false),
        };
        Ok(Client { shared: Arc::new(shared) })
    }

    /// A bucket of this cluster. Whether it exists shows when it is used.
    ///
    /// # Errors
    /// [`Invalid`] when this cannot be the name of a bucket.
    pub fn bucket(&self, name: &str) -> Result<Bucket, Invalid> {
        Ok(self.bucket_named(name.parse()?))
    }

    /// A bucket whose name has been checked already.
    pub fn bucket_named(&self, name: BucketName) -> Bucket {
        Bucket::new(self.clone(), name)
    }

    /// The cluster as it was last heard of; at most some 30 seconds old while requests are made.
    pub fn topology(&self) -> Arc<Topology> {
        self.shared.known().topology
    }

    /// Asks for the topology now.
    ///
    /// # Errors
    /// [`OpenError`] when nobody could be asked; the topology stays what it was.
    pub async fn refresh_topology(&self) -> Result<Arc<Topology>, OpenError> {
        self.shared.learn_again().await?;
        Ok(self.topology())
    }

    /// A fresh operation id.
    pub fn draw_operation() -> OperationId {
        OperationId(rand::random())
    }
}

impl Shared {
    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The topology, asked for again when it is old, or when `wanted` and the last question is a moment ago. A failure
    /// leaves the old one: it is only a hint. So does an answer that has not come by `end`.
    pub(crate) async fn topology(&self, wanted: bool, end: Instant) -> Arc<Topology> {
        let known = self.known();
        let age = known.since.elapsed();
        let wanted = wanted || self.doubted.load(Ordering::Relaxed);
        if age < limits::TOPOLOGY_AGE && !(wanted && age >= limits::TOPOLOGY_PAUSE) {
            return known.topology;
        }
        self.doubted.store(false, Ordering::Relaxed);
        match timeout_at(end, self.learn_again()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the topology could not be asked for again"),
            Err(_) => tracing::debug!("the topology did not come in time"),
        }
        self.known().topology
    }

    /// Shifts requests that may go to any node.
    pub(crate) fn next_spread(&self) -> usize {
        self.spread.fetch_add(1, Ordering::Relaxed)
    }

    /// A node could not be reached: the next request asks for the topology first.
    pub(crate) fn doubt_topology(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// A connection to a member.
    pub(crate) async fn reach(
        &self,
        node: &TopologyNode,
        insistence: Insistence,
    ) -> Result<Arc<Connection>, (Endpoint, ConnectError)> {
        if let Some(connection) = self.nodes.open_connection(node.id) {
            return Ok(connection);
        }
        let endpoint = endpoint_of(node, self.known().transport);
        let endpoint = endpoint.ok_or_else(|| (Endpoint::unknown(), ConnectError::NoAddress))?;
        let connection = self.nodes.connection(node.id, &endpoint, insistence).await;
        connection.map_err(|error| (endpoint, error))
    }

    /// Asks any reachable member, then the seeds; whoever comes second waits for the first one's answer.
    async fn learn_again(&self) -> Result<(), OpenError> {
        let begun = Instant::now();
        let _alone = self.refreshing.lock().await;
        let known = self.known();
        if known.since > begun {
            return Ok(());
        }
        let mut members: Vec<&TopologyNode> = known.topology.nodes.iter().collect();
        let shift = self.next_spread() % members.len().max(1);
        members.rotate_left(shift);
        members.sort_by_key(|node| !node.up);
        for node in members {
            let Ok(connection) = self.reach(node, Insistence::AnyNode).await else { continue };
            let seed = Endpoint { transport: known.transport, ..Endpoint::unknown() };
            match learn(&connection, &seed, limits::TOPOLOGY_PATIENCE).await {
                Ok(known) => {
                    self.remember(known);
                    return Ok(());
                }
                Err(NotLearnt { is_silent: true, .. }) => self.nodes.abandon(&connection),
                Err(_) => {}
            }
        }
        let (connection, seed) =
            self.nodes.first_of(&self.seeds).await.map_err(OpenError::NoNode)?;
        let node = connection.node();
        let known = learn(&connection, &seed, limits::CONNECT_PATIENCE).await;
        let known = known.map_err(|not| OpenError::Topology { node, error: not.error });
        self.remember(known?);
        Ok(())
    }

    fn remember(&self, fresh: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

/// Why a node's topology could not be had.
struct NotLearnt {
    error: TopologyError,
    /// Its connection says nothing at all.
    is_silent: bool,
}

impl From<TopologyError> for NotLearnt {
    fn from(error: TopologyError) -> NotLearnt {
        NotLearnt { error, is_silent: false }
    }
}

/// Asks a node for the topology and the buckets.
async fn learn(
    connection: &Connection,
    seed: &Endpoint,
    patience: Duration,
) -> Result<Known, NotLearnt> {
    let told = match connection.ask(&Request::Topology(Nothing {}), patience).await {
        Ok(Response::Topology(told)) => told,
        other => return Err(not_learnt(other)),
    };
    let buckets: Vec<BucketDescription> =
        match connection.ask(&Request::BucketList(Nothing {}), patience).await {
            Ok(Response::Buckets(list)) => list.buckets,
            other => return Err(not_learnt(other)),
        };
    let transport = match connection.transport() {
        Transport::Plain => Some(Transport::Plain),
        _ => seed.transport,
    };
    let topology = Arc::new(Topology::from_wire(told, buckets)?);
    Ok(Known { topology, since: Instant::now(), transport })
}

fn not_learnt(answer: Result<Response, NoAnswer>) -> NotLearnt {
    let is_silent = matches!(answer, Err(NoAnswer::Silent));
    let error = match answer {
        Err(_) => TopologyError::NoAnswer,
        Ok(Response::Error { error }) => TopologyError::Answered(error),
        Ok(_) => TopologyError::UnexpectedAnswer,
    };
    NotLearnt { error, is_silent }
}

/// Where clients reach a member.
fn endpoint_of(node: &TopologyNode, transport: Option<Transport>) -> Option<Endpoint> {
    let address: Endpoint = node.client_address.parse().ok()?;
    Some(Endpoint { node: Some(node.id), transport, ..address })
}
