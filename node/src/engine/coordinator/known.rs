//! Whether a key's owners know an operation, and what became of it.

use kvorum_protocol::mergeable::{Joined, State, remembering};
use kvorum_protocol::message::MergeRule;
use kvorum_protocol::{Found, OperationId, VersionSet};

/// How a set knows an operation. A mergeable value remembers more of them than the version that holds it.
pub(super) fn found(set: &VersionSet, rule: MergeRule, operation: OperationId) -> Option<Found> {
    let in_state = || remembering(set, operation).filter(|_| rule.is_mergeable());
    set.find_operation(operation).or_else(|| in_state().map(|by| Found::Superseded { by }))
}

/// What an operation's answer says of the value: of a counter, what it is now.
pub(super) fn told(set: &VersionSet, rule: MergeRule) -> Option<Joined> {
    match rule {
        MergeRule::Counter => Some(State::of(set).ok()??.shown()),
        _ => None,
    }
}
