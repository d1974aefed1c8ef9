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
use tokio::net::{TcpSocket, TcpStream};
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

/// Who an attacker says to be in the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shown {
    /// A client of the cluster: its certificate may have been stolen.
    Certificate,
    /// Nobody: only a token could help.
    Nothing,
}

/// All that can be attacked.
pub(super) struct Doors {
    /// Plaintext for clients over TCP.
    dev: Vec<Place>,
    dev_keys: Keys,
    /// TLS for clients over TCP.
    alone: Place,
    alone_keys: Keys,
    /// Opened by the first who needs it, on the attackers' own runtime.
    udp: OnceLock<quinn::Endpoint>,
}

/// What attackers have of a cluster. Configurations are kept: whoever gets a ticket would use it next time.
struct Keys {
    /// The authority, a client's certificate and its key, as PEM.
    stolen: [Vec<u8>; 3],
    client: Arc<rustls::ClientConfig>,
    peer: Arc<rustls::ClientConfig>,
    nobody: Arc<rustls::ClientConfig>,
}

impl Keys {
    fn load(directory: &Path) -> Keys {
        let read = |name: &str| std::fs::read(directory.join(name)).expect("readable");
        let stolen = ["authority.pem", "client.pem", "client.key"].map(read);
        let [authority, client, key] = stolen.each_ref().map(Vec::as_slice);
        let certificate = Some((client, key));
        Keys {
            client: tls(&[authority], certificate, ALPN_CLIENT),
            peer: tls(&[authority], certificate, ALPN_PEER),
            nobody: tls(&[authority], None, ALPN_CLIENT),
            stolen,
        }
    }
}

/// A client's side of TLS: the authorities that it trusts, its certificate and key, and what it speaks. It is early if it
/// can be.
pub(super) fn tls(
    authorities: &[&[u8]],
    certificate: Option<(&[u8], &[u8])>,
    alpn: &[u8],
) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in authorities {
        let authority = CertificateDer::from_pem_slice(authority).expect("PEM");
        roots.add(authority).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots);
    let mut tls = match certificate {
        None => tls.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain).map(|part| part.expect("PEM"));
            let key = PrivateKeyDer::from_pem_slice(key).expect("PEM");
            tls.with_client_auth_cert(chain.collect(), key).expect("a certificate")
        }
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls.enable_early_data = true;
    Arc::new(tls)
}

/// QUIC's side of it.
pub(super) fn over_quic(tls: &Arc<rustls::ClientConfig>) -> quinn::ClientConfig {
    let crypto = QuicClientConfig::try_from(tls.clone()).expect("TLS 1.3");
    quinn::ClientConfig::new(Arc::new(crypto))
}

impl Doors {
    pub(super) fn of(dev: &Dev, home: &Path, alone: &Alone) -> Doors {
        let place =
            |(node, base): (String, u16)| Place { node: node.parse().expect("an id"), base };
        Doors {
            dev: dev.places().into_iter().map(place).collect(),
            dev_keys: Keys::load(&home.join("cluster/client")),
            alone: place(alone.place()),
            alone_keys: Keys::load(&alone.client_directory()),
            udp: OnceLock::new(),
        }
    }

    /// How many nodes have such a port.
    pub(super) fn count(&self, port: Port) -> usize {
        if port == Port::Tls { 1 } else { self.dev.len() }
    }

    fn place(&self, port: Port, node: usize) -> (Place, &Keys) {
        match port {
            Port::Tls => (self.alone, &self.alone_keys),
            Port::Plain | Port::Quic | Port::Peers => (self.dev[node], &self.dev_keys),
        }
    }

    /// A node's address of a kind.
    pub(super) fn address(&self, port: Port, node: usize) -> SocketAddr {
        let offset = if port == Port::Peers { 0 } else { 1 };
        (Ipv4Addr::LOCALHOST, self.place(port, node).0.base + offset).into()
    }

    /// The id of the node there.
    pub(super) fn node(&self, port: Port, node: usize) -> NodeId {
        self.place(port, node).0.node
    }

    /// The authority, a client's certificate and its key, as PEM.
    pub(super) fn stolen(&self, port: Port, node: usize) -> [&[u8]; 3] {
        self.place(port, node).1.stolen.each_ref().map(Vec::as_slice)
    }

    /// A client's side of TLS there.
    pub(super) fn tls(&self, port: Port, node: usize, shown: Shown) -> &Arc<rustls::ClientConfig> {
        let keys = self.place(port, node).1;
        match (port, shown) {
            (Port::Peers, _) => &keys.peer,
            (_, Shown::Certificate) => &keys.client,
            (_, Shown::Nothing) => &keys.nobody,
        }
    }

    /// A TCP connection, whatever is spoken on it.
    pub(super) async fn tcp(&self, port: Port, node: usize) -> io::Result<TcpStream> {
        connect(HOSTILE, self.address(port, node)).await
    }

    /// The attackers' UDP socket.
    pub(super) fn udp(&self) -> &quinn::Endpoint {
        self.udp.get_or_init(|| quinn::Endpoint::client((HOSTILE, 0).into()).expect("a UDP socket"))
    }

    /// A QUIC connection, on which nothing has been said; to the peers' port with a client's certificate.
    ///
    /// # Panics
    /// When an earlier connection has been given a ticket: no session may be resumed.
    pub(super) async fn quic(
        &self,
        port: Port,
        node: usize,
        shown: Shown,
    ) -> io::Result<quinn::Connection> {
        let config = over_quic(self.tls(port, node, shown));
        let name = self.node(port, node).dns_name();
        let connecting = self.udp().connect_with(config, self.address(port, node), &name);
        let connecting = match connecting.expect("an address").into_0rtt() {
            Ok(_) => panic!("a node gave a ticket"),
            Err(connecting) => connecting,
        };
        timeout(PATIENCE, connecting).await?.map_err(io::Error::other)
    }

    /// A byte stream on which nothing has been said.
    pub(super) async fn open(
        &self,
        port: Port,
        node: usize,
        shown: Shown,
    ) -> io::Result<Box<dyn Stream>> {
        match port {
            Port::Plain => Ok(Box::new(self.tcp(port, node).await?)),
            Port::Tls => {
                let stream = self.tcp(port, node).await?;
                let name = ServerName::try_from(self.node(port, node).dns_name()).expect("a name");
                let connector = TlsConnector::from(self.tls(port, node, shown).clone());
                Ok(Box::new(timeout(PATIENCE, connector.connect(name, stream)).await??))
            }
            Port::Quic | Port::Peers => {
                let connection = self.quic(port, node, shown).await?;
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
        let text = format!("tls://{}@{}", self.alone.node, self.address(Port::Tls, 0));
        let [authority, client, key] = &self.alone_keys.stolen;
        let identity = Identity::from_pem(authority, client, key).expect("certificates");
        (text.parse().expect("an endpoint"), identity)
    }
}

/// A TCP connection from one address of this machine.
pub(super) async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    timeout(PATIENCE, socket.connect(to)).await?
}
