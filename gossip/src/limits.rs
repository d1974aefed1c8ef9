//! Bounds on everything in this crate that could grow, each with its reason.

/// Largest membership datagram in bytes. QUIC starts at an MTU of 1,200; its own header and tag take less than a hundred.
pub const MAX_DATAGRAM_BYTES: usize = 1_100;

/// Longest fact name in bytes. A bucket's name is the longest there is.
pub const MAX_NAME_BYTES: usize = 255;

/// Largest body of one fact in bytes: a layout of 65,536 partitions in four replication classes.
pub const MAX_BODY_BYTES: usize = 4 << 20;

/// Most facts of one cluster: 4,096 members and room for as many buckets, layouts and kinds yet to come.
pub const MAX_FACTS: usize = 16_384;

/// Bodies sent in one message stop here (one body is always sent, whatever its size), so that pulling a whole cluster's
/// facts never holds up the requests that share the connection.
pub const BODIES_BATCH_BYTES: usize = 256 << 10;

/// Largest fact that its writer sends to every peer unasked: a bucket's settings or a member, not a layout.
pub const PUSHED_FACT_BYTES: usize = 4 << 10;

/// Highest Lamport number taken from others. A number near 2^64, from a flipped bit, would leave no room for any later
/// write; a write each microsecond needs nine years to come here.
pub const MAX_LAMPORT: u64 = 1 << 48;

/// Fact announcements heard but not yet read by the caller. More are dropped: the next exchange of digests finds them.
pub const MAX_UNREAD_NEWS: usize = 1_024;

/// How deep arrays and maps may nest in a field that this version does not know and only skips.
pub const MAX_DEPTH: usize = 16;

/// Seeds asked in one round of announcing. One lost datagram must not leave a node alone, and a large cluster must not
/// be asked as a whole.
pub const SEEDS_PER_ROUND: usize = 3;

/// Between two rounds of announcing, while any seed is not known to be alive.
pub const ANNOUNCE_EVERY_MS: u64 = 2_000;

/// Between two comparisons of fact digests with one peer each. Announcements carry the news within a second; this finds
/// what they lost.
pub const RECONCILE_EVERY_MS: u64 = 5_000;
