//! What a request is that is passed on, as far as that decides how often it may be.

use kvorum_protocol::OperationId;

/// What is passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Errand {
    /// May be repeated anywhere.
    Read,
    /// May be applied once it has been sent.
    Write(OperationId),
}
