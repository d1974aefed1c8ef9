//! The merge of all that was told, and who differs from it.

use kvorum_ring::NodeId;

use super::{Finding, Hint, Outage, Told, WaitsFor, record};
use crate::message::why::{Happened, KeptCopy, KeptRecord, KeptVersion, Testimony};
use crate::version::{Clock, Dot};

/// The merge of all records that were told, those that are held for others included.
pub(super) struct Merged {
    /// Every event that anybody knows of.
    pub(super) clock: Clock,
    /// Versions that nobody who knows of them has seen replaced.
    pub(super) live: Vec<KeptVersion>,
    /// Deletes that anybody remembers.
    pub(super) deletions: Vec<Dot>,
}

impl Merged {
    pub(super) fn of(told: &Told<'_>) -> Merged {
        let records: Vec<&KeptRecord> = told
            .testimonies()
            .flat_map(|told| [&told.owned, &told.hinted])
            .filter_map(record)
            .collect();
        let clock = records.iter().fold(Clock::EMPTY, |clock, record| clock.merge(&record.clock));
        let is_replaced =
            |dot: Dot| records.iter().any(|record| record.clock.covers(dot) && !holds(record, dot));
        let all = records.iter().flat_map(|record| &record.versions);
        let mut live: Vec<KeptVersion> =
            all.filter(|version| !is_replaced(version.dot)).copied().collect();
        live.sort_unstable_by_key(|version| version.dot);
        live.dedup_by_key(|version| version.dot);
        let all = records.iter().flat_map(|record| &record.deletions);
        let mut deletions: Vec<Dot> = all.map(|deletion| deletion.dot).collect();
        deletions.sort_unstable();
        deletions.dedup();
        Merged { clock, live, deletions }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clock.is_empty()
    }

    pub(super) fn is_tombstone(&self) -> bool {
        self.live.is_empty() && !self.clock.is_empty()
    }

    /// The events of the merge that a clock does not cover: live versions, deletes, and of every other actor the last event.
    pub(super) fn beyond(&self, clock: &Clock) -> Vec<(Dot, bool)> {
        let is_news = |dot: &Dot| !clock.covers(*dot);
        let live = self.live.iter().map(|version| version.dot).filter(is_news);
        let mut beyond: Vec<(Dot, bool)> = live.map(|dot| (dot, true)).collect();
        let last = self.clock.iter().map(|(actor, counter)| Dot::new(actor, counter));
        for dot in self.deletions.iter().copied().chain(last).filter(is_news) {
            if !beyond.iter().any(|(other, _)| *other == dot) {
                beyond.push((dot, false));
            }
        }
        beyond.sort_unstable();
        beyond
    }
}

/// Whether a version is live in a record. Of a record with too many to tell, any may be.
pub(super) fn holds(record: &KeptRecord, dot: Dot) -> bool {
    record.versions.iter().any(|version| version.dot == dot)
        || (record.live as usize > record.versions.len())
}

