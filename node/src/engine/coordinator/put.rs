//! One put or delete, from its start to its end.
//!
//! ```text
//!   start ── a retry? ──> recall: own record, then the other owners ── applied before ──┐
//!     │                                   │ not found                                   │
//!     └──> mint: Update at the own store <┘                 re-send: Merge at the own store
//!                       │   └─ a delete, and nothing here? search: a get, then mint     │
//!                       └──────> Applied: send the set to the other owners <────────────┘
//!                                             │
//!                   Durable here, Durable there: count copies; at W answer
//!                                             │
//!                    everyone heard, or deadline: final action
//! ```
//!
//! Owners that cannot be reached, or do not answer in time, have fallbacks in their place (`standing_in.rs`). When all owners are
//! away one of the fallbacks coordinates: it mints in its own record of what it holds for others.
//!
//! The set leaves for the other owners as soon as it is applied here, in parallel with the fsync. That is safe because a
//! dot is never minted twice, whatever this node forgets in a crash (the actor rule); so only *durable* copies count, the
//! own one included.
//!
//! Honesty is the other half. "Not applied" is said only while nothing has been handed to the store. After that the answer
//! is "applied", "applied at k of w", or "unknown"; and a retry says "not applied" of itself alone, because the attempt
//! before it may have been.

mod ending;
mod noting;
mod recalling;
mod standing_in;

use kvorum_protocol::message::{MergeRule, OwnerCause, RequestError, Response, Way};
use kvorum_protocol::{Change, EncodedSet, OperationId, RecordKey, Replaces};
use kvorum_ring::{KeyHash, NodeId};
use kvorum_store::{Apply, StoreEvent};

use crate::engine::coordinator::copies::Copies;
use crate::engine::coordinator::known;
use crate::engine::coordinator::outcome::{self, Applied};
use crate::engine::coordinator::recall::Recall;
use crate::engine::coordinator::search;
use crate::engine::machine::{Machine, Progress};
use crate::engine::planted::Planted;
use crate::engine::quorum::{Owners, Quorum};
use crate::engine::turn::{Turn, remaining_ms};
use crate::engine::view::Place;
use crate::peer_message::PeerMessage;

/// What a client wants written, checked.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) place: Place,
    /// The bucket's.
    pub(crate) rule: MergeRule,
    pub(crate) replaces: Replaces,
    pub(crate) change: Change,
    pub(crate) operation: OperationId,
    /// Durable copies to wait for.
    pub(crate) w: usize,
    /// The operation may have been applied before.
    pub(crate) retry: bool,
    /// Fallbacks may stand in for owners.
    pub(crate) sloppy: bool,
}

/// Where the search for what a delete could delete stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Search {
    /// The own record has something to delete, as far as is known.
    Unneeded,
    /// The other owners are asked.
    UnderWay,
    /// They had something, and this owner was given it, which it may have refused.
    Done,
}

/// A put or delete under way at its coordinator.
#[derive(Clone)]
pub(crate) struct Put {
    key: RecordKey,
    /// The hash of bucket and key.
    hash: KeyHash,
    rule: MergeRule,
    /// Whether an operation is answered, or else a put or delete.
    is_update: bool,
    replaces: Replaces,
    /// Gone once it is handed to the store.
    change: Option<Change>,
    operation: OperationId,
    deadline_ns: u64,
    /// Set while the coordinator finds out whether the operation was applied before.
    recall: Option<Recall>,
    search: Search,
    is_retry: bool,
    retry_checked: bool,
    /// Durable copies.
    copies: Copies,
    /// What everybody is to hold, once the write is applied here, and when it was sent to them.
    set: Option<EncodedSet>,
    sent_ns: u64,
    /// Owners that have not answered for so long that fallbacks may stand in for them.
    silent: Owners,
    /// What the answer says of the write, once it is applied here.
    applied: Option<Applied>,
    answered: bool,
}

impl Put {
    /// A write whose coordinator is this node, `me`: one of the owners, or else of the `fallbacks`.
    pub(crate) fn new(
        write: Write,
        deadline_ns: u64,
        me: NodeId,
        fallbacks: impl Fn() -> Owners,
        reaches: impl Fn(NodeId) -> bool,
    ) -> Put {
        let owners = Quorum::new(write.w, &[&write.place.owners], &reaches);
        let recall = write
            .retry
            .then(|| Recall::new(&write.place.owners, &fallbacks(), write.rule, &reaches));
        let copies = match write.place.owners.contains(&me) {
            true => Copies::new(owners, write.sloppy),
            false => Copies::at_fallback(owners, me, fallbacks()),
        };
        Put {
            key: write.place.key,
            hash: write.place.hash,
            rule: write.rule,
            is_update: matches!(write.change, Change::Operation(_)),
            replaces: write.replaces,
            change: Some(write.change),
            operation: write.operation,
            deadline_ns,
            recall,
            search: Search::Unneeded,
            is_retry: write.retry,
            retry_checked: true,
            copies,
            set: None,
            sent_ns: 0,
            silent: Owners::new(),
            applied: None,
            answered: false,
        }
    }

