//! Counting answers against the owners of a key.
//!
//! A quorum is asked of *every* set of owners: today there is one set, and while a layout change moves a partition there
//! will be two, the old and the new, and an answer counts in each set that its node belongs to. A node counts once in a
//! set, however often its answer arrives: that is what makes duplicated messages harmless.
//!
//! Does not know what is being counted. A put counts durable copies, a get counts usable answers.

use kvorum_protocol::message::{OwnerCause, OwnerFailure};
use kvorum_ring::NodeId;
use smallvec::SmallVec;

/// Owners of a key. As many as a key usually has take no memory of their own.
pub(crate) type Owners = SmallVec<[NodeId; 3]>;

/// Where one owner stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// Asked, or about to be, and not heard of yet.
    Awaited,
    /// Counts.
    Counted,
    /// Will not count, and why.
    Failed(OwnerCause),
}

/// One set of owners with the standing of each, in preference order.
#[derive(Clone, Debug)]
struct OwnerSet {
    owners: SmallVec<[(NodeId, Standing); 3]>,
}

/// The answers needed of each set of owners, and those that have come.
#[derive(Clone, Debug)]
pub(crate) struct Quorum {
    needed: usize,
    sets: SmallVec<[OwnerSet; 1]>,
}

impl Quorum {
    /// Nobody has answered yet. Owners that `reachable` denies fail at once as unreachable.
    pub(crate) fn new(
        needed: usize,
        sets: &[&[NodeId]],
        reachable: impl Fn(NodeId) -> bool,
    ) -> Quorum {
        assert!(!sets.is_empty(), "a key has owners");
        let standing = |node: NodeId| match reachable(node) {
            true => (node, Standing::Awaited),
            false => (node, Standing::Failed(OwnerCause::Unreachable)),
        };
        let sets = sets
            .iter()
            .map(|owners| OwnerSet { owners: owners.iter().copied().map(standing).collect() })
            .collect();
        Quorum { needed, sets }
    }

    /// Answers needed of each set.
    pub(crate) fn needed(&self) -> usize {
        self.needed
    }

    /// A node's answer counts, also when the node was given up before: an answer is an answer.
    pub(crate) fn count(&mut self, node: NodeId) {
        for (owner, standing) in self.slots_mut() {
            if *owner == node {
                *standing = Standing::Counted;
            }
        }
    }

    /// A node is given up. Changes nothing when it has counted or has failed before.
    pub(crate) fn fail(&mut self, node: NodeId, cause: OwnerCause) {
        for (owner, standing) in self.slots_mut() {
            if *owner == node && *standing == Standing::Awaited {
                *standing = Standing::Failed(cause);
            }
        }
    }

    /// Nodes that are awaited, each once, in preference order.
    pub(crate) fn awaited(&self) -> Owners {
        self.nodes(|standing| standing == Standing::Awaited)
    }

    /// Nodes that count, each once, in preference order.
    pub(crate) fn counted(&self) -> Owners {
        self.nodes(|standing| standing == Standing::Counted)
    }

    /// Nodes that do not count, whatever the reason: those that a hint or a repair would be for.
    pub(crate) fn missing(&self) -> Owners {
        self.nodes(|standing| standing != Standing::Counted)
    }

    /// Whether a node is still awaited.
    pub(crate) fn awaits(&self, node: NodeId) -> bool {
        self.slots().any(|(owner, standing)| *owner == node && *standing == Standing::Awaited)
    }

    /// Answers that count in the set that has the fewest.
    pub(crate) fn got(&self) -> usize {
        self.least(|standing| standing == Standing::Counted)
    }

    /// Whether every set has what is needed.
    pub(crate) fn is_reached(&self) -> bool {
        self.got() >= self.needed
    }

    /// Whether every set could still get what is needed.
    pub(crate) fn is_reachable(&self) -> bool {
        self.possible() >= self.needed
    }

    /// Answers that count or may come, in the set that has the fewest.
    pub(crate) fn possible(&self) -> usize {
        self.least(|standing| !matches!(standing, Standing::Failed(_)))
    }

    /// Whether a node is one of those that are counted on.
    pub(crate) fn has(&self, node: NodeId) -> bool {
        self.slots().any(|(owner, _)| *owner == node)
    }

