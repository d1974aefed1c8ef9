//! The ports under attack, and ways through them. Attackers come from 127.0.0.2, everybody else from 127.0.0.1.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kvorum_client::{Endpoint, Identity};
use kvorum_node::identity::{ALPN_CLIENT, ALPN_PEER};
use kvorum_ring::NodeId;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::dev::Dev;
use crate::three_machines::Alone;

/// Where attackers come from.
pub(super) const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How long an attacker waits for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A byte stream to a node.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A port by what it speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Port {
    Plain,
    Tls,
    Quic,
    Peers,
}

impl Port {
    pub(super) const ALL: [Port; 4] = [Port::Plain, Port::Tls, Port::Quic, Port::Peers];
}

/// A node's id and its first port.
#[derive(Clone, Copy, Debug)]
struct Place {
    node: NodeId,
    base: u16,
}

/// All that can be attacked.
pub(super) struct Doors {
    /// Plaintext for clients over TCP.
    dev: Vec<Place>,
    dev_certificates: Certificates,
    /// TLS for clients over TCP.
    alone: Place,
    alone_certificates: Certificates,
    /// Opened by the first who needs it, on the attackers' own runtime.
    udp: OnceLock<quinn::Endpoint>,
}

/// An operator's certificates, which a hostile client may well have.
struct Certificates {
    authority: Vec<u8>,
    client: Vec<u8>,
    key: Vec<u8>,
}

impl Certificates {
    fn load(directory: &Path) -> Certificates {
        let read = |name: &str| std::fs::read(directory.join(name)).expect("readable");
        let (authority, client) = (read("authority.pem"), read("client.pem"));
        Certificates { authority, client, key: read("client.key") }
    }

    fn tls(&self, alpn: &[u8]) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&self.authority).expect("PEM"))
            .expect("an authority");
        let chain = CertificateDer::pem_slice_iter(&self.client).map(|part| part.expect("PEM"));
        let key = PrivateKeyDer::from_pem_slice(&self.key).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.collect(), key)
            .expect("a certificate");
        tls.alpn_protocols = vec![alpn.to_vec()];
        // Whoever gets a ticket tries to be early next time.
        tls.enable_early_data = true;
        tls
    }
}

impl Doors {
    pub(super) fn of(dev: &Dev, home: &Path, alone: &Alone) -> Doors {
        let place =
            |(node, base): (String, u16)| Place { node: node.parse().expect("an id"), base };
        Doors {
            dev: dev.places().into_iter().map(place).collect(),
            dev_certificates: Certificates::load(&home.join("cluster/client")),
            alone: place(alone.place()),
            alone_certificates: Certificates::load(&alone.client_directory()),
            udp: OnceLock::new(),
        }
    }

    /// How many nodes have such a port.
    pub(super) fn count(&self, port: Port) -> usize {
        if port == Port::Tls { 1 } else { self.dev.len() }
    }

    fn place(&self, port: Port, node: usize) -> (Place, &Certificates) {
        match port {
            Port::Tls => (self.alone, &self.alone_certificates),
            Port::Plain | Port::Quic | Port::Peers => (self.dev[node], &self.dev_certificates),
        }
    }

    /// A node's address of a kind.
    pub(super) fn address(&self, port: Port, node: usize) -> SocketAddr {
        let offset = if port == Port::Peers { 0 } else { 1 };
        (Ipv4Addr::LOCALHOST, self.place(port, node).0.base + offset).into()
    }

    /// A TCP connection, whatever is spoken on it.
    pub(super) async fn tcp(&self, port: Port, node: usize) -> io::Result<tokio::net::TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((HOSTILE, 0).into())?;
        timeout(PATIENCE, socket.connect(self.address(port, node))).await?
    }

    /// A QUIC connection, on which nothing has been said; to the peers' port with a client's certificate.
    pub(super) async fn quic(&self, port: Port, node: usize) -> io::Result<quinn::Connection> {
        let (place, certificates) = self.place(port, node);
        let alpn = if port == Port::Peers { ALPN_PEER } else { ALPN_CLIENT };
        let crypto = QuicClientConfig::try_from(certificates.tls(alpn)).expect("TLS 1.3");
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let (address, name) = (self.address(port, node), place.node.dns_name());
        let udp = self
            .udp
            .get_or_init(|| quinn::Endpoint::client((HOSTILE, 0).into()).expect("a UDP socket"));
        let connecting = udp.connect_with(config, address, &name).expect("an address");
        let connecting = match connecting.into_0rtt() {
            Ok(_) => panic!("a node took early data"),
            Err(connecting) => connecting,
        };
        timeout(PATIENCE, connecting).await?.map_err(io::Error::other)
    }

    /// A byte stream on which nothing has been said.
    pub(super) async fn open(&self, port: Port, node: usize) -> io::Result<Box<dyn Stream>> {
        match port {
            Port::Plain => Ok(Box::new(self.tcp(port, node).await?)),
            Port::Tls => {
                let (place, certificates) = self.place(port, node);
                let stream = self.tcp(port, node).await?;
                let name = ServerName::try_from(place.node.dns_name()).expect("a DNS name");
                let connector = TlsConnector::from(Arc::new(certificates.tls(ALPN_CLIENT)));
                Ok(Box::new(timeout(PATIENCE, connector.connect(name, stream)).await??))
            }
            Port::Quic | Port::Peers => {
                let connection = self.quic(port, node).await?;
                let (send, receive) = connection.open_bi().await.map_err(io::Error::other)?;
                Ok(Box::new(tokio::io::join(receive, send)))
            }
        }
    }

    /// How normal clients reach the three nodes.
    pub(super) fn dev_endpoints(&self) -> Vec<Endpoint> {
        self.dev.iter().map(|place| Endpoint::loopback(place.base + 1)).collect()
    }

    /// How they reach the one that speaks TLS.
    pub(super) fn alone_endpoint(&self) -> (Endpoint, Identity) {
        let Certificates { authority, client, key } = &self.alone_certificates;
        let identity = Identity::from_pem(authority, client, key).expect("certificates");
        let text = format!("tls://{}@{}", self.alone.node, self.address(Port::Tls, 0));
        (text.parse().expect("an endpoint"), identity)
    }
}
