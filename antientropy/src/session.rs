//! The course of one exchange, at the owner that asks.
//!
//! It begins with the sums of all partitions that both own, and halves no further than it must: a range whose sums agree
//! is not looked into. The own sum of a range is asked for when its turn comes, so that it is as old as the answer, and a
//! partition is not taken for different because it was written to since. A range of which either side does not know the sum, because
//! a part of it is being counted or too much of it changes, is cut up and its parts are compared. What differs is a *suspect* at first, because a write that is on its way makes two owners differ
//! for a moment. After a pause each suspect is looked at again, leaf by leaf; what still differs is listed key by key, and the
//! keys that are held differently are repaired, one partition after the other.
//!
//! One thing at a time is asked for, so an exchange never piles up work; what can be in flight at once are the repairs of
//! one page of keys, which is the engine's to pace. Nothing is remembered from one exchange to the next: what was repaired
//! is equal then, and an exchange that breaks off is taken up by the next.
//!
//! Pure: every call says what is to be done next.

use std::collections::VecDeque;

use kvorum_protocol::{BucketName, Key, RecordKey};
use kvorum_ring::{ClassId, KeyHash, PartitionId};

use crate::compare::parts;
use crate::limits;
use crate::message::{Answer, Question, Refusal, pack_keys, pack_leaves};
use crate::tree::{LEAVES, Leaves, Sum};

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ask the own store for the roots of these partitions; then [`Session::on_roots`].
    OwnRoots(Vec<PartitionId>),
    /// Ask the other owner; then [`Session::on_answer`].
    Ask(Question),
    /// Let writes arrive that are under way; then [`Session::settled`].
    Settle,
    /// Ask the own store for the leaves of this partition; then [`Session::on_leaves`].
    OwnLeaves(PartitionId),
    /// Ask the own store what it holds of these leaves, from this hash on; then [`Session::on_contents`].
    OwnContents(PartitionId, Leaves, KeyHash),
    /// Repair these keys; then [`Session::repaired`].
    Repair(Vec<Repair>),
    /// The end.
    End(End),
}

/// A key to be repaired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repair {
    /// The record.
    pub key: RecordKey,
    /// The other owner has no record of it, and it was live here.
    pub is_lacking: bool,
}

/// How an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// All that could be compared was.
    Compared,
    /// The two could not be compared.
    Refused(Refusal),
}

/// A key of the own contents that is live.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its hash.
    pub hash: KeyHash,
    /// Its tag.
    pub tag: u64,
    /// The record's key.
    pub key: RecordKey,
}

#[derive(Clone, Debug)]
enum Stage {
    Roots { first: u32, count: u32 },
    Range { first: u32, count: u32 },
    Settling,
    Leaves,
    AskedLeaves,
    Contents { leaves: Leaves, from: KeyHash },
    AskedContents { leaves: Leaves, listed: Vec<Listed> },
    Repairing { leaves: Leaves, through: KeyHash },
}

/// See the module's page.
#[derive(Clone, Debug)]
pub struct Session {
    class: ClassId,
    scope: u64,
    /// The partitions that both own, ascending.
    shared: Vec<PartitionId>,
    /// Those of the range that is being compared.
    roots: Vec<Sum>,
    /// Single partitions, one after the other, of which one side did not know the root.
    unknown: usize,
    /// Ranges still to be compared, the next one last.
    ranges: Vec<(u32, u32)>,
    suspects: VecDeque<PartitionId>,
    stage: Stage,
    /// Suspects that could not be looked at.
    passed_over: u64,
    /// Keys that were found to differ.
    differing: u64,
}

impl Session {
    /// An exchange about the partitions of a class that both own, ascending. `scope` tells by what the trees are made and
    /// the partitions shared out.
    pub fn new(class: ClassId, scope: u64, shared: Vec<PartitionId>) -> Session {
        Session {
            class,
            scope,
            ranges: vec![(0, shared.len() as u32)],
            shared,
            roots: Vec::new(),
            unknown: 0,
            suspects: VecDeque::new(),
            stage: Stage::Settling,
            passed_over: 0,
            differing: 0,
        }
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        self.descend()
    }

