//! Why an owner is behind: for each event that it lacks, what the node that minted it remembers.

use kvorum_ring::NodeId;

use super::held::{Merged, outage};
use super::{Behind, Forgotten, Lack, Mending, Reason, Suspect, Told, names, record};
use crate::message::why::{Happened, KeptCopy, Testimony};
use crate::version::{Clock, Dot};

/// How much later than its time a write may end: whoever asks at that very moment finds it neither under way nor over.
const ENDING_MS: u64 = 1_000;

impl Told<'_> {
    /// The owners that are behind the merge, in preference order.
    pub(super) fn behind(self, merged: &Merged) -> Vec<Behind> {
        let owners = self.done.owners.iter();
        let told = owners.filter_map(|node| self.testimonies().find(|told| told.node == *node));
        told.filter_map(|told| self.behind_of(told, merged)).collect()
    }

    fn behind_of(self, owner: &Testimony, merged: &Merged) -> Option<Behind> {
        let known = match &owner.owned {
            KeptCopy::Unread { .. } | KeptCopy::Other(_) => return None,
            copy => record(copy).map_or(Clock::EMPTY, |record| record.clock.clone()),
        };
        let beyond = merged.beyond(&known);
        if beyond.is_empty() {
            return None;
        }
        let lacks: Vec<Lack> =
            beyond.into_iter().map(|(dot, live)| self.lack(owner, dot, live)).collect();
        Some(Behind {
            node: owner.node,
            shows: self.shows_otherwise(owner, merged),
            mending: self.mending(owner, &lacks),
            lacks,
        })
    }

    /// Whether a read of this owner alone would show something else than the merge.
    fn shows_otherwise(self, owner: &Testimony, merged: &Merged) -> bool {
        let held = record(&owner.owned).map_or(&[][..], |record| &record.versions);
        !held.iter().map(|version| version.dot).eq(merged.live.iter().map(|version| version.dot))
    }

    fn lack(self, owner: &Testimony, dot: Dot, live: bool) -> Lack {
        let holders = self.testimonies().filter(|told| knows(told, dot));
        let holders = holders.map(|told| told.node).collect();
        let ago_ms = self.minted(dot).map(|(_, ago_ms, _)| ago_ms);
        Lack { dot, live, holders, ago_ms, reason: self.reason(owner, dot) }
    }

    fn reason(self, owner: &Testimony, dot: Dot) -> Reason {
        if let KeptCopy::Damaged { .. } = owner.owned {
            return Reason::Damaged;
        }
        let reclaimed = owner.events.iter().rev();
        let mut reclaimed = reclaimed.filter(|event| event.what == Happened::Reclaimed);
        if let (Some(event), KeptCopy::Removed { .. } | KeptCopy::Absent) =
            (reclaimed.next(), &owner.owned)
        {
            return Reason::Reclaimed { ago_ms: event.ago_ms };
        }
        if owner.refilling {
            return Reason::Refilling;
        }
        match self.minted(dot) {
            Some((writer, ago_ms, minted)) => {
                self.told_by_writer(owner, dot, writer, (ago_ms, minted))
            }
            None => Reason::WriterUnknown { suspects: self.suspects(dot) },
        }
    }

    fn told_by_writer(
        self,
        owner: &Testimony,
        dot: Dot,
        writer: &Testimony,
        (ago_ms, minted): (u64, &Happened),
    ) -> Reason {
        let left = writer.events.iter().rev().find_map(|event| match event.what {
            Happened::LeftBehind { node, cause, dot: left }
                if left == dot && node == owner.node =>
            {
                Some((event.ago_ms, cause))
            }
            _ => None,
        });
        if let Some((ago_ms, cause)) = left {
            let (by, outage) = (writer.node, outage(writer, owner.node));
            return Reason::LeftBehind { by, cause, ago_ms, outage };
        }
        let Happened::Minted { within_ms, .. } = minted else { return Reason::Unexplained };
        let within_ms = u64::from(*within_ms) + ENDING_MS;
        match ago_ms <= within_ms {
            true => Reason::UnderWay { by: writer.node, left_ms: within_ms - ago_ms },
            false => Reason::Unexplained,
        }
    }

    /// Who may have minted an event that nobody remembers: every owner and fallback that cannot tell. One whose record names
    /// the event's actor is the only one.
    fn suspects(self, dot: Dot) -> Vec<Suspect> {
        let nodes = self.done.owners.iter().chain(&self.done.fallbacks);
        let suspect = |node: &NodeId| match self.testimonies().find(|told| told.node == *node) {
            None => Suspect { node: *node, why: Forgotten::Silent },
            Some(told) => {
                let (ago_ms, is_writer) = (told.remembers_ms, names(told, dot.actor));
                let lacks = !knows(told, dot);
                let unanswered = told
                    .events
                    .iter()
                    .rev()
                    .find(|event| matches!(event.what, Happened::Unanswered { .. }));
                let why = match unanswered {
                    Some(event) => Forgotten::Unanswered { ago_ms: event.ago_ms },
                    None if told.remembers_ms < told.up_ms => {
                        Forgotten::Overwritten { ago_ms, is_writer, lacks }
                    }
                    None => Forgotten::Restarted { ago_ms, is_writer, lacks },
                };
                Suspect { node: *node, why }
            }
        };
        let suspects: Vec<Suspect> = nodes.map(suspect).collect();
        let is_named = |suspect: &&Suspect| match suspect.why {
            Forgotten::Restarted { is_writer, .. } | Forgotten::Overwritten { is_writer, .. } => {
                is_writer
            }
            Forgotten::Silent | Forgotten::Unanswered { .. } => false,
        };
        match suspects.iter().find(is_named) {
            Some(writer) => vec![*writer],
            None => suspects,
        }
    }

    fn mending(self, owner: &Testimony, lacks: &[Lack]) -> Vec<Mending> {
        let mut mending = Vec::new();
        for told in self.testimonies() {
            let held = record(&told.hinted);
            if held.is_some_and(|held| held.held_for.contains(&owner.node)) {
                mending.push(Mending::Hint { node: told.node });
            }
        }
        for lack in lacks {
            if let Reason::UnderWay { by, .. } = lack.reason
                && !mending.contains(&Mending::Write { by })
            {
                mending.push(Mending::Write { by });
            }
        }
        let knows = |other: &&Testimony| {
            other.node != owner.node && lacks.iter().any(|lack| lack.holders.contains(&other.node))
        };
        for other in self.owners().filter(knows) {
            // The one with the lower id asks.
            let (asking, asked) = match owner.node < other.node {
                true => (owner, other),
                false => (other, owner),
            };
            let sight = asking.peers.iter().find(|sight| sight.node == asked.node);
            let compared_ms = sight.and_then(|sight| sight.compared_ms);
            mending.push(Mending::Exchange { with: other.node, compared_ms });
        }
        mending
    }
}

/// Whether a node knows of an event, as an owner or for others.
fn knows(told: &Testimony, dot: Dot) -> bool {
    let mut records = [&told.owned, &told.hinted].into_iter().filter_map(record);
    records.any(|record| record.clock.covers(dot))
}
