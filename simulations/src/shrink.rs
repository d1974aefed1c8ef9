//! Shrinking: the smallest plan that still fails in the same way.
//!
//! Delta debugging (Zeller and Hildebrandt, 2002) over the plan's events, then fewer nodes, fewer keys, and quieter
//! rates, again and again until nothing more can go. It works because random streams are named by what they are for: a
//! plan with one event less is the same run with one event less, and not another run.
//!
//! "In the same way" means: the same property is violated. That may be another instance of it, which does no harm.

use crate::limits;
use crate::plan::{Action, Fault, NetworkPlan, OperationKind, Plan, PlanEvent};
use crate::violation::Property;

/// A smaller plan and what it took.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest plan that was found.
    pub plan: Plan,
    /// Runs that were spent.
    pub runs: u32,
}

/// Looks for the smallest plan that violates `property`, judging with `violates`. Spends at most
/// [`limits::SHRINK_RUNS`] runs.
pub fn shrink_with(
    plan: &Plan,
    property: Property,
    violates: &mut dyn FnMut(&Plan) -> Option<Property>,
) -> Shrunk {
    let mut search = Search { best: plan.clone(), property, violates, runs: 0 };
    loop {
        let before = search.best.clone();
        search.drop_events();
        search.drop_nodes();
        search.merge_keys();
        search.quieten();
        if search.best == before || search.is_spent() {
            return Shrunk { plan: search.best, runs: search.runs };
        }
    }
}

struct Search<'a> {
    best: Plan,
    property: Property,
    violates: &'a mut dyn FnMut(&Plan) -> Option<Property>,
    runs: u32,
}

impl Search<'_> {
    const fn is_spent(&self) -> bool {
        self.runs >= limits::SHRINK_RUNS
    }

    /// Keeps `candidate` if it still fails in the same way.
    fn accepts(&mut self, candidate: Plan) -> bool {
        if self.is_spent() || candidate == self.best {
            return false;
        }
        self.runs += 1;
        let fails = (self.violates)(&candidate) == Some(self.property);
        if fails {
            self.best = candidate;
        }
        fails
    }

    /// Takes out ever smaller runs of events, from halves down to single ones.
    fn drop_events(&mut self) {
        let mut size = self.best.events.len().div_ceil(2);
        while size > 0 {
            let mut start = 0;
            while start < self.best.events.len() {
                let mut candidate = self.best.clone();
                let end = (start + size).min(candidate.events.len());
                candidate.events.drain(start..end);
                if !self.accepts(candidate) {
                    start += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    /// Takes out the last node as long as that is possible; its operations go to the nodes that are left.
    fn drop_nodes(&mut self) {
        while self.best.topology.nodes > 1 {
            let mut candidate = self.best.clone();
            let nodes = candidate.topology.nodes - 1;
            candidate.topology.nodes = nodes;
            candidate.clocks.truncate(nodes.into());
            candidate.reach.iter_mut().for_each(|reach| reach.retain(|node| *node < nodes));
            candidate.events.retain_mut(|event| keep_within(event, nodes));
            if !self.accepts(candidate) {
                return;
            }
        }
    }

    /// Lets all operations use fewer keys.
    fn merge_keys(&mut self) {
        for keys in [1, 2, self.best.topology.keys / 2, self.best.topology.keys.saturating_sub(1)] {
            if keys == 0 || keys >= self.best.topology.keys {
                continue;
            }
            let mut candidate = self.best.clone();
            candidate.topology.keys = keys;
            for event in &mut candidate.events {
                merge_event_keys(event, keys);
            }
            if self.accepts(candidate) {
                return;
            }
        }
    }

    /// Takes away what disturbs everywhere and need not.
    fn quieten(&mut self) {
        let changes: [fn(&mut Plan); 10] = [
            |plan| {
                (plan.network.loss_ppm, plan.network.duplicate_ppm, plan.network.reorder_ppm) =
                    (0, 0, 0)
            },
            |plan| plan.network.loss_ppm = 0,
            |plan| plan.network.duplicate_ppm = 0,
            |plan| plan.network.reorder_ppm = 0,
            |plan| plan.clocks.clear(),
            |plan| plan.reach.clear(),
            |plan| plan.through_codec = false,
            |plan| plan.buggify = 0,
            |plan| plan.topology.partitions = 1,
            |plan| {
                plan.network = NetworkPlan { minimum_us: 20, mean_us: 50, ..plan.network.clone() }
            },
        ];
        for change in changes {
            let mut candidate = self.best.clone();
            change(&mut candidate);
            self.accepts(candidate);
        }
    }
}

/// Moves an event to the nodes below `nodes`; false if it makes no sense without the others.
fn keep_within(event: &mut PlanEvent, nodes: u16) -> bool {
    match &mut event.action {
        Action::Operation(operation) => {
            operation.node %= nodes;
            true
        }
        Action::Fault(Fault::Bipartition { side, .. }) => {
            side.retain(|node| *node < nodes);
            !side.is_empty()
        }
        Action::Fault(fault) => fault.nodes().iter().all(|node| *node < nodes),
    }
}

fn merge_event_keys(event: &mut PlanEvent, keys: u16) {
    if let Action::Fault(Fault::OwnersAway { key, .. }) = &mut event.action {
        *key %= keys;
    }
    let Action::Operation(operation) = &mut event.action else { return };
    match &mut operation.kind {
        OperationKind::Get { key }
        | OperationKind::Put { key, .. }
        | OperationKind::Delete { key, .. } => *key %= keys,
        OperationKind::List { after, .. } => {
            after.iter_mut().for_each(|key| *key %= keys);
        }
        OperationKind::BatchPut { keys: several, .. }
        | OperationKind::BatchGet { keys: several } => {
            several.iter_mut().for_each(|key| *key %= keys);
            several.dedup();
            let mut seen = Vec::new();
            several.retain(|key| {
                let fresh = !seen.contains(key);
                seen.push(*key);
                fresh
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shrink_with;
    use crate::expand::expand;
    use crate::plan::{Action, Fault, OperationKind, Plan};
    use crate::violation::Property;

    /// Fails wherever a crash comes before a put.
    fn crash_then_put(plan: &Plan) -> Option<Property> {
        let crash = plan
            .events
            .iter()
            .position(|event| matches!(event.action, Action::Fault(Fault::Crash { .. })))?;
        plan.events[crash..]
            .iter()
            .any(|event| match &event.action {
                Action::Operation(operation) => matches!(operation.kind, OperationKind::Put { .. }),
                Action::Fault(_) => false,
            })
            .then_some(Property::P1)
    }

    #[test]
    fn a_failing_plan_shrinks_to_what_matters() {
        let seed = (0..).find(|seed| {
            crash_then_put(&expand(*seed)).is_some() && expand(*seed).events.len() > 50
        });
        let plan = expand(seed.expect("some seed crashes a node"));
        let shrunk = shrink_with(&plan, Property::P1, &mut |plan| crash_then_put(plan));
        assert_eq!(shrunk.plan.events.len(), 2, "seed {}: {}", plan.seed, shrunk.plan.to_json());
        assert_eq!(shrunk.plan.topology.keys, 1);
        assert_eq!(shrunk.plan.network.loss_ppm, 0);
        shrunk.plan.validate().unwrap();
    }

    #[test]
    fn another_property_does_not_count() {
        let plan = expand(3);
        let events = plan.events.len();
        let shrunk = shrink_with(&plan, Property::P1, &mut |_| Some(Property::P4));
        assert_eq!(shrunk.plan.events.len(), events);
    }
}
