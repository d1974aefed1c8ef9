//! The durable copies of one write: those of its owners, and those of fallbacks in their place.
//!
//! A copy at an owner counts, and so does one at a fallback that was *called in*, unless the request is strict; each node
//! counts once. Fallbacks are called in the layout's order, one for each owner that is missed; when there are fewer, the first
//! stands in for the remaining owners, too. One that does not take it is replaced by the next, and so is one that does not answer
//! for long; if it does after all, it counts.
//!
//! A fallback is a copy only in the place of owners for whom it has said that it holds the write. What it said before it was
//! asked to hold it for one more says nothing of that one: so each time it is asked to hold it for all whom it stands in for, and
//! answers for how many of them it does.
//!
//! Who is missed is the caller's to say. An owner that answers after all counts as well: the write then has a copy more.

use kvorum_protocol::message::{OwnerCause, OwnerFailure};
use kvorum_ring::NodeId;
use smallvec::SmallVec;

use crate::engine::quorum::{Owners, Quorum};

/// A fallback that was called in.
#[derive(Clone, Debug)]
struct StandIn {
    node: NodeId,
    /// The owners that it was asked to stand in for, in the order in which it was.
    targets: Owners,
    /// For how many of them, from the first on, it holds the write durably.
    held: usize,
    /// Why it will not hold it for the others.
    failed: Option<OwnerCause>,
    /// It was waited for long enough.
    is_overdue: bool,
}

impl StandIn {
    /// Whether it may still answer for some of its owners.
    fn is_awaited(&self) -> bool {
        self.failed.is_none() && self.held < self.targets.len()
    }

    /// Whether it holds the write for this owner, or is expected to soon.
    fn stands_for(&self, owner: NodeId) -> bool {
        let place = self.targets.iter().position(|target| *target == owner);
        place.is_some_and(|place| place < self.held || self.failed.is_none() && !self.is_overdue)
    }

    /// It holds the write for so many of its owners; a release that does not say for how many does so for the first at least.
    fn hold(&mut self, held_for: usize) {
        self.held = self.held.max(held_for.clamp(1, self.targets.len()));
        self.is_overdue = false;
    }

    /// It refused to hold the write for so many; 0 for however many they are. What it is asked since then it may take.
    fn fail(&mut self, held_for: usize, cause: OwnerCause) {
        if self.is_awaited() && (held_for == 0 || held_for >= self.targets.len()) {
            self.failed = Some(cause);
        }
    }
}

/// The fallbacks of a write.
#[derive(Clone, Debug)]
struct Fallbacks {
    untried: Owners,
    called: Vec<StandIn>,
    /// The coordinator, if it is one of them: it holds the write for all owners.
    own: Option<Option<Result<(), OwnerCause>>>,
}

/// See the module's page.
#[derive(Clone, Debug)]
pub(crate) struct Copies {
    owners: Quorum,
    /// Whether copies at fallbacks count.
    sloppy: bool,
    /// None until one is needed.
    fallbacks: Option<Box<Fallbacks>>,
}

impl Copies {
    /// No copies yet, of a write that this node coordinates as an owner.
    pub(crate) fn new(owners: Quorum, sloppy: bool) -> Copies {
        Copies { owners, sloppy, fallbacks: None }
    }

    /// The same for a coordinator that is one of the `fallbacks`.
    pub(crate) fn at_fallback(owners: Quorum, me: NodeId, fallbacks: Owners) -> Copies {
        let mut copies = Copies::new(owners, true);
        let untried = fallbacks.into_iter().filter(|node| *node != me).collect();
        copies.fallbacks =
            Some(Box::new(Fallbacks { untried, called: Vec::new(), own: Some(None) }));
        copies
    }

    /// Copies that the write waits for.
    pub(crate) fn needed(&self) -> usize {
        self.owners.needed()
    }

    /// The owners and where they stand.
    pub(crate) fn owners(&self) -> &Quorum {
        &self.owners
    }

    /// Owners that have it.
    pub(crate) fn at_owners(&self) -> usize {
        self.owners.counted().len()
    }

    /// Fallbacks that have it, each in the place of an owner that has not. One that stood in for an owner which has it by now
    /// is no copy more: it forgets its own as soon as it hears of that.
    pub(crate) fn at_fallbacks(&self) -> usize {
        let Some(fallbacks) = &self.fallbacks else { return 0 };
        let mut missing = self.owners.missing();
        let mut stands = |one: &StandIn| {
            let held = &one.targets[..one.held];
            let place = missing.iter().position(|owner| held.contains(owner));
            place.map(|place| missing.remove(place)).is_some()
        };
        // Who holds it for few is counted for those first, and leaves the others to who holds it for more.
        let mut called: SmallVec<[&StandIn; 3]> = fallbacks.called.iter().collect();
        called.sort_by_key(|one| one.held);
        let called = called.iter().filter(|one| stands(one)).count();
        called + usize::from(fallbacks.own == Some(Some(Ok(()))) && !missing.is_empty())
    }

    /// Copies that count.
    pub(crate) fn got(&self) -> usize {
        self.owners.got() + if self.sloppy { self.at_fallbacks() } else { 0 }
    }

    /// Whether the write has the copies that it waits for.
    pub(crate) fn is_reached(&self) -> bool {
        self.got() >= self.needed()
    }

