//! One get, from its start to its end.
//!
//! ```text
//!   start: read the own record, ask every other owner that can be reached for a digest of its
//!     │
//!   R usable answers ── nothing live? wait for the other owners, too
//!     │
//!   strict: have enough owners hold the merge durably
//!     │
//!   answer: the live versions of the merge, and a context that covers just the merge
//!     │
//!   from then on, until everyone is heard or the deadline: repair whoever is behind
//! ```
//!
//! Fallbacks may have taken writes in the place of owners. They are asked when too few owners can be reached, and before "not found"
//! is said (`get/fallbacks.rs`; `get/again.rs` then asks owners once more if need be); a strict get never asks them.
//!
//! Repair does not wait for an owner that died a moment ago and is not known to be down yet. A coordinator that has just
//! come back, and answered a read with what the others told it, must not mint the next write over what it held itself.
//!
//! An answer of a damaged record, and a "nothing" of an owner that lost records and is being refilled, count for no R: they
//! are not knowledge. The context is sealed over the clock of exactly the merge that is returned; what arrives later may be
//! repaired, but is never covered by a context whose reader did not see it.
//!
//! A strict get promises that later strict gets see no less. It therefore answers only once n - r + 1 owners hold the merge
//! durably, so that any r owners that a later get hears include one of them. Nothing that a refilling owner says counts for
//! it: a record that came after the loss may lack what the lost one had.
//!
//! A strict "not found" is complete once n - W + 1 owners said so, W being the bucket's and never a request's: every write that
//! W owners acknowledged has one of them among its holders. Strict writes cannot ask for fewer; a write that is not strict may,
//! and gives this up.

mod again;
mod comparing;
mod confirming;
mod digests;
mod ending;
mod fallbacks;
mod second_look;

use kvorum_protocol::EncodedSet;
use kvorum_protocol::message::{Happened, MergeRule, OwnerCause, Response, Way};
use kvorum_ring::NodeId;
use kvorum_store::{StoreEvent, StoreRequest};

use crate::engine::coordinator::cause_of;
use crate::engine::coordinator::get::digests::{Digests, Own};
use crate::engine::coordinator::get::second_look::SecondLook;
use crate::engine::coordinator::repair::Holdings;
use crate::engine::coordinator::shown::finds;
use crate::engine::machine::{Machine, Progress};
use crate::engine::peers::Asking;
use crate::engine::quorum::Quorum;
use crate::engine::replica::{fetch_outcome, refusal_of};
use crate::engine::turn::{Turn, remaining_ms};
use crate::engine::view::Place;
use crate::peer_message::{FetchOutcome, PeerMessage, ReplicateOutcome};

/// What a client wants to read, checked.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) place: Place,
    /// The bucket's.
    pub(crate) rule: MergeRule,
    /// Answers to wait for.
    pub(crate) r: usize,
    /// Durable copies that the bucket's writes wait for: what makes "not found" complete in a strict get.
    pub(crate) bucket_w: usize,
    pub(crate) strict: bool,
    /// Fallbacks may stand in for owners.
    pub(crate) sloppy: bool,
}

/// A get under way at its coordinator.
#[derive(Clone)]
pub(crate) struct Get {
    place: Place,
    rule: MergeRule,
    bucket_w: usize,
    strict: bool,
    sloppy: bool,
    deadline_ns: u64,
    /// When the owners were asked, in monotonic nanoseconds.
    asked_ns: u64,
    /// Usable answers of owners.
    heard: Quorum,
    /// Those of fallbacks, once they are asked.
    fallbacks: Option<Quorum>,
    second_look: SecondLook,
    holdings: Holdings,
    digests: Digests,
    /// Of a strict get: what is being made durable before it is returned, and who has it.
    confirming: Option<(EncodedSet, Quorum)>,
    answered: bool,
}

impl Get {
    /// A read whose coordinator is this node, one of the owners or of the fallbacks.
    pub(crate) fn new(read: Read, deadline_ns: u64, reaches: impl Fn(NodeId) -> bool) -> Get {
        let heard = Quorum::new(read.r, &[&read.place.owners], reaches);
        Get {
            place: read.place,
            rule: read.rule,
            bucket_w: read.bucket_w,
            strict: read.strict,
            sloppy: read.sloppy,
            deadline_ns,
            asked_ns: 0,
            heard,
            fallbacks: None,
            second_look: SecondLook::Unneeded,
            holdings: Holdings::default(),
            digests: Digests::new(),
            confirming: None,
            answered: false,
        }
    }

    /// An owner said what it holds.
    fn hear(&mut self, turn: &mut Turn<'_>, node: NodeId, outcome: FetchOutcome, refilling: bool) {
        if !self.heard.awaits(node) {
            return self.hear_fallback(turn, node, outcome, refilling);
        }
        let is_absent = matches!(outcome, FetchOutcome::Absent);
        match outcome {
            FetchOutcome::Held { set } => {
                if let Err(cause) = self.holdings.holds(node, set) {
                    return self.heard.fail(node, cause);
                }
            }
            FetchOutcome::Digest { digest } => return self.compare(turn, node, digest, refilling),
            FetchOutcome::Absent => self.holdings.holds_nothing(node),
            FetchOutcome::Damaged => {
                self.holdings.is_damaged(node);
                return self.heard.fail(node, OwnerCause::Damaged);
            }
            FetchOutcome::Refused { reason } => return self.heard.fail(node, cause_of(reason)),
        }
        match refilling && (is_absent || self.strict) {
            true => self.heard.fail(node, OwnerCause::Refilling),
            false => self.heard.count(node),
        }
    }

