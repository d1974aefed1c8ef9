//! Puts in early data: what a client says before the handshake has ended, and what anybody can send again.
//!
//! No node gives a ticket, so an honest client has nothing to be early with. The attacker makes a ticket himself: an
//! impostor with a node's name, under an authority of its own that the attacker's client trusts as well, takes early data of
//! everybody. With its ticket the client then goes to the node, and puts before anything was agreed on. The node knows no
//! such session; what matters is that it does not take what came with it. That the client really is early is seen at the
//! impostor, who takes it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use kvorum_node::identity::{ALPN_CLIENT, ClusterAuthority};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::hostile::doors::{Doors, HOSTILE, PATIENCE, Port, over_quic, tls};
use crate::hostile::frames;
use crate::hostile::workload::BUCKET;

/// What became of early data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Early {
    /// There was no ticket to be early with.
    NotSent,
    /// It was not taken.
    Refused,
    /// It was.
    Taken,
}

/// Impostors of a node that speaks TLS and of one that speaks QUIC.
pub(super) struct Impostors {
    doors: Arc<Doors>,
    tls: Impostor,
    quic: Impostor,
    /// Where the latter is.
    endpoint: quinn::Endpoint,
}

/// Someone with a node's name and a certificate of an authority of its own.
struct Impostor {
    server: Arc<rustls::ServerConfig>,
    /// Of whoever trusts that authority beside the cluster's.
    client: Arc<rustls::ClientConfig>,
    name: String,
}

impl Impostor {
    fn of(doors: &Doors, port: Port) -> Impostor {
        let now = SystemTime::now();
        let authority = ClusterAuthority::create("impostor", now).expect("an authority");
        let node = doors.node(port, 0);
        let issued = authority.issue_node(node, now).expect("a certificate");
        let chain = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![chain.expect("PEM")], key)
            .expect("a certificate");
        server.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
        server.max_early_data_size = u32::MAX;
        let [cluster, client, key] = doors.stolen(port, 0);
        let trusted = [cluster, authority.certificate_pem().as_bytes()];
        let client = tls(&trusted, Some((client, key)), ALPN_CLIENT);
        Impostor { server: Arc::new(server), client, name: node.dns_name() }
    }

    /// A handshake with the impostor, who takes early data; it ends with a ticket.
    fn be_early_over_tls(&self) -> io::Result<Early> {
        let listener = TcpListener::bind((HOSTILE, 0))?;
        let address = listener.local_addr()?;
        thread::scope(|scope| {
            let server = scope.spawn(move || {
                let (mut stream, _) = listener.accept()?;
                stream.set_read_timeout(Some(PATIENCE))?;
                let mut connection =
                    rustls::ServerConnection::new(self.server.clone()).map_err(io::Error::other)?;
                while connection.is_handshaking() {
                    connection.complete_io(&mut stream)?;
                }
                // Behind the ticket.
                connection.writer().write_all(b".")?;
                connection.complete_io(&mut stream).map(drop)
            });
            let early = self.put_early_over_tls(TcpStream::connect(address)?, true);
            server.join().expect("the impostor lives")?;
            early
        })
    }

    /// A handshake that a put goes ahead of. With `waits_for_ticket` a byte is awaited that comes behind a ticket.
    fn put_early_over_tls(
        &self,
        mut stream: TcpStream,
        waits_for_ticket: bool,
    ) -> io::Result<Early> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(self.name.clone()).expect("a DNS name");
        let mut connection =
            rustls::ClientConnection::new(self.client.clone(), name).map_err(io::Error::other)?;
        let is_early = match connection.early_data() {
            Some(mut early) => early.write_all(&early_put()).map(|()| true)?,
            None => false,
        };
        while connection.is_handshaking() {
            match connection.complete_io(&mut stream) {
                Ok(_) => {}
                // A node that cannot read what came early may end it there.
                Err(_) if is_early => return Ok(Early::Refused),
                Err(error) => return Err(error),
            }
        }
        if waits_for_ticket {
            rustls::Stream::new(&mut connection, &mut stream).read_exact(&mut [0])?;
        }
        Ok(match (is_early, connection.is_early_data_accepted()) {
            (false, _) => Early::NotSent,
            (true, false) => Early::Refused,
            (true, true) => Early::Taken,
        })
    }

    /// A connection over QUIC that a put goes ahead of. With `waits_for_ticket` a stream is awaited that comes behind one.
    async fn put_early_over_quic(
        &self,
        doors: &Doors,
        address: SocketAddr,
        waits_for_ticket: bool,
    ) -> io::Result<Early> {
        let connecting = doors.udp().connect_with(over_quic(&self.client), address, &self.name);
        let (connection, early) = match connecting.expect("an address").into_0rtt() {
            Err(connecting) => {
                let connection = timeout(PATIENCE, connecting).await?.map_err(io::Error::other)?;
                (connection, Early::NotSent)
            }
            Ok((connection, accepted)) => {
                let (mut send, _receive) = connection.open_bi().await.map_err(io::Error::other)?;
                send.write_all(&early_put()).await?;
                match timeout(PATIENCE, accepted).await? {
                    true => (connection, Early::Taken),
                    false => (connection, Early::Refused),
                }
            }
        };
        if waits_for_ticket {
            let stream = timeout(PATIENCE, connection.accept_uni()).await?;
            let mut stream = stream.map_err(io::Error::other)?;
            stream.read_to_end(1).await.map_err(io::Error::other)?;
        }
        Ok(early)
    }
}

