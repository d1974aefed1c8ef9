//! What the sessions of all transports share, and what they tell the driver.

use std::cell::Cell;
use std::rc::Rc;

use kvorum_protocol::Request;
use kvorum_ring::NodeId;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::identity::PeerName;
use crate::runtime::limits;
use crate::runtime::outgoing::Outgoing;
use crate::runtime::peers::Members;

/// A client's connection. Numbers are not reused within a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ClientNumber(pub(crate) u64);

/// One thing that happened on a client's connection.
pub(crate) enum ClientEvent {
    /// A client has been greeted. Its answers go here.
    Opened { client: ClientNumber, outgoing: Rc<Outgoing> },
    /// It asks.
    Request { client: ClientNumber, request_id: u64, request: Request },
    /// It is gone.
    Gone { client: ClientNumber },
}

/// Who is let in, and where what they say goes.
pub(crate) struct Door {
    pub(crate) me: NodeId,
    pub(crate) cluster: String,
    pub(crate) members: watch::Receiver<Members>,
    pub(crate) events: mpsc::Sender<ClientEvent>,
    places: Semaphore,
    numbers: Cell<u64>,
}

impl Door {
    pub(crate) fn new(
        me: NodeId,
        cluster: String,
        members: watch::Receiver<Members>,
        events: mpsc::Sender<ClientEvent>,
    ) -> Door {
        Door {
            me,
            cluster,
            members,
            events,
            places: Semaphore::new(limits::CLIENTS),
            numbers: Cell::new(0),
        }
    }

    /// A place for one more connection, given back when the permit is dropped; `None` when all are taken.
    pub(crate) fn place(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Whether the owner of a certificate that TLS has verified may ask here: clients, and members, who could do more
    /// on the peers' port anyway.
    pub(crate) fn admits(&self, name: PeerName) -> bool {
        match name {
            PeerName::Client => true,
            PeerName::Node(node) => self.members.borrow().contains_key(&node),
        }
    }

    pub(crate) fn next_number(&self) -> ClientNumber {
        self.numbers.set(self.numbers.get() + 1);
        ClientNumber(self.numbers.get())
    }
}
