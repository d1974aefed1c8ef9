//! Counters, sets, registers and maps: keys of buckets that merge by themselves.
//!
//! Such a bucket takes operations in place of puts. Whatever coordinators they went through at the same time, none is lost, and one
//! that is retried takes effect once. A read returns what all of them made of the value.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use kvorum_client::{Client, Config, Endpoint};
//! use kvorum_protocol::mergeable::{FieldChange, Joined, Operation};
//! use kvorum_protocol::{BucketSettings, MergeRule};
//!
//! let client = Client::connect(Config::new([Endpoint::loopback(7401)])).await?;
//! let counters = BucketSettings { rule: MergeRule::Counter, ..BucketSettings::default() };
//! client.create_bucket("visits".parse()?, counters).await?;
//!
//! let visits = client.bucket("visits")?;
//! let done = visits.update("front page", Operation::Increment { by: 1 }).send().await?;
//! println!("{:?} on {} owners", done.value, done.acked_owners);
//! if let Some(Joined::Counter { negative, magnitude }) = &visits.read("front page").send().await?.value {
//!     println!("{}{magnitude}", if *negative { "-" } else { "" });
//! }
//!
//! let users = client.bucket("users")?; // whose rule is `MergeRule::Map`
//! let name = Operation::Assign { value: "Ada".into() };
//! let tags = Operation::Add { elements: vec!["new".into()] };
//! let changes = vec![
//!     FieldChange { name: "name".into(), change: name },
//!     FieldChange { name: "tags".into(), change: tags },
//! ];
//! users.update("ada", Operation::Fields { changes }).send().await?;
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use bytes::Bytes;
use kvorum_protocol::OperationId;
use kvorum_protocol::mergeable::Operation;
use kvorum_protocol::message::{Get, MergedDone, Request, Response, Update, UpdateDone};

use crate::bucket::{Bucket, Settings};
use crate::call::Reply;
use crate::error::OperationError;

impl Bucket {
    /// Applies an operation to a counter, set, register or map. It has to fit the bucket's rule.
    pub fn update(&self, key: impl Into<Bytes>, change: Operation) -> UpdateRequest {
        let settings = Settings::new(&self.client);
        UpdateRequest { bucket: self.clone(), key: key.into(), change, settings }
    }

    /// Reads a counter, set, register or map. What buckets of other rules hold is read by [`Bucket::get`].
    pub fn read(&self, key: impl Into<Bytes>) -> ReadRequest {
        ReadRequest { bucket: self.clone(), key: key.into(), settings: Settings::new(&self.client) }
    }
}

/// An operation that has not been sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct UpdateRequest {
    bucket: Bucket,
    key: Bytes,
    change: Operation,
    settings: Settings,
}

impl UpdateRequest {
    /// How many nodes must hold it durably.
    pub fn w(mut self, w: u8) -> UpdateRequest {
        self.settings.options.w = Some(w);
        self
    }

    /// Counts owners only, no fallbacks.
    pub fn strict(mut self) -> UpdateRequest {
        self.settings.options.strict = true;
        self
    }

    /// How long the request may take, retries included.
    pub fn deadline(mut self, deadline: Duration) -> UpdateRequest {
        self.settings.deadline = deadline;
        self
    }

    /// The operation's id, instead of one drawn at random.
    pub fn operation(mut self, operation: OperationId) -> UpdateRequest {
        self.settings.options.operation = operation;
        self
    }

    /// The operation was sent before, perhaps by another process: the coordinator looks for it first.
    pub fn retry(mut self) -> UpdateRequest {
        self.settings.options.retry = true;
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// [`OperationError`]; [`is_not_applied`](OperationError::is_not_applied) says whether it is certain that nothing was
    /// applied.
    pub async fn send(self) -> Result<Reply<UpdateDone>, OperationError> {
        let update = Update {
            bucket: self.bucket.name,
            key: self.settings.key(&self.key)?,
            change: self.change,
            options: self.settings.options.clone(),
        };
        let call = self.settings.call(Request::Update(update), true);
        let accept = |response| match response {
            Response::Update(done) => Some(done),
            _ => None,
        };
        self.bucket.client.shared.call(call, accept).await
    }
}

/// A read of a mergeable value that has not been sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct ReadRequest {
    bucket: Bucket,
    key: Bytes,
    settings: Settings,
}

impl ReadRequest {
    /// How many nodes must answer.
    pub fn r(mut self, r: u8) -> ReadRequest {
        self.settings.options.r = Some(r);
        self
    }

    /// Counts owners only, and repairs before it answers.
    pub fn strict(mut self) -> ReadRequest {
        self.settings.options.strict = true;
        self
    }

    /// How long the request may take, retries included.
    pub fn deadline(mut self, deadline: Duration) -> ReadRequest {
        self.settings.deadline = deadline;
        self
    }

    /// Sends it. No value is a success: see [`MergedDone::complete`].
    ///
    /// # Errors
    /// [`OperationError`]; [`UnexpectedAnswer`](crate::ErrorKind::UnexpectedAnswer) where the bucket's values do not merge
    /// themselves.
    pub async fn send(self) -> Result<Reply<MergedDone>, OperationError> {
        let key = self.settings.key(&self.key)?;
        let options = self.settings.options.clone();
        let get = Get { bucket: self.bucket.name, key, options };
        let call = self.settings.call(Request::Get(get), false);
        let accept = |response| match response {
            Response::Merged(done) => Some(done),
            _ => None,
        };
        self.bucket.client.shared.call(call, accept).await
    }
}
