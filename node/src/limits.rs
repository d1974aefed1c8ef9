//! Bounds on everything in a node that could grow, each with its reason. What bounds a single request (its value, its
//! deadline, its batch or page) stands in [`kvorum_protocol::limits`].

/// Client requests that one engine works on at once, the items of batches and requests forwarded by peers included. Each
/// holds a few hundred bytes and a reference to its value; beyond this many, waiting only adds to the latency of all.
pub const MAX_REQUESTS: usize = 16_384;

/// Requests of peers (replicate, fetch, scan) that one engine works on at once. Counted apart from [`MAX_REQUESTS`], so
/// that a flood of clients at one node cannot stop it from serving the coordinators of the other nodes.
pub const MAX_REPLICA_TASKS: usize = 65_536;

/// When a client that met [`MAX_REQUESTS`] may try again: about the time in which a full house drains on a loaded node.
pub const RETRY_AFTER_MS: u32 = 50;

/// Forwarded requests that are remembered, so that a second copy of one is not carried out again. A copy that comes after
/// so many others is past its deadline.
pub const HEARD_FORWARDS: usize = 4_096;

/// Times that a request may be passed on. The receiving node forwards once; the second hop covers the moment in which two
/// nodes hold different layouts. More would only chase one's own tail.
pub const MAX_HOPS: u8 = 2;

/// Scans behind one page of a listing. Only long runs of tombstones need more than a few for each node; past the bound
/// the page is cut short, and its token continues.
pub const MAX_LIST_SCANS: usize = 4_096;

/// Scans behind one page of keys with siblings, each of which looks at many keys and may find none: about a second's work. Past it
/// the page is cut short, however little was found.
pub const MAX_CONFLICT_SCANS: usize = 64;

/// How long a replica may take to begin a repair that it is sent. A repair serves no request any more, so no client's deadline
/// bounds it; what is refused as too late here, the next read or the comparison of replicas finds again.
pub const REPAIR_DEADLINE_MS: u32 = 5_000;

/// The part of a write's time, one in this many, after which fallbacks are called in for owners that have not answered. Longer
/// than a busy owner takes: a copy too many is more work for a cluster that is slow because it has too much of it.
pub const STAND_IN_SHARE: u64 = 4;

/// How long a write waits at least, in milliseconds, before it looks again for owners and fallbacks that have not answered: time
/// for a fallback that was called in to do so.
pub const STAND_IN_AGAIN_MS: u64 = 50;

/// Fallbacks per hundred writes that may be called in for owners that are slow, but write. Without the bound a cluster whose owners
/// are overloaded sends every write to fallbacks as well, which adds as much work again to what is too much already.
pub const SLOW_OWNER_PERCENT: u32 = 5;

/// Fallbacks that may be saved up for that, in hundredths: what a pause of one owner needs at once.
pub const SLOW_OWNERS_SAVED: u32 = 1_000;

/// Deliveries of hints that a node takes from one peer at once while it has nothing else to do: enough to fill its batches
/// over a network of some milliseconds.
pub const DELIVERY_CREDIT: u32 = 64;

/// How long a delivered hint may take to become durable at its owner before it is tried again.
pub const DELIVERY_DEADLINE_MS: u32 = 5_000;

/// Keys of one page of hints: a few rounds of deliveries.
pub const HINT_PAGE: usize = 256;

/// How long delivering to an owner rests after something could not be delivered, in milliseconds. Each time it is twice as
/// long, until something is.
pub const DELIVERY_REST_MS: u64 = 250;

/// How long it rests at most, in milliseconds: a record that an owner refuses for good costs it one message each time.
pub const DELIVERY_REST_LONGEST_MS: u64 = 30_000;

/// How long a read that could answer but for its own record waits for it, before it asks other owners for theirs: longer than
/// a healthy disk takes, less than a person notices.
pub const OWN_READ_PATIENCE_MS: u32 = 10;

/// Answers of one peer that its latency remembers before old ones weigh half: some seconds of a busy node.
pub const LATENCY_MEMORY: u32 = 2_048;

/// Answers of a peer from which on its 95th percentile is believed. Fewer hold too few slow ones to tell where that is.
pub const LATENCY_SAMPLES: u32 = 64;

/// Hedges per hundred reads that are passed on. A slow node is one of a few, and its slowest twentieth is what hedging is
/// for; without the bound a cluster that is slow as a whole would be asked everything twice.
pub const HEDGE_PERCENT: u32 = 5;

/// Hedges that may be saved up, in hundredths: what a pause of one node needs at once.
pub const HEDGES_SAVED: u32 = 1_000;

/// Failures in a row of requests that were passed on to a peer, from which on it is asked last. Fewer would be met by chance
/// when every node is busy.
pub const BREAKER_FAILURES: u32 = 5;

/// For how long a peer is asked last at first, in milliseconds: a pause of its process or a burst is over by then.
pub const BREAKER_FIRST_MS: u64 = 500;

/// For how long a peer is asked last at most, in milliseconds: so long at worst the others do its share of coordinating after
/// it has recovered.
pub const BREAKER_LONGEST_MS: u64 = 30_000;

/// A peer that was given less than this, in milliseconds, and did not answer has not failed: the client was impatient.
pub const BREAKER_PATIENCE_MS: u64 = 100;

/// Keys that one step of an ordered repair has under way at a time: enough to fill a batch of each owner's disk, few beside the
/// requests of clients.
pub const MEND_KEYS: usize = 16;

/// Steps of ordered repairs that one node works on at a time. Each holds a page of keys and their names; an operator repairs one
/// partition after the other.
pub const MEND_STEPS: usize = 8;

/// When a step of an ordered repair asks an owner again that was busy with the partition, in milliseconds.
pub const MEND_PAUSE_MS: u64 = 250;

/// Events of keys that an engine remembers, to explain what a key holds. 96 bytes each: some minutes of a quiet node, a fraction
/// of a second of a busy one, and whoever asks is told how far back it goes.
pub const EVENTS: usize = 4_096;

/// How long a question why a key holds what it holds waits for one node, in milliseconds, half of the question's time at most:
/// longer than a disk takes, and then the node is named as silent.
pub const WHY_PATIENCE_MS: u32 = 2_000;

/// Milliseconds between two exchanges with another owner that held the same. Each costs one small question and answer, so this
/// is about how long a difference that nothing else mends may last.
pub const EXCHANGE_EVERY_MS: u64 = 10_000;

/// How many times sooner the next exchange comes when one found something, was broken off, or the peer has just come up.
pub const EXCHANGES_SOONER: u64 = 10;

/// How long writes that are under way have to arrive before what differs is looked at closely, in milliseconds: longer than a
/// replica's disk takes, and a small part of the time between two exchanges.
pub const EXCHANGE_SETTLE_MS: u64 = 500;

/// How long an exchange waits for one answer, in milliseconds, and how long a silent asker keeps others from a partition.
pub const EXCHANGE_SILENCE_MS: u64 = 5_000;

/// For how long an exchange waits for its repairs before it looks again whether any is left, in milliseconds.
pub const EXCHANGE_PATIENCE_MS: u64 = 5_000;

/// Keys that a node repairs at a time. Enough to keep the disks of both owners busy with small records, few enough that
/// clients hardly notice: at most this many records wait for the same syncs as theirs.
pub const EXCHANGE_REPAIRS: usize = 32;
