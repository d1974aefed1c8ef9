//! Clients over QUIC: each bidirectional stream is a session.

use std::net::SocketAddr;
use std::rc::Rc;

use quinn::{Connection, Endpoint, Incoming, VarInt};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::runtime::limits;
use crate::runtime::listener::door::Door;
use crate::runtime::listener::session;
use crate::runtime::peers::verified_name;

/// The code of a close by which a client is refused. Pinned.
const REFUSED: VarInt = VarInt::from_u32(1);

/// Accepts clients until the endpoint is closed.
pub(crate) async fn accept_quic(endpoint: Endpoint, door: Rc<Door>) {
    while let Some(incoming) = endpoint.accept().await {
        spawn_local(serve(incoming, door.clone()));
    }
}

async fn serve(incoming: Incoming, door: Rc<Door>) {
    let address = incoming.remote_address();
    let Some(_place) = door.place() else {
        tracing::warn!(%address, limit = limits::CLIENTS, "too many clients: refusing a new one");
        return incoming.refuse();
    };
    let connection = match timeout(limits::GREETING_WITHIN, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::info!(%address, %error, "a client's handshake failed"),
        Err(_) => return,
    };
    match verified_name(&connection) {
        Some(name) if door.admits(name) => sessions(connection, address, door.clone()).await,
        name => {
            tracing::warn!(%address, ?name, "refused a client's certificate");
            connection.close(REFUSED, b"");
        }
    }
}

async fn sessions(connection: Connection, address: SocketAddr, door: Rc<Door>) {
    while let Ok((writer, reader)) = connection.accept_bi().await {
        let door = door.clone();
        spawn_local(async move {
            if let Err(error) = session::serve(door, reader, writer).await {
                tracing::debug!(%address, %error, "a client's session ended");
            }
        });
    }
}
