//! Rare states: proof that the search goes where the bugs are.
//!
//! A swarm without a violation says little if it never crashed a node between its mint and its sync. Each state here is
//! counted where the world sees it happen, and a swarm names those that it never reached.

/// A state that a good swarm reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Rare {
    /// A node died with a minted dot that was not synced.
    CrashBetweenMintAndSync,
    /// A minted dot reached a peer, and its minter lost it in a crash.
    DotOutlivedItsMinter,
    /// A process died within a disk operation.
    CrashWithinDiskOperation,
    /// All nodes were down at once.
    AllDown,
    /// A node died again before it had served anything.
    CrashLoop,
    /// A recovery found its index damaged and rebuilt it.
    IndexRebuilt,
    /// A recovery wrote the last batch again, because nothing proved that it had been synced.
    Relogged,
    /// A failed disk operation stopped a node.
    Poisoned,
    /// A disk was wiped.
    Wiped,
    /// A wipe was left out because it would have destroyed the last copy of an acknowledged write.
    WipeOverBudget,
    /// A node drew a fresh actor for a key that it had minted before.
    FreshActorForOldKey,
    /// A reply carried siblings.
    Siblings,
    /// A reply carried three siblings or more.
    ThreeSiblings,
    /// A strict read was checked against acknowledged writes.
    StrictReadOwed,
    /// A write replaced less than its coordinator held.
    StaleContext,
    /// A forged or foreign context was refused.
    BadContextRefused,
    /// A delete was read as not found with its trace.
    TombstoneRead,
    /// A write was applied on some replicas and its client was told so.
    PartlyApplied,
    /// A write's outcome was unknown to its client.
    OutcomeUnknown,
    /// A write was definitely refused.
    DefiniteFailure,
    /// One operation was minted twice.
    TwinMint,
    /// A retry was answered from the first attempt's version.
    RetryRecognised,
    /// Read repair changed a replica.
    ReadRepair,
    /// A message was delivered twice.
    DuplicateDelivered,
    /// A message overtook another one on its link.
    Reordered,
    /// A message arrived from a process that had died.
    MessageFromTheDead,
    /// A healthy peer was believed down.
    WrongSuspicion,
    /// A node woke from a pause with work whose deadline had passed.
    WokeLate,
    /// A log was compacted.
    Compacted,
    /// A request was refused for overload.
    Overloaded,
    /// A reclaimed tombstone was durably removed.
    Removed,
}

impl Rare {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 31] = [
        Self::CrashBetweenMintAndSync,
        Self::DotOutlivedItsMinter,
        Self::CrashWithinDiskOperation,
        Self::AllDown,
        Self::CrashLoop,
        Self::IndexRebuilt,
        Self::Relogged,
        Self::Poisoned,
        Self::Wiped,
        Self::WipeOverBudget,
        Self::FreshActorForOldKey,
        Self::Siblings,
        Self::ThreeSiblings,
        Self::StrictReadOwed,
        Self::StaleContext,
        Self::BadContextRefused,
        Self::TombstoneRead,
        Self::PartlyApplied,
        Self::OutcomeUnknown,
        Self::DefiniteFailure,
        Self::TwinMint,
        Self::RetryRecognised,
        Self::ReadRepair,
        Self::DuplicateDelivered,
        Self::Reordered,
        Self::MessageFromTheDead,
        Self::WrongSuspicion,
        Self::WokeLate,
        Self::Compacted,
        Self::Overloaded,
        Self::Removed,
    ];

    /// The state's name as reports print it.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push(' ');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

/// How often each rare state was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    counts: [u64; Rare::ALL.len()],
}

impl Default for Reached {
    fn default() -> Self {
        Self { counts: [0; Rare::ALL.len()] }
    }
}

impl Reached {
    /// Counts a state.
    pub const fn mark(&mut self, state: Rare) {
        self.counts[state as usize] += 1;
    }

    /// How often `state` was reached.
    pub const fn count(&self, state: Rare) -> u64 {
        self.counts[state as usize]
    }

    /// The states that were reached, by name, with how often.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let reached = Rare::ALL.into_iter().filter(|state| self.count(*state) > 0);
        reached.map(|state| (state.name(), self.count(state))).collect()
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
    }

    /// The states that were never reached.
    pub fn never(&self) -> Vec<Rare> {
        Rare::ALL.into_iter().filter(|state| self.count(*state) == 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Rare, Reached};

    #[test]
    fn all_states_are_listed_at_their_numbers_and_named() {
        for (number, state) in Rare::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number, "{state:?}");
        }
        assert_eq!(Rare::CrashLoop.name(), "crash loop");
    }

    #[test]
    fn what_was_never_reached_is_named() {
        let mut reached = Reached::default();
        for state in Rare::ALL.into_iter().filter(|state| *state != Rare::TwinMint) {
            reached.mark(state);
        }
        let mut sum = Reached::default();
        sum.add(&reached);
        assert_eq!(sum.never(), [Rare::TwinMint]);
    }
}
