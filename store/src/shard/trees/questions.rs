//! Answering who asks for a tree: first the marked entries of those partitions tell their trees what they hold now.
//!
//! That takes a digest of each value, so it is a reader's work, some records at a time, and one question after the other. A
//! partition's entries are those that wait for the index when the question gets to it. What is written after that may or may
//! not be in the answer, so that writers cannot hold it up for ever; and where nobody writes, the answer is exact.
//!
//! **It yields.** While anything is being written, records are told at a pace: comparing owners is no hurry, and must not
//! show in what a put costs. For the same reason a question about so many changed records that they would take long is
//! answered at once by "not known": where so much changes, sums of many partitions differ anyway, and whoever asks goes on
//! with fewer.

use std::collections::VecDeque;
use std::sync::Arc;

use kvorum_antientropy::Tree;
use kvorum_protocol::{Record, RecordKey, Space};
use kvorum_ring::{ClassId, PartitionId};

use super::super::backlog::Region;
use super::super::table::{Body, Slot};
use super::super::{Life, Shard};
use crate::event::StoreEvent;
use crate::job::{Digested, ReadJob, Reading, Undigested};
use crate::limits;
use crate::request::Token;
use crate::saved_trees::Counted;

/// What is wanted of the trees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wants {
    Roots,
    Leaves,
}

/// A question that waits for its entries.
#[derive(Clone, Debug)]
struct Question {
    token: Token,
    wants: Wants,
    class: ClassId,
    partitions: Vec<PartitionId>,
    /// How many of them have been looked at.
    looked_at: usize,
}

/// What is asked, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Questions {
    waiting: VecDeque<Question>,
    /// Entries that are to be looked at of the partition in work.
    rest: Vec<Slot>,
    /// Whether a reader makes digests.
    is_out: bool,
    /// While there are writes, no digest is made before this.
    due_ns: u64,
    /// Records whose values were hashed for questions.
    digested: u64,
}

impl Shard {
    /// Answers with the roots of partitions; what is not known yet is counted in the meantime.
    pub(in crate::shard) fn answer_roots(
        &mut self,
        token: Token,
        class: ClassId,
        partitions: Vec<PartitionId>,
    ) {
        let wants = Wants::Roots;
        self.ask(Question { token, wants, class, partitions, looked_at: 0 });
    }

    /// Answers with the leaves of a partition.
    pub(in crate::shard) fn answer_leaves(
        &mut self,
        token: Token,
        class: ClassId,
        partition: PartitionId,
    ) {
        let (wants, partitions) = (Wants::Leaves, vec![partition]);
        self.ask(Question { token, wants, class, partitions, looked_at: 0 });
    }

    fn ask(&mut self, question: Question) {
        if self.want_unknown(&question) || self.are_too_many(&question) {
            return self.answer_unknown(&question);
        }
        self.trees.questions.waiting.push_back(question);
        self.advance_questions();
    }

    /// Has partitions counted whose trees are not known, and says whether there are any.
    fn want_unknown(&mut self, question: &Question) -> bool {
        let mut is_any = false;
        for partition in &question.partitions {
            let of = Counted { class: question.class, partition: *partition };
            if !self.trees.is_known(of) {
                self.trees.wanted.insert(of);
                is_any = true;
            }
        }
        is_any
    }

    /// Whether too many records may have to be told while there are writes.
    fn are_too_many(&self, question: &Question) -> bool {
        let most = self.options.told_for_an_answer;
        // Of one partition the answer comes, however long that takes.
        let is_one = question.partitions.len() == 1;
        if is_one || self.unindexed.len() <= most || self.commits.is_idle() {
            return false;
        }
        let mut waiting = 0;
        question.partitions.iter().any(|partition| {
            let region = Region::new(Space::Owned, question.class, *partition);
            waiting += self.unindexed.region(region).len();
            waiting > most
        })
    }

    fn answer_unknown(&mut self, question: &Question) {
        let token = question.token;
        self.events.push_back(match question.wants {
            Wants::Roots => StoreEvent::Roots { token, roots: None },
            Wants::Leaves => StoreEvent::Leaves { token, leaves: None },
        });
    }

