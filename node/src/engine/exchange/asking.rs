//! An exchange at the owner that asks: what the course of an exchange wants, done by the store, the peer and the clock.

use std::collections::VecDeque;

use kvorum_antientropy::{
    Answer, End, Leaves, Listed, Question, Repair, Session, Step, limits as exchange,
};
use kvorum_protocol::message::Response;
use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionId};
use kvorum_store::{ContentsKey, ContentsPage, ContentsRange, StoreEvent, StoreRequest};

use crate::engine::exchange::claims::Wanted;
use crate::engine::machine::{Machine, Progress};
use crate::engine::stats::ExchangeProgress;
use crate::engine::turn::Turn;
use crate::limits;
use crate::peer_message::PeerMessage;

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Asking {
    peer: NodeId,
    class: ClassId,
    session: Session,
    /// The number of the question that is out: an answer to an earlier one is none.
    question: u32,
    /// Whether the alarm that is set ends a pause, and not a wait in vain.
    settles: bool,
    repairs: VecDeque<Repair>,
    /// Repairs under way.
    under_way: usize,
    /// Repairs that failed.
    failed: u64,
}

impl Asking {
    pub(crate) fn new(
        peer: NodeId,
        class: ClassId,
        scope: u64,
        shared: Vec<PartitionId>,
    ) -> Asking {
        Asking {
            peer,
            class,
            session: Session::new(class, scope, shared),
            question: 0,
            settles: false,
            repairs: VecDeque::new(),
            under_way: 0,
            failed: 0,
        }
    }

    /// Does what the session wants, until something has to be waited for.
    fn follow(&mut self, turn: &mut Turn<'_>, mut step: Step) -> Progress {
        let token = turn.token;
        loop {
            match step {
                Step::OwnRoots(partitions) => {
                    let class = self.class;
                    turn.store(StoreRequest::Roots { token, class, partitions });
                    return Progress::Waiting;
                }
                Step::Ask(question) => return self.ask(turn, question),
                Step::Settle => {
                    self.settles = true;
                    turn.wake_at(turn.now.after_ms(limits::EXCHANGE_SETTLE_MS));
                    return Progress::Waiting;
                }
                Step::OwnLeaves(partition) => {
                    let place = (self.class, partition);
                    let progress = self.progress(partition);
                    if turn.exchanges.ask_about(turn.now, self.peer, place, progress) {
                        turn.store(StoreRequest::Leaves { token, class: self.class, partition });
                        return Progress::Waiting;
                    }
                    step = self.session.pass_over();
                }
                Step::OwnContents(partition, leaves, from) => {
                    let range = self.range(partition, leaves, from);
                    turn.store(StoreRequest::Contents { token, range });
                    return Progress::Waiting;
                }
                Step::Repair(repairs) => {
                    self.repairs = repairs.into();
                    return self.repair_more(turn);
                }
                Step::End(end) => return self.end(turn, end == End::Compared),
            }
        }
    }

    /// How far the exchange is when it looks at this partition.
    fn progress(&self, partition: PartitionId) -> ExchangeProgress {
        let shared = self.session.shared();
        let done = shared.partition_point(|other| *other < partition);
        ExchangeProgress { done: done as u32, shared: shared.len() as u32 }
    }

    fn range(&self, partition: PartitionId, leaves: Leaves, from: KeyHash) -> ContentsRange {
        let (class, through) = (self.class, KeyHash(u128::MAX));
        let limit = exchange::PAGE_KEYS as u32;
        ContentsRange { class, partition, leaves, from, through, limit }
    }

    fn ask(&mut self, turn: &mut Turn<'_>, question: Question) -> Progress {
        self.question += 1;
        self.settles = false;
        let (token, number, question) = (turn.token.0, self.question, Box::new(question));
        turn.send(self.peer, PeerMessage::Ask { token, number, question });
        turn.wake_at(turn.now.after_ms(limits::EXCHANGE_SILENCE_MS));
        Progress::Waiting
    }

