//! The admin port: figures for scrapers and a sign of life, over HTTP.
//!
//! `GET /metrics` gives every figure (`node/METRICS.md`), `GET /healthz` says that the driver answers. On a loopback address it
//! is plain HTTP: whoever is on this machine may see figures, and there is nothing else to see. On any other address it is
//! mutual TLS under the cluster's authority, like the port for clients. One request a connection, a handful of connections, a
//! deadline on each: nobody here can take anything from the clients. Who has not shown a certificate stands among the
//! [`Strangers`] of this port, and keeps nobody from a place who has.

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::runtime::cluster::Figures;
use crate::runtime::error::{Listener, RunError};
use crate::runtime::faults::{Faults, Gate, Who};
use crate::runtime::limits;
use crate::runtime::metrics::{CONTENT_TYPE, expose};
use crate::runtime::security::Current;
use crate::runtime::strangers::{Stranger, Strangers};

/// A question for the driver: what it knows now.
pub(crate) type Question = oneshot::Sender<Figures>;

/// How connections are secured.
#[derive(Clone)]
pub(crate) enum AdminSecurity {
    /// On loopback.
    Plaintext,
    /// Everywhere else.
    Tls(Current),
}

impl AdminSecurity {
    /// What an address needs.
    pub(crate) fn of(address: SocketAddr, current: &Current) -> AdminSecurity {
        if address.ip().is_loopback() {
            return AdminSecurity::Plaintext;
        }
        AdminSecurity::Tls(current.clone())
    }
}

/// Opens the port.
///
/// # Errors
/// [`RunError`] names the address.
pub(crate) async fn bind_admin(address: SocketAddr) -> Result<TcpListener, RunError> {
    let failed = |error| RunError::listen(Listener::Admin, address, error);
    TcpListener::bind(address).await.map_err(failed)
}

/// Answers for as long as the task runs.
pub(crate) async fn accept_admin(
    listener: TcpListener,
    security: AdminSecurity,
    driver: mpsc::Sender<Question>,
    faults: Rc<Faults>,
) {
    let port = Rc::new(Port::new(security, driver, faults));
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let (port, stranger) = (port.clone(), port.strangers.enter(address.ip()));
                let strangers = port.strangers.clone();
                spawn_local(async move { port.serve(stream, address, stranger).await });
                strangers.pace().await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the admin port");
                sleep(limits::ADMIN_PAUSE).await;
            }
        }
    }
}

/// The open port. Who shows nothing stands among the strangers and takes none of the places.
struct Port {
    security: AdminSecurity,
    driver: mpsc::Sender<Question>,
    faults: Rc<Faults>,
    strangers: Rc<Strangers>,
    places: Semaphore,
}

impl Port {
    fn new(security: AdminSecurity, driver: mpsc::Sender<Question>, faults: Rc<Faults>) -> Port {
        let places = Semaphore::new(limits::ADMIN_CONNECTIONS);
        Port { security, driver, faults, strangers: Strangers::new(), places }
    }

    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        address: SocketAddr,
        stranger: Stranger,
    ) {
        match &self.security {
            AdminSecurity::Plaintext => self.answer(stranger, ready(Ok(stream))).await,
            AdminSecurity::Tls(current) => {
                let acceptor = TlsAcceptor::from(current.borrow().admin.clone());
                let handshake = async {
                    acceptor.accept(stream).await.inspect_err(|error| {
                        self.faults.in_io(Gate::Admin, Who::Somebody(address), error);
                    })
                };
                self.answer(stranger, handshake).await;
            }
        }
    }

    /// Answers once it is known who asks and there is a place.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stranger: Stranger,
        handshake: impl Future<Output = io::Result<S>>,
    ) {
        let let_in = async {
            let stream = handshake.await?;
            io::Result::Ok((stream, self.places.acquire().await))
        };
        let Ok(Ok((stream, Ok(_place)))) = stranger.until(let_in).await else { return };
        drop(stranger);
        // Too slow or broken off: nobody waits for the answer.
        let _ = timeout(limits::ADMIN_WITHIN, answer(stream, self.driver.clone())).await;
    }
}

