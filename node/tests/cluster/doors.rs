//! Who is let in as a client: over TLS and QUIC with certificates, and nobody without, unless with a token.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use kvorum_node::identity::{
    self, ALPN_CLIENT, AUTHORITY_FILE, CERTIFICATE_FILE, ClusterAuthority, Credentials, Issued,
    KEY_FILE, write_private,
};
use kvorum_node::runtime::limits;
use kvorum_protocol::RequestError;
use kvorum_protocol::frame::{FrameDecoder, read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{AccessRefusal, Greeting, Hello};
use kvorum_ring::NodeId;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_rustls::TlsConnector;

use crate::nodes::{TestCluster, TestNode, provisioned_with};

/// A cluster of one node whose door asks for certificates, running.
fn guarded() -> TestCluster {
    let mut cluster = provisioned_with(1, false);
    cluster.nodes[0].start();
    cluster
}

fn credentials(authority: &ClusterAuthority, issued: &Issued) -> Credentials {
    let directory = tempfile::tempdir().unwrap();
    let write = |name, content: &str| {
        write_private(&directory.path().join(name), content.as_bytes()).unwrap()
    };
    write(AUTHORITY_FILE, authority.certificate_pem());
    write(CERTIFICATE_FILE, &issued.certificate_pem);
    write(KEY_FILE, &issued.key_pem);
    Credentials::load(directory.path()).unwrap()
}

/// Says hello and waits for the answer.
async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Greeting> {
    let mut out = Vec::new();
    write_message(&mut out, CLIENT_FRAME_BYTES, 0, &Greeting::Hello(Hello::current())).unwrap();
    stream.write_all(&out).await?;
    let mut decoder = FrameDecoder::new(CLIENT_FRAME_BYTES);
    loop {
        let mut some = BytesMut::with_capacity(4_096);
        if stream.read_buf(&mut some).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        decoder.buffer().extend_from_slice(&some);
        if let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            return read_message(frame).map(|(_, greeting)| greeting).map_err(io::Error::other);
        }
    }
}

async fn over_tls(node: &TestNode, tls: rustls::ClientConfig) -> io::Result<Greeting> {
    // The port is open before the node is ready; until then the connection waits.
    let stream = loop {
        match TcpStream::connect(node.config.listen.clients).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let name = ServerName::try_from(node.config.node.id.dns_name()).unwrap();
    greet(TlsConnector::from(Arc::new(tls)).connect(name, stream).await?).await
}

async fn over_quic(node: &TestNode, tls: rustls::ClientConfig) -> io::Result<Greeting> {
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let name = node.config.node.id.dns_name();
    let connection =
        endpoint.connect_with(config, node.config.listen.clients, &name).unwrap().await?;
    let (send, receive) = connection.open_bi().await?;
    greet(tokio::io::join(receive, send)).await
}

/// What the node answers to somebody with these credentials, over TCP and over QUIC.
fn answers(cluster: &TestCluster, credentials: &Credentials) -> [io::Result<Greeting>; 2] {
    let node = &cluster.nodes[0];
    let tls = || identity::dial(credentials, ALPN_CLIENT).unwrap();
    Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { [over_tls(node, tls()).await, over_quic(node, tls()).await] })
}

#[test]
fn clients_and_members_with_our_certificates_are_welcome() {
    let cluster = guarded();
    let (authority, now) = (&cluster.authority, SystemTime::now());
    let client = authority.issue_client(now).unwrap();
    let member = authority.issue_node(cluster.nodes[0].config.node.id, now).unwrap();
    for issued in [client, member] {
        for answer in answers(&cluster, &credentials(authority, &issued)) {
            assert!(matches!(answer, Ok(Greeting::Welcome(_))), "{answer:?}");
        }
    }
}

