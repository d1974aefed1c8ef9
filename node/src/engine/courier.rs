//! Giving an owner what was held for it.
//!
//! A courier goes through the list of what is held for one owner, in the order of the keys, a page at a time, and has each
//! record delivered by a machine of its own (`parcel.rs`): read, sent, durable there, released here. How many are under way at
//! once is the receiver's to say: every answer carries its credit. A pass that delivered something is followed by another one,
//! because the list may have grown behind it; the courier ends with a pass that found nothing. Whoever adds to the list calls
//! a courier, and so does the owner's return, also after a restart of this node: the list is on the disk, so it is resumed
//! where it was.
//!
//! What cannot be delivered stays in the list and stops nothing else: the courier goes on behind it, and comes back to it in a
//! later pass, after a rest that doubles until something is delivered. A record that cannot be read leaves the list: the store
//! tries it again, and has a courier called when it can be read.
//!
//! An owner that takes nothing (it is full, overloaded, or silent) is another matter. What it refused is the next to be sent, and
//! until it has taken that, it is sent one record after each rest, and not the list. What is added to the list meanwhile changes
//! nothing; a rest for any other reason it ends.

use std::collections::{BTreeMap, VecDeque};

use kvorum_protocol::RecordKey;
use kvorum_protocol::message::{RequestError, Response};
use kvorum_ring::NodeId;
use kvorum_store::{StoreEvent, StoreRequest};

use crate::engine::machine::{Machine, Progress};
use crate::engine::turn::{Delivery, Turn};
use crate::limits;

/// Where the list stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum List {
    /// A page is under way.
    Asked,
    /// There is more behind the page.
    More,
    /// The page is the last one.
    Ended,
}

/// Delivers what is held for one owner.
#[derive(Clone)]
pub(crate) struct Courier {
    target: NodeId,
    /// Keys that are to be delivered next.
    page: VecDeque<RecordKey>,
    /// The last key of the page.
    after: Option<RecordKey>,
    list: List,
    /// The store does not know yet of all its hints for whom they are.
    unread: bool,
    /// Deliveries that are under way, by number.
    out: BTreeMap<usize, RecordKey>,
    /// Deliveries begun, and failed for the sake of their record, in this pass.
    begun: usize,
    failed: usize,
    is_resting: bool,
    /// The owner did not take the last delivery that it answered for.
    is_refused: bool,
    rest_ms: u64,
}

impl Courier {
    /// A courier that has not begun.
    pub(crate) fn new(target: NodeId) -> Courier {
        Courier {
            target,
            page: VecDeque::new(),
            after: None,
            list: List::Asked,
            unread: false,
            out: BTreeMap::new(),
            begun: 0,
            failed: 0,
            is_resting: false,
            is_refused: false,
            rest_ms: limits::DELIVERY_REST_MS,
        }
    }

    fn ask(&mut self, turn: &mut Turn<'_>) {
        self.list = List::Asked;
        let (token, target, after) = (turn.token, self.target, self.after.clone());
        turn.store(StoreRequest::ListHints { token, target, after, limit: limits::HINT_PAGE });
    }

    fn begin_pass(&mut self, turn: &mut Turn<'_>) {
        (self.begun, self.failed, self.after) = (0, 0, None);
        self.ask(turn);
    }

    fn rest(&mut self, turn: &mut Turn<'_>, at_least_ms: u64) {
        self.is_resting = true;
        turn.wake_at(turn.now.after_ms(self.rest_ms.max(at_least_ms)));
        self.rest_ms = (self.rest_ms * 2).min(limits::DELIVERY_REST_LONGEST_MS);
    }

    /// Delivers as much as the receiver takes now.
    fn go_on(&mut self, turn: &mut Turn<'_>) -> Progress {
        if turn.hints_are_paused() || !turn.reaches(self.target) {
            // What is under way ends by itself.
            return Progress::Done;
        }
        if self.is_resting {
            return Progress::Waiting;
        }
        let credit = if self.is_refused { 1 } else { turn.peers.credit(self.target) };
        while self.out.len() < credit
            && let Some(key) = self.page.pop_front()
        {
            self.out.insert(self.begun, key.clone());
            turn.deliver(Delivery { index: self.begun, target: self.target, key });
            self.begun += 1;
        }
        match self.list {
            List::More if self.page.is_empty() => self.ask(turn),
            List::Ended if self.is_at_end() => return self.end_pass(turn),
            List::Asked | List::More | List::Ended => {}
        }
        Progress::Waiting
    }

    /// Whether nothing of the page is left.
    fn is_at_end(&self) -> bool {
        self.page.is_empty() && self.out.is_empty()
    }

    /// A delivery failed.
    fn fail(&mut self, turn: &mut Turn<'_>, key: RecordKey, error: &RequestError) {
        turn.stats.hints_undelivered += 1;
        let at_least_ms = match error {
            RequestError::Overloaded { retry_after_ms } => u64::from(*retry_after_ms),
            RequestError::DeadlineExceeded | RequestError::DiskFull | RequestError::Stopping => 0,
            // Something about the record, which stays in the list.
            _ => {
                self.failed += 1;
                return;
            }
        };
        self.page.push_front(key);
        self.is_refused = true;
        if !self.is_resting {
            self.rest(turn, at_least_ms);
        }
    }

    fn end_pass(&mut self, turn: &mut Turn<'_>) -> Progress {
        if self.begun == 0 && !self.unread {
            return Progress::Done;
        }
        match self.failed > 0 || self.begun == 0 {
            true => self.rest(turn, 0),
            false => self.begin_pass(turn),
        }
        Progress::Waiting
    }
}

impl Machine for Courier {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.begin_pass(turn);
        Progress::Waiting
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        match event {
            StoreEvent::Hints { keys, more, unread, .. } => {
                if let Some(last) = keys.last() {
                    self.after = Some(last.clone());
                }
                self.page.extend(keys);
                self.list = if more { List::More } else { List::Ended };
                self.unread = unread;
                self.go_on(turn)
            }
            StoreEvent::Refused { .. } => {
                // The store is busy, or closing.
                self.list = List::More;
                self.rest(turn, 0);
                Progress::Waiting
            }
            StoreEvent::Poisoned { .. } => Progress::Done,
            _ => Progress::Waiting,
        }
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, _node: NodeId) -> Progress {
        self.go_on(turn)
    }

    fn on_part(&mut self, turn: &mut Turn<'_>, index: usize, response: Response) -> Progress {
        let key = self.out.remove(&index).expect("a delivery ends once");
        match response {
            Response::Error { error } => self.fail(turn, key, &error),
            _ => (self.rest_ms, self.is_refused) = (limits::DELIVERY_REST_MS, false),
        }
        self.go_on(turn)
    }

    fn on_hinted(&mut self, turn: &mut Turn<'_>) -> Progress {
        if self.is_resting && !self.is_refused {
            let soon_ns = turn.now.after_ms(limits::DELIVERY_REST_MS);
            turn.wake_at(turn.alarm_ns.map_or(soon_ns, |alarm_ns| alarm_ns.min(soon_ns)));
        }
        Progress::Waiting
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.is_resting = false;
        if self.list == List::Ended && self.is_at_end() {
            self.begin_pass(turn);
            return Progress::Waiting;
        }
        self.go_on(turn)
    }
}
