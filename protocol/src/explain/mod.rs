//! What follows from the testimonies about a key: who is behind, by what, and why.
//!
//! A pure function of a [`WhyDone`], so that everybody who reads the same answer draws the same conclusions: the command line,
//! a client, and the simulator, which holds every reason against what really happened.
//!
//! The merge of all that was told is what the key *is*. An owner whose clock does not cover an event of the merge is *behind* by
//! it. For each such event the explanation looks for the node that minted it, and for what that node remembers: it names the
//! owners that it left behind, and the cause. Where the writer cannot be asked, or has forgotten, that is the explanation, and
//! it says who it might be. A difference for which none of this holds is [`Reason::Unexplained`]: by the rules of the system it
//! cannot be, and it is worth a report.
//!
//! Nothing here is advice, and nothing reads a clock: ages are those of the testimonies.

mod held;
mod reasons;
mod siblings;
#[cfg(test)]
mod tests;

use kvorum_ring::NodeId;

use crate::message::error::OwnerCause;
use crate::message::why::{Happened, KeptCopy, KeptRecord, Testimony, WhyDone};
use crate::version::{Actor, Dot};
use held::Merged;
pub use siblings::{Sibling, Siblings};

/// In a few words, what holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// No node that answered holds anything, and none of them is refilling.
    Nothing,
    /// All owners answered and hold the same.
    Agree,
    /// All owners that answered hold the same; others did not answer, or cannot tell.
    AgreeAsFarAsKnown,
    /// All owners read the same; some do not know yet of something that was replaced or deleted since.
    AgreeOnLive,
    /// So many owners lack something, or hold something that was replaced since.
    Behind {
        /// How many.
        owners: usize,
    },
    /// The owners' records contradict each other.
    Contradiction,
}

/// What follows from the testimonies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// In a few words.
    pub verdict: Verdict,
    /// The live versions of the merge, and how they came to be side by side.
    pub siblings: Siblings,
    /// What each owner and fallback is worth knowing for, owners in preference order first.
    pub findings: Vec<Finding>,
}

/// Something worth knowing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// A node did not answer.
    Silent {
        /// The node.
        node: NodeId,
        /// Why.
        cause: OwnerCause,
        /// How the nodes that answered see it, the one that lost it last first.
        seen: Option<Outage>,
    },
    /// A node's store did not look.
    Unread {
        /// The node.
        node: NodeId,
        /// Why.
        cause: OwnerCause,
    },
    /// An owner cannot read its record; the next read, exchange or scrub heals it.
    Damaged {
        /// The owner.
        node: NodeId,
    },
    /// An owner lost records and is being refilled.
    Refilling {
        /// The owner.
        node: NodeId,
    },
    /// An owner is behind.
    Behind(Behind),
    /// Two owners know of the same events and hold different versions.
    Contradiction {
        /// The one that holds it.
        holder: NodeId,
        /// The one that does not.
        other: NodeId,
        /// The version.
        dot: Dot,
    },
    /// A node goes by another layout.
    OtherLayout {
        /// The node.
        node: NodeId,
    },
    /// A node holds the key for owners.
    Hint(Hint),
    /// Owners' hash trees differ where the key is.
    TreesDiffer {
        /// One owner.
        left: NodeId,
        /// The other.
        right: NodeId,
    },
    /// Nothing is live. The record of the delete stays until all of this is over.
    Tombstone {
        /// What must be over first.
        waits_for: Vec<WaitsFor>,
    },
}

/// An owner that is behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Behind {
    /// The owner.
    pub node: NodeId,
    /// What it lacks.
    pub lacks: Vec<Lack>,
    /// Whether a read of it alone would show something else.
    pub shows: bool,
    /// What is on its way to mend it.
    pub mending: Vec<Mending>,
}

/// An event that an owner does not know of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lack {
    /// The event.
    pub dot: Dot,
    /// Whether it is a live version of the merge; else it was replaced, or is a delete.
    pub live: bool,
    /// Who knows of it.
    pub holders: Vec<NodeId>,
    /// How long ago it was minted, where somebody remembers.
    pub ago_ms: Option<u64>,
    /// Why the owner lacks it.
    pub reason: Reason,
}

/// Why an owner does not know of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its coordinator left it behind.
    LeftBehind {
        /// The coordinator.
        by: NodeId,
        /// Why.
        cause: OwnerCause,
        /// How long ago the write ended without it.
        ago_ms: u64,
        /// How the coordinator saw the owner.
        outage: Option<Outage>,
    },
    /// The write is still on its way.
    UnderWay {
        /// The coordinator.
        by: NodeId,
        /// How long it may still take.
        left_ms: u64,
    },
    /// The owner's record cannot be read.
    Damaged,
    /// The owner lost records, and is being refilled.
    Refilling,
    /// The owner reclaimed its record.
    Reclaimed {
        /// How long ago.
        ago_ms: u64,
    },
    /// Nobody who answered remembers who minted it. It was one of these.
    WriterUnknown {
        /// Who it may have been, and why that is not known.
        suspects: Vec<Suspect>,
    },
    /// The coordinator says that the owner had acknowledged it, or should know of it.
    Unexplained,
}

/// A node that may have minted an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suspect {
    /// The node.
    pub node: NodeId,
    /// Why it cannot be told.
    pub why: Forgotten,
}

