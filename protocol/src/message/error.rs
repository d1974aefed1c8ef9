//! Why a request was not carried out, what became of it, and what the client may do.

use crate::context::ContextError;
use crate::mergeable::OperationRefusal;
use crate::message::access::{AccessRefusal, Needed};
pub use crate::message::causes::{ArgumentKind, LimitKind, OwnerCause, OwnerFailure};
use crate::version::{MintRefusal, OperationId};

crate::wire_enum! {
    /// Why a request was not carried out as asked. [`RequestError::class`] and [`RequestError::retry`] say what follows.
    #[derive(thiserror::Error)]
    pub enum RequestError {
        /// Too few answers could be had. Nothing was applied.
        #[error("not applied: {got} of {needed} could be reached")]
        1 = Unavailable {
            /// Answers that were asked for.
            needed: u8,
            /// Answers that could be had.
            got: u8,
            /// Why each of the others failed.
            causes: Vec<OwnerFailure>,
        },
        /// The write is durable in fewer places than asked, and may yet reach more. Retry with the same operation.
        #[error("applied at {got} of {needed}; retry operation {operation}")]
        2 = AppliedBelowW {
            /// Durable copies that were asked for.
            needed: u8,
            /// Durable copies that were confirmed.
            got: u8,
            /// The operation.
            operation: OperationId,
            /// Why each of the others failed.
            causes: Vec<OwnerFailure>,
        },
        /// The write may have been applied or not. Retry with the same operation.
        #[error("outcome unknown; retry operation {operation}")]
        3 = OutcomeUnknown {
            /// The operation.
            operation: OperationId,
        },
        /// Queues are full. Nothing was applied. Retry later.
        #[error("overloaded: retry in {retry_after_ms} ms")]
        4 = Overloaded {
            /// How long to wait at least.
            retry_after_ms: u32,
        },
        /// The context was not accepted. Nothing was applied. Read again.
        #[error("bad context: {reason}")]
        5 = BadContext {
            /// Why.
            reason: ContextError,
        },
        /// The bucket does not exist. Nothing was applied.
        #[error("no such bucket")]
        6 = NoSuchBucket,
        /// The bucket exists already. Nothing was applied.
        #[error("the bucket exists already")]
        7 = BucketExists,
        /// The request is wrong in itself. Nothing was applied.
        #[error("invalid: {argument}")]
        8 = InvalidArgument {
            /// Which argument.
            argument: ArgumentKind,
        },
        /// Something is over its limit. Nothing was applied.
        #[error("{size} {what}: at most {limit}")]
        9 = TooLarge {
            /// What is too large.
            what: LimitKind,
            /// Its size.
            size: u64,
            /// The most that is allowed.
            limit: u64,
        },
        /// The key has too many siblings for a write that replaces none of them. Nothing was applied. Read the key and put
        /// with that context.
        #[error("too many siblings: read and resolve them first")]
        10 = TooManySiblings,
        /// The deadline passed before anything was applied.
        #[error("deadline exceeded, not applied")]
        11 = DeadlineExceeded,
        /// The node's layout is another than the request needs. Nothing was applied. Ask for the topology and retry.
        #[error("the layout has changed: ask for the topology again")]
        12 = WrongLayout,
        /// The data lives elsewhere now. Nothing was applied. Ask for the topology and retry.
        #[error("the data has moved: ask for the topology again")]
        13 = Moved,
        /// What is stored is damaged, and no undamaged copy could be had.
        #[error("the stored data is damaged")]
        14 = Damaged,
        /// The client may not do this. Nothing was applied.
        #[error("not allowed")]
        15 = NotAllowed,
        /// No common protocol version. Update the older side.
        #[error("the node speaks protocol versions {min} to {max}")]
        16 = UnsupportedVersion {
            /// The lowest that the node speaks.
            min: u16,
            /// The highest.
            max: u16,
        },
        /// A listing would have gaps. Ask for a partial one, or retry.
        #[error("{partitions} partitions could not be asked")]
        17 = Uncovered {
            /// Partitions that nobody could be asked for.
            partitions: u32,
        },
        /// The disk has no room for writes. Nothing was applied. Deletes still work.
        #[error("the disk is full")]
        18 = DiskFull,
        /// The node is stopping. Nothing was applied. Ask another node.
        #[error("the node is stopping")]
        19 = Stopping,
        /// It is not known who asks. Nothing was applied. In answer to a greeting, the connection is closed; in answer to a
        /// request, the token of the connection has expired or was revoked. Connect again with a valid token or certificate.
        #[error("not let in: {reason}")]
        20 = Unauthenticated {
            /// Why.
            reason: AccessRefusal,
        },
        /// The client's token does not allow this. Nothing was applied. Use a token with the rights that are named.
        #[error("not allowed: this needs {needed}")]
        21 = Forbidden {
            /// What would allow it.
            needed: Needed,
        },
        /// There is no access token of this id. Nothing was applied.
        #[error("no such access token")]
        22 = NoSuchToken,
        /// This attempt was refused and applied nothing; but it is a retry, and an earlier attempt may have been applied. Do
        /// about it what the refusal advises, under the same operation.
        #[error("an earlier attempt may have been applied, this one was refused: {refusal}")]
        23 = EarlierAttemptUnknown {
            /// The operation.
            operation: OperationId,
            /// Why this attempt was refused.
            refusal: Box<RequestError>,
        },
        /// The coordinator's clock is not that of most of its peers, and the bucket goes by clocks. Nothing was applied. Ask
        /// another owner.
        #[error("the coordinator's clock is {skew_ms} ms off")]
        24 = ClockSkew {
            /// How far it is at least from the clock of the peer that is nearest.
            skew_ms: u64,
        },
    } else {
        /// An error that a later version added.
        #[error("error {0} of a later version")]
        Other
    }
}

