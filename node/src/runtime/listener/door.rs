//! What the sessions of all transports share, and what they tell the driver.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use kvorum_protocol::message::AccessRefusal;
use kvorum_protocol::{Request, ShownToken};
use kvorum_ring::NodeId;
use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};

use crate::identity::{NameError, PeerName};
use crate::runtime::access::{AccessTokens, Caller, Shown};
use crate::runtime::clock::Clock;
use crate::runtime::faults::Faults;
use crate::runtime::gate::{Gate, Ticket};
use crate::runtime::limits;
use crate::runtime::listener::account::Account;
use crate::runtime::metrics::Meters;
use crate::runtime::outgoing::Outgoing;
use crate::runtime::peers::Members;
use crate::runtime::quota::{Quota, Taken};
use crate::runtime::source::Source;
use crate::runtime::strangers::Strangers;
use crate::runtime::tenant::{Tenant, TenantId};

/// A client's connection. Numbers are not reused within a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ClientNumber(pub(crate) u64);

/// One thing that happened on a client's connection.
pub(crate) enum ClientEvent {
    /// A client has been greeted. Its answers go here, and what it makes the node hold is counted there.
    Opened { client: ClientNumber, caller: Caller, outgoing: Rc<Outgoing>, account: Rc<Account> },
    /// It asks. A request for data has been let in, and brings its ticket.
    Request {
        client: ClientNumber,
        request_id: u64,
        request: Request,
        /// When its bytes had come, in monotonic nanoseconds.
        arrived_ns: u64,
        ticket: Option<Ticket>,
    },
    /// It is gone.
    Gone { client: ClientNumber },
}

/// What a door asks whether to let somebody in, and where it sends who is in.
pub(crate) struct Guard {
    pub(crate) access: watch::Receiver<Arc<AccessTokens>>,
    pub(crate) clock: Clock,
    pub(crate) events: mpsc::Sender<ClientEvent>,
    /// Certificates that are not accepted.
    pub(crate) faults: Rc<Faults>,
    pub(crate) gate: Rc<Gate>,
    pub(crate) meters: Rc<Meters>,
}

impl Guard {
    /// With a gate through which nobody has come yet.
    pub(crate) fn new(
        access: watch::Receiver<Arc<AccessTokens>>,
        clock: Clock,
        events: mpsc::Sender<ClientEvent>,
        meters: &Rc<Meters>,
    ) -> Guard {
        let (faults, meters) = (meters.faults.clone(), Rc::clone(meters));
        Guard { access, clock, events, faults, gate: Gate::new(), meters }
    }
}

/// A certificate of our authority that does not let anybody in as a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateRefusal {
    /// It stands for nobody.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It stands for a node that is no member.
    #[error("{0} is no member of this cluster")]
    NotAMember(NodeId),
}

/// Who is let in, and where what they say goes.
pub(crate) struct Door {
    pub(crate) me: NodeId,
    pub(crate) cluster: String,
    pub(crate) members: watch::Receiver<Members>,
    access: watch::Receiver<Arc<AccessTokens>>,
    pub(super) clock: Clock,
    pub(crate) events: mpsc::Sender<ClientEvent>,
    pub(crate) faults: Rc<Faults>,
    pub(super) gate: Rc<Gate>,
    pub(super) meters: Rc<Meters>,
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
        guard: Guard,
    ) -> Door {
        let Guard { access, clock, events, faults, gate, meters } = guard;
        Door {
            me,
            cluster,
            members,
            access,
            clock,
            events,
            faults,
            gate,
            meters,
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

    /// Who a client is, by its greeting and by what the transport knows of it.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(super) fn caller(&self, shown: Shown, token: &ShownToken) -> Result<Caller, AccessRefusal> {
        self.access.borrow().admit(shown, token, self.clock.now().wall_ms)
    }

    /// The tenant that a client belongs to, who counts for all of its connections.
    pub(super) fn tenant(&self, caller: Caller, source: Source) -> Rc<Tenant> {
        let limits = self.access.borrow().limits(caller);
        self.gate.tenant(TenantId::of(caller, source), limits, self.clock.now().mono_ns)
    }

    /// What a certificate chain that TLS has verified, or the lack of one, stands for here. Certificates are for clients
    /// and for members, who could do more on the peers' port anyway; without one there has to be a token.
    ///
    /// # Errors
    /// Why the certificate is refused.
    pub(super) fn shown(
        &self,
        verified: &[CertificateDer<'_>],
    ) -> Result<Shown, CertificateRefusal> {
        if verified.is_empty() {
            return Ok(Shown::Nothing);
        }
        match PeerName::of(verified)? {
            PeerName::Node(node) if !self.members.borrow().contains_key(&node) => {
                Err(CertificateRefusal::NotAMember(node))
            }
            PeerName::Client | PeerName::Node(_) => Ok(Shown::Certificate),
        }
    }

    pub(crate) fn next_number(&self) -> ClientNumber {
        self.numbers.set(self.numbers.get() + 1);
        ClientNumber(self.numbers.get())
    }
}