    /// Begins as many repairs as may be under way. When all have ended, goes on.
    fn repair_more(&mut self, turn: &mut Turn<'_>) -> Progress {
        if !turn.reaches(self.peer) {
            self.repairs.clear();
            if self.under_way == 0 {
                return self.end(turn, false);
            }
        }
        // One at least, or an exchange that finds the others' repairs under way would never go on.
        while self.under_way == 0 || turn.exchanges.has_credit() && self.has_own_credit() {
            let Some(repair) = self.repairs.pop_front() else { break };
            self.under_way += 1;
            turn.exchanges.want(Wanted { exchange: turn.token, peer: self.peer, repair });
        }
        if self.under_way > 0 {
            // Each repair has an alarm of its own, and the peer's claim lasts while its repairs do.
            turn.wake_at(turn.now.after_ms(limits::EXCHANGE_PATIENCE_MS));
            return Progress::Waiting;
        }
        let step = self.session.repaired();
        self.follow(turn, step)
    }

    /// Repairs are started a moment after they are asked for, so those of this exchange are counted here as well.
    fn has_own_credit(&self) -> bool {
        self.under_way < limits::EXCHANGE_REPAIRS
    }

    fn end(&mut self, turn: &mut Turn<'_>, is_compared: bool) -> Progress {
        turn.stats.exchanges += u64::from(is_compared);
        if is_compared {
            turn.note_compared(self.peer);
        }
        // What could not be repaired now cannot be in a second either.
        let has_more = self.session.passed_over() > 0 || self.session.differing() > self.failed;
        let is_soon = !is_compared || has_more;
        if turn.reaches(self.peer) {
            turn.exchanges.end(turn.now, self.peer, self.class, is_soon);
        } else {
            turn.exchanges.break_off(self.peer, self.class);
        }
        Progress::Done
    }

    fn take_contents(&mut self, page: ContentsPage) -> Step {
        let ContentsPage { keys, more } = page;
        let last = keys.last().map(|last| last.hash);
        let through = last.filter(|_| more).unwrap_or(KeyHash(u128::MAX));
        let live = keys
            .into_iter()
            .filter_map(|ContentsKey { hash, key, tag }| Some(Listed { hash, tag: tag?, key }));
        self.session.on_contents(live.collect(), through)
    }
}

impl Machine for Asking {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        let step = self.session.start();
        self.follow(turn, step)
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        let step = match event {
            StoreEvent::Roots { roots, .. } => self.session.on_roots(roots),
            StoreEvent::Leaves { leaves, .. } => {
                self.session.on_leaves(leaves.map(|leaves| *leaves))
            }
            StoreEvent::Contents { result: Ok(page), .. } => self.take_contents(page),
            StoreEvent::Contents { result: Err(_), .. } | StoreEvent::Refused { .. } => {
                return self.end(turn, false);
            }
            StoreEvent::Poisoned { .. } => return Progress::Done,
            _ => return Progress::Waiting,
        };
        self.follow(turn, step)
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match message {
            PeerMessage::Answered { number, answer, .. }
                if from == self.peer && number == self.question =>
            {
                // The same answer may come twice.
                self.question += 1;
                let is_refusal = matches!(*answer, Answer::Refused { .. });
                turn.stats.exchange_refusals += u64::from(is_refusal);
                let step = self.session.on_answer(*answer);
                self.follow(turn, step)
            }
            _ => Progress::Waiting,
        }
    }

    /// One repair has ended: the index is 1 if it failed.
    fn on_part(&mut self, turn: &mut Turn<'_>, index: usize, _response: Response) -> Progress {
        self.under_way -= 1;
        self.failed += index as u64;
        self.repair_more(turn)
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        if node == self.peer && self.under_way == 0 {
            return self.end(turn, false);
        }
        Progress::Waiting
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        if self.settles {
            self.settles = false;
            let step = self.session.settled();
            return self.follow(turn, step);
        }
        if self.under_way > 0 {
            turn.wake_at(turn.now.after_ms(limits::EXCHANGE_PATIENCE_MS));
            return Progress::Waiting;
        }
        self.end(turn, false)
    }
}
