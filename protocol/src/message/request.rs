//! What a client asks.

use bytes::Bytes;

use crate::context::Context;
use crate::key::{BucketName, Key};
use crate::limits;
use crate::mergeable::Operation;
use crate::message::access::{TokenCreate, TokenRevoke};
use crate::message::bucket::Bucket;
use crate::message::error::RequestError;
use crate::message::hints::HintsAsk;
use crate::message::repair::{Repair, RepairTarget};
use crate::message::why::Why;
use crate::version::OperationId;

crate::wire_struct! {
    /// How a request wants to be served.
    pub struct RequestOptions {
        /// The client's name for the operation, the same in every retry.
        pub operation: OperationId,
        /// Answers that a read waits for; the bucket's setting when absent.
        pub r: Option<u8> = None,
        /// Durable copies that a write waits for; the bucket's setting when absent. A write that waits for fewer than the bucket
        /// says may be missed by a strict read, so a strict write cannot. Reads do not look at it.
        pub w: Option<u8> = None,
        /// Owners only count, and a read repairs before it answers.
        pub strict: bool = false,
        /// Fallbacks may stand in for owners that are away. Without effect in a strict request.
        pub sloppy: bool = true,
        /// Milliseconds that remain when the request is sent; at most [`limits::DEADLINE_MAX_MS`].
        pub deadline_ms: u32 = limits::DEADLINE_DEFAULT_MS,
        /// This is a retry: the operation may have been applied before.
        pub retry: bool = false,
    }
}

impl RequestOptions {
    /// The default options of an operation.
    pub fn new(operation: OperationId) -> RequestOptions {
        RequestOptions {
            operation,
            r: None,
            w: None,
            strict: false,
            sloppy: true,
            deadline_ms: limits::DEADLINE_DEFAULT_MS,
            retry: false,
        }
    }
}

crate::wire_enum! {
    /// What a write replaces, as the client says it. See [`Replaces`](crate::Replaces).
    pub enum Replacing {
        /// What the coordinator holds when it mints.
        1 = Latest,
        /// Nothing: the write adds a sibling.
        2 = Nothing,
        /// What was read with this context.
        3 = Context {
            /// The context of that read.
            context: Context,
        },
    }
}

crate::wire_struct! {
    /// Stores a value.
    pub struct Put {
        /// The bucket.
        pub bucket: BucketName,
        /// The key.
        pub key: Key,
        /// The value, up to [`limits::INLINE_VALUE_BYTES`].
        pub value: Bytes,
        /// What it replaces.
        pub replaces: Replacing,
        /// How it wants to be served.
        pub options: RequestOptions,
        /// Wall-clock time in milliseconds since 1970 from which on the value reads as deleted.
        pub expires_at_ms: Option<u64> = None,
    }
}

crate::wire_struct! {
    /// Reads a key.
    pub struct Get {
        /// The bucket.
        pub bucket: BucketName,
        /// The key.
        pub key: Key,
        /// How it wants to be served.
        pub options: RequestOptions,
    }
}

crate::wire_struct! {
    /// Deletes what a key holds.
    pub struct Delete {
        /// The bucket.
        pub bucket: BucketName,
        /// The key.
        pub key: Key,
        /// What it replaces.
        pub replaces: Replacing,
        /// How it wants to be served.
        pub options: RequestOptions,
    }
}

crate::wire_struct! {
    /// Lists keys of a bucket in key order.
    pub struct List {
        /// The bucket.
        pub bucket: BucketName,
        /// Only keys that start with this; empty for all.
        pub prefix: Bytes,
        /// Only keys behind this one: the page token is the last key of the page before.
        pub after: Option<Key>,
        /// The most keys in the page; at most [`limits::LIST_PAGE_ITEMS`].
        pub limit: u32,
        /// Answer also when no owner of some partition can be asked; the answer names those partitions.
        pub partial: bool,
        /// How it wants to be served.
        pub options: RequestOptions,
    }
}

crate::wire_struct! {
    /// One put of a batch.
    pub struct PutItem {
        /// The key.
        pub key: Key,
        /// The value.
        pub value: Bytes,
        /// What it replaces.
        pub replaces: Replacing,
        /// This put's own operation.
        pub operation: OperationId,
        /// As in [`Put::expires_at_ms`].
        pub expires_at_ms: Option<u64> = None,
    }
}