    /// The partitions that both own.
    pub fn shared(&self) -> &[PartitionId] {
        &self.shared
    }

    /// The partition that is being looked at closely.
    pub fn partition(&self) -> Option<PartitionId> {
        let is_close =
            !matches!(self.stage, Stage::Roots { .. } | Stage::Range { .. } | Stage::Settling);
        self.suspects.front().copied().filter(|_| is_close)
    }

    /// Partitions that differed and could not be looked at: the next exchange should not be long in coming.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Keys that were found to differ.
    pub fn differing(&self) -> u64 {
        self.differing
    }

    /// The own roots of the range; none while they are not known.
    pub fn on_roots(&mut self, roots: Option<Vec<Sum>>) -> Step {
        let Stage::Roots { first, count } = self.stage else { return self.descend() };
        match roots {
            Some(roots) if roots.len() == count as usize => {
                let sum = roots.iter().copied().sum();
                self.roots = roots;
                self.stage = Stage::Range { first, count };
                let (class, scope) = (self.class, self.scope);
                Step::Ask(Question::Range { class, scope, first, count, sum })
            }
            _ => self.cut_up(first, count),
        }
    }

    /// The next range, or the suspects, or the end.
    fn descend(&mut self) -> Step {
        let enough = self.suspects.len() >= limits::SUSPECTS;
        if let Some((first, count)) = if enough { None } else { self.ranges.pop() } {
            self.stage = Stage::Roots { first, count };
            return Step::OwnRoots(self.shared[first as usize..][..count as usize].to_vec());
        }
        if self.suspects.is_empty() {
            return Step::End(End::Compared);
        }
        self.stage = Stage::Settling;
        Step::Settle
    }

    /// One side does not know the sum of a range. Where that is so of many partitions they are being counted, and the next
    /// exchange is early enough.
    fn cut_up(&mut self, first: u32, count: u32) -> Step {
        if count > 1 {
            let inner = parts(0, count).map(|(offset, length)| (first + offset, length));
            self.ranges.extend(inner.collect::<Vec<_>>().into_iter().rev());
            return self.descend();
        }
        self.passed_over += 1;
        self.unknown += 1;
        match self.unknown < limits::UNKNOWN {
            true => self.descend(),
            false => Step::End(End::Refused(Refusal::Unknown)),
        }
    }

    /// The pause is over.
    pub fn settled(&mut self) -> Step {
        self.next_suspect()
    }

    fn next_suspect(&mut self) -> Step {
        match self.suspects.front() {
            Some(partition) => {
                self.stage = Stage::Leaves;
                Step::OwnLeaves(*partition)
            }
            None => self.descend(),
        }
    }

    /// The partition that is looked at cannot be, for now.
    pub fn pass_over(&mut self) -> Step {
        self.passed_over += u64::from(self.suspects.pop_front().is_some());
        self.next_suspect()
    }

    /// The own leaves of the partition; none while they are not known.
    pub fn on_leaves(&mut self, leaves: Option<[Sum; LEAVES]>) -> Step {
        let (Some(leaves), Some(partition)) = (leaves, self.partition()) else {
            return self.pass_over();
        };
        self.stage = Stage::AskedLeaves;
        let (class, scope, leaves) = (self.class, self.scope, pack_leaves(&leaves));
        Step::Ask(Question::Leaves { class, partition, scope, leaves })
    }