/// What a failure means to the caller; a command line maps it to its exit code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ErrorClass {
    /// What was named does not exist.
    NotFound,
    /// The request is wrong in itself.
    Usage,
    /// Not applied, because too little of the cluster can serve it now.
    Unavailable,
    /// It contradicts what is there: read again and decide.
    Conflict,
    /// The node will not do it, now or ever.
    Refused,
    /// It was or may have been applied, but not as asked: retry with the same operation id.
    Unknown,
    /// Stored data is damaged.
    Damaged,
}

/// What a client may do about a failure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Retry {
    /// Nothing: the same request fails again.
    No,
    /// Send it again with the same operation id, after this many milliseconds or more.
    After {
        /// How long to wait at least.
        ms: u32,
    },
    /// Ask for the topology, then send it again.
    AfterTopology,
}

impl RequestError {
    /// What the failure means to the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            RequestError::NoSuchBucket | RequestError::NoSuchToken => ErrorClass::NotFound,
            RequestError::InvalidArgument { argument: ArgumentKind::NothingToDelete } => {
                ErrorClass::NotFound
            }
            RequestError::InvalidArgument { .. } | RequestError::TooLarge { .. } => {
                ErrorClass::Usage
            }
            RequestError::Unavailable { .. }
            | RequestError::Overloaded { .. }
            | RequestError::DeadlineExceeded
            | RequestError::WrongLayout
            | RequestError::Moved
            | RequestError::Uncovered { .. }
            | RequestError::ClockSkew { .. }
            | RequestError::Stopping => ErrorClass::Unavailable,
            RequestError::BadContext { .. } | RequestError::BucketExists => ErrorClass::Conflict,
            RequestError::TooManySiblings => ErrorClass::Conflict,
            RequestError::NotAllowed
            | RequestError::Unauthenticated { .. }
            | RequestError::Forbidden { .. }
            | RequestError::UnsupportedVersion { .. }
            | RequestError::DiskFull => ErrorClass::Refused,
            // An unknown error may mean anything, so nothing may be concluded about the write.
            RequestError::AppliedBelowW { .. }
            | RequestError::OutcomeUnknown { .. }
            | RequestError::EarlierAttemptUnknown { .. }
            | RequestError::Other(_) => ErrorClass::Unknown,
            RequestError::Damaged => ErrorClass::Damaged,
        }
    }

    /// Whether it is certain that nothing was applied.
    pub fn is_not_applied(&self) -> bool {
        self.class() != ErrorClass::Unknown
    }

    /// The same about a retry of `operation`: that nothing was applied holds for this attempt only.
    pub fn of_retry(self, operation: OperationId) -> RequestError {
        match self.is_not_applied() {
            true => RequestError::EarlierAttemptUnknown { operation, refusal: Box::new(self) },
            false => self,
        }
    }

    /// What this attempt met, whatever became of an earlier one.
    pub fn of_attempt(&self) -> &RequestError {
        match self {
            RequestError::EarlierAttemptUnknown { refusal, .. } => refusal,
            other => other,
        }
    }

    /// What the client may do.
    pub fn retry(&self) -> Retry {
        match self.of_attempt() {
            RequestError::Overloaded { retry_after_ms } => Retry::After { ms: *retry_after_ms },
            RequestError::WrongLayout | RequestError::Moved => Retry::AfterTopology,
            RequestError::Unavailable { .. }
            | RequestError::AppliedBelowW { .. }
            | RequestError::OutcomeUnknown { .. }
            | RequestError::DeadlineExceeded
            | RequestError::Uncovered { .. }
            | RequestError::ClockSkew { .. }
            | RequestError::Stopping => Retry::After { ms: 0 },
            _ => Retry::No,
        }
    }
}

