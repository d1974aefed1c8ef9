//! One attempt to heal a record: all other owners are asked, and what they hold is merged here.

use kvorum_protocol::{EncodedSet, RecordKey};
use kvorum_ring::NodeId;
use kvorum_store::{Apply, StoreEvent, StoreRequest};

use crate::engine::healing::cases::Attempt;
use crate::engine::machine::{Machine, Progress};
use crate::engine::turn::Turn;
use crate::limits;
use crate::peer_message::{FetchOutcome, PeerMessage};

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Healing {
    key: RecordKey,
    /// Owners that have not answered.
    awaited: Vec<NodeId>,
    /// Somebody could not be asked, did not answer, or refused.
    lacks_answer: bool,
    merged: Option<EncodedSet>,
    is_merging: bool,
}

impl Healing {
    pub(crate) fn new(key: RecordKey) -> Healing {
        Healing { key, awaited: Vec::new(), lacks_answer: false, merged: None, is_merging: false }
    }

    fn end(&self, turn: &mut Turn<'_>, attempt: Attempt) -> Progress {
        turn.stats.healed += u64::from(attempt == Attempt::Healed);
        turn.exchanges.healing.end(turn.now, &self.key, attempt);
        Progress::Done
    }

    /// An owner has said all that it will. True if it was awaited.
    fn heard(&mut self, node: NodeId, is_answer: bool) -> bool {
        let Some(place) = self.awaited.iter().position(|awaited| *awaited == node) else {
            return false;
        };
        self.awaited.swap_remove(place);
        self.lacks_answer |= !is_answer;
        true
    }

    fn take(&mut self, set: EncodedSet) {
        self.merged = Some(match &self.merged {
            None => set,
            Some(merged) if *merged == set => set,
            Some(merged) => match EncodedSet::bounded(&merged.merge(&set)) {
                Ok(merged) => merged,
                // What does not fit into one record stays with its owner.
                Err(_) => {
                    self.lacks_answer = true;
                    return;
                }
            },
        });
    }

    /// Merges what was heard, once nobody is left to answer.
    fn go_on(&mut self, turn: &mut Turn<'_>) -> Progress {
        if !self.awaited.is_empty() || self.is_merging {
            return Progress::Waiting;
        }
        let Some(set) = self.merged.clone() else {
            return match self.lacks_answer {
                true => self.end(turn, Attempt::Unfinished),
                false => self.end(turn, Attempt::Hopeless),
            };
        };
        self.is_merging = true;
        let change = match self.lacks_answer {
            true => Apply::Merge { set },
            false => Apply::Heal { set },
        };
        let (token, key) = (turn.token, self.key.clone());
        turn.store(StoreRequest::Apply { token, key, change });
        Progress::Waiting
    }
}

impl Machine for Healing {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        let owners = turn.view.owners(self.key.class, self.key.partition);
        if !owners.contains(&turn.me) {
            return self.end(turn, Attempt::Hopeless);
        }
        let deadline_ms = limits::HEAL_DEADLINE_MS;
        turn.wake_at(turn.now.after_ms(deadline_ms.into()));
        let me = turn.me;
        for node in owners.into_iter().filter(|node| *node != me) {
            if !turn.reaches(node) {
                self.lacks_answer = true;
                continue;
            }
            self.awaited.push(node);
            let (token, key) = (turn.token.0, self.key.clone());
            turn.send(node, PeerMessage::Fetch { token, key, digest_only: false, deadline_ms });
        }
        self.go_on(turn)
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        match event {
            StoreEvent::Durable { .. } if self.lacks_answer => self.end(turn, Attempt::Unfinished),
            StoreEvent::Durable { .. } => self.end(turn, Attempt::Healed),
            StoreEvent::Refused { .. } => self.end(turn, Attempt::Unfinished),
            StoreEvent::Poisoned { .. } => Progress::Done,
            _ => Progress::Waiting,
        }
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        let PeerMessage::Fetched { outcome, .. } = message else { return Progress::Waiting };
        let is_answer =
            !matches!(outcome, FetchOutcome::Refused { .. } | FetchOutcome::Digest { .. });
        if self.heard(from, is_answer)
            && let FetchOutcome::Held { set } = outcome
        {
            self.take(set);
        }
        self.go_on(turn)
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        self.heard(node, false);
        self.go_on(turn)
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.lacks_answer |= !self.awaited.is_empty();
        self.awaited.clear();
        self.go_on(turn)
    }
}
