//! Rare states: proof that the search goes where the bugs are.
//!
//! A swarm without a violation says little if it never crashed a node between its mint and its sync. Each state here is
//! counted where the world sees it happen. A swarm names those that it never reached, and fails if it should have: each
//! state says in how many seeds one reaches it, and a swarm of many times as many that missed it searches in the wrong
//! place, whatever else it did not find.

use serde::Serialize;

use crate::limits;

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
    /// A recovery found the last batch torn.
    TornTail,
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
    /// A read took an owner's digest for its record.
    DigestAgreed,
    /// A digest differed, and its owner was asked for the record.
    DigestDiffered,
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
    /// A listing was checked against keys that are stored for certain.
    ListingOwed,
    /// A listing said that it could not cover everything.
    ListingPartial,
    /// A read did not return a value that had expired.
    ExpiredHidden,
    /// The last copy of a write was destroyed, where the plan allows it.
    LastCopyDestroyed,
    /// A client did not reach the node that it wanted to ask.
    OutOfReach,
    /// A membership machine declared a node down that was.
    DeclaredDown,
    /// A membership machine declared a living node down.
    FalselyDown,
    /// A node learned that it had been declared down, and went on under another renewal.
    Renewed,
    /// A request was passed on to another owner than the first that was up, because that one had failed again and again.
    PassedOver,
    /// A read of a mergeable value was checked against acknowledged operations.
    MergedOwed,
    /// A record of a bucket that merges held states that had not heard of each other.
    BranchesMet,
    /// A write was refused because its coordinator's clock was no majority's.
    ClockRefused,
    /// A fallback was asked to hold something for an owner.
    HintHeld,
    /// A write was acknowledged with a fallback's copy.
    FallbackCounted,
    /// A fallback coordinated a write.
    FallbackMinted,
    /// A read was answered with what fallbacks said.
    FallbackRead,
    /// A hint was delivered and forgotten.
    HintDelivered,
    /// A delivery of a hint failed.
    HintUndelivered,
    /// A node started with hints on its disk.
    HintFoundAtStart,
    /// A hint was refused for lack of room.
    HintRefused,
    /// A spare hint was dropped for its age.
    HintDropped,
    /// An exchange brought an owner what it had missed.
    ExchangeRepaired,
    /// The same while faults ran.
    ExchangedAmidFaults,
    /// A hash tree was counted anew.
    TreeCounted,
    /// An owner lacked something because its write was under way, its record damaged, or records lost, and that was said.
    DifferenceExplained,
    /// An owner lacked something, and the node that wrote it said why.
    ExplainedByWriter,
    /// An owner lacked something, and the node that wrote it had forgotten or was silent, and that was said.
    WriterForgot,
    /// A record was wanted whose file could not be read.
    Unreadable,
    /// A hint was set aside because it could not be read, and was read later.
    HintReadable,
}

impl Rare {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 63] = [
        Self::CrashBetweenMintAndSync,
        Self::DotOutlivedItsMinter,
        Self::CrashWithinDiskOperation,
        Self::AllDown,
        Self::CrashLoop,
        Self::IndexRebuilt,
        Self::Relogged,
        Self::TornTail,
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
        Self::DigestAgreed,
        Self::DigestDiffered,
        Self::ReadRepair,
        Self::DuplicateDelivered,
        Self::Reordered,
        Self::MessageFromTheDead,
        Self::WrongSuspicion,
        Self::WokeLate,
        Self::Compacted,
        Self::Overloaded,
        Self::Removed,
        Self::ListingOwed,
        Self::ListingPartial,
        Self::ExpiredHidden,
        Self::LastCopyDestroyed,
        Self::OutOfReach,
        Self::DeclaredDown,
        Self::FalselyDown,
        Self::Renewed,
        Self::PassedOver,
        Self::MergedOwed,
        Self::BranchesMet,
        Self::ClockRefused,
        Self::HintHeld,
        Self::FallbackCounted,
        Self::FallbackMinted,
        Self::FallbackRead,
        Self::HintDelivered,
        Self::HintUndelivered,
        Self::HintFoundAtStart,
        Self::HintRefused,
        Self::HintDropped,
        Self::ExchangeRepaired,
        Self::ExchangedAmidFaults,
        Self::TreeCounted,
        Self::DifferenceExplained,
        Self::ExplainedByWriter,
        Self::WriterForgot,
        Self::Unreadable,
        Self::HintReadable,
    ];

    /// A run of how many reaches the state, at least; measured over some ten thousand seeds, and rounded up. Some are as
    /// frequent as they are because the plans were made so: a change that makes one rarer than it says here took
    /// something out of the search.
    pub const fn one_in(self) -> u64 {
        match self {
            Self::LastCopyDestroyed => 400,
            Self::ListingPartial | Self::TornTail | Self::ClockRefused => 100,
            Self::HintDropped | Self::HintRefused | Self::HintReadable => 400,
            Self::HintHeld
            | Self::FallbackCounted
            | Self::FallbackMinted
            | Self::FallbackRead
            | Self::HintDelivered
            | Self::HintUndelivered
            | Self::HintFoundAtStart => 40,
            Self::DeclaredDown | Self::FalselyDown | Self::Renewed => 64,
            Self::Unreadable
            | Self::RetryRecognised
            | Self::Removed
            | Self::ExchangedAmidFaults => 40,
            Self::Poisoned | Self::WipeOverBudget | Self::BadContextRefused | Self::TwinMint => 20,
            Self::DotOutlivedItsMinter
            | Self::AllDown
            | Self::Wiped
            | Self::TombstoneRead
            | Self::Reordered
            | Self::MessageFromTheDead
            | Self::WrongSuspicion
            | Self::WokeLate
            | Self::Compacted
            | Self::ExpiredHidden
            | Self::ListingOwed
            | Self::OutOfReach
            | Self::MergedOwed
            | Self::BranchesMet
            | Self::PassedOver => 20,
            Self::CrashBetweenMintAndSync
            | Self::CrashWithinDiskOperation
            | Self::CrashLoop
            | Self::IndexRebuilt
            | Self::Relogged
            | Self::FreshActorForOldKey
            | Self::Siblings
            | Self::ThreeSiblings
            | Self::StrictReadOwed
            | Self::StaleContext
            | Self::PartlyApplied
            | Self::OutcomeUnknown
            | Self::DefiniteFailure
            | Self::DigestAgreed
            | Self::DigestDiffered
            | Self::ReadRepair
            | Self::DuplicateDelivered
            | Self::ExchangeRepaired
            | Self::TreeCounted
            | Self::DifferenceExplained
            | Self::ExplainedByWriter
            | Self::WriterForgot
            | Self::Overloaded => 5,
        }
    }

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

