//! QUIC: one connection and one long-lived stream for each node.
//!
//! Requests share the one stream: a stream for each would cost more than the request itself, and answers come back in
//! any order anyway because the frames carry request ids.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use socket2::SockRef;
use tokio::io::AsyncWrite;

use super::{Stream, certificate};
use crate::error::ConnectError;
use crate::identity::Identity;
use crate::limits;

/// The local UDP sockets, one for each address family, opened when first needed and shared by all connections.
#[derive(Debug, Default)]
pub(crate) struct QuicSockets {
    v4: Mutex<Option<quinn::Endpoint>>,
    v6: Mutex<Option<quinn::Endpoint>>,
}

impl QuicSockets {
    /// Opens a connection to `address`, whose certificate must be for `name`, and a stream on it.
    pub(super) async fn open(
        &self,
        address: SocketAddr,
        name: &str,
        identity: &Identity,
    ) -> Result<Stream, ConnectError> {
        let socket = self.socket(address)?;
        let crypto =
            QuicClientConfig::try_from(identity.tls()).map_err(|_| ConnectError::QuicCrypto)?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport_profile()));
        let connecting =
            socket.connect_with(config, address, name).map_err(|_| ConnectError::QuicCrypto)?;
        let connection = connecting.await.map_err(failed)?;
        let (send, receive) = connection.open_bi().await.map_err(failed)?;
        Ok(Stream {
            reader: Box::new(receive),
            writer: Box::new(Sending { send, _connection: connection }),
        })
    }

    fn socket(&self, address: SocketAddr) -> Result<quinn::Endpoint, ConnectError> {
        let (slot, local): (_, SocketAddr) = match address {
            SocketAddr::V4(_) => (&self.v4, (Ipv4Addr::UNSPECIFIED, 0).into()),
            SocketAddr::V6(_) => (&self.v6, (Ipv6Addr::UNSPECIFIED, 0).into()),
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = slot.as_ref() {
            return Ok(socket.clone());
        }
        let socket = bind(local).map_err(|error| ConnectError::Udp(error.kind()))?;
        *slot = Some(socket.clone());
        Ok(socket)
    }
}

fn bind(local: SocketAddr) -> io::Result<quinn::Endpoint> {
    let socket = std::net::UdpSocket::bind(local)?;
    // As far as the system lets us.
    let _ = SockRef::from(&socket).set_recv_buffer_size(limits::SOCKET_BUFFER_BYTES);
    let config = quinn::EndpointConfig::default();
    quinn::Endpoint::new(config, None, socket, Arc::new(quinn::TokioRuntime))
}

fn failed(error: quinn::ConnectionError) -> ConnectError {
    certificate::in_quic(&error).unwrap_or(ConnectError::Quic(error))
}

/// Transport settings for machines that stand near each other; the defaults are made for the wide Internet.
fn transport_profile() -> quinn::TransportConfig {
    let mut profile = quinn::TransportConfig::default();
    profile.initial_rtt(Duration::from_millis(10));
    profile.keep_alive_interval(Some(limits::KEEP_ALIVE));
    profile.max_idle_timeout(quinn::IdleTimeout::try_from(limits::IDLE_TIMEOUT).ok());
    profile.max_concurrent_uni_streams(0u8.into());
    profile.max_concurrent_bidi_streams(0u8.into());
    profile
}

/// The sending half; it keeps the connection alive for as long as somebody may write.
struct Sending {
    send: quinn::SendStream,
    _connection: quinn::Connection,
}

impl AsyncWrite for Sending {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), context)
    }
}
