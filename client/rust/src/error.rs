//! What can go wrong, what it did to the data, and what the caller may do.
//!
//! An error that a node sent is kept as it came over the wire. Beside it stand the few things that only the client can
//! know: nobody could be reached, or nobody answered. The one distinction that matters most is kept by all of them:
//! whether it is *certain* that nothing was applied.

use std::io;
use std::sync::Arc;

use kvorum_protocol::codec::{DecodeError, Invalid};
use kvorum_protocol::frame::FrameError;
use kvorum_protocol::message::{ErrorClass, RequestError};
use kvorum_protocol::{CertificateFault, OperationId};
use kvorum_ring::NodeId;

use crate::endpoint::Endpoint;

/// Why one endpoint could not be used. Nothing was sent but a greeting.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host name could not be resolved.
    #[error("the host name cannot be resolved ({0})")]
    Resolve(io::ErrorKind),
    /// The host name has no address.
    #[error("the host name has no address")]
    NoAddress,
    /// No TCP connection could be made.
    #[error("{0}")]
    Tcp(io::ErrorKind),
    /// No UDP socket could be opened on this machine.
    #[error("no UDP socket: {0}")]
    Udp(io::ErrorKind),
    /// We do not accept the node's certificate. Nothing was sent, and trying again does not help before it is renewed or the
    /// endpoint corrected.
    #[error("the node's certificate {fault}: {remedy} ({detail})", remedy = fault.remedy())]
    NodeCertificate {
        /// What is wrong with it.
        fault: CertificateFault,
        /// The same in the words of the TLS library: dates, names.
        detail: Arc<str>,
    },
    /// The node does not accept our certificate. Nothing was sent, and trying again does not help before it is renewed.
    #[error("the node does not accept our certificate: it {fault}: {remedy}", remedy = fault.remedy())]
    OwnCertificate {
        /// What is wrong with it, as far as the node's alert tells.
        fault: CertificateFault,
    },
    /// The TLS handshake failed for another reason than a certificate.
    #[error("TLS: {0}")]
    Tls(Arc<str>),
    /// The QUIC connection failed for another reason than a certificate.
    #[error("QUIC: {0}")]
    Quic(quinn::ConnectionError),
    /// The identity cannot be used for QUIC, or the address cannot be dialled.
    #[error("QUIC cannot be set up with this identity and address")]
    QuicCrypto,
    /// Nothing happened within [`limits::CONNECT_PATIENCE`](crate::limits::CONNECT_PATIENCE).
    #[error("no answer within {} s", crate::limits::CONNECT_PATIENCE.as_secs())]
    TimedOut,
    /// Plaintext is for loopback addresses only.
    #[error(
        "plaintext is allowed on loopback only: name the node's id (ID@HOST:PORT) and our certificate"
    )]
    PlaintextBeyondLoopback,
    /// TLS and QUIC need a certificate of ours.
    #[error("a certificate is needed: name it in the config")]
    IdentityNeeded,
    /// TLS and QUIC need the node's id.
    #[error("the node's id is needed: ID@HOST:PORT")]
    NodeIdNeeded,
    /// The connection ended during the greeting.
    #[error("the connection ended during the greeting ({0})")]
    Greeting(io::ErrorKind),
    /// What came back is not even a frame: something else listens there, or it wants TLS.
    #[error(
        "what answers there does not speak our protocol this way (does it want TLS: ID@HOST:PORT?)"
    )]
    NotFrames,
    /// What came back is not our protocol.
    #[error("what answers there does not speak our protocol: {0}")]
    NotOurProtocol(DecodeError),
    /// The node refused us.
    #[error("refused: {0}")]
    Refused(RequestError),
    /// Another node than the one that was asked for.
    #[error("another node answered: {0}")]
    WrongNode(NodeId),
    /// A node of another cluster.
    #[error("a node of another cluster answered: {0}")]
    WrongCluster(Arc<str>),
    /// It failed a moment ago and is left alone for a little while.
    #[error("it could not be reached a moment ago")]
    Resting,
}