impl From<MintRefusal> for RequestError {
    fn from(refusal: MintRefusal) -> RequestError {
        match refusal {
            MintRefusal::TooManySiblings => RequestError::TooManySiblings,
            MintRefusal::NothingToDelete => {
                RequestError::InvalidArgument { argument: ArgumentKind::NothingToDelete }
            }
            MintRefusal::Operation(refusal) => refusal.into(),
        }
    }
}

impl From<OperationRefusal> for RequestError {
    fn from(refusal: OperationRefusal) -> RequestError {
        let invalid = |argument| RequestError::InvalidArgument { argument };
        match refusal {
            // What fits no bucket was refused before it came to a value; within a map it is a field's kind.
            OperationRefusal::WrongType => invalid(ArgumentKind::FieldKind),
            OperationRefusal::Empty => invalid(ArgumentKind::Empty),
            OperationRefusal::FieldTwice => invalid(ArgumentKind::Field),
            OperationRefusal::OutOfRange => invalid(ArgumentKind::Amount),
            OperationRefusal::TooLarge { bytes, limit } => {
                RequestError::TooLarge { what: LimitKind::Mergeable, size: bytes, limit }
            }
            OperationRefusal::TooMany { items, limit } => {
                RequestError::TooLarge { what: LimitKind::Items, size: items, limit }
            }
            OperationRefusal::Unreadable => RequestError::Damaged,
        }
    }
}

impl From<ContextError> for RequestError {
    fn from(reason: ContextError) -> RequestError {
        RequestError::BadContext { reason }
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorClass, RequestError, Retry};
    use crate::version::OperationId;

    #[test]
    fn only_a_write_that_may_have_been_applied_is_of_unknown_outcome() {
        let operation = OperationId(1);
        let may_be_applied = [
            RequestError::AppliedBelowW { needed: 2, got: 1, operation, causes: Vec::new() },
            RequestError::OutcomeUnknown { operation },
            RequestError::NoSuchBucket.of_retry(operation),
            RequestError::Other(99),
        ];
        assert!(
            may_be_applied
                .iter()
                .all(|error| error.class() == ErrorClass::Unknown && !error.is_not_applied())
        );
        let not_applied = [
            RequestError::Unavailable { needed: 2, got: 1, causes: Vec::new() },
            RequestError::DeadlineExceeded,
            RequestError::Overloaded { retry_after_ms: 1 },
            RequestError::DiskFull,
        ];
        assert!(not_applied.iter().all(RequestError::is_not_applied));
    }

    #[test]
    fn a_retry_is_advised_only_where_it_can_succeed() {
        assert_eq!(RequestError::Overloaded { retry_after_ms: 7 }.retry(), Retry::After { ms: 7 });
        assert_eq!(RequestError::WrongLayout.retry(), Retry::AfterTopology);
        assert_eq!(RequestError::Stopping.retry(), Retry::After { ms: 0 });
        let operation = OperationId(1);
        assert_eq!(RequestError::WrongLayout.of_retry(operation).retry(), Retry::AfterTopology);
        for hopeless in
            [RequestError::NoSuchBucket, RequestError::NotAllowed, RequestError::TooManySiblings]
        {
            assert_eq!(hopeless.retry(), Retry::No, "{hopeless}");
        }
    }

    #[test]
    fn what_is_uncertain_by_itself_stays_what_it_is_in_a_retry() {
        let operation = OperationId(1);
        let unknown = RequestError::OutcomeUnknown { operation };
        assert_eq!(unknown.clone().of_retry(operation), unknown);
        let twice = RequestError::DiskFull.of_retry(operation).of_retry(operation);
        assert_eq!(twice, RequestError::DiskFull.of_retry(operation));
        assert_eq!(twice.of_attempt(), &RequestError::DiskFull);
    }

    #[test]
    fn an_error_reads_as_a_sentence() {
        let error = RequestError::TooLarge { what: super::LimitKind::Value, size: 9, limit: 4 };
        assert_eq!(error.to_string(), "9 bytes of value: at most 4");
    }
}