    /// Hands the write to the own store, which mints its dot. From here on it may take effect.
    fn mint(&mut self, turn: &mut Turn<'_>) -> Progress {
        if turn.now.mono_ns >= self.deadline_ns {
            return self.fail(turn, RequestError::DeadlineExceeded);
        }
        if !self.could_reach(turn) {
            return self.fail(turn, outcome::unavailable(&self.copies));
        }
        let ignores_context = turn.has_planted(Planted::SiblingExplosion);
        let replaces = match &self.replaces {
            Replaces::Context(_) if ignores_context => Replaces::Nothing,
            replaces => replaces.clone(),
        };
        let change = self.change.take().expect("a write is minted once");
        let twice = self.is_retry && self.is_update && turn.has_planted(Planted::CountsTwice);
        let operation = OperationId(self.operation.0 ^ u128::from(twice));
        self.change_own(turn, Apply::Update { replaces, change, operation });
        Progress::Waiting
    }

    /// A peer went before anybody was asked for anything, the own store neither, so that it settles nothing.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.copies.fail(node, 0, OwnerCause::Unreachable);
        self.recall.iter_mut().for_each(|recall| drop(recall.lost(node, OwnerCause::Unreachable)));
    }

    /// Whether the write was handed to the store, so that it may take effect.
    fn is_begun(&self) -> bool {
        self.recall.is_none() && self.search != Search::UnderWay
    }

    /// The own store has minted, or merged what is sent again.
    fn applied(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        let StoreEvent::Applied { set, minted, changed, .. } = event else {
            return Progress::Waiting;
        };
        self.note_applied(turn, &set, minted.as_ref(), changed);
        match minted {
            Some(minted) => self.applied = Some(Applied::now(&self.replaces, minted, &set)),
            // The request came twice, and the store minted nothing because its record knows the operation.
            None if self.applied.is_none() => {
                let found = known::found(&set, self.rule, self.operation);
                self.applied = Some(Applied::before(found.expect("an update mints or is known")));
            }
            None => {}
        }
        if self.is_update {
            self.applied.as_mut().expect("just noted").value = known::told(&set, self.rule);
        }
        self.spread(turn, set)
    }

    /// The write is visible here: it goes to the other owners, every one the same bytes.
    fn spread(&mut self, turn: &mut Turn<'_>, set: EncodedSet) -> Progress {
        let deadline_ms = remaining_ms(turn.now, self.deadline_ns);
        for node in self.copies.owners().awaited() {
            if node != turn.me {
                let (token, key, set, way) =
                    (turn.token.0, self.key.clone(), set.clone(), Way::Write);
                turn.send(node, PeerMessage::Replicate { token, key, set, deadline_ms, way });
            }
        }
        (self.set, self.sent_ns) = (Some(set), turn.now.mono_ns);
        turn.peers.earn_stand_in();
        if turn.has_planted(Planted::CountsUnsynced) {
            self.copies.count_own(turn.me);
        }
        self.judge(turn)
    }
}

impl Machine for Put {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        match &mut self.recall {
            Some(recall) => {
                recall.start(turn, &self.key, self.deadline_ns);
                Progress::Waiting
            }
            None => {
                turn.wake_at(self.patience_ns(turn));
                self.mint(turn)
            }
        }
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        match event {
            StoreEvent::Applied { .. } => self.applied(turn, event),
            StoreEvent::Durable { .. } => {
                self.copies.count_own(turn.me);
                self.judge(turn)
            }
            StoreEvent::Poisoned { .. } if self.is_begun() => self.close(turn),
            StoreEvent::Poisoned { .. } => self.fail(turn, RequestError::Stopping),
            event => match &mut self.recall {
                Some(recall) => {
                    let recalled = recall.own(turn, event, self.operation);
                    self.follow(turn, recalled)
                }
                None => self.refused(turn, event),
            },
        }
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match message {
            // Nobody was sent anything before it was applied here.
            PeerMessage::Replicated { .. } if self.applied.is_none() => Progress::Waiting,
            PeerMessage::Replicated { outcome, held_for, .. } => {
                self.hear_copy(turn, from, held_for, outcome)
            }
            PeerMessage::Fetched { outcome, refilling, .. } => match &mut self.recall {
                Some(recall) => {
                    recall.note_handovers(turn, from);
                    let recalled = recall.other(from, outcome, refilling, self.operation);
                    self.follow(turn, recalled)
                }
                None => Progress::Waiting,
            },
            _ => Progress::Waiting,
        }
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        self.copies.fail(node, 0, OwnerCause::Unreachable);
        if let Some(recall) = &mut self.recall {
            let recalled = recall.lost(node, OwnerCause::Unreachable);
            return self.follow(turn, recalled);
        }
        self.judge(turn)
    }

    /// The search for what a delete could delete has ended.
    fn on_part(&mut self, turn: &mut Turn<'_>, _index: usize, response: Response) -> Progress {
        self.search = Search::Done;
        match search::verdict(response, self.copies.owners().missing().len()) {
            Ok(()) => {
                self.change = Some(Change::Delete);
                self.mint(turn)
            }
            Err(error) => self.fail(turn, error),
        }
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        if turn.now.mono_ns < self.deadline_ns {
            return self.lose_patience(turn);
        }
        match self.is_begun() {
            true => self.run_out(turn),
            false => self.fail(turn, RequestError::DeadlineExceeded),
        }
    }
}
