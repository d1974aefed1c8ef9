//! What exactly is wrong: the details that errors carry. Each is a choice to which later versions may add.

use kvorum_ring::NodeId;

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
        /// A request that does not fit the bucket's merge rule: a put where operations are asked for, or an operation of another
        /// kind.
        #[error("the request does not fit the bucket's merge rule")]
        15 = Rule,
        /// The field of a map is of another kind than the operation.
        #[error("the field is of another kind")]
        16 = FieldKind,
        /// A field that one operation names twice, or a field without a name.
        #[error("a field is named twice, or not at all")]
        17 = Field,
        /// A counter would leave what 64 bits with a sign can hold.
        #[error("a counter beyond 64 bits")]
        18 = Amount,
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
        /// A counter, set, register or map, an element or a field's name.
        #[error("bytes of a mergeable value")]
        9 = Mergeable,
        /// Elements or fields, of one operation or one value.
        #[error("elements or fields")]
        10 = Items,
    } else {
        /// A kind that a later version added.
        #[error("of kind {0}")]
        Other
    }
}