crate::wire_struct! {
    /// Stores several values. Each succeeds or fails by itself.
    pub struct BatchPut {
        /// The bucket.
        pub bucket: BucketName,
        /// At most [`limits::BATCH_ITEMS`].
        pub items: Vec<PutItem>,
        /// How they want to be served; the items name the operations.
        pub options: RequestOptions,
    }
}

crate::wire_struct! {
    /// Reads several keys. Each succeeds or fails by itself.
    pub struct BatchGet {
        /// The bucket.
        pub bucket: BucketName,
        /// At most [`limits::BATCH_ITEMS`].
        pub keys: Vec<Key>,
        /// How they want to be served.
        pub options: RequestOptions,
    }
}

crate::wire_struct! {
    /// Applies an operation to a mergeable value.
    pub struct Update {
        /// The bucket, whose rule the operation has to fit.
        pub bucket: BucketName,
        /// The key.
        pub key: Key,
        /// What is done.
        pub change: Operation,
        /// How it wants to be served.
        pub options: RequestOptions,
    }
}

crate::wire_struct! {
    /// Names a bucket.
    pub struct BucketRequest {
        /// The bucket.
        pub name: BucketName,
    }
}

crate::wire_struct! {
    /// Creates a bucket or changes its settings.
    pub struct BucketSet {
        /// The bucket with all of its settings.
        pub bucket: Bucket,
    }
}

crate::wire_struct! {
    /// Asks for a diagnosis of the node that answers.
    pub struct Diag {
        /// The sections wanted, by name; none for all.
        pub sections: Vec<String>,
    }
}

crate::wire_struct! {
    /// A request that needs no more than its tag.
    #[derive(Copy, Default)]
    pub struct Nothing {}
}

crate::wire_enum! {
    /// A client's request.
    pub enum Request {
        /// Store a value. Answered by `Put`.
        10 = Put(put: Put),
        /// Read a key. Answered by `Get`.
        11 = Get(get: Get),
        /// Delete a key. Answered by `Put`.
        12 = Delete(delete: Delete),
        /// List keys. Answered by `List`.
        13 = List(list: List),
        /// Store several values. Answered by `BatchPut`.
        14 = BatchPut(batch: BatchPut),
        /// Read several keys. Answered by `BatchGet`.
        15 = BatchGet(batch: BatchGet),
        /// Apply an operation to a mergeable value. Answered by `Update`.
        16 = Update(update: Update),
        /// Nodes, their addresses and the layout. Answered by `Topology`.
        20 = Topology(nothing: Nothing),
        /// Figures of the node that answers. Answered by `Status`.
        21 = Status(nothing: Nothing),
        /// A diagnosis of the node that answers. Answered by `Diag`.
        22 = Diag(diag: Diag),
        /// Make the owners of a key or a partition hold the same. Answered by `Repair`. Of a partition the operator's.
        24 = Repair(repair: Repair),
        /// What the node that answers holds for owners that were away, and whether it hands it over. Answered by `Hints`. The
        /// operator's.
        25 = Hints(ask: HintsAsk),
        /// Why a key holds what it holds. Answered by `Why`.
        28 = Why(why: Why),
        /// List the keys that hold siblings. Answered by `Conflicts`.
        29 = Conflicts(list: List),
        /// Create a bucket. Answered by `Buckets` with it.
        30 = BucketCreate(set: BucketSet),
        /// Change a bucket's settings. Answered by `Buckets` with it.
        31 = BucketSet(set: BucketSet),
        /// Show a bucket. Answered by `Buckets` with it.
        32 = BucketShow(bucket: BucketRequest),
        /// All buckets. Answered by `Buckets`.
        33 = BucketList(nothing: Nothing),
        /// Make an access token known. Answered by `Tokens` with it. The operator's.
        40 = TokenCreate(create: TokenCreate),
        /// All access tokens. Answered by `Tokens`. The operator's.
        41 = TokenList(nothing: Nothing),
        /// End an access token for good. Answered by `Tokens` with it. The operator's.
        42 = TokenRevoke(revoke: TokenRevoke),
    }
}