/// How often a run, or all runs of a swarm, reached a rare state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Visits {
    /// The state's name.
    pub state: String,
    /// How many times it was reached.
    pub times: u64,
    /// Runs that reached it.
    pub runs: u64,
}

/// How often each rare state was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    times: [u64; Rare::ALL.len()],
    /// Of a sum: the runs that reached the state.
    runs: [u64; Rare::ALL.len()],
}

impl Default for Reached {
    fn default() -> Self {
        Self { times: [0; Rare::ALL.len()], runs: [0; Rare::ALL.len()] }
    }
}

impl Reached {
    /// Counts a state.
    pub const fn mark(&mut self, state: Rare) {
        self.times[state as usize] += 1;
    }

    /// How often `state` was reached.
    pub const fn count(&self, state: Rare) -> u64 {
        self.times[state as usize]
    }

    /// The states that were reached, in the order of their numbers.
    pub fn visits(&self) -> Vec<Visits> {
        let reached = Rare::ALL.into_iter().filter(|state| self.count(*state) > 0);
        let visits = reached.map(|state| Visits {
            state: state.name(),
            times: self.count(state),
            runs: self.runs[state as usize].max(1),
        });
        visits.collect()
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for state in 0..Rare::ALL.len() {
            self.times[state] += other.times[state];
            self.runs[state] += u64::from(other.times[state] > 0);
        }
    }

    /// The states that were never reached.
    pub fn never(&self) -> Vec<Rare> {
        Rare::ALL.into_iter().filter(|state| self.count(*state) == 0).collect()
    }

    /// The states that were never reached although `seeds` seeds are enough to blame the search and not the luck.
    pub fn missed(&self, seeds: u64) -> Vec<Rare> {
        let enough = |state: &Rare| seeds >= state.one_in().saturating_mul(limits::MISSED_AFTER);
        self.never().into_iter().filter(enough).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Rare, Reached};
    use crate::limits;

    #[test]
    fn all_states_are_listed_at_their_numbers_and_named() {
        for (number, state) in Rare::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number, "{state:?}");
        }
        assert_eq!(Rare::CrashLoop.name(), "crash loop");
    }

    /// The sum of a run that reached everything but `missing`.
    fn all_but(missing: Rare) -> Reached {
        let mut reached = Reached::default();
        for state in Rare::ALL.into_iter().filter(|state| *state != missing) {
            reached.mark(state);
        }
        let mut sum = Reached::default();
        sum.add(&reached);
        sum
    }

    #[test]
    fn what_was_never_reached_is_named_and_blamed_once_the_seeds_were_enough() {
        for state in Rare::ALL {
            let sum = all_but(state);
            let enough = state.one_in() * limits::MISSED_AFTER;
            assert_eq!(sum.never(), [state]);
            assert_eq!(sum.missed(enough - 1), [], "bad luck is no fault");
            assert_eq!(sum.missed(enough), [state]);
        }
    }

    #[test]
    fn visits_tell_runs_from_times() {
        let mut run = Reached::default();
        run.mark(Rare::Wiped);
        run.mark(Rare::Wiped);
        let mut sum = Reached::default();
        sum.add(&run);
        sum.add(&run);
        sum.add(&Reached::default());
        let visits = sum.visits();
        assert_eq!((visits[0].times, visits[0].runs, visits.len()), (4, 2, 1));
    }
}
