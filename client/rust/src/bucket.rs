//! Reading and writing keys. What buckets that merge by themselves take instead is [`crate::merged`].
//!
//! Each request is a small builder: what is not said is the bucket's default. Nothing is sent before `send`.

use std::time::Duration;

use bytes::Bytes;
use kvorum_protocol::message::{
    BatchGet, BatchGetDone, BatchPut, BatchPutDone, Delete, Get, GetDone, List, ListDone, Put,
    PutDone, PutItem, Replacing, Request, RequestOptions, Response,
};
use kvorum_protocol::{BucketName, Context, Key, OperationId};

use crate::call::Call;
pub use crate::call::Reply;
use crate::client::Client;
use crate::error::{ErrorKind, OperationError};

/// A named set of keys.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(crate) client: Client,
    pub(crate) name: BucketName,
}

impl Bucket {
    pub(crate) fn new(client: Client, name: BucketName) -> Bucket {
        Bucket { client, name }
    }

    /// The bucket's name.
    pub fn name(&self) -> &BucketName {
        &self.name
    }

    /// Stores a value. Unless told otherwise it replaces what the coordinator holds.
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> PutRequest {
        let settings = Settings::new(&self.client);
        let (bucket, key, value) = (self.clone(), key.into(), value.into());
        PutRequest {
            bucket,
            key,
            value,
            replaces: Replacing::Latest,
            expires_at_ms: None,
            settings,
        }
    }

    /// Reads a key with all its siblings.
    pub fn get(&self, key: impl Into<Bytes>) -> GetRequest {
        GetRequest { bucket: self.clone(), key: key.into(), settings: Settings::new(&self.client) }
    }

    /// Deletes what a key holds. Unless told otherwise, whatever the coordinator holds.
    pub fn delete(&self, key: impl Into<Bytes>) -> DeleteRequest {
        let settings = Settings::new(&self.client);
        DeleteRequest {
            bucket: self.clone(),
            key: key.into(),
            replaces: Replacing::Latest,
            settings,
        }
    }

    /// Lists the keys that begin with `prefix`, in order, a page at a time.
    pub fn list(&self, prefix: impl Into<Bytes>) -> ListRequest {
        ListRequest {
            bucket: self.clone(),
            prefix: prefix.into(),
            after: None,
            limit: kvorum_protocol::limits::LIST_PAGE_ITEMS as u32,
            partial: false,
            settings: Settings::new(&self.client),
        }
    }

    /// Stores several values at once; each succeeds or fails by itself, and only what the whole batch failed with is
    /// retried. At most [`BATCH_ITEMS`](kvorum_protocol::limits::BATCH_ITEMS).
    pub fn put_batch(&self, items: Vec<PutItem>) -> BatchPutRequest {
        BatchPutRequest { bucket: self.clone(), items, settings: Settings::new(&self.client) }
    }

    /// Reads several keys at once; each succeeds or fails by itself. At most
    /// [`BATCH_ITEMS`](kvorum_protocol::limits::BATCH_ITEMS).
    pub fn get_batch(&self, keys: Vec<Key>) -> BatchGetRequest {
        BatchGetRequest { bucket: self.clone(), keys, settings: Settings::new(&self.client) }
    }
}

/// What every request can be told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) options: RequestOptions,
    pub(crate) deadline: Duration,
}

impl Settings {
    pub(crate) fn new(client: &Client) -> Settings {
        Settings {
            options: RequestOptions::new(Client::draw_operation()),
            deadline: client.shared.deadline,
        }
    }

    pub(crate) fn call(&self, request: Request, is_write: bool) -> Call {
        Call {
            request,
            operation: self.options.operation,
            deadline: self.deadline,
            is_write,
            is_retry: self.options.retry,
        }
    }

    /// The key, checked before anything is sent.
    pub(crate) fn key(&self, bytes: &Bytes) -> Result<Key, OperationError> {
        Key::new(bytes.clone()).map_err(|invalid| OperationError {
            operation: self.options.operation,
            attempts: 0,
            retried: false,
            kind: ErrorKind::Invalid(invalid),
        })
    }
}