impl Impostors {
    /// Sets them up, and shows that what they are told early they take.
    ///
    /// # Panics
    /// When they do not: then the attack would show nothing.
    pub(super) async fn set_up(doors: Arc<Doors>) -> Arc<Impostors> {
        let (tls, quic) = (Impostor::of(&doors, Port::Tls), Impostor::of(&doors, Port::Quic));
        let crypto = QuicServerConfig::try_from(quic.server.clone()).expect("TLS 1.3");
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = quinn::Endpoint::server(config, (HOSTILE, 0).into()).expect("a UDP socket");
        tokio::spawn(welcome_everybody(endpoint.clone()));
        let impostors = Arc::new(Impostors { doors, tls, quic, endpoint });
        for expected in [Early::NotSent, Early::Taken] {
            for port in [Port::Tls, Port::Quic] {
                let early = impostors.be_early_at_the_impostor(port).await.expect("a handshake");
                assert_eq!(early, expected, "{port:?}");
            }
        }
        impostors
    }

    async fn be_early_at_the_impostor(self: &Arc<Impostors>, port: Port) -> io::Result<Early> {
        if port == Port::Quic {
            let address = self.endpoint.local_addr()?;
            return self.quic.put_early_over_quic(&self.doors, address, true).await;
        }
        let impostors = self.clone();
        spawn_blocking(move || impostors.tls.be_early_over_tls()).await.expect("no panic")
    }

    /// Gets a ticket and is early at the node with it.
    pub(super) async fn put_early(self: &Arc<Impostors>, port: Port) -> io::Result<Early> {
        self.be_early_at_the_impostor(port).await?;
        let address = self.doors.address(port, 0);
        if port == Port::Quic {
            return self.quic.put_early_over_quic(&self.doors, address, false).await;
        }
        let stream = self.doors.tcp(port, 0).await?.into_std()?;
        stream.set_nonblocking(false)?;
        let impostors = self.clone();
        let early = spawn_blocking(move || impostors.tls.put_early_over_tls(stream, false));
        early.await.expect("no panic")
    }
}

/// A greeting, and a put that any node would carry out behind a handshake.
fn early_put() -> Vec<u8> {
    let put = frames::latest(1, BUCKET, b"put before the handshake ended");
    [frames::hello(), put].concat()
}

/// Sends everybody something behind a ticket.
async fn welcome_everybody(endpoint: quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            let mut stream = connection.open_uni().await?;
            // The other end has what it came for, or is gone.
            let _ = stream.write_all(b".").await;
            let _ = stream.finish();
            connection.closed().await;
            Ok::<(), quinn::ConnectionError>(())
        });
    }
}
