//! The life of one greeted connection, whoever dialled it.

use std::cell::Cell;
use std::rc::Rc;

use kvorum_protocol::frame::FrameDecoder;
use kvorum_protocol::limits::PEER_FRAME_BYTES;
use kvorum_ring::NodeId;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::runtime::clock::Clock;
use crate::runtime::limits;
use crate::runtime::outgoing::Outgoing;
use crate::runtime::peers::close::CloseCode;
use crate::runtime::peers::event::{Channel, Link, LinkId, PeerEvent, Purpose};

/// Bytes taken from a stream at a time, and room made for them. Frames are slices of that room, so it is left to them and
/// new room made only when it is used up.
const READ_BYTES: usize = 64 << 10;

/// Numbers the connections of a process.
#[derive(Default)]
pub(crate) struct LinkNumbers(Cell<u64>);

impl LinkNumbers {
    pub(crate) fn next(&self) -> LinkId {
        self.0.set(self.0.get() + 1);
        LinkId(self.0.get())
    }
}

/// One direction pair of a connection's stream.
pub(crate) struct Duplex {
    pub(crate) send: SendStream,
    pub(crate) receive: RecvStream,
}

/// A connection after its greeting.
pub(crate) struct Greeted {
    pub(crate) peer: NodeId,
    pub(crate) purpose: Purpose,
    pub(crate) id: LinkId,
    pub(crate) connection: Connection,
    pub(crate) main: Duplex,
    /// Only on the requests connection.
    pub(crate) facts: Option<Duplex>,
}

/// Carries frames until the connection is lost. Reports it up and then down.
pub(crate) async fn carry(greeted: Greeted, clock: Clock, events: mpsc::Sender<PeerEvent>) {
    let Greeted { peer, purpose, id, connection, main, facts } = greeted;
    let stream = |duplex: Duplex, channel| {
        let outgoing = Rc::new(Outgoing::new(limits::PEER_PENDING_BYTES));
        spawn_local(write(duplex.send, outgoing.clone()));
        let told = (clock, events.clone());
        spawn_local(read(peer, channel, duplex.receive, connection.clone(), told));
        outgoing
    };
    let main_channel = match purpose {
        Purpose::Requests => Channel::Requests,
        Purpose::Membership | Purpose::Bulk => Channel::Silent,
    };
    let main = stream(main, main_channel);
    let facts = facts.map(|facts| stream(facts, Channel::Facts));
    if purpose == Purpose::Membership {
        spawn_local(read_datagrams(peer, connection.clone(), events.clone()));
    }
    let link =
        Link { id, main: main.clone(), facts: facts.clone(), connection: connection.clone() };
    tracing::debug!(%peer, ?purpose, "connection up");
    if events.send(PeerEvent::Up { peer, purpose, link }).await.is_ok() {
        let reason = connection.closed().await;
        tracing::debug!(%peer, ?purpose, %reason, "connection lost");
    }
    main.close();
    facts.inspect(|facts| facts.close());
    // A closed channel means that the driver is gone, and then nobody wants to know.
    let _ = events.send(PeerEvent::Down { peer, purpose, id }).await;
}

/// Writes what gathers until the connection or the buffer is closed. The stream's loss shows as the connection's.
async fn write(mut stream: SendStream, outgoing: Rc<Outgoing>) {
    while let Some(batch) = outgoing.take().await {
        if stream.write_chunk(batch).await.is_err() {
            break;
        }
    }
    outgoing.finish();
}

async fn read(
    peer: NodeId,
    channel: Channel,
    mut stream: RecvStream,
    connection: Connection,
    (clock, events): (Clock, mpsc::Sender<PeerEvent>),
) {
    let mut decoder = FrameDecoder::new(PEER_FRAME_BYTES);
    loop {
        match stream.read_chunk(READ_BYTES, true).await {
            Ok(Some(chunk)) => {
                let buffer = decoder.buffer();
                if buffer.capacity() - buffer.len() < chunk.bytes.len() {
                    buffer.reserve(READ_BYTES.max(chunk.bytes.len()));
                }
                buffer.extend_from_slice(&chunk.bytes);
            }
            // The long-lived stream ends only with its connection.
            Ok(None) | Err(_) => return CloseCode::Protocol.close(&connection),
        }
        let arrived_ns = clock.now().mono_ns;
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    let event = PeerEvent::Frame { peer, channel, frame, arrived_ns };
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%peer, %error, "closing a connection that cannot be read any further");
                    return CloseCode::Protocol.close(&connection);
                }
            }
        }
    }
}

async fn read_datagrams(peer: NodeId, connection: Connection, events: mpsc::Sender<PeerEvent>) {
    while let Ok(datagram) = connection.read_datagram().await {
        if events.send(PeerEvent::Datagram { peer, datagram }).await.is_err() {
            return;
        }
    }
}
