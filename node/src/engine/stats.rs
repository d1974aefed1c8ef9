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
    /// Requests passed on to a later owner, although one before it was up: its breaker was open.
    pub passed_over: u64,
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
    /// Writes of `lossy-lww` buckets refused, because the clocks of too few owners agreed with this node's.
    pub clocks_refused: u64,
    /// Times that a fallback was called in for an owner.
    pub called_in: u64,
    /// Times that no fallback was called in for an owner that is slow, because it writes and the budget for such was used up.
    pub slow_owners_spared: u64,
    /// Writes that were applied with the copies of fallbacks.
    pub writes_with_fallbacks: u64,
    /// Gets that asked fallbacks.
    pub fallbacks_asked: u64,
    /// Gets that asked the owners once more, because a fallback may have handed over what they looked for.
    pub second_looks: u64,
    /// Gauge: what is held for others is kept back.
    pub hints_paused: bool,
    /// Gauge: deliveries of hints under way, with what leads them.
    pub deliveries: usize,
    /// Hints that their owner has durably.
    pub hints_delivered: u64,
    /// Deliveries of hints that failed and are tried again.
    pub hints_undelivered: u64,
    /// Record copies sent, or merged here, because a get found an owner stale.
    pub repairs: u64,
    /// Gauge: steps of repairs of partitions that somebody ordered, at work.
    pub ordered_steps: usize,
    /// Keys that all owners were asked for because their repair was ordered.
    pub ordered_compared: u64,
    /// Copies of records that owners were found to lack then, and have durably.
    pub ordered_given: u64,
    /// Exchanges with other owners that came to their end, asked by this node.
    pub exchanges: u64,
    /// Records that other owners took from this node in exchanges that it asked for.
    pub exchange_given: u64,
    /// Records that this node took from other owners in exchanges that it asked for.
    pub exchange_taken: u64,
    /// Keys that an exchange could not repair: the next one tries again.
    pub exchange_failures: u64,
    /// Questions of exchanges that another owner refused to answer.
    pub exchange_refusals: u64,
}

/// What an engine has learned of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PeerStats {
    /// 95th percentile of its answers to what it holds, in microseconds; none until it has answered often enough.
    pub p95_us: Option<u64>,
    /// Requests are passed on to it last, or as a probe: it has failed again and again, and has served nothing since.
    pub breaker_open: bool,
    /// How often that has begun or was prolonged since the engine began.
    pub breaker_opened: u64,
    /// How far an exchange with it is, while one finds something and is asked for by this node.
    pub exchange: Option<ExchangeProgress>,
}

/// How far an exchange is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExchangeProgress {
    /// Partitions that it has left behind.
    pub done: u32,
    /// Partitions that the two owners share.
    pub shared: u32,
}
