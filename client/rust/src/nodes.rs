//! One connection to each node, opened when first needed and again after it broke.
//!
//! Whoever finds no connection opens one while the others wait for it, so a crowd of requests makes one connection. A
//! node that cannot be reached rests for a moment: requests that come meanwhile go elsewhere at once instead of each
//! waiting for the same failure.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvorum_ring::NodeId;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{Connection, Expected};
use crate::endpoint::Endpoint;
use crate::error::ConnectError;
use crate::limits;
use crate::transport::Dialler;

/// After how long the next seed is tried beside those that have not answered yet.
const SEED_STAGGER: Duration = Duration::from_millis(250);

/// The way to one node.
#[derive(Debug, Default)]
struct Link {
    state: AsyncMutex<LinkState>,
    /// The last attempt to connect failed.
    has_failed: AtomicBool,
}

#[derive(Debug, Default)]
struct LinkState {
    connection: Option<Arc<Connection>>,
    rests_until: Option<Instant>,
}

/// Whether another node would do as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insistence {
    /// It would: a node that could not be reached a moment ago is not tried again yet.
    AnyNode,
    /// The question is about this very node.
    ThisNode,
}

/// Connections by node.
#[derive(Debug)]
pub(crate) struct Nodes {
    dialler: Arc<Dialler>,
    cluster: Mutex<Option<Arc<str>>>,
    links: Mutex<BTreeMap<NodeId, Arc<Link>>>,
    /// Requests in flight on one connection.
    in_flight: usize,
}

impl Nodes {
    pub(crate) fn new(dialler: Dialler, cluster: Option<Arc<str>>, in_flight: usize) -> Nodes {
        let (dialler, cluster) = (Arc::new(dialler), Mutex::new(cluster));
        Nodes { dialler, cluster, links: Mutex::default(), in_flight }
    }

    fn link(&self, node: NodeId) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(links.entry(node).or_default())
    }

    fn cluster(&self) -> Option<Arc<str>> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection to `node` if it is open and nobody is just changing that. What nearly every request finds.
    pub(crate) fn open_connection(&self, node: NodeId) -> Option<Arc<Connection>> {
        let link = self.link(node);
        let state = link.state.try_lock().ok()?;
        state.connection.as_ref().filter(|connection| connection.is_open()).map(Arc::clone)
    }

    /// An open connection to `node`, which listens at `endpoint`.
    pub(crate) async fn connection(
        &self,
        node: NodeId,
        endpoint: &Endpoint,
        insistence: Insistence,
    ) -> Result<Arc<Connection>, ConnectError> {
        let insists = insistence == Insistence::ThisNode;
        let link = self.link(node);
        let mut state = match link.state.try_lock() {
            Ok(state) => state,
            // Somebody is trying again what failed a moment ago: do not wait for the same failure.
            Err(_) if !insists && link.has_failed.load(Ordering::Relaxed) => {
                return Err(ConnectError::Resting);
            }
            Err(_) => link.state.lock().await,
        };
        if let Some(connection) =
            state.connection.as_ref().filter(|connection| connection.is_open())
        {
            return Ok(Arc::clone(connection));
        }
        state.connection = None;
        if !insists && state.rests_until.is_some_and(|until| Instant::now() < until) {
            return Err(ConnectError::Resting);
        }
        let expected = Expected { node: Some(node), cluster: self.cluster() };
        match dial(&self.dialler, endpoint, &expected, self.in_flight).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                state.connection = Some(Arc::clone(&connection));
                state.rests_until = None;
                link.has_failed.store(false, Ordering::Relaxed);
                Ok(connection)
            }
            Err(error) => {
                state.rests_until = Some(Instant::now() + limits::UNREACHABLE_REST);
                link.has_failed.store(true, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// A connection is silent: it is given up, and its node is passed over for a while. Requests that still wait on it keep
    /// it until they have ended. Nothing happens when it has been given up before, however many find it silent: the one
    /// that was opened since may be well.
    pub(crate) fn abandon(&self, silent: &Arc<Connection>) {
        let link = self.link(silent.node());
        // Whoever holds the lock has found no open connection, and is opening another one.
        let Ok(mut state) = link.state.try_lock() else { return };
        if state.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, silent)) {
            let rests_until = Some(Instant::now() + limits::SILENT_REST);
            *state = LinkState { connection: None, rests_until };
            link.has_failed.store(true, Ordering::Relaxed);
        }
    }

    /// The first connection that any of these endpoints gives, and the endpoint that gave it. From then on only nodes of
    /// the same cluster are accepted.
    pub(crate) async fn first_of(
        &self,
        seeds: &[Endpoint],
    ) -> Result<(Arc<Connection>, Endpoint), Vec<(Endpoint, ConnectError)>> {
        let mut dialling = JoinSet::new();
        let mut failed = Vec::new();
        let mut waiting = seeds.iter();
        loop {
            if let Some(seed) = waiting.next() {
                let (dialler, seed, cluster) =
                    (Arc::clone(&self.dialler), seed.clone(), self.cluster());
                let in_flight = self.in_flight;
                dialling.spawn(async move {
                    let expected = Expected { node: seed.node, cluster };
                    (dial(&dialler, &seed, &expected, in_flight).await, seed)
                });
            }
            let next = tokio::select! {
                next = dialling.join_next() => next,
                () = sleep(SEED_STAGGER), if waiting.len() > 0 => continue,
            };
            match next {
                Some(Ok((Ok(connection), seed))) => {
                    return Ok((self.adopt(connection).await, seed));
                }
                Some(Ok((Err(error), seed))) => failed.push((seed, error)),
                // A task that was cancelled or panicked answered nothing.
                Some(Err(_)) => {}
                None if waiting.len() == 0 => return Err(failed),
                None => {}
            }
        }
    }

    async fn adopt(&self, connection: Connection) -> Arc<Connection> {
        let connection = Arc::new(connection);
        self.cluster
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| Arc::clone(connection.cluster()));
        let link = self.link(connection.node());
        let mut state = link.state.lock().await;
        state.rests_until = None;
        // Others may be waiting for answers on the one that is there.
        if !state.connection.as_ref().is_some_and(|current| current.is_open()) {
            state.connection = Some(Arc::clone(&connection));
        }
        link.has_failed.store(false, Ordering::Relaxed);
        connection
    }
}

/// Opens a connection over the first transport that works.
async fn dial(
    dialler: &Dialler,
    endpoint: &Endpoint,
    expected: &Expected,
    in_flight: usize,
) -> Result<Connection, ConnectError> {
    let mut last = ConnectError::NoAddress;
    let transports = endpoint.transports();
    for (position, transport) in transports.iter().enumerate() {
        let is_last = position + 1 == transports.len();
        let patience = if is_last { limits::CONNECT_PATIENCE } else { limits::OTHERWISE_PATIENCE };
        let opening = async {
            let stream = dialler.open(endpoint, *transport).await?;
            Connection::open(stream, *transport, dialler.hello(), expected, in_flight).await
        };
        match timeout(patience, opening).await {
            Ok(Ok(connection)) => return Ok(connection),
            // The node has spoken; over another transport it would say the same, and show the same certificate.
            Ok(Err(
                error @ (ConnectError::Refused(_)
                | ConnectError::NodeCertificate { .. }
                | ConnectError::OwnCertificate { .. }),
            )) => return Err(error),
            Ok(Err(error)) => last = error,
            Err(_) => last = ConnectError::TimedOut,
        }
    }
    Err(last)
}
