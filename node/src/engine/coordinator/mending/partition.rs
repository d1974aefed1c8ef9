//! One step of a partition's repair: a page of its keys in the order of their hashes, compared with every other owner.
//!
//! The own keys are listed with what tells their live versions apart, and the list is sent to each owner, which says what it holds
//! otherwise. What differs anywhere is repaired key by key, a few at a time. A page ends where the shortest answer ends. So does
//! the step, or with the first key for which there is no time left: its hash is where the next step begins.
//!
//! Trees are not asked: they are what somebody doubts who orders a repair. An owner that compares the partition with somebody
//! else at the moment, or has too much to do, is asked again a moment later.

use std::collections::BTreeMap;

use kvorum_antientropy::{Answer, Leaves, limits as exchange};
use kvorum_protocol::message::{
    OwnerCause, Repair, RepairTarget, Request, RequestError, RequestOptions, Response,
};
use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionId};
use kvorum_store::{ContentsRange, StoreEvent, StoreRefusal, StoreRequest};

use crate::engine::coordinator::mending::page::{ALL_LEAVES, Heard, Named, Page};
use crate::engine::coordinator::mending::tally::Tally;
use crate::engine::exchange::sharing::scope;
use crate::engine::machine::{Machine, Progress};
use crate::engine::quorum::{Owners, Quorum};
use crate::engine::turn::{Part, Turn};
use crate::limits;
use crate::peer_message::PeerMessage;

/// What a step is about, checked.
#[derive(Clone)]
pub(crate) struct Stretch {
    pub(crate) class: ClassId,
    pub(crate) partition: PartitionId,
    pub(crate) from: KeyHash,
    pub(crate) owners: Owners,
    /// Those of the request.
    pub(crate) options: RequestOptions,
}

/// How far a step is.
#[derive(Clone)]
enum Stage {
    /// The own keys are being listed.
    Listing,
    /// Other owners are being asked.
    Comparing(Page),
    /// What differs is being repaired; behind it the next step begins.
    Repairing { next: Option<KeyHash> },
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct MendPartition {
    stretch: Stretch,
    deadline_ns: u64,
    /// Until when owners are waited for, and until when repairs are begun.
    compare_until_ns: u64,
    begin_until_ns: u64,
    stage: Stage,
    /// Other owners: those that count were compared.
    compared: Quorum,
    /// The number of the question that an owner has not answered.
    asked: BTreeMap<NodeId, u32>,
    questions: u32,
    differing: BTreeMap<KeyHash, Named>,
    /// Keys that are being repaired, by the number of their part.
    under_way: BTreeMap<usize, (KeyHash, Named)>,
    begun: usize,
    is_resting: bool,
    tally: Tally,
}

impl MendPartition {
    /// A step that has not begun, at one of the partition's owners.
    pub(crate) fn new(me: NodeId, stretch: Stretch, deadline_ns: u64) -> MendPartition {
        let others: Owners = stretch.owners.iter().copied().filter(|node| *node != me).collect();
        MendPartition {
            deadline_ns,
            compare_until_ns: 0,
            begin_until_ns: 0,
            stage: Stage::Listing,
            compared: Quorum::new(0, &[&others], |_| true),
            asked: BTreeMap::new(),
            questions: 0,
            differing: BTreeMap::new(),
            under_way: BTreeMap::new(),
            begun: 0,
            is_resting: false,
            tally: Tally::new(&stretch.owners),
            stretch,
        }
    }

    fn fail(&self, turn: &mut Turn<'_>, error: RequestError) -> Progress {
        turn.answer(Response::Error { error });
        leave(turn)
    }

    /// Asks every owner that is awaited and has no question to answer.
    fn ask(&mut self, turn: &mut Turn<'_>) {
        let Stage::Comparing(page) = &self.stage else { return };
        let Stretch { class, partition, .. } = self.stretch;
        for node in self.compared.awaited() {
            if self.asked.contains_key(&node) {
                continue;
            }
            if !turn.reaches(node) {
                self.compared.fail(node, OwnerCause::Unreachable);
                continue;
            }
            self.questions += 1;
            self.asked.insert(node, self.questions);
            let (token, number) = (turn.token.0, self.questions);
            let question = Box::new(page.question(class, partition, scope(turn.view)));
            turn.send(node, PeerMessage::Ask { token, number, question });
        }
    }

    fn hear(&mut self, turn: &mut Turn<'_>, node: NodeId, answer: Answer) -> Progress {
        let partitions = turn.view.layout.partitions();
        let Stage::Comparing(page) = &mut self.stage else { return Progress::Waiting };
        match page.take(answer, self.stretch.partition, partitions) {
            Heard::Compared => self.compared.count(node),
            Heard::Failed(cause) => self.compared.fail(node, cause),
            Heard::Later => {
                let at_ns = turn.now.after_ms(limits::MEND_PAUSE_MS);
                turn.wake_at(at_ns.min(self.compare_until_ns));
            }
        }
        self.compare_on(turn)
    }

