//! The accepting side.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use kvorum_ring::NodeId;
use quinn::{Connection, Endpoint, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::identity::PeerName;
use crate::runtime::clock::Clock;
use crate::runtime::faults::{Faults, Gate, Who};
use crate::runtime::limits;
use crate::runtime::peers::close::CloseCode;
use crate::runtime::peers::event::{Members, PeerEvent, Purpose};
use crate::runtime::peers::greeting::PeerHello;
use crate::runtime::peers::link::{Duplex, Greeted, LinkNumbers, carry};
use crate::runtime::strangers::{Stranger, Strangers};

/// What the accepting tasks of a node share.
pub(crate) struct Acceptor {
    pub(crate) me: NodeId,
    pub(crate) cluster: String,
    pub(crate) process: u64,
    pub(crate) clock: Clock,
    pub(crate) members: watch::Receiver<Members>,
    pub(crate) numbers: Rc<LinkNumbers>,
    pub(crate) events: mpsc::Sender<PeerEvent>,
    /// Connections that have not been greeted.
    pub(crate) strangers: Rc<Strangers>,
    /// Certificates that are not accepted.
    pub(crate) faults: Rc<Faults>,
    /// Which process each connection belongs to. The connections of one thread's tasks; borrowed for a line at a time.
    pub(crate) accepted: RefCell<BTreeMap<(NodeId, Purpose), (u64, Connection)>>,
}

/// Accepts peers until the endpoint is closed.
pub(crate) async fn accept(endpoint: Endpoint, acceptor: Rc<Acceptor>) {
    while let Some((incoming, stranger)) = acceptor.strangers.accept_quic(&endpoint).await {
        spawn_local(serve(acceptor.clone(), incoming, stranger));
    }
}

async fn serve(acceptor: Rc<Acceptor>, incoming: Incoming, mut stranger: Stranger) {
    let address = incoming.remote_address();
    let connection = match stranger.until(async { incoming.await }).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) if acceptor.faults.in_quic(Gate::Peers, acceptor.who(address), &error) => {
            return;
        }
        // It never finished, or speaks something else: a scanner, usually.
        Ok(Err(error)) => {
            return tracing::info!(%address, %error, "a connection to the peers' port failed");
        }
        Err(error) => return tracing::debug!(%address, %error, "a connection to the peers' port"),
    };
    let greeted = stranger.until(acceptor.greet(&connection)).await;
    let greeted = greeted.unwrap_or(Err(CloseCode::Protocol));
    drop(stranger);
    match greeted {
        Ok(greeted) => {
            let key = (greeted.peer, greeted.purpose);
            let id = greeted.connection.stable_id();
            carry(greeted, acceptor.clock, acceptor.events.clone()).await;
            let mut accepted = acceptor.accepted.borrow_mut();
            if accepted.get(&key).is_some_and(|(_, current)| current.stable_id() == id) {
                accepted.remove(&key);
            }
        }
        Err(code) => {
            tracing::warn!(%address, ?code, "refused a connection to the peers' port");
            code.close(&connection);
        }
    }
}

impl Acceptor {
    /// Nodes dial from the port at which they listen.
    fn who(&self, address: SocketAddr) -> Who {
        let text = address.to_string();
        let members = self.members.borrow();
        let member = members.iter().find(|(_, listens)| **listens == text);
        member.map_or(Who::Somebody(address), |(node, _)| Who::Node(*node, address))
    }

    async fn greet(&self, connection: &Connection) -> Result<Greeted, CloseCode> {
        let peer = self.authorise(connection)?;
        let (hello, main) = receive_stream(connection).await?;
        hello.check(&self.cluster)?;
        self.claim(peer, &hello, connection).await?;
        let purpose = hello.purpose;
        let facts = match purpose {
            Purpose::Requests => Some(receive_stream(connection).await?.1),
            Purpose::Membership | Purpose::Bulk => None,
        };
        let id = self.numbers.next();
        let mut greeted =
            Greeted { peer, purpose, id, connection: connection.clone(), main, facts };
        let answer = PeerHello::new(&self.cluster, self.process, purpose);
        for stream in [Some(&mut greeted.main), greeted.facts.as_mut()].into_iter().flatten() {
            answer.send(&mut stream.send).await?;
        }
        Ok(greeted)
    }

    /// Who is on the other side, if it may be here at all. TLS has verified the certificate against our authority.
    fn authorise(&self, connection: &Connection) -> Result<NodeId, CloseCode> {
        let peer = match PeerName::of(&verified_chain(connection)) {
            Ok(PeerName::Node(peer)) => peer,
            Ok(PeerName::Client) => return Err(CloseCode::Client),
            Err(_) => return Err(CloseCode::Unnamed),
        };
        if !self.members.borrow().contains_key(&peer) {
            return Err(CloseCode::NotAMember);
        }
        if peer >= self.me {
            return Err(if peer == self.me {
                CloseCode::Duplicate
            } else {
                CloseCode::WrongDirection
            });
        }
        Ok(peer)
    }

    /// Enters a connection for its purpose. A process replaces its own; another process's stays as long as it lives.
    async fn claim(
        &self,
        peer: NodeId,
        hello: &PeerHello,
        connection: &Connection,
    ) -> Result<(), CloseCode> {
        let key = (peer, hello.purpose);
        let earlier = self.accepted.borrow().get(&key).cloned();
        if let Some((process, earlier)) = earlier {
            if process != hello.process && is_alive(&earlier).await {
                return Err(CloseCode::Duplicate);
            }
            CloseCode::Replaced.close(&earlier);
        }
        self.accepted.borrow_mut().insert(key, (hello.process, connection.clone()));
        Ok(())
    }
}

/// Whether anything at all arrives on a connection within [`limits::PROOF_OF_LIFE`].
async fn is_alive(connection: &Connection) -> bool {
    let heard = connection.stats().udp_rx.datagrams;
    let _closed = timeout(limits::PROOF_OF_LIFE, connection.closed()).await;
    connection.close_reason().is_none() && connection.stats().udp_rx.datagrams > heard
}

async fn receive_stream(connection: &Connection) -> Result<(PeerHello, Duplex), CloseCode> {
    let (send, mut receive) = connection.accept_bi().await.map_err(|_| CloseCode::Protocol)?;
    let hello = PeerHello::receive(&mut receive).await?;
    Ok((hello, Duplex { send, receive }))
}

/// The certificate chain that TLS has verified; empty when none was shown.
pub(crate) fn verified_chain(connection: &Connection) -> Vec<CertificateDer<'static>> {
    let chain = connection.peer_identity().and_then(|identity| identity.downcast().ok());
    chain.map(|chain| *chain).unwrap_or_default()
}
