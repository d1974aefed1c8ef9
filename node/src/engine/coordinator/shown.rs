//! What a read is shown of what the owners hold, by the bucket's merge rule.

use kvorum_protocol::limits as bounds;
use kvorum_protocol::mergeable::{Joined, State, stamped};
use kvorum_protocol::message::{GetValue, LimitKind, MergeRule, RequestError};
use kvorum_protocol::{EncodedSet, VersionSet};

use crate::engine::coordinator::expiry::{is_unexpired, unexpired_values};

/// What a reader is shown.
pub(super) enum Shown {
    /// Values as clients wrote them: siblings, or the one that won.
    Values(Vec<GetValue>),
    /// A mergeable value.
    Merged(Option<Joined>),
}

impl Shown {
    /// Whether there is anything.
    pub(super) fn is_found(&self) -> bool {
        match self {
            Shown::Values(values) => !values.is_empty(),
            Shown::Merged(value) => value.is_some(),
        }
    }
}

/// What a read shows of a set.
///
/// # Errors
/// A mergeable value that is none, or that is too large for an answer.
pub(super) fn shown(
    set: Option<&EncodedSet>,
    rule: MergeRule,
    wall_ms: u64,
) -> Result<Shown, RequestError> {
    Ok(match rule {
        MergeRule::Siblings => {
            Shown::Values(set.map_or_else(Vec::new, |set| unexpired_values(set, wall_ms)))
        }
        MergeRule::LossyLww => {
            Shown::Values(set.and_then(|set| winner(set, wall_ms)).into_iter().collect())
        }
        MergeRule::Counter | MergeRule::Set | MergeRule::Map | MergeRule::Register => {
            let state = set.map_or(Ok(None), |set| State::of(set))?;
            let joined = state.map(|state| state.shown());
            joined.as_ref().map_or(Ok(()), check)?;
            Shown::Merged(joined)
        }
    })
}

/// Whether a read finds anything, by a bucket's rule.
pub(super) fn finds(set: &VersionSet, rule: MergeRule, wall_ms: u64) -> bool {
    match rule {
        MergeRule::LossyLww => winner(set, wall_ms).is_some(),
        MergeRule::Siblings => crate::engine::coordinator::expiry::has_unexpired(set, wall_ms),
        _ => !set.versions().is_empty(),
    }
}

/// The value that won. One that has expired reads as deleted, and no other takes its place: they have lost.
fn winner(set: &VersionSet, wall_ms: u64) -> Option<GetValue> {
    let (dot, stamped, version) = stamped::winner(set)?;
    let expires_at_ms = version.expires_at_ms;
    let value = GetValue { dot, value: stamped.value, expires_at_ms };
    is_unexpired(version, wall_ms).then_some(value)
}

/// Concurrent values can join to more elements than an answer may list.
fn check(joined: &Joined) -> Result<(), RequestError> {
    let items = match joined {
        Joined::Set { elements } => elements.len(),
        Joined::Map { fields } => fields.len(),
        _ => 0,
    };
    match items > bounds::LIST_ITEMS {
        true => Err(RequestError::TooLarge {
            what: LimitKind::Items,
            size: items as u64,
            limit: bounds::LIST_ITEMS as u64,
        }),
        false => Ok(()),
    }
}
