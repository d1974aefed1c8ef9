//! What a coordinator asked a replica for, so that a refusal answers in kind.

use crate::peer_message::{
    FetchOutcome, PeerMessage, ReplicaRefusal, ReplicateOutcome, ScanOutcome,
};

/// What was asked for.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    Replicate,
    Hold { targets: u8 },
    Deliver { credit: u32 },
    Fetch { digest_only: bool, hinted: bool },
    Scan { scan: u32 },
}

impl Asked {
    /// For how many owners something is to be held.
    pub(super) fn targets(self) -> u8 {
        match self {
            Asked::Hold { targets } => targets,
            _ => 0,
        }
    }

    /// The answer that refuses it.
    pub(super) fn refuse(self, token: u64, reason: ReplicaRefusal) -> PeerMessage {
        match self {
            Asked::Replicate | Asked::Hold { .. } => {
                let outcome = ReplicateOutcome::Refused { reason };
                PeerMessage::Replicated { token, outcome, held_for: self.targets() }
            }
            Asked::Deliver { credit } => {
                let outcome = ReplicateOutcome::Refused { reason };
                PeerMessage::Delivered { token, outcome, credit }
            }
            Asked::Fetch { .. } => PeerMessage::Fetched {
                token,
                outcome: FetchOutcome::Refused { reason },
                refilling: false,
                handovers: 0,
            },
            Asked::Scan { scan } => {
                PeerMessage::Scanned { token, scan, outcome: ScanOutcome::Refused { reason } }
            }
        }
    }
}
