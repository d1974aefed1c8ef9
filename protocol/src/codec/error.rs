//! Why bytes are not what they should be. Decoding changes nothing, so the caller refuses the input and goes on.

/// Bytes that could not be decoded. Nothing was changed. From a client: answer that the request is invalid and close the
/// connection if no frame boundary can be trusted. From the disk: the record is damaged and counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the bytes end inside a value")]
    Truncated,
    /// Bytes follow after the message.
    #[error("bytes follow after the message")]
    TrailingBytes,
    /// Arrays nest deeper than [`limits::DEPTH`](crate::limits::DEPTH).
    #[error("arrays nest too deep")]
    TooDeep,
    /// A length or a number of elements that the frame cannot hold.
    #[error("a length reaches beyond the frame")]
    BeyondFrame,
    /// A value of another type than the field has.
    #[error("a value of the wrong type")]
    WrongType,
    /// A number outside of its field's range.
    #[error("a number out of range")]
    OutOfRange,
    /// A field that has no default is absent.
    #[error("a required field is missing")]
    MissingField,
    /// A field too many in an array that never grows.
    #[error("a field too many")]
    SurplusField,
    /// A tag that this version does not know.
    #[error("unknown tag {0}")]
    UnknownTag(u32),
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// A list longer than its limit.
    #[error("a list of more than {limit} elements")]
    TooMany {
        /// The most elements that this list may have.
        limit: usize,
    },
    /// A stored format newer than this version reads.
    #[error("unknown format version {0}")]
    UnknownFormat(u8),
    /// A well-formed value that breaks a rule of its type.
    #[error("{0}")]
    Invalid(Invalid),
}

/// The rule that a decoded value breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// See [`BucketName`](crate::BucketName).
    #[error("not a bucket name")]
    BucketName,
    /// See [`Key`](crate::Key).
    #[error("a key is 1 to 4,096 bytes long")]
    Key,
    /// A record key starts with a space of keys that does not exist, or ends early.
    #[error("not a record key")]
    RecordKey,
    /// A clock's entries ascend by actor.
    #[error("a clock out of order")]
    ClockOrder,
    /// Counters are from 1 to [`limits::COUNTER`](crate::limits::COUNTER).
    #[error("a counter out of range")]
    Counter,
    /// The versions and deletions of a set ascend by dot, each dot once.
    #[error("dots out of order")]
    DotOrder,
    /// A set's clock covers all of its dots.
    #[error("a dot that its set's clock does not cover")]
    UncoveredDot,
    /// A list of operation ids is at most eight times sixteen bytes.
    #[error("not a list of operation ids")]
    OperationIds,
    /// A mergeable value whose parts do not fit together: see [`State`](crate::mergeable::State).
    #[error("not the state of a mergeable value")]
    State,
    /// See [`AccessToken`](crate::access::AccessToken): what it was is not said, since it may have been a secret.
    #[error("not an access token")]
    Token,
    /// See [`TokenName`](crate::access::TokenName).
    #[error("a token's name is 1 to 64 of A-Z a-z 0-9 . _ -")]
    TokenName,
    /// See [`Grant`](crate::access::Grant).
    #[error("rights are written BUCKET:read,write,admin, with * for every bucket")]
    Rights,
}

impl From<Invalid> for DecodeError {
    fn from(invalid: Invalid) -> DecodeError {
        DecodeError::Invalid(invalid)
    }
}
