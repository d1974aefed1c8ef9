//! All facts that a node holds, and the merge.

use std::collections::BTreeMap;

use bytes::Bytes;
use kvorum_ring::NodeId;

use crate::facts::fact::{Fact, FactDigest, FactKey, FactKind, FactVersion};
use crate::facts::summary::FactSummary;
use crate::limits;

/// What merging one fact did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merged {
    /// It was new or newer, and is held now.
    Changed,
    /// What is held is the same or newer; nothing changed.
    Unchanged,
    /// It would be one more than [`limits::MAX_FACTS`]; nothing changed.
    Full,
}

/// Facts by name. Merging is commutative, associative and idempotent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FactSet {
    facts: BTreeMap<FactKey, Held>,
    lamport: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Held {
    fact: Fact,
    digest: FactDigest,
}

impl FactSet {
    /// Takes one state of one fact in.
    pub fn merge(&mut self, fact: Fact) -> Merged {
        match self.facts.get(&fact.key) {
            Some(held) if !fact.beats(&held.fact) => return Merged::Unchanged,
            None if self.facts.len() >= limits::MAX_FACTS => return Merged::Full,
            _ => {}
        }
        self.lamport = self.lamport.max(fact.version.lamport);
        let digest = fact.digest();
        self.facts.insert(fact.key.clone(), Held { fact, digest });
        Merged::Changed
    }

    /// The version that a write of this node gets now: newer than all it knows.
    pub fn next_version(&self, writer: NodeId) -> FactVersion {
        FactVersion { lamport: self.lamport + 1, node: writer }
    }

    /// The fact of this name.
    pub fn get(&self, key: &FactKey) -> Option<&Fact> {
        self.facts.get(key).map(|held| &held.fact)
    }

    /// The body of the fact of this name.
    pub fn body(&self, key: &FactKey) -> Option<&Bytes> {
        self.get(key).map(|fact| &fact.body)
    }

    /// All facts in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.facts.values().map(|held| &held.fact)
    }

    /// All facts of one kind in order of their names.
    pub fn of_kind(&self, kind: FactKind) -> impl Iterator<Item = &Fact> {
        let first = FactKey { kind, name: Bytes::new() };
        self.facts
            .range(first..)
            .map(|(_, held)| &held.fact)
            .take_while(move |fact| fact.key.kind == kind)
    }

    /// How many facts are held.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// One digest over all facts: equal exactly when two nodes hold the same.
    pub fn digest(&self) -> FactDigest {
        let mut hasher = blake3::Hasher::new();
        for held in self.facts.values() {
            hasher.update(&held.digest.0);
        }
        FactDigest(*hasher.finalize().as_bytes())
    }

    /// Version and digest of each fact, for a peer whose digest over all differs.
    pub fn summaries(&self) -> Vec<FactSummary> {
        self.facts.values().map(Held::summary).collect()
    }

    /// Version and digest of the fact of this name.
    pub fn summary(&self, key: &FactKey) -> Option<FactSummary> {
        self.facts.get(key).map(Held::summary)
    }

    /// Whether a peer that holds this state has something that this node lacks.
    pub(crate) fn lacks(&self, theirs: &FactSummary) -> bool {
        match self.facts.get(&theirs.key) {
            None => true,
            Some(held) => theirs.version >= held.fact.version && theirs.digest != held.digest,
        }
    }

    /// The facts that a peer with these states may lack.
    pub(crate) fn lacked_by(&self, theirs: &[FactSummary]) -> Vec<&Fact> {
        let theirs: BTreeMap<&FactKey, &FactSummary> =
            theirs.iter().map(|summary| (&summary.key, summary)).collect();
        let lacks = |held: &&Held| match theirs.get(&held.fact.key) {
            None => true,
            Some(their) => held.fact.version >= their.version && held.digest != their.digest,
        };
        self.facts.values().filter(lacks).map(|held| &held.fact).collect()
    }
}

impl Held {
    fn summary(&self) -> FactSummary {
        FactSummary { key: self.fact.key.clone(), version: self.fact.version, digest: self.digest }
    }
}
