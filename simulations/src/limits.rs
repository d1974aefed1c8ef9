//! The bounds of the simulator itself, each with its reason.

/// Nodes of one run. Failures of this kind of system need three nodes or fewer in nearly all studied cases; the rest of
/// the room is for plans written by hand.
pub const MAX_NODES: u16 = 64;

/// Events of one run, after which it is stopped as endless. A long seed needs some thousands.
pub const MAX_EVENTS: u64 = 300_000;

/// Answers between an engine and its store that one input may set off. A power cut's worth of clients makes some hundreds.
pub const MAX_STEPS_OF_A_TURN: u64 = 50_000;

/// Events that the healed phase may take for each key and node before it counts as endless: a read of all owners with
/// its repair takes some tens.
pub const HEALED_EVENTS_PER_KEY_AND_NODE: u64 = 400;

/// Within which all members have to notice that one went or came back, in milliseconds: among seven, twelve probe periods
/// until somebody probes it, the probe, three periods of suspicion, and as much again for the news.
pub const NOTICE_WITHIN_MS: u64 = 30_000;

/// How many times more seeds than a rare state needs on average have to miss it before the swarm counts as broken. By
/// chance alone that happens once in 485 million swarms.
pub const MISSED_AFTER: u64 = 20;

/// Contexts that a client keeps of one key, so that a write can use a stale one.
pub const CONTEXTS_KEPT: usize = 8;

/// Lines of the trace that a report shows for the key of a violation, unless the whole trace was asked for.
pub const TRACE_LINES: usize = 60;

/// Lines of the trace that are kept while a run is traced; older ones are dropped.
pub const TRACE_LINES_KEPT: usize = 20_000;

/// Runs that one shrinking may spend. Each takes some milliseconds, and most plans are small after a few hundred.
pub const SHRINK_RUNS: u32 = 2_000;
