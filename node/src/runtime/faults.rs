//! Certificates that ended a handshake: counted, and told in the log with who it was and what to do.
//!
//! Either this node does not accept the other's certificate, and knows exactly why, or the other does not accept this
//! node's, and an alert says roughly why. A node that dials does so several times a second, so each fault of each other side
//! is told once in a while; every one is counted.
//!
//! **Invariant:** whoever did not finish a handshake proved nothing, so a line of the log names an address, and a node only
//! where this node dialled it or the address is a member's own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use kvorum_protocol::CertificateFault;
use kvorum_ring::NodeId;
use quinn::ConnectionError;
use rustls::{AlertDescription, CertificateError};
use tokio::time::Instant;

use crate::runtime::limits;
use crate::runtime::metrics::{Exposition, Kind};
use crate::runtime::source::Source;

/// Where the handshake was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Gate {
    /// The port where nodes connect.
    Peers,
    /// On the way to another node.
    Dialled,
    /// The port for clients, over TCP or QUIC.
    Clients,
    /// The admin port.
    Admin,
}

/// Whose certificate it was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Whose {
    /// The other side's.
    Theirs,
    /// This node's.
    Ours,
}

const GATES: [&str; 4] = ["peers", "dialled", "clients", "admin"];
const SIDES: [&str; 2] = ["theirs", "ours"];

/// The other side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// A node: it was dialled, or the address is its own.
    Node(NodeId, SocketAddr),
    /// Somebody at an address.
    Somebody(SocketAddr),
}

impl fmt::Display for Who {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Node(node, address) => write!(formatter, "node {node} at {address}"),
            Who::Somebody(address) => write!(formatter, "{address}"),
        }
    }
}

/// A fault of one side.
type Fault = (Whose, CertificateFault);

/// What must not be told again too soon.
type Told = (Gate, Result<NodeId, Source>, Fault);

/// All faults of a node's handshakes.
#[derive(Default)]
pub(crate) struct Faults {
    counts: [[[Cell<u64>; CertificateFault::ALL.len()]; SIDES.len()]; GATES.len()],
    told: RefCell<BTreeMap<Told, Instant>>,
}

impl Faults {
    /// Takes note of a failed TLS handshake over TCP; gives whether it was about a certificate.
    pub(crate) fn in_io(&self, gate: Gate, who: Who, error: &io::Error) -> bool {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        self.note(gate, who, tls.and_then(of_tls))
    }

    /// The same for a QUIC connection that was lost or never came about.
    pub(crate) fn in_quic(&self, gate: Gate, who: Who, error: &ConnectionError) -> bool {
        self.note(gate, who, of_quic(error))
    }

    fn note(&self, gate: Gate, who: Who, found: Option<Fault>) -> bool {
        let Some((whose, fault)) = found else { return false };
        let count = self.cell(gate, whose, fault);
        count.set(count.get() + 1);
        let key = match who {
            Who::Node(node, _) => Ok(node),
            Who::Somebody(address) => Err(Source::of(address.ip())),
        };
        if self.may_tell((gate, key, (whose, fault)), Instant::now()) {
            let remedy = fault.remedy();
            match whose {
                Whose::Theirs => tracing::warn!(
                    %who, fault = fault.name(),
                    "a connection failed: the certificate of {who} {fault}: {remedy}"
                ),
                Whose::Ours => tracing::warn!(
                    %who, fault = fault.name(),
                    "a connection failed: {who} does not accept this node's certificate: it {fault}: {remedy}"
                ),
            }
        }
        true
    }

    /// Whether something is told now: not again within a while, and not if too many others were told within it.
    fn may_tell(&self, what: Told, now: Instant) -> bool {
        let mut told = self.told.borrow_mut();
        told.retain(|_, at| now.duration_since(*at) < limits::FAULT_TOLD_EVERY);
        if told.len() >= limits::FAULTS_TOLD || told.contains_key(&what) {
            return false;
        }
        told.insert(what, now);
        true
    }

    fn cell(&self, gate: Gate, whose: Whose, fault: CertificateFault) -> &Cell<u64> {
        &self.counts[gate as usize][whose as usize][fault as usize]
    }

    /// Writes what was counted.
    pub(crate) fn expose(&self, out: &mut Exposition) {
        let help = "Handshakes that ended with a certificate that one side does not accept.";
        out.family("kvorum_certificates_refused_total", Kind::Counter, help);
        for (door, sides) in GATES.iter().zip(&self.counts) {
            for (whose, faults) in SIDES.iter().zip(sides) {
                for (fault, count) in CertificateFault::ALL.iter().zip(faults) {
                    let labels = [("door", *door), ("whose", *whose), ("fault", fault.name())];
                    if count.get() > 0 {
                        out.sample(&labels, count.get() as f64);
                    }
                }
            }
        }
    }

    /// How often a fault was met.
    #[cfg(test)]
    pub(crate) fn count(&self, gate: Gate, whose: Whose, fault: CertificateFault) -> u64 {
        self.cell(gate, whose, fault).get()
    }
}