impl Request {
    /// The options of a request for data; `None` of the others, which the node that is asked answers by itself.
    pub fn options(&self) -> Option<&RequestOptions> {
        match self {
            Request::Put(put) => Some(&put.options),
            Request::Get(get) => Some(&get.options),
            Request::Delete(delete) => Some(&delete.options),
            Request::List(list) => Some(&list.options),
            Request::BatchPut(batch) => Some(&batch.options),
            Request::BatchGet(batch) => Some(&batch.options),
            Request::Update(update) => Some(&update.options),
            Request::Repair(repair) => Some(&repair.options),
            Request::Why(why) => Some(&why.options),
            Request::Conflicts(list) => Some(&list.options),
            Request::Topology(_) | Request::Status(_) | Request::Diag(_) => None,
            Request::Hints(_) => None,
            Request::BucketCreate(_) | Request::BucketSet(_) => None,
            Request::BucketShow(_) | Request::BucketList(_) => None,
            Request::TokenCreate(_) | Request::TokenList(_) | Request::TokenRevoke(_) => None,
        }
    }

    /// The same, to be changed: a deadline is what is left of it.
    pub fn options_mut(&mut self) -> Option<&mut RequestOptions> {
        match self {
            Request::Put(put) => Some(&mut put.options),
            Request::Get(get) => Some(&mut get.options),
            Request::Delete(delete) => Some(&mut delete.options),
            Request::List(list) => Some(&mut list.options),
            Request::BatchPut(batch) => Some(&mut batch.options),
            Request::BatchGet(batch) => Some(&mut batch.options),
            Request::Update(update) => Some(&mut update.options),
            Request::Repair(repair) => Some(&mut repair.options),
            Request::Why(why) => Some(&mut why.options),
            Request::Conflicts(list) => Some(&mut list.options),
            _ => None,
        }
    }

    /// The operation, if this is a write of which an earlier attempt may have been applied.
    pub fn retried(&self) -> Option<OperationId> {
        match self {
            Request::Put(_) | Request::Delete(_) | Request::BatchPut(_) | Request::Update(_) => {
                self.options().filter(|options| options.retry).map(|options| options.operation)
            }
            _ => None,
        }
    }

    /// What is answered when this is refused before anything is done about it: of a retried write, that nothing was applied
    /// holds for this attempt only.
    pub fn refused(&self, error: RequestError) -> RequestError {
        match self.retried() {
            Some(operation) => error.of_retry(operation),
            None => error,
        }
    }

    /// The bucket and key of a request for one key: what it is routed by.
    pub fn key(&self) -> Option<(&BucketName, &Key)> {
        match self {
            Request::Put(put) => Some((&put.bucket, &put.key)),
            Request::Get(get) => Some((&get.bucket, &get.key)),
            Request::Delete(delete) => Some((&delete.bucket, &delete.key)),
            Request::Update(update) => Some((&update.bucket, &update.key)),
            Request::Repair(Repair { target: RepairTarget::Key { bucket, key }, .. }) => {
                Some((bucket, key))
            }
            Request::Why(why) => Some((&why.bucket, &why.key)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchPut, Delete, Get, Replacing, Request, RequestOptions};
    use crate::key::{BucketName, Key};
    use crate::message::error::RequestError;
    use crate::version::OperationId;

    #[test]
    fn a_refusal_says_of_a_retried_write_only_what_this_attempt_did() {
        let operation = OperationId(3);
        let (bucket, key): (BucketName, _) =
            ("default".parse().unwrap(), Key::new(vec![1]).unwrap());
        let options = |retry| RequestOptions { retry, ..RequestOptions::new(operation) };
        let delete = |retry| {
            let (bucket, key, options) = (bucket.clone(), key.clone(), options(retry));
            Request::Delete(Delete { bucket, key, replaces: Replacing::Latest, options })
        };
        let batch = BatchPut { bucket: bucket.clone(), items: Vec::new(), options: options(true) };
        let get = Get { bucket: bucket.clone(), key: key.clone(), options: options(true) };
        let doubtful = RequestError::Stopping.of_retry(operation);
        for (request, expected) in [
            (delete(false), RequestError::Stopping),
            (delete(true), doubtful.clone()),
            (Request::BatchPut(batch), doubtful),
            (Request::Get(get), RequestError::Stopping),
        ] {
            assert_eq!(request.refused(RequestError::Stopping), expected, "{request:?}");
        }
    }
}
