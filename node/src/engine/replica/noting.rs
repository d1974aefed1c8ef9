//! What a replica leaves in the memory of events: on which way its record changed, and what it did not take.

use kvorum_protocol::message::{Happened, Way};
use kvorum_ring::{KeyHash, NodeId};
use kvorum_store::{ReadError, StoreEvent};

use crate::engine::causes::cause_of;
use crate::engine::replica::asked::Asked;
use crate::engine::replica::{Replica, refusal_of};
use crate::engine::turn::Turn;
use crate::peer_message::{PeerMessage, ReplicaRefusal};

/// What refuses a coordinator's request, and what is to be remembered of it.
pub(crate) struct Refused {
    pub(crate) message: PeerMessage,
    pub(crate) noted: Option<(KeyHash, Happened)>,
}

/// The hash of the key of a request for one key, and on which way the record comes.
pub(super) fn of(message: &PeerMessage) -> Option<(KeyHash, Way)> {
    match message {
        PeerMessage::Replicate { key, way, .. } => Some((key.key_hash(), *way)),
        PeerMessage::Deliver { key, .. } => Some((key.key_hash(), Way::Hint)),
        PeerMessage::Hold { held, .. } => Some((held.key.key_hash(), Way::Hold)),
        PeerMessage::Fetch { key, .. } => Some((key.key_hash(), Way::Other(0))),
        _ => None,
    }
}

/// What is remembered of a refusal: nothing of a question that is not answered.
pub(super) fn refused(
    from: NodeId,
    asked: Asked,
    noted: Option<(KeyHash, Way)>,
    reason: ReplicaRefusal,
) -> Option<(KeyHash, Happened)> {
    let (key, way) = noted?;
    let cause = cause_of(reason);
    let brings = matches!(asked, Asked::Replicate | Asked::Hold { .. } | Asked::Deliver { .. });
    brings.then_some((key, Happened::Refused { from, way, cause }))
}

impl Replica {
    /// Remembers what the store said.
    pub(super) fn note(&self, turn: &mut Turn<'_>, event: &StoreEvent) {
        let Some((key, way)) = self.noted else { return };
        let from = self.from;
        match event {
            StoreEvent::Applied { set, changed: true, .. } => {
                let live = u32::try_from(set.versions().len()).unwrap_or(u32::MAX);
                turn.note(key, Happened::Merged { from, way, live });
            }
            StoreEvent::Refused { reason, .. } => {
                let refused = refused(from, self.asked, self.noted, refusal_of(*reason));
                refused.inspect(|(key, what)| turn.note(*key, *what));
            }
            StoreEvent::Read {
                result: Err(ReadError::Damaged | ReadError::Unreadable), ..
            } => {
                turn.note(key, Happened::FoundDamaged);
            }
            _ => {}
        }
    }
}
