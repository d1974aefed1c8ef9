//! The durable copies of one write: those of its owners, and those of fallbacks in their place.
//!
//! A copy at an owner counts, and so does one at a fallback that was *called in*, unless the request is strict; each node
//! counts once. Fallbacks are called in the layout's order, one for each owner that is missed; when there are fewer, the first
//! stands in for the remaining owners, too. One that does not take it is replaced by the next.
//!
//! Who is missed is the caller's to say. An owner that answers after all counts as well: the write then has a copy more.

use kvorum_protocol::message::{OwnerCause, OwnerFailure};
use kvorum_ring::NodeId;

use crate::engine::quorum::{Owners, Quorum};

/// A fallback that was called in.
#[derive(Clone, Debug)]
struct StandIn {
    node: NodeId,
    /// The owners that it stands in for.
    targets: Owners,
    /// Whether it counts; none while it is awaited.
    outcome: Option<Result<(), OwnerCause>>,
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
        let mut stands = |one: &&StandIn| {
            let place = missing.iter().position(|owner| one.targets.contains(owner));
            one.outcome == Some(Ok(())) && place.map(|place| missing.remove(place)).is_some()
        };
        let called = fallbacks.called.iter().filter(|one| stands(one)).count();
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
        self.owners.is_settled() && self.outcomes().all(|outcome| outcome.is_some())
    }

    /// A node has it durably.
    pub(crate) fn count(&mut self, node: NodeId, me: NodeId) {
        self.owners.count(node);
        self.end(node, me, Ok(()));
    }

    /// A node will not have it, or not in time.
    pub(crate) fn fail(&mut self, node: NodeId, me: NodeId, cause: OwnerCause) {
        self.owners.fail(node, cause);
        self.end(node, me, Err(cause));
    }

    /// Time is up: whoever is still awaited is late.
    pub(crate) fn expire(&mut self) {
        self.owners.expire();
        let late = Some(Err(OwnerCause::TimedOut));
        let Some(fallbacks) = &mut self.fallbacks else { return };
        for stand_in in fallbacks.called.iter_mut().filter(|one| one.outcome.is_none()) {
            stand_in.outcome = late;
        }
        if fallbacks.own == Some(None) {
            fallbacks.own = Some(late);
        }
    }

    /// Why each node that was given up was.
    pub(crate) fn failures(&self) -> Vec<OwnerFailure> {
        let mut failures = self.owners.failures();
        let called = self.fallbacks.iter().flat_map(|fallbacks| &fallbacks.called);
        failures.extend(called.filter_map(|StandIn { node, outcome, .. }| match outcome {
            Some(Err(cause)) => Some(OwnerFailure { node: *node, cause: *cause }),
            _ => None,
        }));
        failures
    }

    /// Calls fallbacks in for those of the `missed` owners that nobody stands in for, and says who is to hold it for whom.
    /// `all` are the fallbacks of the key.
    pub(crate) fn call_in(
        &mut self,
        missed: &[NodeId],
        all: impl FnOnce() -> Owners,
        reaches: impl Fn(NodeId) -> bool,
    ) -> Vec<(NodeId, Vec<NodeId>)> {
        let fallbacks = self.fallbacks.get_or_insert_with(|| {
            Box::new(Fallbacks { untried: all(), called: Vec::new(), own: None })
        });
        let mut calls: Vec<(NodeId, Vec<NodeId>)> = Vec::new();
        for owner in missed {
            let stands = |one: &StandIn| !matches!(one.outcome, Some(Err(_)));
            if fallbacks.called.iter().any(|one| stands(one) && one.targets.contains(owner)) {
                continue;
            }
            if let Some(next) = fallbacks.untried.iter().position(|node| reaches(*node)) {
                let node = fallbacks.untried.remove(next);
                let targets = Owners::from_slice(&[*owner]);
                fallbacks.called.push(StandIn { node, targets, outcome: None });
                calls.push((node, vec![*owner]));
            } else if fallbacks.own.is_none()
                && let Some(first) = fallbacks.called.iter_mut().find(|one| stands(one))
            {
                first.targets.push(*owner);
                match calls.iter_mut().find(|(node, _)| *node == first.node) {
                    Some((_, targets)) => targets.push(*owner),
                    None => calls.push((first.node, vec![*owner])),
                }
            }
        }
        calls
    }

    fn end(&mut self, node: NodeId, me: NodeId, outcome: Result<(), OwnerCause>) {
        let Some(fallbacks) = &mut self.fallbacks else { return };
        let own = fallbacks.own.as_mut().filter(|_| node == me);
        let called = fallbacks.called.iter_mut().find(|one| one.node == node);
        for standing in own.into_iter().chain(called.map(|one| &mut one.outcome)) {
            // What was given up counts all the same when it answers, and never the other way round.
            if standing.is_none() || outcome.is_ok() {
                *standing = Some(outcome);
            }
        }
    }

    fn outcomes(&self) -> impl Iterator<Item = Option<Result<(), OwnerCause>>> + '_ {
        self.fallbacks.iter().flat_map(|fallbacks| {
            let called = fallbacks.called.iter().map(|one| one.outcome);
            fallbacks.own.into_iter().chain(called)
        })
    }
}

#[cfg(test)]
mod tests;
