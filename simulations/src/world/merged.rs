//! Operations on mergeable values: what the writes of a plan are under its rule, and what their answers must say.
//!
//! Under such a rule an operation's number is what it adds, so that a value tells which operations it has seen. The versions
//! around the values are judged like all others; here the values are.

use std::collections::BTreeSet;

use bytes::Bytes;
use kvorum_protocol::limits;
use kvorum_protocol::mergeable::{Joined, Operation as Change};
use kvorum_protocol::message::{MergedDone, UpdateDone};

use super::World;
use super::judge::shadow;
use crate::checkers::{lossy_winners, p23_one_effect};
use crate::history::Outcome;
use crate::oracle::WriteId;
use crate::plan::{Operation, OperationKind, Rule};
use crate::reached::Rare;
use crate::violation::{Property, Violation};

/// The numbers before its own that a delete of a set's plan removes.
const REMOVED: u32 = 4;

/// By how much clocks may differ beyond the bound where a write is stamped: an answer may take as long as the bound itself, and clocks
/// drift apart.
const SLACK_MS: u64 = limits::CLOCK_SKEW_MS + 100;

impl World {
    /// What a write does under the plan's rule, and to which key; `None` of what is no operation.
    pub(super) fn change_of(&self, operation: &Operation) -> Option<(u16, Change)> {
        let (key, id) = (*operation.keys().first()?, operation.id);
        let change = match (self.plan.rule, &operation.kind) {
            (Rule::Counter, OperationKind::Put { .. } | OperationKind::Delete { .. }) => {
                Change::Increment { by: p23_one_effect::amount(id) }
            }
            (Rule::Set, OperationKind::Put { .. }) => Change::Add { elements: vec![element(id)] },
            (Rule::Set, OperationKind::Delete { .. }) => {
                Change::Remove { elements: removed_by(id).map(element).collect() }
            }
            _ => return None,
        };
        Some((key, change))
    }

    pub(super) fn hear_update(&mut self, write: WriteId, done: &UpdateDone) {
        let Some(row) = self.history.row(write) else { return };
        let key = row.key;
        let judgement = self.judge_update(key, write, done);
        self.accuse(judgement, None, Some(key));
        self.end_row(write, Outcome::Ok);
    }

    fn judge_update(
        &mut self,
        key: u16,
        write: WriteId,
        done: &UpdateDone,
    ) -> Result<(), Violation> {
        let oracle = &self.oracle[usize::from(key)];
        let Some(version) = oracle.version_of(shadow(done.dot)) else {
            let what = format!("write {write} was answered with {:?}, never minted", done.dot);
            return Err(Violation::new(Property::P5, what));
        };
        if oracle.versions()[version].write != write {
            self.reached.mark(Rare::RetryRecognised);
        }
        match &done.value {
            // What its coordinator holds counts the operation itself, at least.
            Some(value) => self.judge_value(key, value, &BTreeSet::from([write])),
            None => Ok(()),
        }
    }

    pub(super) fn hear_merged(&mut self, read: WriteId, done: &MergedDone) {
        let Some(row) = self.history.row(read) else { return };
        let (key, strict, quorum) = (row.key, row.strict, row.quorum);
        let owed = match strict {
            true => self.holders.left(key, &self.owed(read, quorum)),
            false => crate::bits::Bits::new(),
        };
        let must: BTreeSet<WriteId> = owed.iter().map(|write| write as WriteId).collect();
        if !must.is_empty() {
            self.reached.mark(Rare::MergedOwed);
        }
        self.say(None, Some(key), || format!("operation {read} reads {:?}", done.value));
        let nothing = match self.plan.rule {
            Rule::Counter => Joined::Counter { negative: false, magnitude: 0 },
            _ => Joined::Set { elements: Vec::new() },
        };
        let judgement = match &done.context {
            Some(context) => self.open(key, context).map(|_| ()),
            None => Ok(()),
        };
        let judgement = judgement
            .and_then(|()| self.judge_value(key, done.value.as_ref().unwrap_or(&nothing), &must));
        self.accuse(judgement, None, Some(key));
        self.end_row(read, Outcome::Ok);
    }

    /// Judges a value that was shown, by the writes that it has to have seen.
    fn judge_value(
        &self,
        key: u16,
        value: &Joined,
        must: &BTreeSet<WriteId>,
    ) -> Result<(), Violation> {
        let adds: BTreeSet<WriteId> = self.writes_of(key, false).collect();
        match value {
            Joined::Counter { negative: false, magnitude } => {
                let all = adds.into_iter().chain(self.writes_of(key, true)).collect();
                p23_one_effect::check_counter(i128::from(*magnitude), must, &all)
            }
            Joined::Set { elements } => {
                let elements = elements.iter().map(number).collect::<Result<_, _>>()?;
                let removed: BTreeSet<WriteId> =
                    self.writes_of(key, true).flat_map(removed_by).collect();
                let must = must.iter().filter(|id| adds.contains(*id) && !removed.contains(*id));
                p23_one_effect::check_set(&elements, &must.copied().collect(), &adds)
            }
            other => {
                let what = format!("a bucket of another rule shows {other:?}");
                Err(Violation::new(Property::P13, what))
            }
        }
    }

    /// The single writes of a key that may have taken effect: those that are deletes in the plan, or those that are not.
    fn writes_of(&self, key: u16, deletes: bool) -> impl Iterator<Item = WriteId> + '_ {
        self.running.iter().filter_map(move |running| {
            let id = running.operation.id;
            let (found, is_delete) = match &running.operation.kind {
                OperationKind::Put { key, .. } => (*key, false),
                OperationKind::Delete { key, .. } => (*key, true),
                _ => return None,
            };
            let failed = self.history.row(id).is_some_and(|row| row.outcome == Outcome::Failed);
            (found == key && is_delete == deletes && !failed).then_some(id)
        })
    }

    /// Judges that a write of a bucket that goes by clocks was minted where the clock is right.
    pub(super) fn judge_stamp(
        &self,
        number: u16,
        key: u16,
        write: WriteId,
    ) -> Result<(), Violation> {
        let now_ns = self.schedule.now_ns();
        let invoked_ns = self.history.row(write).map_or(0, |row| row.invoked_ns);
        let is_put = self.running.iter().any(|running| {
            running.operation.id == write
                && matches!(running.operation.kind, OperationKind::Put { .. })
        });
        if self.plan.rule != Rule::LossyLww || self.jumped_ns >= invoked_ns || !is_put {
            return Ok(());
        }
        let wall_ms = |node: &u16| self.nodes[usize::from(*node)].now(now_ns).wall_ms;
        let owners_ms: Vec<u64> = self.owners[usize::from(key)].iter().map(wall_ms).collect();
        let fallbacks_ms: Vec<u64> = self.fallbacks(key).iter().map(wall_ms).collect();
        let most_ms = limits::CLOCK_SKEW_MS + SLACK_MS;
        lossy_winners::check_stamp(wall_ms(&number), &owners_ms, &fallbacks_ms, most_ms)
    }
}

fn element(id: WriteId) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

fn number(element: &Bytes) -> Result<WriteId, Violation> {
    let bytes = <[u8; 4]>::try_from(&element[..]);
    bytes.map(WriteId::from_be_bytes).map_err(|_| {
        Violation::new(Property::P13, format!("a set has {element:?}, which nobody added"))
    })
}

/// What a delete of a set's plan removes.
fn removed_by(id: WriteId) -> std::ops::Range<WriteId> {
    id.saturating_sub(REMOVED)..id
}