    /// Counts what a peer took, or how long it was waited for in vain.
    fn note_time(&self, turn: &mut Turn<'_>, node: NodeId) {
        if node != turn.me {
            let took_ns = turn.now.mono_ns.saturating_sub(self.asked_ns);
            turn.peers.note(node, Asking::Fetch, took_ns);
        }
    }

    /// Goes on as far as what was heard allows.
    fn judge(&mut self, turn: &mut Turn<'_>) -> Progress {
        if !self.answered && self.confirming.is_none() {
            let (rule, wall_ms) = (self.rule, turn.now.wall_ms);
            let is_found = self.holdings.is_found(|set| finds(set, rule, wall_ms));
            if !(is_found && self.has_enough()) && self.wants_fallbacks() {
                self.ask_fallbacks(turn);
            }
            let is_certain = is_found || self.knows_nothing(turn);
            if self.has_enough() && is_certain && (is_found || !self.looks_again(turn)) {
                self.conclude(turn);
            } else if self.is_settled() && !self.has_enough() {
                self.fail(turn);
            }
        }
        if self.answered {
            self.holdings.heal(turn, &self.place.key);
        }
        self.watch_own_read(turn);
        if self.answered && self.is_settled() { Progress::Done } else { Progress::Waiting }
    }

    /// Whether it is time to say "not found": nobody is left to ask, or nobody who is left could contradict a strict get.
    fn knows_nothing(&self, turn: &Turn<'_>) -> bool {
        self.is_settled() || (self.strict && self.is_complete(turn))
    }

    /// Whether "not found" would be certain: every owner and every fallback answered, or of a strict get so many owners that
    /// every write that owners acknowledged has one of them among its holders.
    fn is_complete(&self, turn: &Turn<'_>) -> bool {
        match self.strict {
            false => self.all_have_answered(turn) && self.second_look.is_over(),
            true => self.heard.got() + self.bucket_w > self.place.owners.len(),
        }
    }
}

impl Machine for Get {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        turn.wake_at(self.deadline_ns);
        if self.sloppy && !self.heard.has(turn.me) {
            self.ask_fallbacks(turn);
        }
        if !self.could_have_enough(turn) {
            self.fail(turn);
            return Progress::Done;
        }
        self.asked_ns = turn.now.mono_ns;
        let deadline_ms = remaining_ms(turn.now, self.deadline_ns);
        for node in self.heard.awaited() {
            let (token, key) = (turn.token, self.place.key.clone());
            if node == turn.me {
                turn.store(StoreRequest::Read { token, key });
            } else {
                let token = token.0;
                turn.send(node, PeerMessage::Fetch { token, key, digest_only: true, deadline_ms });
            }
        }
        self.judge(turn)
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        match event {
            StoreEvent::Read { result, refilling, .. } => {
                let outcome = fetch_outcome(result);
                let own = match &outcome {
                    FetchOutcome::Held { set } => Own::Holds(set.clone()),
                    _ => Own::Nothing,
                };
                self.hear(turn, turn.me, outcome, refilling);
                self.compare_with(turn, own);
            }
            StoreEvent::Applied { set, changed: true, .. } => {
                let live = u32::try_from(set.versions().len()).unwrap_or(u32::MAX);
                let (from, way) = (turn.me, Way::ReadRepair);
                turn.note(self.place.hash, Happened::Merged { from, way, live });
            }
            StoreEvent::Durable { .. } => self.confirmed(turn, turn.me),
            StoreEvent::Refused { reason, .. } => {
                let cause = cause_of(refusal_of(reason));
                self.lose(turn.me, cause);
                self.compare_with(turn, Own::Nothing);
                self.unconfirmed(turn, turn.me, cause);
            }
            StoreEvent::Poisoned { .. } => {
                self.lose(turn.me, OwnerCause::Stopping);
                self.unconfirmed(turn, turn.me, OwnerCause::Stopping);
            }
            _ => {}
        }
        self.judge(turn)
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match message {
            PeerMessage::Fetched { outcome, refilling, .. } => {
                if self.heard.awaits(from) && !self.digests.was_asked_whole(from) {
                    self.note_time(turn, from);
                }
                self.hear(turn, from, outcome, refilling);
            }
            PeerMessage::Replicated { outcome: ReplicateOutcome::Durable, .. } => {
                self.confirmed(turn, from)
            }
            PeerMessage::Replicated { outcome: ReplicateOutcome::Refused { reason }, .. } => {
                self.unconfirmed(turn, from, cause_of(reason));
            }
            _ => {}
        }
        self.judge(turn)
    }

    fn on_part(&mut self, turn: &mut Turn<'_>, _index: usize, response: Response) -> Progress {
        self.hear_again(turn, response);
        self.judge(turn)
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        // A digest that has come is an answer, which only waits to be compared.
        if !self.digests.has_early(node) {
            self.lose(node, OwnerCause::Unreachable);
        }
        self.unconfirmed(turn, node, OwnerCause::Unreachable);
        self.judge(turn)
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        if self.lose_patience(turn) {
            return self.judge(turn);
        }
        for node in self.heard.awaited() {
            self.note_time(turn, node);
        }
        self.expire();
        if let Some((_, copies)) = &mut self.confirming {
            copies.expire();
        }
        if !self.answered {
            // No time is left to make anything last, which a strict get owes for whatever it found.
            match self.has_enough() && (!self.strict || self.holdings.merged().is_none()) {
                true => self.conclude(turn),
                false => self.fail(turn),
            }
        }
        self.holdings.heal(turn, &self.place.key);
        Progress::Done
    }
}
