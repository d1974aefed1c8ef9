//! Opening a byte stream to a node: QUIC, TLS over TCP, or plain TCP on loopback.
//!
//! Above this module nobody knows which of them carries the frames.

pub(crate) mod certificate;
mod quic;
mod tcp;

use std::net::SocketAddr;

use kvorum_protocol::AccessToken;
use kvorum_protocol::message::Hello;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::endpoint::{Endpoint, Transport};
use crate::error::ConnectError;
use crate::identity::Identity;

pub(crate) use quic::QuicSockets;

/// An open stream in both directions.
pub(crate) struct Stream {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
}

/// What opening a stream may need.
#[derive(Debug, Default)]
pub(crate) struct Dialler {
    identity: Option<Identity>,
    token: Option<AccessToken>,
    quic: QuicSockets,
}

impl Dialler {
    pub(crate) fn new(identity: Option<Identity>, token: Option<AccessToken>) -> Dialler {
        Dialler { identity, token, quic: QuicSockets::default() }
    }

    /// What is said first on a stream.
    pub(crate) fn hello(&self) -> Hello {
        match &self.token {
            Some(token) => Hello::current().with_token(token),
            None => Hello::current(),
        }
    }

    /// Opens a stream over `transport`, trying every address that the host name has.
    pub(crate) async fn open(
        &self,
        endpoint: &Endpoint,
        transport: Transport,
    ) -> Result<Stream, ConnectError> {
        let addresses = resolve(endpoint).await?;
        let mut last = ConnectError::NoAddress;
        for address in addresses {
            match self.open_address(endpoint, transport, address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn open_address(
        &self,
        endpoint: &Endpoint,
        transport: Transport,
        address: SocketAddr,
    ) -> Result<Stream, ConnectError> {
        if transport == Transport::Plain {
            if !address.ip().is_loopback() {
                return Err(ConnectError::PlaintextBeyondLoopback);
            }
            return tcp::plain(address).await;
        }
        let identity = self.identity.as_ref().ok_or(ConnectError::IdentityNeeded)?;
        let node = endpoint.node.ok_or(ConnectError::NodeIdNeeded)?;
        let name = node.dns_name();
        if transport == Transport::Quic {
            return self.quic.open(address, &name, identity).await;
        }
        let name = ServerName::try_from(name).map_err(|_| ConnectError::NodeIdNeeded)?;
        tcp::tls(address, name, identity).await
    }
}

async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ConnectError> {
    let addresses = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    Ok(addresses.map_err(|error| ConnectError::Resolve(error.kind()))?.collect())
}
