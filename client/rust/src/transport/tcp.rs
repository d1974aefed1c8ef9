//! TCP streams, with TLS and without.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Stream, certificate};
use crate::error::ConnectError;
use crate::identity::Identity;

async fn connect(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let stream =
        TcpStream::connect(address).await.map_err(|error| ConnectError::Tcp(error.kind()))?;
    // Frames are written whole: waiting for more to send would only add latency.
    stream.set_nodelay(true).map_err(|error| ConnectError::Tcp(error.kind()))?;
    Ok(stream)
}

/// Plain TCP; the caller has checked that `address` is loopback.
pub(super) async fn plain(address: SocketAddr) -> Result<Stream, ConnectError> {
    let (reader, writer) = connect(address).await?.into_split();
    Ok(Stream { reader: Box::new(reader), writer: Box::new(writer) })
}

/// TLS over TCP, with both sides authenticated.
pub(super) async fn tls(
    address: SocketAddr,
    name: ServerName<'static>,
    identity: &Identity,
) -> Result<Stream, ConnectError> {
    let stream = connect(address).await?;
    let stream =
        TlsConnector::from(identity.tls()).connect(name, stream).await.map_err(|error| {
            certificate::in_io(&error)
                .unwrap_or_else(|| ConnectError::Tls(error.to_string().into()))
        })?;
    let (reader, writer) = tokio::io::split(stream);
    Ok(Stream { reader: Box::new(reader), writer: Box::new(writer) })
}