/// Reads one request's head and answers it.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    driver: mpsc::Sender<Question>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() >= limits::ADMIN_HEAD_BYTES || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, kind, body) = respond(&String::from_utf8_lossy(line), driver).await;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Status, media type and body for a request line.
async fn respond(
    line: &str,
    driver: mpsc::Sender<Question>,
) -> (&'static str, &'static str, String) {
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    if !["/metrics", "/healthz"].contains(&path) {
        let body = "there are /metrics and /healthz here\n";
        return ("404 Not Found", TEXT, body.to_owned());
    }
    if method != "GET" {
        return ("405 Method Not Allowed", TEXT, "only GET is known here\n".to_owned());
    }
    let (question, told) = oneshot::channel();
    let asked = driver.send(question).await.is_ok();
    match told.await {
        Ok(figures) if asked && path == "/metrics" => ("200 OK", CONTENT_TYPE, expose(&figures)),
        Ok(_) => ("200 OK", TEXT, "ok\n".to_owned()),
        Err(_) => ("503 Service Unavailable", TEXT, "the node is stopping\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use kvorum_ring::NodeId;
    use rustls::pki_types::ServerName;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::sync::mpsc;
    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::Instant;
    use tokio_rustls::TlsConnector;

    use super::{AdminSecurity, Port, Question, answer};
    use crate::identity::{
        AUTHORITY_FILE, CERTIFICATE_FILE, ClusterAuthority, Credentials, KEY_FILE, dial,
    };
    use crate::runtime::cluster::Figures;
    use crate::runtime::limits;
    use crate::runtime::renewal::{Home, Renewal};
    use crate::runtime::security::Current;

    const NODE: NodeId = NodeId(1);

    /// What comes back for these bytes, from a driver that answers or does not.
    async fn ask(request: &[u8], answers: bool) -> String {
        let (mut client, server) = duplex(1 << 20);
        let (driver, mut questions) = mpsc::channel::<Question>(1);
        client.write_all(request).await.expect("there is room");
        let drive = async {
            while let Some(question) = questions.recv().await {
                if answers {
                    assert!(question.send(Figures::sample()).is_ok());
                }
            }
        };
        let (answered, ()) = tokio::join!(answer(server, driver), drive);
        answered.expect("written");
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("text");
        text
    }

    #[tokio::test]
    async fn figures_and_health_are_told_and_anything_else_is_refused() {
        let figures = ask(b"GET /metrics?x=1 HTTP/1.1\r\nhost: a\r\n\r\n", true).await;
        assert!(figures.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4"));
        assert!(figures.contains("kvorum_build_info{version=\"0\""), "{figures}");
        let (head, body) = figures.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        let healthy = ask(b"GET /healthz HTTP/1.0\r\n\r\n", true).await;
        assert!(healthy.ends_with("\r\n\r\nok\n"), "{healthy}");
        assert!(ask(b"GET / HTTP/1.1\r\n\r\n", true).await.starts_with("HTTP/1.1 404"));
        assert!(ask(b"POST /metrics HTTP/1.1\r\n\r\n", true).await.starts_with("HTTP/1.1 405"));
    }

    #[tokio::test]
    async fn a_driver_that_does_not_answer_is_not_healthy() {
        let text = ask(b"GET /healthz HTTP/1.1\r\n\r\n", false).await;
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_not_gathered_for_ever() {
        assert_eq!(ask(&[b'a'; 20_000], true).await, "");
    }

    /// Node 1 with fresh credentials.
    fn home() -> (TempDir, Current) {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        let authority = ClusterAuthority::create("test", now).expect("an authority");
        let issued = authority.issue_node(NODE, now).expect("a certificate");
        let write = |name, pem: &str| {
            std::fs::write(directory.path().join(name), pem).expect("written");
        };
        write(AUTHORITY_FILE, authority.certificate_pem());
        write(CERTIFICATE_FILE, &issued.certificate_pem);
        write(KEY_FILE, &issued.key_pem);
        let home = Home { node: NODE, directory: directory.path().to_owned() };
        let (_renewal, current) = Renewal::begin(home, now).expect("credentials");
        (directory, current)
    }

    /// The clock jumps to the next deadline whenever everybody waits, so that waiting shows.
    #[tokio::test(start_paused = true)]
    async fn who_shows_nothing_keeps_nobody_waiting_who_shows_a_certificate() {
        let (directory, current) = home();
        let (driver, mut questions) = mpsc::channel::<Question>(1);
        let port = Rc::new(Port::new(AdminSecurity::Tls(current), driver, Rc::default()));
        let connect = || {
            let (client, server) = duplex(1 << 16);
            let (port, address) = (port.clone(), SocketAddr::from(([10, 0, 0, 1], 9)));
            let stranger = port.strangers.enter(address.ip());
            spawn_local(async move { port.serve(server, address, stranger).await });
            client
        };
        let asked = async {
            let silent: Vec<_> = (0..=limits::ADMIN_CONNECTIONS).map(|_| connect()).collect();
            spawn_local(async move {
                while let Some(question) = questions.recv().await {
                    assert!(question.send(Figures::sample()).is_ok());
                }
            });
            let begun = Instant::now();
            let credentials = Credentials::load(directory.path()).expect("credentials");
            let config = dial(&credentials, b"http/1.1").expect("a configuration");
            let name = ServerName::try_from(NODE.dns_name()).expect("a name");
            let tls = TlsConnector::from(Arc::new(config)).connect(name, connect());
            let mut stream = tls.await.expect("a handshake");
            stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.expect("written");
            let mut text = String::new();
            stream.read_to_string(&mut text).await.expect("text");
            assert!(text.ends_with("\r\n\r\nok\n"), "{text}");
            assert_eq!(begun.elapsed(), Duration::ZERO, "it waited for somebody");
            drop(silent);
        };
        LocalSet::new().run_until(asked).await;
    }

    #[test]
    fn plaintext_is_for_loopback_only() {
        let (_directory, current) = home();
        let of = |address: &str| AdminSecurity::of(address.parse().expect("an address"), &current);
        assert!(matches!(of("127.0.0.1:7402"), AdminSecurity::Plaintext));
        assert!(matches!(of("[::1]:7402"), AdminSecurity::Plaintext));
        for address in ["0.0.0.0:7402", "10.0.0.1:7402", "[::]:7402"] {
            assert!(matches!(of(address), AdminSecurity::Tls(_)), "{address}");
        }
    }
}
