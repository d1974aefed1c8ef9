//! Clients over TCP.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::runtime::access::Shown;
use crate::runtime::error::{Listener, RunError};
use crate::runtime::faults::{Gate, Who};
use crate::runtime::limits;
use crate::runtime::listener::door::Door;
use crate::runtime::listener::session;
use crate::runtime::security::Current;
use crate::runtime::source::Source;
use crate::runtime::strangers::Stranger;

/// After a failed accept (no file descriptor left, usually), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How TCP connections are secured.
#[derive(Clone)]
pub(crate) enum TcpSecurity {
    /// TLS, where clients may show a certificate.
    Tls(Current),
    /// Not at all. The settings allow it on 127.0.0.1 only; the accept loop checks the other end as well.
    Plaintext,
}

/// Opens the port.
///
/// # Errors
/// [`RunError::PortTaken`] names the address.
pub(crate) async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, RunError> {
    let failed = |error| RunError::listen(Listener::ClientsTcp, address, error);
    TcpListener::bind(address).await.map_err(failed)
}

/// Accepts clients for as long as the task runs.
pub(crate) async fn accept_tcp(listener: TcpListener, security: TcpSecurity, door: Rc<Door>) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let stranger = door.strangers.enter(address.ip());
                spawn_local(serve(stream, address, stranger, security.clone(), door.clone()));
                door.strangers.pace().await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    mut stranger: Stranger,
    security: TcpSecurity,
    door: Rc<Door>,
) {
    if prepare(&stream).is_err() {
        return;
    }
    let source = Source::of(address.ip());
    let ended = match security {
        TcpSecurity::Tls(current) => {
            let config = current.borrow().clients_tcp.clone();
            let handshake = handshake(stream, address, config, &door);
            let Ok(Some((stream, shown))) = stranger.until(handshake).await else { return };
            let (reader, writer) = tokio::io::split(stream);
            session::serve(door.clone(), (source, shown), stranger, reader, writer).await
        }
        TcpSecurity::Plaintext if address.ip().is_loopback() => {
            let (reader, writer) = stream.into_split();
            let client = (source, Shown::Development);
            session::serve(door.clone(), client, stranger, reader, writer).await
        }
        TcpSecurity::Plaintext => {
            return tracing::warn!(%address, "plaintext from another machine: closing");
        }
    };
    if let Err(error) = ended {
        session::log_end(address, &error);
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Answers are written in whole batches; waiting for more would only delay them.
    stream.set_nodelay(true)?;
    // A client whose machine is gone says nothing, and would keep its place for ever.
    let probes = TcpKeepalive::new()
        .with_time(limits::CLIENT_PROBED_AFTER)
        .with_interval(limits::CLIENT_PROBED_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    config: Arc<rustls::ServerConfig>,
    door: &Door,
) -> Option<(TlsStream<TcpStream>, Shown)> {
    let stream = match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            if !door.faults.in_io(Gate::Clients, Who::Somebody(address), &error) {
                tracing::info!(%address, %error, "a client's handshake failed");
            }
            return None;
        }
    };
    let refused = |error| tracing::warn!(%address, %error, "refused a client's certificate");
    let shown = door.shown(stream.get_ref().1.peer_certificates().unwrap_or_default());
    shown.map(|shown| (stream, shown)).map_err(refused).ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::SockRef;
    use tokio::net::{TcpListener, TcpStream};

    use super::prepare;

    #[tokio::test]
    async fn a_client_that_vanishes_is_noticed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        prepare(&stream).unwrap();
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }
}
