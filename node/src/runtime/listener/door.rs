//! What the sessions of all transports share, and what they tell the driver.

use std::cell::Cell;
use std::rc::Rc;

use kvorum_protocol::Request;
use kvorum_ring::NodeId;
use tokio::sync::{mpsc, watch};

use crate::identity::PeerName;
use crate::runtime::limits;
use crate::runtime::listener::account::Account;
use crate::runtime::outgoing::Outgoing;
use crate::runtime::peers::Members;
use crate::runtime::quota::{Quota, Taken};
use crate::runtime::source::Source;
use crate::runtime::strangers::Strangers;

/// A client's connection. Numbers are not reused within a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ClientNumber(pub(crate) u64);

/// One thing that happened on a client's connection.
pub(crate) enum ClientEvent {
    /// A client has been greeted. Its answers go here, and what it makes the node hold is counted there.
    Opened { client: ClientNumber, outgoing: Rc<Outgoing>, account: Rc<Account> },
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
    pub(super) strangers: Rc<Strangers>,
    places: Rc<Quota>,
    requests: Rc<Quota>,
    unread: Rc<Quota>,
    numbers: Cell<u64>,
}

impl Door {
    /// A door with room for so many clients.
    pub(crate) fn new(
        places: usize,
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
            strangers: Strangers::new(),
            places: Quota::new(places),
            requests: Quota::new(limits::REQUEST_BYTES),
            unread: Quota::new(limits::UNREAD_BYTES),
            numbers: Cell::new(0),
        }
    }

    /// A place for one more client, given back when it is dropped; `None` when all are taken, or all for this source.
    pub(super) fn place(&self, source: Source) -> Option<Taken> {
        self.places.take(source, 1)
    }

    /// A client's account.
    pub(super) fn account(&self, source: Source) -> Rc<Account> {
        Rc::new(Account::new(source, self.requests.clone(), self.unread.clone()))
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