    /// Goes on to repairs when every owner was compared or is given up.
    fn compare_on(&mut self, turn: &mut Turn<'_>) -> Progress {
        let Stage::Comparing(page) = &mut self.stage else { return Progress::Waiting };
        if !self.compared.is_settled() {
            return Progress::Waiting;
        }
        let (compared, differing, next) = page.end();
        for failure in self.compared.failures() {
            self.tally.fail(failure.node, failure.cause);
        }
        self.tally.compared = compared;
        self.differing = differing;
        self.stage = Stage::Repairing { next };
        self.repair_on(turn)
    }

    /// Begins as many repairs as may be under way, and ends the step when there is none.
    fn repair_on(&mut self, turn: &mut Turn<'_>) -> Progress {
        let Stage::Repairing { next } = &mut self.stage else { return Progress::Waiting };
        if turn.now.mono_ns >= self.begin_until_ns {
            // The keys ascend, so everything behind the first that is left is left, too.
            let first = self.differing.first_key_value().map(|(hash, _)| *hash);
            *next = first.or(*next);
            self.differing.clear();
        }
        let next = *next;
        while !self.is_resting
            && self.under_way.len() < limits::MEND_KEYS
            && let Some((hash, named)) = self.differing.pop_first()
        {
            let (bucket, key) = named.clone();
            let target = RepairTarget::Key { bucket, key };
            let options = self.stretch.options.clone();
            let request = Request::Repair(Repair { target, options });
            let (index, deadline_ns) = (self.begun, self.deadline_ns);
            turn.begin(Part { index, request, deadline_ns });
            self.under_way.insert(index, (hash, named));
            self.begun += 1;
        }
        if !self.under_way.is_empty() || !self.differing.is_empty() {
            return Progress::Waiting;
        }
        turn.answer(self.tally.done(next));
        leave(turn)
    }
}

fn leave(turn: &mut Turn<'_>) -> Progress {
    turn.stats.ordered_steps -= 1;
    Progress::Done
}

impl Machine for MendPartition {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        turn.stats.ordered_steps += 1;
        if turn.stats.ordered_steps > limits::MEND_STEPS {
            let retry_after_ms = limits::RETRY_AFTER_MS;
            return self.fail(turn, RequestError::Overloaded { retry_after_ms });
        }
        let left_ns = self.deadline_ns.saturating_sub(turn.now.mono_ns);
        self.compare_until_ns = turn.now.mono_ns + left_ns / 2;
        self.begin_until_ns = turn.now.mono_ns + left_ns / 4 * 3;
        turn.wake_at(self.compare_until_ns);
        let Stretch { class, partition, from, .. } = self.stretch;
        let (leaves, through) = (Leaves(ALL_LEAVES), KeyHash(u128::MAX));
        let limit = exchange::PAGE_KEYS as u32;
        let range = ContentsRange { class, partition, leaves, from, through, limit };
        turn.store(StoreRequest::Contents { token: turn.token, range });
        Progress::Waiting
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        let is_listing = matches!(self.stage, Stage::Listing);
        match event {
            StoreEvent::Contents { result: Ok(page), .. } if is_listing => {
                self.stage = Stage::Comparing(Page::new(self.stretch.from, page));
                self.ask(turn);
                self.compare_on(turn)
            }
            StoreEvent::Contents { result: Err(_), .. } if is_listing => {
                self.fail(turn, RequestError::Damaged)
            }
            StoreEvent::Refused { reason, .. } if is_listing => self.fail(turn, refusal(reason)),
            StoreEvent::Poisoned { .. } if is_listing => self.fail(turn, RequestError::Stopping),
            // Its keys say what became of them.
            _ => Progress::Waiting,
        }
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match message {
            PeerMessage::Answered { number, answer, .. }
                if self.asked.get(&from) == Some(&number) =>
            {
                self.asked.remove(&from);
                self.hear(turn, from, *answer)
            }
            _ => Progress::Waiting,
        }
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        self.compared.fail(node, OwnerCause::Unreachable);
        self.compare_on(turn)
    }

    fn on_part(&mut self, turn: &mut Turn<'_>, index: usize, response: Response) -> Progress {
        let Some((hash, named)) = self.under_way.remove(&index) else { return Progress::Waiting };
        match response {
            Response::Error { error: RequestError::Overloaded { retry_after_ms } } => {
                self.differing.insert(hash, named);
                self.is_resting = true;
                let at_ns = turn.now.after_ms(retry_after_ms.into());
                turn.wake_at(at_ns.min(self.deadline_ns));
            }
            response => self.tally.add(&response),
        }
        self.repair_on(turn)
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.is_resting = false;
        match self.stage {
            Stage::Listing => self.fail(turn, RequestError::DeadlineExceeded),
            Stage::Comparing(_) if turn.now.mono_ns >= self.compare_until_ns => {
                self.compared.expire();
                self.compare_on(turn)
            }
            Stage::Comparing(_) => {
                turn.wake_at(self.compare_until_ns);
                self.ask(turn);
                self.compare_on(turn)
            }
            Stage::Repairing { .. } => self.repair_on(turn),
        }
    }
}

fn refusal(reason: StoreRefusal) -> RequestError {
    match reason {
        StoreRefusal::Closing => RequestError::Stopping,
        StoreRefusal::Overloaded { retry_after_ms } => RequestError::Overloaded { retry_after_ms },
        _ => RequestError::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS },
    }
}