/// The settings that every builder has.
macro_rules! settings {
    ($($request:ident),*) => {$(
        impl $request {
            /// Counts owners only, no fallbacks; a read then repairs before it answers.
            pub fn strict(mut self) -> $request {
                self.settings.options.strict = true;
                self
            }

            /// How long the request may take, retries included.
            pub fn deadline(mut self, deadline: Duration) -> $request {
                self.settings.deadline = deadline;
                self
            }
        }
    )*};
}
settings!(PutRequest, GetRequest, DeleteRequest, ListRequest, BatchPutRequest, BatchGetRequest);

/// The settings that every write has.
macro_rules! write_settings {
    ($($request:ident),*) => {$(
        impl $request {
            /// Replaces exactly what was read together with this context.
            pub fn context(mut self, context: Context) -> $request {
                self.replaces = Replacing::Context { context };
                self
            }

            /// How many nodes must hold it durably.
            pub fn w(mut self, w: u8) -> $request {
                self.settings.options.w = Some(w);
                self
            }

            /// The operation's id, instead of one drawn at random.
            pub fn operation(mut self, operation: OperationId) -> $request {
                self.settings.options.operation = operation;
                self
            }

            /// The operation was sent before, perhaps by another process: the coordinator looks for it first.
            pub fn retry(mut self) -> $request {
                self.settings.options.retry = true;
                self
            }
        }
    )*};
}
write_settings!(PutRequest, DeleteRequest);

/// A put that has not been sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct PutRequest {
    bucket: Bucket,
    key: Bytes,
    value: Bytes,
    replaces: Replacing,
    expires_at_ms: Option<u64>,
    settings: Settings,
}

impl PutRequest {
    /// From this moment on, in wall-clock milliseconds since 1970, the value reads as deleted.
    pub fn expires_at_ms(mut self, at_ms: u64) -> PutRequest {
        self.expires_at_ms = Some(at_ms);
        self
    }

    /// Replaces nothing: the value becomes a sibling of what is there.
    pub fn sibling(mut self) -> PutRequest {
        self.replaces = Replacing::Nothing;
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// [`OperationError`]; [`is_not_applied`](OperationError::is_not_applied) says whether it is certain that nothing was
    /// applied.
    pub async fn send(self) -> Result<Reply<PutDone>, OperationError> {
        let put = Put {
            bucket: self.bucket.name,
            key: self.settings.key(&self.key)?,
            value: self.value,
            replaces: self.replaces,
            options: self.settings.options.clone(),
            expires_at_ms: self.expires_at_ms,
        };
        let call = self.settings.call(Request::Put(put), true);
        self.bucket.client.shared.call(call, put_done).await
    }
}

/// A get that has not been sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct GetRequest {
    bucket: Bucket,
    key: Bytes,
    settings: Settings,
}

impl GetRequest {
    /// How many nodes must answer.
    pub fn r(mut self, r: u8) -> GetRequest {
        self.settings.options.r = Some(r);
        self
    }

    /// Sends it. No value is a success: see [`GetDone::is_found`] and [`GetDone::complete`].
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn send(self) -> Result<Reply<GetDone>, OperationError> {
        let key = self.settings.key(&self.key)?;
        let options = self.settings.options.clone();
        let get = Get { bucket: self.bucket.name, key, options };
        let call = self.settings.call(Request::Get(get), false);
        self.bucket
            .client
            .shared
            .call(call, |response| match response {
                Response::Get(done) => Some(done),
                _ => None,
            })
            .await
    }
}

/// A delete that has not been sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct DeleteRequest {
    bucket: Bucket,
    key: Bytes,
    replaces: Replacing,
    settings: Settings,
}

