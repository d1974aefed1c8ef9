//! What all of a node's doors make of its credentials, so that renewed ones reach all of them at once.
//!
//! A handshake takes what is current when it begins; a connection that is open keeps what it began with. The QUIC endpoints
//! are told of a change (`renewal`), everybody else looks at the moment of need.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use crate::identity::{self, ALPN_PEER, Credentials};
use crate::runtime::error::RunError;
use crate::runtime::transport;

/// The protocol's name in a TLS handshake at the admin port.
const ALPN_ADMIN: &[u8] = b"http/1.1";

/// The current one, wherever it is needed. A node's connections all live on one thread.
pub(crate) type Current = watch::Receiver<Rc<Security>>;

/// One set of credentials, ready for every kind of handshake.
pub(crate) struct Security {
    /// Nodes that dial this one.
    pub(crate) peers: quinn::ServerConfig,
    /// Dialling other nodes.
    pub(crate) dial: quinn::ClientConfig,
    /// Clients over QUIC.
    pub(crate) clients_quic: quinn::ServerConfig,
    /// Clients over TCP.
    pub(crate) clients_tcp: Arc<rustls::ServerConfig>,
    /// The admin port, beyond loopback.
    pub(crate) admin: Arc<rustls::ServerConfig>,
    /// When the node's certificate expires, in milliseconds since 1970; 0 when that is not known.
    pub(crate) expires_at_ms: u64,
}

impl Security {
    /// Prepares everything, or nothing.
    ///
    /// # Errors
    /// TLS does not accept the credentials: the key is not the certificate's, for instance.
    pub(crate) fn of(credentials: &Credentials) -> Result<Security, RunError> {
        let peers = identity::accept_peers(credentials)?;
        let mut peers = transport::server(peers, transport::peer_transport())?;
        // A node's address is what the members' list says; connections between nodes do not wander.
        peers.migration(false);
        let dial = identity::dial(credentials, ALPN_PEER)?;
        let clients = identity::accept_clients(credentials)?;
        let admin = identity::accept_scrapers(credentials, ALPN_ADMIN)?;
        Ok(Security {
            peers,
            dial: transport::client(dial, transport::peer_transport())?,
            clients_quic: transport::server(clients.clone(), transport::client_transport())?,
            clients_tcp: Arc::new(clients),
            admin: Arc::new(admin),
            expires_at_ms: credentials.expires_at_ms().unwrap_or(0),
        })
    }
}
