//! Looking for what a delete could delete.
//!
//! A delete of the latest deletes what its coordinator holds. Where that is nothing live, the other owners may hold something
//! all the same: this one was away, or lost its record. So before "there is nothing to delete" may be said they are asked, by
//! an ordinary get, whose repair gives this owner what they hold. The delete is then tried once more, and its reply names
//! what it replaced.
//!
//! The repair need not have succeeded by then: the get may be answered before this owner's own read, and this owner may refuse
//! what it is given. The second attempt then finds nothing here although there is something, and says that it cannot be
//! served now, never that there is nothing.
//!
//! Only deletes search. A put of the latest that finds nothing here adds a version, and loses nothing when there is more
//! elsewhere: they stand side by side.

use kvorum_protocol::message::{
    ArgumentKind, Get, Request, RequestError, RequestOptions, Response,
};
use kvorum_protocol::{OperationId, RecordKey};

use crate::engine::coordinator::outcome::error_of;
use crate::engine::coordinator::small;
use crate::engine::turn::{Part, Turn};

/// Asks the owners. The search may take half of the time that is left; the delete needs the other half.
pub(super) fn begin(
    turn: &mut Turn<'_>,
    key: &RecordKey,
    operation: OperationId,
    deadline_ns: u64,
) {
    let left_ns = deadline_ns.saturating_sub(turn.now.mono_ns);
    let get = Get {
        bucket: key.bucket.clone(),
        key: key.key.clone(),
        options: RequestOptions::new(operation),
    };
    let deadline_ns = turn.now.mono_ns + left_ns / 2;
    turn.begin(Part { index: 0, request: Request::Get(get), deadline_ns });
}

/// The error of a delete whose search found something that is not held here, of `owners` one.
pub(super) fn not_here(owners: usize) -> RequestError {
    let (needed, got) = (small(owners), small(owners.saturating_sub(1)));
    RequestError::Unavailable { needed, got, causes: Vec::new() }
}

/// Whether there is something to delete after all. "Nothing" is certain only when every one of the `owners` said so.
pub(super) fn verdict(response: Response, owners: usize) -> Result<(), RequestError> {
    let (is_found, is_complete, got) = match response {
        Response::Get(done) => (done.is_found(), done.complete, done.owners),
        Response::Merged(done) => (done.value.is_some(), done.complete, done.owners),
        other => return Err(error_of(other)),
    };
    match (is_found, is_complete) {
        (true, _) => Ok(()),
        (false, true) => {
            Err(RequestError::InvalidArgument { argument: ArgumentKind::NothingToDelete })
        }
        (false, false) => {
            Err(RequestError::Unavailable { needed: small(owners), got, causes: Vec::new() })
        }
    }
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::message::{BatchGetDone, RequestError, Response};

    use super::verdict;

    #[test]
    fn an_answer_of_another_kind_is_an_error_and_no_verdict() {
        let other = Response::BatchGet(BatchGetDone { outcomes: Vec::new() });
        assert_eq!(verdict(other, 3), Err(RequestError::Other(0)));
        let error = RequestError::Stopping;
        assert_eq!(verdict(Response::Error { error: error.clone() }, 3), Err(error));
    }
}
