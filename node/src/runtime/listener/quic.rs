//! Clients over QUIC: a connection carries one session, on its one stream.

use std::net::SocketAddr;
use std::rc::Rc;

use quinn::{Connection, Endpoint, Incoming, VarInt};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::runtime::access::Shown;
use crate::runtime::faults::{Gate, Who};
use crate::runtime::limits;
use crate::runtime::listener::door::Door;
use crate::runtime::listener::session;
use crate::runtime::peers::verified_chain;
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
        Ok(Err(error)) if door.faults.in_quic(Gate::Clients, Who::Somebody(address), &error) => {
            return;
        }
        Ok(Err(error)) => return tracing::info!(%address, %error, "a client's handshake failed"),
        Err(error) => return tracing::debug!(%address, %error, "a client's handshake"),
    };
    match door.shown(&verified_chain(&connection)) {
        Ok(shown) => converse(&connection, (address, shown), stranger, door).await,
        Err(error) => tracing::warn!(%address, %error, "refused a client's certificate"),
    }
    connection.close(REFUSED, b"");
}

async fn converse(
    connection: &Connection,
    (address, shown): (SocketAddr, Shown),
    mut stranger: Stranger,
    door: Rc<Door>,
) {
    let Ok(Ok((writer, reader))) = stranger.until(connection.accept_bi()).await else { return };
    let source = Source::of(address.ip());
    let ended = session::serve(door, (source, shown), stranger, reader, writer).await;
    if let Err(error) = ended {
        session::log_end(address, &error);
        if error.is_refusal() {
            // Closing at once would overtake the answer that says why.
            let _ = timeout(limits::REFUSAL_WITHIN, connection.closed()).await;
        }
    }
}