    fn answer(&mut self, question: &Question) {
        if self.want_unknown(question) {
            // The index was made anew while it waited.
            return self.answer_unknown(question);
        }
        let (token, class) = (question.token, question.class);
        let of = |partition: &PartitionId| Counted { class, partition: *partition };
        let mut partitions = question.partitions.iter().map(of);
        self.events.push_back(match question.wants {
            Wants::Roots => {
                let roots = partitions.map(|of| self.trees.of_tree(of, Tree::root)).collect();
                StoreEvent::Roots { token, roots }
            }
            Wants::Leaves => {
                let leaves = |of| self.trees.of_tree(of, |tree| Box::new(*tree.leaves()));
                StoreEvent::Leaves { token, leaves: partitions.next().and_then(leaves) }
            }
        });
    }

    /// Answers what can be answered.
    pub(in crate::shard) fn advance_questions(&mut self) {
        while !self.trees.questions.is_out && !self.has_news_for_question() {
            let Some(question) = self.trees.questions.waiting.pop_front() else { return };
            self.answer(&question);
        }
    }

    /// Goes on to the next record that is to be digested for the first question, and says whether there is one. What needs no
    /// digest tells its tree at once.
    fn has_news_for_question(&mut self) -> bool {
        loop {
            while let Some(slot) = self.trees.questions.rest.last() {
                // A slot that holds another key by now is looked at all the same: it may be marked, too.
                match self.table.get_mut(*slot).filter(|entry| entry.has_news) {
                    Some(entry) if entry.body.record().is_some() => return true,
                    Some(entry) => {
                        let is_damaged = matches!(entry.body, Body::Damaged);
                        let (sequence, told) = (entry.sequence, entry.told);
                        self.trees.tell(entry, sequence, if is_damaged { told } else { 0 });
                    }
                    None => {}
                }
                self.trees.questions.rest.pop();
            }
            let Some(question) = self.trees.questions.waiting.front_mut() else { return false };
            let Some(partition) = question.partitions.get(question.looked_at) else { return false };
            question.looked_at += 1;
            let region = Region::new(Space::Owned, question.class, *partition);
            self.trees.questions.rest.extend_from_slice(self.unindexed.region(region));
        }
    }

    /// A job that makes the digests of some records for the first question.
    pub(in crate::shard) fn digest_job(&mut self) -> Option<ReadJob> {
        if self.trees.questions.is_out || self.questions_deadline().is_some() {
            return None;
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < self.options.told_at_once
            && bytes < limits::TOLD_BYTES_AT_ONCE
            && self.has_news_for_question()
        {
            let Some(slot) = self.trees.questions.rest.pop() else { break };
            let entry = self.table.entry(slot);
            if let Body::Record(record) = &entry.body {
                bytes += record.set.encoded().len();
                let (sequence, record) = (entry.sequence, Arc::clone(record));
                records.push(Undigested { slot, sequence, record });
            }
        }
        if records.is_empty() {
            return None;
        }
        let cost_ns =
            records.len() as u64 * limits::TOLD_RECORD_NS + bytes as u64 * limits::TOLD_BYTE_NS;
        self.trees.questions.due_ns = self.now.mono_ns.saturating_add(cost_ns);
        self.trees.questions.is_out = true;
        Some(ReadJob(Reading::Digest { records }))
    }

    /// Digests were made.
    pub(in crate::shard) fn digested(&mut self, digests: Vec<Digested>) {
        self.trees.questions.is_out = false;
        self.trees.questions.digested += digests.len() as u64;
        for Digested { slot, sequence, record, digest } in digests {
            let is_of = |key: &RecordKey, record: &Record| *key == record.key;
            // The key may have left the table meanwhile: only after its tree was told.
            if let Some(entry) = self.table.get_mut(slot).filter(|entry| is_of(&entry.key, &record))
            {
                self.trees.tell(entry, sequence, digest);
            }
        }
        self.advance_questions();
    }

    /// When the next digests may be made, if it is the pace that holds them back.
    pub(in crate::shard) fn questions_deadline(&self) -> Option<u64> {
        let questions = &self.trees.questions;
        let waits = !questions.waiting.is_empty() && !questions.is_out;
        let yields = self.life == Life::Open && !self.commits.is_idle();
        (waits && yields && questions.due_ns > self.now.mono_ns).then_some(questions.due_ns)
    }

    /// Whether nobody waits for an answer.
    pub(in crate::shard) fn has_no_questions(&self) -> bool {
        self.trees.questions.waiting.is_empty() && !self.trees.questions.is_out
    }

    /// Whether one more question has a place.
    pub(in crate::shard) fn takes_questions(&self) -> bool {
        self.trees.questions.waiting.len() < limits::TREE_QUESTIONS
    }
}

impl Questions {
    /// Records whose values were hashed for questions.
    pub(super) fn digested(&self) -> u64 {
        self.digested
    }
}
