//! Bounds on everything in this crate that could grow, each with its reason.

/// Deepest tree. Four levels below the root are 65,536 leaves and 1.1 MiB for one partition; at more keys than that
/// can tell apart, more partitions are the answer.
pub const MAX_DEPTH: u8 = 4;