fn of_tls(error: &rustls::Error) -> Option<Fault> {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Some((Whose::Theirs, CertificateFault::NotYetValid)),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some((Whose::Theirs, CertificateFault::WrongName)),
        rustls::Error::InvalidCertificate(error) => {
            // One alert is sent of wrong names, known by now, and of certificates that cannot be read.
            let fault = CertificateFault::of_alert(AlertDescription::from(error.clone()).into());
            let fault = fault.filter(|fault| *fault != CertificateFault::WrongName);
            Some((Whose::Theirs, fault.unwrap_or(CertificateFault::Unfit)))
        }
        rustls::Error::AlertReceived(alert) => {
            CertificateFault::of_alert((*alert).into()).map(|fault| (Whose::Ours, fault))
        }
        _ => None,
    }
}

fn of_quic(error: &ConnectionError) -> Option<Fault> {
    match error {
        ConnectionError::TransportError(error) => {
            let fault = CertificateFault::of_quic_code(error.code.into())?;
            // QUIC keeps only the number of this side's alert, which is the same for several faults, and the text.
            let fault = match fault {
                CertificateFault::Expired if error.reason.contains(NOT_YET) => {
                    CertificateFault::NotYetValid
                }
                CertificateFault::WrongName if !error.reason.contains(NAME) => {
                    CertificateFault::Unfit
                }
                fault => fault,
            };
            Some((Whose::Theirs, fault))
        }
        ConnectionError::ConnectionClosed(close) => {
            let fault = CertificateFault::of_quic_code(close.error_code.into());
            fault.map(|fault| (Whose::Ours, fault))
        }
        _ => None,
    }
}

/// How rustls writes that a certificate is not valid yet; a test of the peers' connections holds it to that.
const NOT_YET: &str = "not valid yet";

/// How rustls writes that a certificate is for another name; the same test holds it to that.
const NAME: &str = "not valid for name";

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use kvorum_protocol::CertificateFault;
    use kvorum_ring::NodeId;
    use quinn::{ConnectionError, TransportErrorCode};
    use rustls::{AlertDescription, CertificateError};
    use tokio::time::Instant;

    use super::{Fault, Faults, Gate, Who, Whose, of_quic, of_tls};
    use crate::runtime::limits;
    use crate::runtime::source::Source;

    fn expired(whose: Whose) -> std::io::Error {
        let error = match whose {
            Whose::Theirs => rustls::Error::InvalidCertificate(rustls::CertificateError::Expired),
            Whose::Ours => {
                rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired)
            }
        };
        std::io::Error::other(error)
    }

    #[test]
    fn every_fault_is_counted_by_whose_it_is_and_other_failures_are_not() {
        let faults = Faults::default();
        let who = Who::Somebody(SocketAddr::from(([10, 0, 0, 1], 5)));
        for whose in [Whose::Theirs, Whose::Theirs, Whose::Ours] {
            assert!(faults.in_io(Gate::Clients, who, &expired(whose)));
        }
        assert!(!faults.in_io(Gate::Clients, who, &std::io::ErrorKind::ConnectionReset.into()));
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        assert!(!faults.in_io(Gate::Clients, who, &std::io::Error::other(alert)));
        let count = |whose| faults.count(Gate::Clients, whose, CertificateFault::Expired);
        assert_eq!([count(Whose::Theirs), count(Whose::Ours)], [2, 1]);
    }

    /// The same error as QUIC keeps it.
    fn over_quic(error: &rustls::Error) -> Option<Fault> {
        let code = TransportErrorCode::crypto(AlertDescription::BadCertificate.into());
        let mut lost = ConnectionError::TransportError(code.into());
        if let ConnectionError::TransportError(told) = &mut lost {
            told.reason = error.to_string();
        }
        of_quic(&lost)
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_not_called_one_of_another_node() {
        for error in [CertificateError::BadEncoding, CertificateError::UnhandledCriticalExtension] {
            let error = rustls::Error::InvalidCertificate(error);
            let unfit = Some((Whose::Theirs, CertificateFault::Unfit));
            assert_eq!([of_tls(&error), over_quic(&error)], [unfit, unfit], "{error}");
        }
        let other = CertificateError::NotValidForName.into();
        assert_eq!(of_tls(&other), Some((Whose::Theirs, CertificateFault::WrongName)));
    }

    #[test]
    fn a_fault_is_told_once_in_a_while_and_a_crowd_does_not_flood_the_log() {
        let (faults, now) = (Faults::default(), Instant::now());
        let fault = (Whose::Theirs, CertificateFault::Expired);
        let node = |node| (Gate::Dialled, Ok(NodeId(node)), fault);
        assert!(faults.may_tell(node(1), now) && !faults.may_tell(node(1), now));
        assert!(faults.may_tell(node(2), now), "another node is another matter");
        let later = now + limits::FAULT_TOLD_EVERY;
        assert!(faults.may_tell(node(1), later));
        let somebody = |last: usize| {
            let address = std::net::IpAddr::from((last as u32 + (10 << 24)).to_be_bytes());
            (Gate::Clients, Err(Source::of(address)), fault)
        };
        let told = (0..10 * limits::FAULTS_TOLD).filter(|at| faults.may_tell(somebody(*at), later));
        assert_eq!(told.count(), limits::FAULTS_TOLD - 1);
    }
}