/// Why there is no client: no endpoint led to a usable cluster.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// No endpoint answered. Each with its reason.
    #[error("none of {} endpoints answered", .0.len())]
    NoNode(Vec<(Endpoint, ConnectError)>),
    /// A node answered, but not with a topology that can be used.
    #[error("{node} answered, but its topology cannot be used: {error}")]
    Topology {
        /// The node.
        node: NodeId,
        /// What is wrong.
        error: TopologyError,
    },
}

/// Why a topology could not be had from a node.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TopologyError {
    /// The node answered with an error.
    #[error("{0}")]
    Answered(RequestError),
    /// The node did not answer.
    #[error("no answer")]
    NoAnswer,
    /// The node answered something else.
    #[error("an answer of another kind")]
    UnexpectedAnswer,
    /// The layout does not decode: the node is of a later version.
    #[error("the layout does not decode")]
    Layout,
}

/// An operation that did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}")]
pub struct OperationError {
    /// The operation: under this id it may be retried, and takes effect once.
    pub operation: OperationId,
    /// How often it was sent.
    pub attempts: u32,
    /// It is a write that an earlier call sent under the same id, and that may have been applied then: what `kind` says of
    /// nothing being applied holds for this call.
    pub retried: bool,
    /// What went wrong.
    pub kind: ErrorKind,
}

/// What went wrong with an operation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ErrorKind {
    /// A node answered with this error; it says itself what was applied.
    #[error("{error}")]
    Answered {
        /// The node that answered.
        node: NodeId,
        /// Its answer.
        error: RequestError,
    },
    /// Nobody could be reached before the deadline. Nothing was sent, nothing was applied.
    #[error("no node could be reached")]
    NoNode(Vec<(Endpoint, ConnectError)>),
    /// A write was sent and nobody said what became of it: it may have been applied. Retry it under its operation id.
    #[error("no answer: it may have been applied")]
    OutcomeUnknown,
    /// A read was sent and nobody answered before the deadline.
    #[error("no answer before the deadline")]
    NoAnswer,
    /// A node answered something that does not belong to the question. A write may have been applied.
    #[error("{node} gave an answer of another kind")]
    UnexpectedAnswer {
        /// The node.
        node: NodeId,
    },
    /// An argument makes no sense. Nothing was sent.
    #[error("{0}")]
    Invalid(Invalid),
    /// The request does not fit into a frame. Nothing was sent.
    #[error("{0}")]
    TooLong(FrameError),
}

impl OperationError {
    /// What the failure means to the caller.
    pub fn class(&self) -> ErrorClass {
        match &self.kind {
            ErrorKind::Invalid(_) | ErrorKind::TooLong(_) => ErrorClass::Usage,
            _ if self.retried => ErrorClass::Unknown,
            ErrorKind::Answered { error, .. } => error.class(),
            ErrorKind::NoNode(_) | ErrorKind::NoAnswer => ErrorClass::Unavailable,
            ErrorKind::OutcomeUnknown | ErrorKind::UnexpectedAnswer { .. } => ErrorClass::Unknown,
        }
    }

    /// Whether it is certain that nothing was applied.
    pub fn is_not_applied(&self) -> bool {
        self.class() != ErrorClass::Unknown
    }
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::OperationId;
    use kvorum_protocol::message::{ErrorClass, RequestError};
    use kvorum_ring::NodeId;

    use super::{ErrorKind, OperationError};

    #[test]
    fn what_an_earlier_call_may_have_applied_no_later_one_denies() {
        let overloaded = RequestError::Overloaded { retry_after_ms: 1 };
        let kinds = [
            ErrorKind::NoNode(Vec::new()),
            ErrorKind::Answered { node: NodeId(1), error: overloaded },
        ];
        for kind in kinds {
            let error = |retried| OperationError {
                operation: OperationId(1),
                attempts: 1,
                retried,
                kind: kind.clone(),
            };
            assert_eq!(error(false).class(), ErrorClass::Unavailable);
            assert!(error(false).is_not_applied());
            assert_eq!(error(true).class(), ErrorClass::Unknown);
            assert!(!error(true).is_not_applied());
        }
    }
}