#[test]
fn strangers_are_refused_before_a_word_is_heard() {
    let cluster = guarded();
    let (authority, now) = (&cluster.authority, SystemTime::now());
    let foreign = ClusterAuthority::create("test", now).unwrap();
    let of_foreign_authority = credentials(authority, &foreign.issue_client(now).unwrap());
    let no_member = credentials(authority, &authority.issue_node(NodeId(99), now).unwrap());
    for stranger in [of_foreign_authority, no_member] {
        for answer in answers(&cluster, &stranger) {
            assert!(answer.is_err(), "{answer:?}");
        }
    }
}

#[test]
fn without_certificate_and_token_or_without_tls_nobody_is_let_in() {
    let cluster = guarded();
    let (authority, node) = (&cluster.authority, &cluster.nodes[0]);
    let mut roots = rustls::RootCertStore::empty();
    let pem = authority.certificate_pem().as_bytes();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut anonymous = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    anonymous.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        for answer in [over_tls(node, anonymous.clone()).await, over_quic(node, anonymous).await] {
            let reason = AccessRefusal::Nothing;
            let refused = Greeting::Refused { error: RequestError::Unauthenticated { reason } };
            assert_eq!(answer.unwrap(), refused, "a token is missing");
        }
        let plain = TcpStream::connect(node.config.listen.clients).await.unwrap();
        assert!(greet(plain).await.is_err());
    });
}

/// Bytes sent before the handshake has ended can be replayed by whoever recorded them, so a put could be carried out twice.
/// A node gives no tickets, without which nobody can send them.
#[test]
fn nothing_is_taken_before_the_handshake_has_ended() {
    let cluster = guarded();
    let node = &cluster.nodes[0];
    let client = cluster.authority.issue_client(SystemTime::now()).unwrap();
    let credentials = credentials(&cluster.authority, &client);
    let mut eager = identity::dial(&credentials, ALPN_CLIENT).unwrap();
    eager.enable_early_data = true;
    eager.resumption = rustls::client::Resumption::in_memory_sessions(8);
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        over_tls(node, eager.clone()).await.unwrap();
        let name = ServerName::try_from(node.config.node.id.dns_name()).unwrap();
        let stream = TcpStream::connect(node.config.listen.clients).await.unwrap();
        let connector = TlsConnector::from(Arc::new(eager.clone()));
        let mut stream = connector.connect(name, stream).await.unwrap();
        assert!(matches!(greet(&mut stream).await, Ok(Greeting::Welcome(_))));
        let (_, tls) = stream.get_ref();
        assert_eq!(tls.handshake_kind(), Some(rustls::HandshakeKind::Full), "no ticket was given");
        assert!(!tls.is_early_data_accepted());

        let crypto = Arc::new(QuicClientConfig::try_from(eager).unwrap());
        let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
        let connect = || {
            let config = quinn::ClientConfig::new(crypto.clone());
            let name = node.config.node.id.dns_name();
            endpoint.connect_with(config, node.config.listen.clients, &name).unwrap()
        };
        let first = connect().await.unwrap();
        let (send, receive) = first.open_bi().await.unwrap();
        assert!(matches!(greet(tokio::io::join(receive, send)).await, Ok(Greeting::Welcome(_))));
        assert!(connect().into_0rtt().is_err(), "no ticket was given");
    });
}

/// One source may take half of the handshakes under way; the node still greets who comes after it, and whoever says
/// nothing is gone soon.
#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let cluster = guarded();
    let node = &cluster.nodes[0];
    let client = cluster.authority.issue_client(SystemTime::now()).unwrap();
    let tls = identity::dial(&credentials(&cluster.authority, &client), ALPN_CLIENT).unwrap();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        over_tls(node, tls.clone()).await.unwrap();
        let mut crowd = Vec::new();
        for _ in 0..limits::HANDSHAKES_PER_SOURCE + 64 {
            crowd.push(TcpStream::connect(node.config.listen.clients).await.unwrap());
        }
        for answer in [over_tls(node, tls.clone()).await, over_quic(node, tls).await] {
            assert!(matches!(answer, Ok(Greeting::Welcome(_))), "{answer:?}");
        }
        for mut silent in crowd {
            // An orderly end and a reset are both an end.
            assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
        }
    });
}
