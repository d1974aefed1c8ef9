//! Why a request was not carried out, what became of it, and what the client may do.

use kvorum_ring::NodeId;

use crate::context::ContextError;
use crate::message::access::{AccessRefusal, Needed};
use crate::version::{MintRefusal, OperationId};

crate::wire_enum! {
    /// Why an owner's answer does not count.
    #[derive(Copy, thiserror::Error)]
    pub enum OwnerCause {
        /// It is believed down, or the connection to it broke.
        #[error("unreachable")]
        1 = Unreachable,
        /// It did not answer before the deadline.
        #[error("timed out")]
        2 = TimedOut,
        /// Its queues or its disk are full.
        #[error("overloaded")]
        3 = Overloaded,
        /// Its copy is damaged and being healed.
        #[error("damaged copy")]
        4 = Damaged,
        /// It lost part of its log and its "not found" does not count yet.
        #[error("refilling")]
        5 = Refilling,
        /// It has another layout.
        #[error("other layout")]
        6 = WrongLayout,
        /// It stopped or is stopping.
        #[error("stopping")]
        7 = Stopping,
        /// Its disk has no room for writes.
        #[error("disk full")]
        8 = DiskFull,
        /// Only a fallback could have taken the write, and the request asked for owners.
        #[error("a fallback, and the request is strict")]
        9 = NotAnOwner,
        /// Its copy and what it was sent do not fit into one record: some node has made up versions or actors.
        #[error("the record would be too large")]
        10 = Oversized,
    } else {
        /// A cause that a later version added.
        #[error("cause {0}")]
        Other
    }
}

crate::wire_struct! {
    /// An owner whose answer does not count.
    #[derive(Copy)]
    pub struct OwnerFailure {
        /// The owner.
        pub node: NodeId,
        /// Why.
        pub cause: OwnerCause,
    }
}

crate::wire_enum! {
    /// The argument that is wrong.
    #[derive(Copy, thiserror::Error)]
    pub enum ArgumentKind {
        /// The request could not be decoded.
        #[error("the request is malformed")]
        1 = Malformed,
        /// `r` is not from 1 to the number of owners.
        #[error("r is not from 1 to the number of owners")]
        2 = ReadQuorum,
        /// `w` is not from 1 to the number of owners.
        #[error("w is not from 1 to the number of owners")]
        3 = WriteQuorum,
        /// The deadline is zero or too long.
        #[error("the deadline is zero or over a minute")]
        4 = Deadline,
        /// The replication class does not exist.
        #[error("no such replication class")]
        5 = Class,
        /// A setting that is fixed when the bucket is made.
        #[error("the class and the merge rule of a bucket cannot be changed")]
        6 = FixedSetting,
        /// A delete that names nothing to delete: it replaces nothing, or there is nothing.
        #[error("there is nothing to delete")]
        7 = NothingToDelete,
        /// An empty batch, or a page of no keys.
        #[error("nothing is asked for")]
        8 = Empty,
        /// The tag of the request is unknown to this node.
        #[error("a request that this node does not know")]
        9 = UnknownRequest,
        /// The expiry has passed already.
        #[error("the expiry has passed already")]
        10 = Expired,
        /// There is a token of this id already, and it is another one.
        #[error("another access token has this id")]
        11 = Token,
        /// No rights, or rights that this node does not know.
        #[error("no rights, or rights that this node does not know")]
        12 = Rights,
        /// A strict write that asks for fewer copies than the bucket: strict reads rely on the bucket's number.
        #[error("a strict write asks for no fewer copies than the bucket's w")]
        13 = StrictWriteQuorum,
        /// A token's limit that would let nothing through.
        #[error("a limit of an access token is 1 or more")]
        14 = TokenLimit,
    } else {
        /// A kind that a later version added.
        #[error("argument {0}")]
        Other
    }
}

crate::wire_enum! {
    /// What is too large.
    #[derive(Copy, thiserror::Error)]
    pub enum LimitKind {
        /// An inline value, in bytes.
        #[error("bytes of value")]
        1 = Value,
        /// A batch, in items.
        #[error("items in a batch")]
        2 = Batch,
        /// A page, in keys.
        #[error("keys in a page")]
        3 = Page,
        /// An answer, in bytes.
        #[error("bytes of answer")]
        4 = Answer,
        /// The buckets of the cluster.
        #[error("buckets")]
        5 = Buckets,
        /// The access tokens of the cluster, revoked ones included.
        #[error("access tokens")]
        6 = Tokens,
        /// The grants of one access token.
        #[error("grants")]
        7 = Grants,
        /// The versions of one key, with everything that its clock knows.
        #[error("entries in one record")]
        8 = Record,
    } else {
        /// A kind that a later version added.
        #[error("of kind {0}")]
        Other
    }
}

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