    /// Whether copies at fallbacks count.
    pub(crate) fn counts_fallbacks(&self) -> bool {
        self.sloppy
    }

    /// Whether as many owners have it as it waits for copies.
    pub(crate) fn has_enough_owners(&self) -> bool {
        self.owners.is_reached()
    }

    /// Whether the owners alone could still be enough.
    pub(crate) fn owners_suffice(&self) -> bool {
        self.owners.is_reachable()
    }

    /// Whether it could still get enough, where `fallbacks` may be called in.
    pub(crate) fn could_reach(&self, fallbacks: usize) -> bool {
        let own = self
            .fallbacks
            .as_ref()
            .and_then(|fallbacks| fallbacks.own)
            .map_or(0, |own| usize::from(!matches!(own, Some(Err(_)))));
        self.owners_suffice()
            || self.sloppy && self.owners.possible() + own + fallbacks >= self.needed()
    }

    /// Whether nobody is awaited any more.
    pub(crate) fn is_settled(&self) -> bool {
        let Some(fallbacks) = &self.fallbacks else { return self.owners.is_settled() };
        let is_awaited = fallbacks.called.iter().any(StandIn::is_awaited);
        self.owners.is_settled() && !is_awaited && fallbacks.own != Some(None)
    }

    /// This node has it durably.
    pub(crate) fn count_own(&mut self, me: NodeId) {
        self.owners.count(me);
        if let Some(Fallbacks { own: Some(own), .. }) = self.fallbacks.as_deref_mut() {
            *own = Some(Ok(()));
        }
    }

    /// A node has it durably: as an owner, or as a fallback for `held_for` of the owners that it was asked to hold it for.
    pub(crate) fn count(&mut self, node: NodeId, held_for: u8) {
        self.owners.count(node);
        if let Some(stand_in) = self.called_mut(node) {
            stand_in.hold(held_for.into());
        }
    }

    /// A node will not have it, or not in time; of a fallback that refuses, with `held_for` as above, or else 0.
    pub(crate) fn fail(&mut self, node: NodeId, held_for: u8, cause: OwnerCause) {
        self.owners.fail(node, cause);
        if let Some(stand_in) = self.called_mut(node) {
            stand_in.fail(held_for.into(), cause);
        }
    }

    /// Fallbacks that have not answered by now were waited for long enough.
    pub(crate) fn lose_patience(&mut self) {
        let called = self.fallbacks.iter_mut().flat_map(|fallbacks| &mut fallbacks.called);
        called.filter(|one| one.is_awaited()).for_each(|one| one.is_overdue = true);
    }

    fn called_mut(&mut self, node: NodeId) -> Option<&mut StandIn> {
        self.fallbacks.as_mut()?.called.iter_mut().find(|one| one.node == node)
    }

    /// Time is up: whoever is still awaited is late.
    pub(crate) fn expire(&mut self) {
        self.owners.expire();
        let Some(fallbacks) = &mut self.fallbacks else { return };
        for stand_in in &mut fallbacks.called {
            stand_in.fail(0, OwnerCause::TimedOut);
        }
        if fallbacks.own == Some(None) {
            fallbacks.own = Some(Some(Err(OwnerCause::TimedOut)));
        }
    }

    /// Why each node that was given up was.
    pub(crate) fn failures(&self) -> Vec<OwnerFailure> {
        let mut failures = self.owners.failures();
        let called = self.fallbacks.iter().flat_map(|fallbacks| &fallbacks.called);
        failures.extend(called.filter_map(|StandIn { node, failed, .. }| {
            failed.map(|cause| OwnerFailure { node: *node, cause })
        }));
        failures
    }

    /// Calls fallbacks in for those of the `missed` owners that nobody stands in for, and says who is to hold it for whom: for all
    /// whom it stands in for by now. `all` are the fallbacks of the key.
    pub(crate) fn call_in(
        &mut self,
        missed: &[NodeId],
        all: impl FnOnce() -> Owners,
        reaches: impl Fn(NodeId) -> bool,
    ) -> Vec<(NodeId, Vec<NodeId>)> {
        let fallbacks = self.fallbacks.get_or_insert_with(|| {
            Box::new(Fallbacks { untried: all(), called: Vec::new(), own: None })
        });
        let mut asked = Owners::new();
        for owner in missed {
            if fallbacks.called.iter().any(|one| one.stands_for(*owner)) {
                continue;
            }
            let willing = |one: &&mut StandIn| {
                one.failed.is_none() && !one.is_overdue && !one.targets.contains(owner)
            };
            if let Some(next) = fallbacks.untried.iter().position(|node| reaches(*node)) {
                let (node, targets) =
                    (fallbacks.untried.remove(next), Owners::from_slice(&[*owner]));
                let (held, failed, is_overdue) = (0, None, false);
                fallbacks.called.push(StandIn { node, targets, held, failed, is_overdue });
                asked.push(node);
            } else if fallbacks.own.is_none()
                && let Some(first) = fallbacks.called.iter_mut().find(willing)
            {
                first.targets.push(*owner);
                asked.push(first.node);
            }
        }
        let called = fallbacks.called.iter().filter(|one| asked.contains(&one.node));
        called.map(|one| (one.node, one.targets.to_vec())).collect()
    }
}

#[cfg(test)]
mod tests;
