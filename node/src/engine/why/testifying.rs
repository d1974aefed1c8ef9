//! Answering a peer that asks what is known of a key here.

use kvorum_protocol::RecordKey;
use kvorum_ring::NodeId;
use kvorum_store::StoreEvent;

use crate::engine::machine::{Machine, Progress};
use crate::engine::turn::Turn;
use crate::engine::why::witness::Witness;
use crate::peer_message::PeerMessage;

/// One question on its way to its answer.
#[derive(Clone)]
pub(crate) struct Testifying {
    from: NodeId,
    /// The asking machine.
    token: u64,
    key: RecordKey,
    witness: Witness,
}

impl Testifying {
    /// A question that has just come.
    pub(crate) fn new(from: NodeId, token: u64, key: RecordKey) -> Testifying {
        let witness = Witness::new(key.clone(), key.key_hash());
        Testifying { from, token, key, witness }
    }
}

impl Machine for Testifying {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.witness.start(turn);
        Progress::Waiting
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        if let StoreEvent::Poisoned { .. } = event {
            return Progress::Done;
        }
        if !self.witness.hear(event) {
            return Progress::Waiting;
        }
        let mut others = turn.view.owners(self.key.class, self.key.partition);
        others.extend(turn.view.fallbacks(self.key.class, self.key.partition));
        let testimony = Box::new(self.witness.testimony(turn, &others));
        turn.send(self.from, PeerMessage::Explained { token: self.token, testimony });
        Progress::Done
    }

    fn on_deadline(&mut self, _turn: &mut Turn<'_>) -> Progress {
        // It sets no alarm: the store answers everything.
        Progress::Waiting
    }
}
