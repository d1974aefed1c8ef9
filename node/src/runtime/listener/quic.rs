//! Clients over QUIC: a connection carries one session, on its one stream.

use std::net::SocketAddr;
use std::rc::Rc;

use quinn::{Connection, Endpoint, Incoming, VarInt};
use tokio::task::spawn_local;

use crate::runtime::listener::door::Door;
use crate::runtime::listener::session;
use crate::runtime::peers::verified_name;
use crate::runtime::source::Source;
use crate::runtime::strangers::Stranger;

/// The code of a close by which a client is refused. Pinned.
const REFUSED: VarInt = VarInt::from_u32(1);

/// Accepts clients until the endpoint is closed.
pub(crate) async fn accept_quic(endpoint: Endpoint, door: Rc<Door>) {
    while let Some((incoming, stranger)) = door.strangers.accept_quic(&endpoint).await {
        spawn_local(serve(incoming, stranger, door.clone()));
    }
}

async fn serve(incoming: Incoming, mut stranger: Stranger, door: Rc<Door>) {
    let address = incoming.remote_address();
    let connection = match stranger.until(async { incoming.await }).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::info!(%address, %error, "a client's handshake failed"),
        Err(error) => return tracing::debug!(%address, %error, "a client's handshake"),
    };
    match verified_name(&connection) {
        Some(name) if door.admits(name) => converse(&connection, address, stranger, door).await,
        name => tracing::warn!(%address, ?name, "refused a client's certificate"),
    }
    connection.close(REFUSED, b"");
}

async fn converse(
    connection: &Connection,
    address: SocketAddr,
    mut stranger: Stranger,
    door: Rc<Door>,
) {
    let Ok(Ok((writer, reader))) = stranger.until(connection.accept_bi()).await else { return };
    let source = Source::of(address.ip());
    if let Err(error) = session::serve(door, source, stranger, reader, writer).await {
        tracing::debug!(%address, %error, "a client's session ended");
    }
}