impl Told<'_> {
    /// What is to be said of nodes by themselves.
    pub(super) fn about_nodes(self) -> Vec<Finding> {
        let layout = self.testimonies().map(|told| told.layout).max_by_key(|layout| {
            let name = (layout.lineage, layout.version);
            (name, self.testimonies().filter(|told| told.layout == *layout).count())
        });
        let mut findings = Vec::new();
        for node in self.done.owners.iter().chain(&self.done.fallbacks).copied() {
            let silent = self.done.silent.iter().find(|silent| silent.node == node);
            if let Some(silent) = silent {
                findings.push(Finding::Silent { node, cause: silent.cause, seen: self.seen(node) });
            }
            let Some(told) = self.testimonies().find(|told| told.node == node) else { continue };
            let copy = if self.is_owner(node) { &told.owned } else { &told.hinted };
            match copy {
                KeptCopy::Unread { cause } => {
                    findings.push(Finding::Unread { node, cause: *cause });
                }
                KeptCopy::Damaged { .. } => findings.push(Finding::Damaged { node }),
                _ => {}
            }
            if told.refilling {
                findings.push(Finding::Refilling { node });
            }
            if Some(told.layout) != layout {
                findings.push(Finding::OtherLayout { node });
            }
        }
        findings
    }

    /// How the others see a node, the one that lost it last first.
    fn seen(self, node: NodeId) -> Option<Outage> {
        let outages = self.testimonies().filter_map(|told| outage(told, node));
        outages.min_by_key(|outage| outage.fell_ms.unwrap_or(u64::MAX))
    }

    /// Versions that one owner holds and another one has seen, and neither replaced nor holds.
    pub(super) fn contradictions(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let records = || self.owners().filter_map(|told| Some((told.node, record(&told.owned)?)));
        for (holder, held) in records() {
            for (other, seen) in records().filter(|(other, _)| *other != holder) {
                let differs = |dot: Dot| seen.clock.covers(dot) && !holds(seen, dot);
                // Whoever replaced it knows of an event that the holder does not.
                let excused = !held.clock.descends(&seen.clock);
                let of = held.versions.iter().filter(|version| !excused && differs(version.dot));
                findings.extend(of.map(|version| Finding::Contradiction {
                    holder,
                    other,
                    dot: version.dot,
                }));
            }
        }
        findings
    }

    /// What is held for owners.
    pub(super) fn hints(self) -> Vec<Finding> {
        let hints = self.testimonies().filter_map(|told| {
            let held = record(&told.hinted)?;
            let failures = told.events.iter().filter_map(|event| match event.what {
                Happened::HintUndelivered { cause, .. } => Some(cause),
                _ => None,
            });
            let causes: Vec<_> = failures.collect();
            Some(Finding::Hint(Hint {
                node: told.node,
                targets: held.held_for.clone(),
                spare: held.spare,
                held_ms: held.held_ms,
                failed: causes.last().map(|cause| (causes.len(), *cause)),
            }))
        });
        hints.collect()
    }

    /// Owners whose trees differ although their records of this key do not: some other key of the leaf does.
    pub(super) fn trees(self) -> Vec<Finding> {
        let owners: Vec<&Testimony> = self.owners().filter(|told| told.leaf.is_some()).collect();
        let digest = |told: &Testimony| record(&told.owned).map(|record| record.digest);
        let mut findings = Vec::new();
        for (place, left) in owners.iter().enumerate() {
            for right in &owners[place + 1..] {
                if left.leaf != right.leaf && digest(left) == digest(right) {
                    findings.push(Finding::TreesDiffer { left: left.node, right: right.node });
                }
            }
        }
        findings
    }

    /// What must be over before the record of a delete may go.
    pub(super) fn waits_for(self, findings: &[Finding]) -> Vec<WaitsFor> {
        let waits = findings.iter().filter_map(|finding| match finding {
            Finding::Silent { node, .. } => Some(WaitsFor::Silent(*node)),
            Finding::Unread { node, .. } => Some(WaitsFor::Silent(*node)),
            Finding::Refilling { node } => Some(WaitsFor::Refilling(*node)),
            Finding::Behind(behind) => Some(WaitsFor::Behind(behind.node)),
            Finding::Hint(hint) => Some(WaitsFor::Hint(hint.node)),
            _ => None,
        });
        let waits: Vec<WaitsFor> = waits.collect();
        if waits.is_empty() { vec![WaitsFor::Round] } else { waits }
    }
}

/// How a node saw another one fall, if it did.
pub(super) fn outage(told: &Testimony, node: NodeId) -> Option<Outage> {
    let sight = told.peers.iter().find(|sight| sight.node == node)?;
    let is_known = sight.fell_ms.is_some() || !sight.up;
    is_known.then_some(Outage {
        by: told.node,
        fell_ms: sight.fell_ms,
        rose_ms: sight.rose_ms.filter(|_| sight.up),
        now_ms: told.now_ms,
    })
}