    /// What the own store holds live, ascending by hash, up to a hash.
    pub fn on_contents(&mut self, listed: Vec<Listed>, through: KeyHash) -> Step {
        let (Stage::Contents { leaves, from }, Some(partition)) =
            (self.stage.clone(), self.partition())
        else {
            return self.pass_over();
        };
        let keys = pack_keys(listed.iter().map(|listed| (listed.hash, listed.tag)));
        self.stage = Stage::AskedContents { leaves, listed };
        let (class, scope, leaves) = (self.class, self.scope, leaves.0);
        Step::Ask(Question::Contents { class, partition, scope, leaves, from, through, keys })
    }

    /// The other owner's answer to what was asked last.
    pub fn on_answer(&mut self, answer: Answer) -> Step {
        match (self.stage.clone(), answer) {
            (Stage::Range { .. }, Answer::Equal) => {
                self.unknown = 0;
                self.descend()
            }
            (Stage::Range { first, count }, Answer::Parts { sums }) => {
                self.unknown = 0;
                self.take_parts(first, count, &sums)
            }
            (Stage::Range { first, count }, Answer::Refused { reason: Refusal::Unknown }) => {
                self.cut_up(first, count)
            }
            (Stage::Range { .. }, Answer::Refused { reason }) => Step::End(End::Refused(reason)),
            (Stage::AskedLeaves, Answer::Leaves { leaves: 0 }) => {
                self.suspects.pop_front();
                self.next_suspect()
            }
            (Stage::AskedLeaves, Answer::Leaves { leaves }) => {
                self.list(Leaves(leaves), KeyHash(0))
            }
            (
                Stage::AskedContents { leaves, listed },
                Answer::Contents { lacking, differing, extra, through },
            ) => self.take_differences(leaves, &listed, (&lacking, &differing, extra), through),
            _ => self.pass_over(),
        }
    }

    fn take_parts(&mut self, first: u32, count: u32, theirs: &[Sum]) -> Step {
        let mut differing = Vec::new();
        for ((offset, count), theirs) in parts(0, count).zip(theirs) {
            let ours: Sum = self.roots[offset as usize..][..count as usize].iter().copied().sum();
            if ours != *theirs {
                differing.push((first + offset, count));
            }
        }
        // Those of one partition are named, and the others looked into in ascending order.
        for (first, count) in differing.into_iter().rev() {
            if count == 1 {
                self.suspects.push_front(self.shared[first as usize]);
            } else {
                self.ranges.push((first, count));
            }
        }
        self.descend()
    }

    fn list(&mut self, leaves: Leaves, from: KeyHash) -> Step {
        match self.partition() {
            Some(partition) => {
                self.stage = Stage::Contents { leaves, from };
                Step::OwnContents(partition, leaves, from)
            }
            None => self.next_suspect(),
        }
    }

    fn take_differences(
        &mut self,
        leaves: Leaves,
        listed: &[Listed],
        (lacking, differing, extra): (&[u32], &[u32], Vec<(BucketName, Key)>),
        through: KeyHash,
    ) -> Step {
        let Some(partition) = self.partition() else { return self.next_suspect() };
        let at = |place: &u32| listed.get(*place as usize).map(|listed| listed.key.clone());
        let lacking = lacking.iter().filter_map(at).map(|key| Repair { key, is_lacking: true });
        let named = extra
            .into_iter()
            .map(|(bucket, key)| RecordKey::hashed(self.class, partition, bucket, key));
        let others = differing.iter().filter_map(at).chain(named);
        let others = others.map(|key| Repair { key, is_lacking: false });
        let repairs: Vec<Repair> = lacking.chain(others).collect();
        self.differing += repairs.len() as u64;
        self.stage = Stage::Repairing { leaves, through };
        if repairs.is_empty() { self.repaired() } else { Step::Repair(repairs) }
    }

    /// The repairs have ended, each in its way.
    pub fn repaired(&mut self) -> Step {
        match self.stage {
            Stage::Repairing { leaves, through } if through.0 < u128::MAX => {
                self.list(leaves, KeyHash(through.0 + 1))
            }
            _ => {
                self.suspects.pop_front();
                self.next_suspect()
            }
        }
    }
}
