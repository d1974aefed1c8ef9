//! How a replica's refusal is told to clients and to whoever asks why.

use kvorum_protocol::message::OwnerCause;

use crate::peer_message::ReplicaRefusal;

/// How a replica's refusal is told.
pub(crate) fn cause_of(refusal: ReplicaRefusal) -> OwnerCause {
    match refusal {
        ReplicaRefusal::Overloaded { .. } | ReplicaRefusal::HintsFull => OwnerCause::Overloaded,
        ReplicaRefusal::DiskFull => OwnerCause::DiskFull,
        ReplicaRefusal::NotAnOwner | ReplicaRefusal::Misplaced | ReplicaRefusal::Unordered => {
            OwnerCause::WrongLayout
        }
        ReplicaRefusal::Late => OwnerCause::TimedOut,
        ReplicaRefusal::Stopping => OwnerCause::Stopping,
        ReplicaRefusal::Refilling => OwnerCause::Refilling,
        ReplicaRefusal::Oversized => OwnerCause::Oversized,
        ReplicaRefusal::Other(reason) => OwnerCause::Other(reason),
    }
}