    /// All nodes that are counted on, each once, in preference order.
    pub(crate) fn all(&self) -> Owners {
        self.nodes(|_| true)
    }

    /// Whether nobody is awaited any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.slots().all(|(_, standing)| *standing != Standing::Awaited)
    }

    /// Whether every owner of every set counts.
    pub(crate) fn is_complete(&self) -> bool {
        self.slots().all(|(_, standing)| *standing == Standing::Counted)
    }

    /// Time is up: whoever is still awaited is late.
    pub(crate) fn expire(&mut self) {
        for node in self.awaited() {
            self.fail(node, OwnerCause::TimedOut);
        }
    }

    /// Why each node that was given up was.
    pub(crate) fn failures(&self) -> Vec<OwnerFailure> {
        let mut failures: Vec<OwnerFailure> = Vec::new();
        for (node, standing) in self.slots() {
            let is_new = failures.iter().all(|failure| failure.node != *node);
            if let Standing::Failed(cause) = *standing
                && is_new
            {
                failures.push(OwnerFailure { node: *node, cause });
            }
        }
        failures
    }

    fn nodes(&self, wanted: impl Fn(Standing) -> bool) -> Owners {
        let mut nodes = Owners::new();
        for (node, standing) in self.slots() {
            if wanted(*standing) && !nodes.contains(node) {
                nodes.push(*node);
            }
        }
        nodes
    }

    fn least(&self, wanted: impl Fn(Standing) -> bool) -> usize {
        let count =
            |set: &OwnerSet| set.owners.iter().filter(|(_, standing)| wanted(*standing)).count();
        self.sets.iter().map(count).min().unwrap_or(0)
    }

    fn slots(&self) -> impl Iterator<Item = &(NodeId, Standing)> {
        self.sets.iter().flat_map(|set| &set.owners)
    }

    fn slots_mut(&mut self) -> impl Iterator<Item = &mut (NodeId, Standing)> {
        self.sets.iter_mut().flat_map(|set| &mut set.owners)
    }
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::message::OwnerCause;
    use kvorum_ring::NodeId;

    use super::Quorum;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const C: NodeId = NodeId(3);
    const D: NodeId = NodeId(4);

    #[test]
    fn an_answer_counts_once_however_often_it_comes() {
        let mut quorum = Quorum::new(2, &[&[A, B, C]], |_| true);
        quorum.count(A);
        quorum.count(A);
        assert!(!quorum.is_reached());
        quorum.count(C);
        assert!(quorum.is_reached() && !quorum.is_settled());
        assert_eq!(quorum.counted()[..], [A, C]);
        assert_eq!(quorum.missing()[..], [B]);
    }

    #[test]
    fn every_owner_that_does_not_count_has_its_cause() {
        let mut quorum = Quorum::new(2, &[&[A, B, C]], |node| node != C);
        assert_eq!(quorum.awaited()[..], [A, B]);
        quorum.fail(B, OwnerCause::Overloaded);
        quorum.fail(B, OwnerCause::Unreachable);
        assert!(!quorum.is_reachable());
        quorum.expire();
        let failures: Vec<_> =
            quorum.failures().iter().map(|failure| (failure.node, failure.cause)).collect();
        assert_eq!(
            failures,
            [(A, OwnerCause::TimedOut), (B, OwnerCause::Overloaded), (C, OwnerCause::Unreachable)]
        );
    }

    #[test]
    fn an_answer_of_a_node_given_up_still_counts_and_stays_counted() {
        let mut quorum = Quorum::new(1, &[&[A, B, C]], |_| true);
        quorum.fail(B, OwnerCause::Unreachable);
        quorum.count(B);
        quorum.fail(B, OwnerCause::Unreachable);
        assert!(quorum.is_reached());
    }

    #[test]
    fn two_sets_need_their_quorum_each() {
        let mut quorum = Quorum::new(2, &[&[A, B, C], &[A, D, C]], |_| true);
        quorum.count(A);
        quorum.count(B);
        assert!(!quorum.is_reached(), "only one owner of the second set holds it");
        quorum.count(D);
        assert!(quorum.is_reached());
        assert_eq!(quorum.awaited()[..], [C]);
    }
}
