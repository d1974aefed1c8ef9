//! What the steps of a repair found and did, added up over keys and partitions.

use std::collections::BTreeMap;

use kvorum_client::{OperationError, Topology};
use kvorum_protocol::message::{OwnerCause, RepairDone};
use kvorum_ring::NodeId;
use serde_json::{Value, json};

use crate::output::style::Style;
use crate::output::table::{Align, Table};
use crate::output::units;
use crate::verb::repair::not_repaired;
use crate::verb::repair::walk::Place;

/// What was done at one owner.
#[derive(Clone, Copy, Default, Debug)]
struct Owner {
    given: u64,
    bytes: u64,
    /// Why it was left out somewhere, first.
    cause: Option<OwnerCause>,
    /// Partitions in which it was.
    left_out: u64,
    /// It was in the partition at hand.
    is_left_out: bool,
}

/// See the module's page.
#[derive(Clone, Default, Debug)]
pub(super) struct Sums {
    owners: BTreeMap<NodeId, Owner>,
    partitions: u64,
    pub(super) compared: u64,
    differing: u64,
    left: u64,
    failures: Vec<String>,
}

impl Sums {
    /// Adds a step.
    pub(super) fn add(&mut self, done: &RepairDone) {
        self.compared += done.compared;
        self.differing += done.differing;
        self.left += done.left;
        for told in &done.owners {
            let owner = self.owners.entry(told.node).or_default();
            owner.given += told.given;
            owner.bytes += told.bytes;
            owner.cause = owner.cause.or(told.cause);
            owner.is_left_out |= told.cause.is_some();
        }
    }

    /// A partition could not be repaired, or not to its end.
    pub(super) fn fail(&mut self, place: Place, error: &OperationError) {
        self.failures.push(format!("partition {}: {error}", place.partition.0));
    }

    /// The owners of a partition have too much to do.
    pub(super) fn give_up(&mut self, place: Place) {
        self.failures
            .push(format!("partition {}: its owners have too much to do", place.partition.0));
    }

    /// The steps of one partition have ended.
    pub(super) fn end_partition(&mut self) {
        self.partitions += 1;
        for owner in self.owners.values_mut() {
            owner.left_out += u64::from(std::mem::take(&mut owner.is_left_out));
        }
    }

    /// Whether everything that was looked at is the same at all of its owners.
    pub(super) fn all_agree(&self) -> bool {
        self.left == 0
            && self.failures.is_empty()
            && self.owners.values().all(|owner| owner.cause.is_none())
    }

    /// Partitions that were not repaired, with the reasons.
    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// A line for the end of the step.
    pub(super) fn told(&self) -> String {
        format!(
            "{} compared, {} differed",
            units::plural(self.compared, "key"),
            units::count(self.differing)
        )
    }

    /// Why they do not.
    pub(super) fn why(&self) -> String {
        let left_out = self.owners.values().filter(|owner| owner.cause.is_some()).count() as u64;
        match (left_out, self.left, self.failures.len()) {
            (0, 0, 0) => "it was not done to the end".to_owned(),
            (0, 0, failures) => format!("{} left", units::plural(failures as u64, "partition")),
            (0, left, _) => format!("{} left", units::plural(left, "key")),
            (owners, ..) => format!("{} left out", units::plural(owners, "owner")),
        }
    }

    /// A row for each owner.
    pub(super) fn table(&self, topology: &Topology, style: Style) -> Table {
        let mut table = Table::new(&[
            ("owner", Align::Left),
            ("given", Align::Right),
            ("bytes", Align::Right),
            ("state", Align::Left),
        ]);
        for (node, owner) in &self.owners {
            let state = match owner.cause {
                None => style.good("agrees"),
                Some(cause) if self.partitions <= 1 => style.bad(&not_repaired(cause)),
                Some(cause) => {
                    let partitions = units::plural(owner.left_out, "partition");
                    style.bad(&format!("{} in {partitions}", not_repaired(cause)))
                }
            };
            let (given, bytes) = (units::count(owner.given), units::bytes(owner.bytes));
            table.row(vec![style.name(&topology.name_of(*node)), given, bytes, state]);
        }
        table
    }

    /// The same for programs.
    pub(super) fn json(&self, topology: &Topology, agree: bool, go_on: Option<&str>) -> Value {
        let owner = |(node, owner): (&NodeId, &Owner)| {
            json!({
                "name": topology.name_of(*node), "id": node.to_string(), "given": owner.given,
                "bytes": owner.bytes, "agrees": owner.cause.is_none(),
                "cause": owner.cause.map(|cause| cause.to_string()), "partitions_left_out": owner.left_out,
            })
        };
        let owners: Vec<Value> = self.owners.iter().map(owner).collect();
        json!({
            "agreed": agree, "partitions": self.partitions, "compared": self.compared,
            "differing": self.differing, "left": self.left, "owners": owners,
            "failures": self.failures, "go_on": go_on,
        })
    }
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::message::{OwnerCause, RepairDone, RepairedOwner};
    use kvorum_ring::NodeId;

    use super::Sums;

    fn step(left: u64, causes: [Option<OwnerCause>; 2]) -> RepairDone {
        let owner = |(node, cause): (usize, Option<OwnerCause>)| RepairedOwner {
            node: NodeId(node as u128),
            before: None,
            given: 2,
            bytes: 20,
            cause,
        };
        let owners = causes.into_iter().enumerate().map(owner).collect();
        RepairDone { owners, after: None, compared: 10, differing: 4, left, next: None }
    }

    #[test]
    fn sums_agree_only_when_every_owner_and_every_key_does() {
        let mut sums = Sums::default();
        sums.add(&step(0, [None, None]));
        sums.add(&step(0, [None, None]));
        sums.end_partition();
        assert!(sums.all_agree());
        assert_eq!((sums.compared, sums.owners[&NodeId(1)].given), (20, 4));
        let mut left = sums.clone();
        left.add(&step(1, [None, None]));
        assert!(!left.all_agree());
        assert_eq!(left.why(), "1 key left");
        for _ in 0..3 {
            sums.add(&step(0, [None, Some(OwnerCause::Unreachable)]));
            sums.add(&step(0, [None, Some(OwnerCause::Unreachable)]));
            sums.end_partition();
        }
        assert!(!sums.all_agree());
        assert_eq!(sums.owners[&NodeId(1)].left_out, 3, "partitions, not steps");
        assert_eq!(sums.why(), "1 owner left out");
    }
}
