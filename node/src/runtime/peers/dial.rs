//! The dialling side: one task for each peer with a higher id and each purpose, for as long as the process runs.

use std::net::SocketAddr;
use std::rc::Rc;

use kvorum_ring::NodeId;
use quinn::{Connection, Endpoint};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::runtime::clock::Clock;
use crate::runtime::faults::{Faults, Gate, Who};
use crate::runtime::limits;
use crate::runtime::peers::backoff::Backoff;
use crate::runtime::peers::close::CloseCode;
use crate::runtime::peers::event::{Members, PeerEvent, Purpose};
use crate::runtime::peers::greeting::PeerHello;
use crate::runtime::peers::link::{Duplex, Greeted, LinkNumbers, carry};
use crate::runtime::security::Current;

/// What all dialling tasks of a node share.
pub(crate) struct Dialler {
    pub(crate) endpoint: Endpoint,
    pub(crate) security: Current,
    /// Certificates that are not accepted.
    pub(crate) faults: Rc<Faults>,
    pub(crate) cluster: String,
    pub(crate) process: u64,
    pub(crate) clock: Clock,
    pub(crate) members: watch::Receiver<Members>,
    pub(crate) numbers: Rc<LinkNumbers>,
    pub(crate) events: mpsc::Sender<PeerEvent>,
}

/// How one attempt ended.
enum Attempt {
    /// The connection was up and is lost.
    Carried,
    /// There was no connection.
    Failed,
    /// The peer says that another process has this node's id.
    Duplicate,
}

impl Dialler {
    /// Keeps the three connections to a member up from now on, at whatever address it has when it is dialled. `seed` begins
    /// the jitter of the reconnections.
    pub(crate) fn keep_connected(self: &Rc<Dialler>, peer: NodeId, seed: u64) {
        for (number, purpose) in (0..).zip(Purpose::ALL) {
            let backoff = Backoff::new(StdRng::seed_from_u64(seed.wrapping_add(number)));
            spawn_local(self.clone().keep(peer, purpose, backoff));
        }
    }

    async fn keep(self: Rc<Dialler>, peer: NodeId, purpose: Purpose, mut backoff: Backoff) {
        let mut duplicate_since: Option<Instant> = None;
        while !self.events.is_closed() {
            match self.attempt(peer, purpose).await {
                Attempt::Carried => {
                    backoff.reset();
                    duplicate_since = None;
                }
                Attempt::Failed => duplicate_since = None,
                Attempt::Duplicate => {
                    let since = *duplicate_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= limits::DUPLICATE_FOR {
                        let _ = self.events.send(PeerEvent::Duplicate).await;
                        return;
                    }
                }
            }
            sleep(backoff.next()).await;
        }
    }

    async fn attempt(&self, peer: NodeId, purpose: Purpose) -> Attempt {
        let address = self.members.borrow().get(&peer).cloned().unwrap_or_default();
        let Some(address) = resolve(&address).await else {
            tracing::debug!(%peer, address, "the peer's address does not resolve");
            return Attempt::Failed;
        };
        let name = peer.dns_name();
        let who = Who::Node(peer, address);
        let tls = self.security.borrow().dial.clone();
        let connecting = match self.endpoint.connect_with(tls, address, &name) {
            Ok(connecting) => connecting,
            Err(error) => {
                tracing::warn!(%peer, %address, %error, "cannot dial");
                return Attempt::Failed;
            }
        };
        let connection = match timeout(limits::CONNECT_WITHIN, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) if self.faults.in_quic(Gate::Dialled, who, &error) => {
                return Attempt::Failed;
            }
            Ok(Err(error)) => {
                tracing::debug!(%peer, %address, ?purpose, %error, "no connection");
                return Attempt::Failed;
            }
            Err(_) => return Attempt::Failed,
        };
        match timeout(limits::GREETING_WITHIN, self.greet(peer, &connection, purpose)).await {
            Ok(Ok(greeted)) => {
                carry(greeted, self.clock, self.events.clone()).await;
                Attempt::Carried
            }
            // Refused after this side of the handshake had ended.
            Ok(Err(_))
                if connection
                    .close_reason()
                    .is_some_and(|reason| self.faults.in_quic(Gate::Dialled, who, &reason)) =>
            {
                Attempt::Failed
            }
            Ok(Err(code)) => refused(peer, purpose, &connection, code),
            Err(_) => refused(peer, purpose, &connection, CloseCode::Protocol),
        }
    }

    async fn greet(
        &self,
        peer: NodeId,
        connection: &Connection,
        purpose: Purpose,
    ) -> Result<Greeted, CloseCode> {
        let hello = PeerHello::new(&self.cluster, self.process, purpose);
        let main = open(connection, &hello).await?;
        let facts = match purpose {
            Purpose::Requests => Some(open(connection, &hello).await?),
            Purpose::Membership | Purpose::Bulk => None,
        };
        let id = self.numbers.next();
        let mut greeted =
            Greeted { peer, purpose, id, connection: connection.clone(), main, facts };
        for stream in [Some(&mut greeted.main), greeted.facts.as_mut()].into_iter().flatten() {
            PeerHello::receive(&mut stream.receive).await?.check(&self.cluster)?;
        }
        Ok(greeted)
    }
}

/// Every stream begins with a hello: it makes the stream known to the other side.
async fn open(connection: &Connection, hello: &PeerHello) -> Result<Duplex, CloseCode> {
    let (mut send, receive) = connection.open_bi().await.map_err(|_| CloseCode::Protocol)?;
    hello.send(&mut send).await?;
    Ok(Duplex { send, receive })
}

/// A greeting that failed: by the other side's close, if there is one, or by ours.
fn refused(peer: NodeId, purpose: Purpose, connection: &Connection, code: CloseCode) -> Attempt {
    match connection.close_reason() {
        Some(reason) if CloseCode::Duplicate.is_reason_of(&reason) => Attempt::Duplicate,
        Some(reason) => {
            tracing::warn!(%peer, ?purpose, %reason, "the peer refused this node");
            Attempt::Failed
        }
        None => {
            tracing::warn!(%peer, ?purpose, ?code, "the greeting failed");
            code.close(connection);
            Attempt::Failed
        }
    }
}

async fn resolve(address: &str) -> Option<SocketAddr> {
    tokio::net::lookup_host(address).await.ok()?.next()
}
