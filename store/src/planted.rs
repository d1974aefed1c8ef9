//! Known bugs, armed by name, that the tests and the simulator must find. Compiled in only with the `planted` feature, and
//! even then nothing is armed unless [`crate::ShardOptions::planted`] says so.

/// A bug of the list that can be armed in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Planted {
    /// Bug 1: mint under one actor for ever, so that the counter begins again after a record was lost.
    ActorReused,
    /// Bug 2: go on under an actor of one's own that a clock names, without the mark that proves that nothing is missing.
    ActorFromClock,
    /// Bug 12: the digest that goes into a hash tree is not canonical, so that equal records differ.
    TreeNotCanonical,
    /// Bug 13: a start takes saved trees for true although the log holds more.
    TreeMissesCrash,
    /// Bug 14: a delete is not told to the tree.
    TreeKeepsDeleted,
    /// Bug 55's sister: a start that lost records leaves the saved trees, which the next one takes for true.
    TreeHidesLoss,
    /// Bug 40: acknowledge before the sync.
    AckBeforeSync,
    /// Bug 46, the store's half: go on under a mark of an earlier run.
    ActorContinued,
    /// Bug 49: compaction drops records that a damaged index does not name.
    CompactionTrustsIndex,
    /// Bug 50: a rebuild does not honour removal markers, so that what was removed comes back.
    RebuildResurrects,
    /// Bug 21, the careless mending: what cannot be read is given up, whatever hangs on it.
    UnreadableGivenUp,
    /// Bug 47: where hints have no room the oldest goes, whatever hangs on it.
    BearingDropped,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 12] = [
        Planted::ActorReused,
        Planted::ActorFromClock,
        Planted::TreeNotCanonical,
        Planted::TreeMissesCrash,
        Planted::TreeKeepsDeleted,
        Planted::TreeHidesLoss,
        Planted::AckBeforeSync,
        Planted::ActorContinued,
        Planted::CompactionTrustsIndex,
        Planted::RebuildResurrects,
        Planted::UnreadableGivenUp,
        Planted::BearingDropped,
    ];

    /// The name by which it is armed, which begins with its number in the list of known bugs.
    pub fn name(self) -> &'static str {
        match self {
            Planted::ActorReused => "1-actor-reused",
            Planted::ActorFromClock => "2-actor-from-clock",
            Planted::UnreadableGivenUp => "21-unreadable-given-up",
            Planted::BearingDropped => "47-bearing-dropped",
            Planted::TreeNotCanonical => "12-tree-not-canonical",
            Planted::TreeMissesCrash => "13-tree-misses-crash",
            Planted::TreeKeepsDeleted => "14-tree-keeps-deleted",
            Planted::TreeHidesLoss => "55-tree-hides-loss",
            Planted::AckBeforeSync => "40-ack-before-sync",
            Planted::ActorContinued => "46-actor-continued",
            Planted::CompactionTrustsIndex => "49-compaction-trusts-index",
            Planted::RebuildResurrects => "50-rebuild-resurrects",
        }
    }

    /// The bug of this name.
    pub fn named(name: &str) -> Option<Planted> {
        Planted::ALL.into_iter().find(|planted| planted.name() == name)
    }
}
