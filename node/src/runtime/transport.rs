//! UDP sockets and the QUIC profile of a local network.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::runtime::error::{Listener, RunError};
use crate::runtime::limits;

/// Ethernet's 1,500 bytes less the headers of IPv6 and UDP. Larger ones together with segmentation offload stall.
const MTU: u16 = 1_452;

/// The profile of connections between nodes: a local network, few long-lived streams, small messages.
pub(crate) fn peer_transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    // The first retransmission after tens of milliseconds, not after a second.
    transport.initial_rtt(Duration::from_millis(10));
    transport.max_idle_timeout(Some(idle_timeout()));
    transport.keep_alive_interval(Some(limits::KEEP_ALIVE));
    transport.max_concurrent_bidi_streams(VarInt::from_u32(8));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.stream_receive_window(VarInt::from_u32(16 << 20));
    transport.send_window(32 << 20);
    // One stream carries nearly everything, so turns between streams only cost.
    transport.send_fairness(false);
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(VarInt::from_u32(10));
    acknowledgements.max_ack_delay(Some(Duration::from_millis(5)));
    transport.ack_frequency_config(Some(acknowledgements));
    let mut discovery = quinn::MtuDiscoveryConfig::default();
    discovery.upper_bound(MTU);
    transport.mtu_discovery_config(Some(discovery));
    Arc::new(transport)
}

/// The profile of clients' connections: one stream each, the network may be any.
pub(crate) fn client_transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(quinn::IdleTimeout::from(VarInt::from_u32(30_000))));
    transport.keep_alive_interval(Some(Duration::from_secs(10)));
    transport.max_concurrent_bidi_streams(VarInt::from_u32(1));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.datagram_receive_buffer_size(None);
    transport.stream_receive_window(VarInt::from_u32(limits::CLIENT_WINDOW_BYTES));
    transport.receive_window(VarInt::from_u32(limits::CLIENT_WINDOW_BYTES));
    transport.send_window(limits::CLIENT_WINDOW_BYTES.into());
    Arc::new(transport)
}

fn idle_timeout() -> quinn::IdleTimeout {
    let millis = u32::try_from(limits::IDLE_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    quinn::IdleTimeout::from(VarInt::from_u32(millis))
}

/// QUIC's side of a TLS configuration for accepting.
///
/// # Errors
/// [`NoInitialCipherSuite`] without TLS 1.3, which [`crate::identity`] always enables.
pub(crate) fn server(
    tls: rustls::ServerConfig,
    transport: Arc<TransportConfig>,
) -> Result<quinn::ServerConfig, NoInitialCipherSuite> {
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport);
    config.max_incoming(limits::HANDSHAKES);
    config.incoming_buffer_size_total(limits::INCOMING_BYTES);
    Ok(config)
}

/// QUIC's side of a TLS configuration for dialling.
///
/// # Errors
/// As of [`server`].
pub(crate) fn client(
    tls: rustls::ClientConfig,
    transport: Arc<TransportConfig>,
) -> Result<quinn::ClientConfig, NoInitialCipherSuite> {
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport);
    Ok(config)
}

/// Opens a QUIC endpoint on an address.
///
/// # Errors
/// [`RunError::PortTaken`] names the address.
pub(crate) fn endpoint(
    listener: Listener,
    address: SocketAddr,
    config: Option<quinn::ServerConfig>,
) -> Result<Endpoint, RunError> {
    let failed = |error| RunError::listen(listener, address, error);
    let socket = udp_socket(address).map_err(failed)?;
    Endpoint::new(EndpointConfig::default(), config, socket, Arc::new(TokioRuntime)).map_err(failed)
}

fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(limits::SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(limits::SOCKET_BUFFER_BYTES)?;
    // The kernel grants what its own limits allow and says nothing; QUIC then loses packets under load.
    let (receive, send) = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
    if receive.min(send) < limits::SOCKET_BUFFER_BYTES {
        let wanted = limits::SOCKET_BUFFER_BYTES;
        tracing::info!(
            %address, receive, send, wanted,
            "small UDP buffers: raise net.core.rmem_max and net.core.wmem_max for more throughput"
        );
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