impl DeleteRequest {
    /// Sends it.
    ///
    /// # Errors
    /// [`OperationError`]; of class `NotFound` when there is nothing to delete.
    pub async fn send(self) -> Result<Reply<PutDone>, OperationError> {
        let delete = Delete {
            bucket: self.bucket.name,
            key: self.settings.key(&self.key)?,
            replaces: self.replaces,
            options: self.settings.options.clone(),
        };
        let call = self.settings.call(Request::Delete(delete), true);
        self.bucket.client.shared.call(call, put_done).await
    }
}

fn put_done(response: Response) -> Option<PutDone> {
    match response {
        Response::Put(done) => Some(done),
        _ => None,
    }
}

/// Several puts that have not been sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct BatchPutRequest {
    bucket: Bucket,
    items: Vec<PutItem>,
    settings: Settings,
}

impl BatchPutRequest {
    /// How many nodes must hold each of them durably.
    pub fn w(mut self, w: u8) -> BatchPutRequest {
        self.settings.options.w = Some(w);
        self
    }

    /// The batch was sent before, perhaps by another process: each operation is looked for first.
    pub fn retry(mut self) -> BatchPutRequest {
        self.settings.options.retry = true;
        self
    }

    /// Sends them.
    ///
    /// # Errors
    /// [`OperationError`] when the batch as a whole failed; then each put of it may have been applied unless the error
    /// says that none was.
    pub async fn send(self) -> Result<Reply<BatchPutDone>, OperationError> {
        let options = self.settings.options.clone();
        let batch = BatchPut { bucket: self.bucket.name, items: self.items, options };
        let call = self.settings.call(Request::BatchPut(batch), true);
        self.bucket
            .client
            .shared
            .call(call, |response| match response {
                Response::BatchPut(done) => Some(done),
                _ => None,
            })
            .await
    }
}

/// Several gets that have not been sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct BatchGetRequest {
    bucket: Bucket,
    keys: Vec<Key>,
    settings: Settings,
}

impl BatchGetRequest {
    /// How many nodes must answer for each of them.
    pub fn r(mut self, r: u8) -> BatchGetRequest {
        self.settings.options.r = Some(r);
        self
    }

    /// Sends them.
    ///
    /// # Errors
    /// [`OperationError`] when the batch as a whole failed.
    pub async fn send(self) -> Result<Reply<BatchGetDone>, OperationError> {
        let options = self.settings.options.clone();
        let batch = BatchGet { bucket: self.bucket.name, keys: self.keys, options };
        let call = self.settings.call(Request::BatchGet(batch), false);
        self.bucket
            .client
            .shared
            .call(call, |response| match response {
                Response::BatchGet(done) => Some(done),
                _ => None,
            })
            .await
    }
}

/// A page of keys that has not been asked for.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct ListRequest {
    bucket: Bucket,
    prefix: Bytes,
    after: Option<Key>,
    limit: u32,
    partial: bool,
    settings: Settings,
}

impl ListRequest {
    /// Begins behind this key: the [`next`](ListDone::next) of the page before.
    pub fn after(mut self, key: Key) -> ListRequest {
        self.after = Some(key);
        self
    }

    /// The most keys in the page, up to [`LIST_PAGE_ITEMS`](kvorum_protocol::limits::LIST_PAGE_ITEMS).
    pub fn limit(mut self, limit: u32) -> ListRequest {
        self.limit = limit;
        self
    }

    /// Answers also when some partitions cannot be asked; the answer names them.
    pub fn partial(mut self) -> ListRequest {
        self.partial = true;
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// [`OperationError`]; [`Uncovered`](kvorum_protocol::RequestError::Uncovered) when the page would have gaps.
    pub async fn send(self) -> Result<Reply<ListDone>, OperationError> {
        let list = List {
            bucket: self.bucket.name,
            prefix: self.prefix,
            after: self.after,
            limit: self.limit,
            partial: self.partial,
            options: self.settings.options.clone(),
        };
        let call = self.settings.call(Request::List(list), false);
        self.bucket
            .client
            .shared
            .call(call, |response| match response {
                Response::List(done) => Some(done),
                _ => None,
            })
            .await
    }
}
