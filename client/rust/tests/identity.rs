//! Over TLS and QUIC the client talks to the node it named, of the cluster whose certificates it holds, and to nobody else.

#![allow(clippy::disallowed_methods)] // The nodes of these tests are tasks.

mod scripted;

use std::net::SocketAddr;
use std::sync::Arc;

use kvorum_client::{ALPN, Client, Config, ConnectError, Endpoint, Identity, OpenError, Transport};
use kvorum_protocol::CertificateFault;
use kvorum_ring::NodeId;
use quinn::crypto::rustls::QuicServerConfig;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use scripted::{Node, Shape, speak};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const NODE: NodeId = NodeId(7);

/// When a certificate is valid.
#[derive(Clone, Copy)]
enum Validity {
    Now,
    Past,
    Future,
}

/// A certificate authority of a test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Certificate and key for one name, PEM.
    fn issue(&self, name: &str, validity: Validity) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.not_before, params.not_after) = match validity {
            Validity::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1)),
            Validity::Past => (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1)),
            Validity::Future => (date_time_ymd(2119, 1, 1), date_time_ymd(2120, 1, 1)),
        };
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn client(&self) -> Identity {
        self.client_valid(Validity::Now)
    }

    fn client_valid(&self, validity: Validity) -> Identity {
        let (certificate, key) = self.issue("client.kvorum.internal", validity);
        Identity::from_pem(self.0.pem().as_bytes(), certificate.as_bytes(), key.as_bytes())
            .expect("an identity")
    }

    fn server(&self, node: NodeId, validity: Validity) -> rustls::ServerConfig {
        let (certificate, key) = self.issue(&node.dns_name(), validity);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.0.pem().as_bytes()).expect("PEM"))
            .expect("a root");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .expect("a verifier");
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .expect("a server");
        config.alpn_protocols = vec![ALPN.to_vec()];
        config
    }
}

fn scripted_node(address: SocketAddr) -> (Arc<Node>, Arc<Shape>) {
    (Arc::new(Node::new(NODE, address)), Arc::new(Shape::new("test", vec![(NODE, address)])))
}

async fn serve_tls(authority: &Authority, validity: Validity) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(authority.server(NODE, validity)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (node, shape) = scripted_node(address);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            // A client that does not like our certificate goes away; the next one may.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let (reader, writer) = tokio::io::split(stream);
            tokio::spawn(speak(Arc::clone(&node), Arc::clone(&shape), reader, writer));
        }
    });
    address
}

async fn serve_quic(authority: &Authority, validity: Validity) -> SocketAddr {
    let crypto =
        QuicServerConfig::try_from(authority.server(NODE, validity)).expect("a QUIC server");
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().expect("an address"))
        .expect("a socket");
    let address = endpoint.local_addr().expect("its address");
    let (node, shape) = scripted_node(address);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let Ok(connection) = incoming.await else { continue };
            let Ok((send, receive)) = connection.accept_bi().await else { continue };
            tokio::spawn(speak(Arc::clone(&node), Arc::clone(&shape), receive, send));
        }
    });
    address
}

async fn connect(
    address: SocketAddr,
    node: NodeId,
    transport: Option<Transport>,
    identity: Option<Identity>,
) -> Result<Client, ConnectError> {
    let endpoint = Endpoint { transport, ..Endpoint::of_node(node, address) };
    let mut config = Config::new([endpoint]);
    if let Some(identity) = identity {
        config = config.identity(identity);
    }
    match Client::connect(config).await {
        Ok(client) => Ok(client),
        Err(OpenError::NoNode(causes)) => Err(causes[0].1.clone()),
        Err(other) => panic!("{other}"),
    }
}

async fn read_and_write(client: &Client) {
    let bucket = client.bucket("default").expect("a name");
    bucket.put("k", vec![7; 300_000]).send().await.expect("stored");
    assert_eq!(bucket.get("k").send().await.expect("read").values[0].value, "k");
}

