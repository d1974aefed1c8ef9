//! Where the digests of a get stand: what they are compared with, and those that came too early for it.

use kvorum_protocol::{EncodedSet, SetDigest};
use kvorum_ring::NodeId;
use smallvec::SmallVec;

/// What digests are compared with.
#[derive(Clone)]
pub(super) enum Own {
    /// The own record is being read.
    Awaited,
    /// It is this.
    Holds(EncodedSet),
    /// There is none, it cannot be read, or it took too long.
    Nothing,
}

/// A digest that came before the own record.
#[derive(Clone, Copy)]
pub(super) struct Early {
    pub(super) node: NodeId,
    pub(super) digest: SetDigest,
    pub(super) refilling: bool,
}

/// Where a get's digests stand.
#[derive(Clone)]
pub(super) struct Digests {
    pub(super) own: Own,
    pub(super) early: SmallVec<[Early; 2]>,
    /// Owners whose digest did not do.
    pub(super) asked_whole: SmallVec<[NodeId; 2]>,
    /// Whether there is an alarm for the own record.
    pub(super) watched: bool,
}

impl Digests {
    /// Nothing heard yet.
    pub(super) fn new() -> Digests {
        Digests {
            own: Own::Awaited,
            early: SmallVec::new(),
            asked_whole: SmallVec::new(),
            watched: false,
        }
    }

    /// Whether an owner's digest waits for the own record.
    pub(super) fn has_early(&self, node: NodeId) -> bool {
        self.early.iter().any(|early| early.node == node)
    }

    /// Whether an owner's answer is its second one. Its time then says nothing about how quickly it answers.
    pub(super) fn was_asked_whole(&self, node: NodeId) -> bool {
        self.asked_whole.contains(&node)
    }
}