/// Why a node cannot tell whether it minted an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forgotten {
    /// It does not answer.
    Silent,
    /// It ended a write before its own store had answered: what was minted then it never heard of.
    Unanswered {
        /// How long ago, the last time.
        ago_ms: u64,
    },
    /// It has been running for so long only.
    Restarted {
        /// How long ago it started.
        ago_ms: u64,
        /// Its record names it as the writer all the same.
        is_writer: bool,
        /// It did not know of the event when it answered: it has lost it, or minted it a moment later.
        lacks: bool,
    },
    /// Its memory of events goes back so far only.
    Overwritten {
        /// How far.
        ago_ms: u64,
        /// Its record names it as the writer all the same.
        is_writer: bool,
        /// As of [`Forgotten::Restarted`].
        lacks: bool,
    },
}

/// How a node saw another one that could not be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    /// Who saw it.
    pub by: NodeId,
    /// How long ago it was lost; none if it was never there since the other one started.
    pub fell_ms: Option<u64>,
    /// How long ago it came back; none while it is away.
    pub rose_ms: Option<u64>,
    /// The wall clock of who saw it, when it told.
    pub now_ms: u64,
}

/// What will mend an owner that is behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mending {
    /// A node holds what it lacks for it.
    Hint {
        /// The node.
        node: NodeId,
    },
    /// The next exchange with this owner.
    Exchange {
        /// The other owner.
        with: NodeId,
        /// How long ago the last one came to its end.
        compared_ms: Option<u64>,
    },
    /// The write is still on its way.
    Write {
        /// Its coordinator.
        by: NodeId,
    },
}

/// A record that is held for owners.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Who holds it.
    pub node: NodeId,
    /// For whom.
    pub targets: Vec<NodeId>,
    /// Whether enough owners have it; if not, it is one of the copies that count.
    pub spare: bool,
    /// For how long, as far as the node's process knows.
    pub held_ms: Option<u64>,
    /// Deliveries that failed, as far as the node remembers, and the cause of the last one.
    pub failed: Option<(usize, OwnerCause)>,
}

/// What a tombstone waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitsFor {
    /// A node that does not answer might still bring what was deleted.
    Silent(NodeId),
    /// A node holds the key for owners.
    Hint(NodeId),
    /// An owner that is behind has to learn of the delete.
    Behind(NodeId),
    /// An owner that lost records.
    Refilling(NodeId),
    /// Nothing that these testimonies show: the next round of reclaiming.
    Round,
}

/// See the module's page.
pub fn explain(done: &WhyDone) -> Explanation {
    let told = Told { done };
    let merged = Merged::of(&told);
    let mut findings = told.about_nodes();
    findings.extend(told.contradictions());
    let behind = told.behind(&merged);
    let verdict = told.verdict(&merged, &findings, &behind);
    findings.extend(behind.into_iter().map(Finding::Behind));
    findings.extend(told.hints());
    findings.extend(told.trees());
    if merged.is_tombstone() {
        let waits_for = told.waits_for(&findings);
        findings.push(Finding::Tombstone { waits_for });
    }
    Explanation { verdict, siblings: Siblings::of(&told, &merged), findings }
}

/// The testimonies, and how to look things up in them.
#[derive(Clone, Copy)]
struct Told<'a> {
    done: &'a WhyDone,
}

impl<'a> Told<'a> {
    fn testimonies(self) -> impl Iterator<Item = &'a Testimony> {
        self.done.testimonies.iter()
    }

    fn is_owner(self, node: NodeId) -> bool {
        self.done.owners.contains(&node)
    }

    /// The testimonies of owners.
    fn owners(self) -> impl Iterator<Item = &'a Testimony> {
        self.testimonies().filter(move |told| self.is_owner(told.node))
    }

    /// Who minted an event, when, and how, where somebody who answered remembers.
    fn minted(self, dot: Dot) -> Option<(&'a Testimony, u64, &'a Happened)> {
        self.testimonies().find_map(|told| {
            let minted = told.events.iter().find(
                |event| matches!(event.what, Happened::Minted { dot: minted, .. } if minted == dot),
            )?;
            Some((told, minted.ago_ms, &minted.what))
        })
    }

    fn verdict(self, merged: &Merged, findings: &[Finding], behind: &[Behind]) -> Verdict {
        if findings.iter().any(|finding| matches!(finding, Finding::Contradiction { .. })) {
            return Verdict::Contradiction;
        }
        let shown = behind.iter().filter(|behind| behind.shows).count();
        let all = self.owners().count() == self.done.owners.len()
            && !findings.iter().any(|finding| {
                matches!(
                    finding,
                    Finding::Unread { .. } | Finding::Damaged { .. } | Finding::Refilling { .. }
                )
            });
        match (shown, behind.len()) {
            (0, 0) if merged.is_empty() && all => Verdict::Nothing,
            (0, 0) if all => Verdict::Agree,
            (0, 0) => Verdict::AgreeAsFarAsKnown,
            (0, _) => Verdict::AgreeOnLive,
            (owners, _) => Verdict::Behind { owners },
        }
    }
}

/// The record in a place, if there is one.
fn record(copy: &KeptCopy) -> Option<&KeptRecord> {
    match copy {
        KeptCopy::Record(record) => Some(record),
        _ => None,
    }
}

/// Whether a record names this actor as the one that its node minted under last.
fn names(told: &Testimony, actor: Actor) -> bool {
    [&told.owned, &told.hinted]
        .into_iter()
        .filter_map(record)
        .any(|record| record.actor == Some(actor))
}
