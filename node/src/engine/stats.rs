//! What an engine counts about itself.

/// Counters since the engine began, and gauges of now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EngineStats {
    /// Gauge: client requests at work.
    pub requests: usize,
    /// Gauge: peers' requests at work.
    pub replica_tasks: usize,
    /// Requests refused before anything happened, whatever the reason.
    pub refused: u64,
    /// Requests passed on to another node.
    pub forwarded: u64,
    /// Reads for which a second node was asked because the first took longer than usual.
    pub hedged: u64,
    /// Puts and deletes applied at their quorum.
    pub writes_applied: u64,
    /// Puts and deletes that ended with an owner not known to hold them.
    pub writes_left_behind: u64,
    /// Digests of other owners' records that a get found equal to its own record's.
    pub digests_agreed: u64,
    /// Digests that differed, so that the record itself was asked for.
    pub digests_differed: u64,
    /// Record copies sent, or merged here, because a get found an owner stale.
    pub repairs: u64,
}
