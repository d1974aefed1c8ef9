//! What a step of a partition's repair has found and done so far, added up over its keys.

use kvorum_protocol::message::{OwnerCause, RepairDone, RepairedOwner, Response};
use kvorum_ring::{KeyHash, NodeId};

/// The sums.
#[derive(Clone)]
pub(super) struct Tally {
    owners: Vec<RepairedOwner>,
    pub(super) compared: u64,
    differing: u64,
    left: u64,
}

impl Tally {
    /// Nothing yet, of these owners in preference order.
    pub(super) fn new(owners: &[NodeId]) -> Tally {
        let owner = |node: &NodeId| RepairedOwner {
            node: *node,
            before: None,
            given: 0,
            bytes: 0,
            cause: None,
        };
        Tally { owners: owners.iter().map(owner).collect(), compared: 0, differing: 0, left: 0 }
    }

    /// An owner is not known to hold what the others hold. The first reason is told.
    pub(super) fn fail(&mut self, node: NodeId, cause: OwnerCause) {
        if let Some(owner) = self.owners.iter_mut().find(|owner| owner.node == node) {
            owner.cause.get_or_insert(cause);
        }
    }

    /// A key that differed has been repaired, or could not be.
    pub(super) fn add(&mut self, response: &Response) {
        self.differing += 1;
        let Response::Repair(done) = response else {
            self.left += 1;
            return;
        };
        self.left += done.left;
        for told in &done.owners {
            if let Some(owner) = self.owners.iter_mut().find(|owner| owner.node == told.node) {
                owner.given += told.given;
                owner.bytes += told.bytes;
                owner.cause = owner.cause.or(told.cause);
            }
        }
    }

    /// The answer.
    pub(super) fn done(&self, next: Option<KeyHash>) -> Response {
        Response::Repair(RepairDone {
            owners: self.owners.clone(),
            after: None,
            compared: self.compared,
            differing: self.differing,
            left: self.left,
            next,
        })
    }
}
