//! What a put says became of it, and what the answer of a part says.

use kvorum_protocol::limits as bounds;
use kvorum_protocol::mergeable::Joined;
use kvorum_protocol::message::{LimitKind, PutDone, RequestError, Response, UpdateDone};
use kvorum_protocol::{Clock, Dot, EncodedSet, Found, MintRefusal, OperationId, Replaces};
use kvorum_ring::KeyHash;
use kvorum_store::{MintedDot, StoreRefusal};

use crate::engine::coordinator::copies::Copies;
use crate::engine::coordinator::small;
use crate::engine::view::ClusterView;
use crate::limits;

/// A write that is applied at its coordinator.
#[derive(Clone)]
pub(super) struct Applied {
    pub(super) dot: Dot,
    replaced: Vec<Dot>,
    /// What the reply's context covers, if one is exact.
    context: Option<Clock>,
    /// What an operation's answer says of the value.
    pub(super) value: Option<Joined>,
}

impl Applied {
    /// A write minted just now, which left `set` in the record.
    pub(super) fn now(replaces: &Replaces, minted: MintedDot, set: &EncodedSet) -> Applied {
        let context = exact_context(replaces, minted.dot, set);
        Applied { dot: minted.dot, replaced: minted.replaced, context, value: None }
    }

    /// A write of an earlier attempt. What it replaced, and so what a context may cover, is no longer known.
    pub(super) fn before(found: Found) -> Applied {
        let dot = match found {
            Found::Live(dot) | Found::Deleted(dot) => dot,
            Found::Superseded { by } => by,
        };
        Applied { dot, replaced: Vec::new(), context: None, value: None }
    }

    /// The reply of an operation that has its quorum, which it gets once.
    pub(super) fn update_done(&mut self, copies: &Copies, retry_checked: bool) -> UpdateDone {
        UpdateDone {
            dot: self.dot,
            acked_owners: small(copies.at_owners()),
            acked_fallbacks: small(copies.at_fallbacks()),
            needed: small(copies.needed()),
            retry_checked,
            value: self.value.take(),
        }
    }

    /// The reply of a put or delete that has its quorum, which it gets once.
    pub(super) fn done(
        &mut self,
        view: &ClusterView,
        key: KeyHash,
        copies: &Copies,
        retry_checked: bool,
    ) -> PutDone {
        let context = self.context.as_ref();
        PutDone {
            context: context.map(|clock| view.context_keys.seal_hashed(key, clock)),
            dot: self.dot,
            replaced: std::mem::take(&mut self.replaced),
            acked_owners: small(copies.at_owners()),
            acked_fallbacks: small(copies.at_fallbacks()),
            needed: small(copies.needed()),
            retry_checked,
        }
    }
}

/// What is true of a write that was handed to the store and is not known to have its quorum.
pub(super) fn below_w(copies: &Copies, operation: OperationId) -> RequestError {
    match copies.got() {
        0 => RequestError::OutcomeUnknown { operation },
        got => RequestError::AppliedBelowW {
            needed: small(copies.needed()),
            got: small(got),
            operation,
            causes: copies.failures(),
        },
    }
}

/// Too few owners can be reached to begin at all.
pub(super) fn unavailable(copies: &Copies) -> RequestError {
    let (needed, got) = (small(copies.needed()), small(copies.owners().awaited().len()));
    RequestError::Unavailable { needed, got, causes: copies.failures() }
}

/// The own store minted nothing.
pub(super) fn refused(reason: StoreRefusal) -> RequestError {
    match reason {
        StoreRefusal::Overloaded { retry_after_ms } => RequestError::Overloaded { retry_after_ms },
        StoreRefusal::DiskFull => RequestError::DiskFull,
        StoreRefusal::HintsFull => {
            RequestError::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS }
        }
        StoreRefusal::TooManySiblings => RequestError::TooManySiblings,
        StoreRefusal::NothingToDelete => MintRefusal::NothingToDelete.into(),
        StoreRefusal::Operation(refusal) => refusal.into(),
        StoreRefusal::Oversized => RequestError::TooLarge {
            what: LimitKind::Record,
            size: bounds::CLOCK_ENTRIES as u64 + 1,
            limit: bounds::CLOCK_ENTRIES as u64,
        },
        StoreRefusal::Closing => RequestError::Stopping,
    }
}

/// The error in an answer. A peer of a later version may answer in a way that we cannot name: then nothing is known.
pub(super) fn error_of(response: Response) -> RequestError {
    match response {
        Response::Error { error } => error,
        _ => RequestError::Other(0),
    }
}

/// A clock that covers exactly the write and what it replaced, if there is one.
///
/// A clock cannot say "the actor's 1st and 3rd". So when the actor's counter has moved on since the client read, because
/// somebody else wrote in between, every clock that covers the new dot would also cover that other write, which this
/// client has not seen; handing it out would let the next put erase it. Then there is no context, and the client reads.
fn exact_context(replaces: &Replaces, dot: Dot, set: &EncodedSet) -> Option<Clock> {
    let seen = match replaces {
        Replaces::Latest => return Some(set.clock().clone()),
        Replaces::Context(clock) => clock,
        Replaces::Nothing => &Clock::EMPTY,
    };
    if seen.get(dot.actor) + 1 != dot.counter {
        return None;
    }
    let mut clock = seen.clone();
    clock.raise(dot);
    Some(clock)
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::{Actor, Clock, Dot, EncodedSet, Replaces, VersionSet};

    use super::exact_context;

    const A: Actor = Actor(1);

    fn context(seen: &[(Actor, u64)], counter: u64) -> Option<Clock> {
        let replaces = Replaces::Context(Clock::of(seen.iter().copied()));
        exact_context(&replaces, Dot::new(A, counter), &EncodedSet::new(&VersionSet::empty()))
    }

    #[test]
    fn a_context_never_covers_a_write_that_its_client_has_not_seen() {
        let read = [(A, 1), (Actor(2), 7)];
        assert_eq!(context(&read, 2), Some(Clock::of([(A, 2), (Actor(2), 7)])));
        assert_eq!(context(&read, 3), None, "the actor's 2nd write is somebody else's");
        assert_eq!(context(&[], 1), Some(Clock::of([(A, 1)])));
        let nothing = exact_context(
            &Replaces::Nothing,
            Dot::new(A, 2),
            &EncodedSet::new(&VersionSet::empty()),
        );
        assert_eq!(nothing, None);
    }
}