#[tokio::test]
async fn requests_travel_over_tls_and_over_quic() {
    let authority = Authority::new();
    let tls = serve_tls(&authority, Validity::Now).await;
    let quic = serve_quic(&authority, Validity::Now).await;
    for (address, transport) in [(tls, Transport::Tls), (quic, Transport::Quic)] {
        let client = connect(address, NODE, Some(transport), Some(authority.client()))
            .await
            .expect("connected");
        read_and_write(&client).await;
    }
}

#[tokio::test]
async fn where_quic_is_not_served_tls_is_used() {
    let authority = Authority::new();
    let address = serve_tls(&authority, Validity::Now).await;
    let client =
        connect(address, NODE, None, Some(authority.client())).await.expect("connected over TLS");
    read_and_write(&client).await;
}

/// How a client with this identity fails at a node that shows a certificate of this authority, over both transports.
async fn failures(
    authority: &Authority,
    validity: Validity,
    asked_for: NodeId,
    identity: impl Fn() -> Identity,
) -> [ConnectError; 2] {
    let tls = serve_tls(authority, validity).await;
    let quic = serve_quic(authority, validity).await;
    let over_tls = connect(tls, asked_for, Some(Transport::Tls), Some(identity())).await;
    let over_quic = connect(quic, asked_for, Some(Transport::Quic), Some(identity())).await;
    [over_tls.expect_err("refused over TLS"), over_quic.expect_err("refused over QUIC")]
}

fn is_nodes(error: &ConnectError, expected: CertificateFault) -> bool {
    matches!(error, ConnectError::NodeCertificate { fault, .. } if *fault == expected)
}

fn is_own(error: &ConnectError, expected: CertificateFault) -> bool {
    matches!(error, ConnectError::OwnCertificate { fault } if *fault == expected)
}

#[tokio::test]
async fn what_is_wrong_with_a_nodes_certificate_is_told() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let cases = [
        (Validity::Past, NODE, &ours, CertificateFault::Expired),
        (Validity::Future, NODE, &ours, CertificateFault::NotYetValid),
        (Validity::Now, NODE, &foreign, CertificateFault::ForeignAuthority),
        (Validity::Now, NodeId(8), &ours, CertificateFault::WrongName),
    ];
    for (validity, asked_for, theirs, expected) in cases {
        for error in failures(theirs, validity, asked_for, || ours.client()).await {
            assert!(is_nodes(&error, expected), "{expected:?}: {error:?}");
            assert!(error.to_string().contains(expected.remedy()), "{error}");
        }
    }
}

#[tokio::test]
async fn what_a_node_finds_wrong_with_our_certificate_is_told() {
    let authority = Authority::new();
    let outdated = |validity| {
        failures(&authority, Validity::Now, NODE, {
            let authority = &authority;
            move || authority.client_valid(validity)
        })
    };
    for error in outdated(Validity::Past).await {
        assert!(is_own(&error, CertificateFault::Expired), "{error:?}");
        assert!(error.to_string().contains("kv cert renew"), "{error}");
    }
    // One alert stands for both, and its remedy names the clocks.
    for error in outdated(Validity::Future).await {
        assert!(is_own(&error, CertificateFault::Expired), "{error:?}");
        assert!(error.to_string().contains("clock"), "{error}");
    }
    // It believes in the node's authority and shows a certificate of another one.
    let (certificate, key) = Authority::new().issue("client.kvorum.internal", Validity::Now);
    let ca = authority.0.pem();
    let identity = || {
        Identity::from_pem(ca.as_bytes(), certificate.as_bytes(), key.as_bytes()).expect("parts")
    };
    for error in failures(&authority, Validity::Now, NODE, identity).await {
        assert!(is_own(&error, CertificateFault::ForeignAuthority), "{error:?}");
    }
}

#[tokio::test]
async fn without_a_certificate_nothing_is_sent() {
    let address = serve_tls(&Authority::new(), Validity::Now).await;
    let error = connect(address, NODE, Some(Transport::Tls), None).await;
    assert!(matches!(error, Err(ConnectError::IdentityNeeded)), "{error:?}");
}
