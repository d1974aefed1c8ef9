//! Bounds on everything in this crate that could grow, each with its reason.

/// Parts into which a range of partitions is cut when its sums differ: at sixteen a difference in one of 4,096 is found in
/// three questions, with answers of 256 bytes.
pub const PARTS: usize = 16;

/// Partitions that are found to differ before they are looked at more closely. Looking closely begins with a pause, in which
/// writes under way arrive, so there should be many of them; what is known of the others gets older meanwhile.
pub const SUSPECTS: usize = 256;

/// Single partitions in a row of which a side does not know the root, after which an exchange gives up: they are being counted,
/// and the next exchange finds them counted.
pub const UNKNOWN: usize = 16;

/// Keys of one page that two owners compare: 48 KiB with hash and tag, so that one leaf of a partition with a hundred
/// thousand keys takes a few questions and none of them holds up a connection.
pub const PAGE_KEYS: usize = 2_048;

/// Keys that an answer may name which the asker did not list. The names may be a kilobyte long; what is left over, the
/// next page begins with.
pub const EXTRA_KEYS: usize = 512;
