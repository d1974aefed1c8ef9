//! Expiry, as a reader sees it.
//!
//! A version whose expiry has passed reads as deleted, and nothing else changes: it stays live for merging, and its bytes
//! are only ever removed by a round in which every owner's clock agrees. So a wrong clock can hide a value, never destroy
//! one; this is the one place where the engine looks at wall time.

use kvorum_protocol::message::GetValue;
use kvorum_protocol::{Dot, Version, VersionSet};

/// Whether a read finds anything.
pub(super) fn has_unexpired(set: &VersionSet, wall_ms: u64) -> bool {
    unexpired(set, wall_ms).next().is_some()
}

/// What a read finds, ascending by dot.
pub(super) fn unexpired_values(set: &VersionSet, wall_ms: u64) -> Vec<GetValue> {
    let value = |(dot, version): &(Dot, Version)| GetValue {
        dot: *dot,
        value: version.value.clone(),
        expires_at_ms: version.expires_at_ms,
    };
    unexpired(set, wall_ms).map(value).collect()
}

fn unexpired(set: &VersionSet, wall_ms: u64) -> impl Iterator<Item = &(Dot, Version)> {
    set.values().filter(move |(_, version)| is_unexpired(version, wall_ms))
}

/// Whether the version's expiry has not passed.
pub(super) fn is_unexpired(version: &Version, wall_ms: u64) -> bool {
    version.expires_at_ms.is_none_or(|at_ms| at_ms > wall_ms)
}
