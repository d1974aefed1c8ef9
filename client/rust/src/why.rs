//! Why a key holds what it holds, and which keys hold siblings.

use bytes::Bytes;
use kvorum_protocol::Key;
use kvorum_protocol::message::{List, ListDone, Request, Response, Why, WhyDone};

use crate::bucket::{Bucket, Reply, Settings};
use crate::error::OperationError;

impl Bucket {
    /// What the owners and fallbacks of a key testify about it: any node collects it, and
    /// [`explain`](kvorum_protocol::explain::explain) says what follows. Needs the right to read the bucket.
    ///
    /// # Errors
    /// [`OperationError`] when no node answers. A node that is away is named in the answer, and is no error.
    pub async fn why(&self, key: impl Into<Bytes>) -> Result<Reply<WhyDone>, OperationError> {
        let settings = Settings::new(&self.client);
        let (bucket, options) = (self.name.clone(), settings.options.clone());
        let key = settings.key(&key.into())?;
        let call = settings.call(Request::Why(Why { bucket, key, options }), false);
        let accept = |response| match response {
            Response::Why(done) => Some(done),
            _ => None,
        };
        self.client.shared.call(call, accept).await
    }

    /// A page of the keys that hold siblings, in order, behind `after`, of at most `limit` keys. No value is read for it. Of a
    /// bucket that merges by itself there are none. With `partial` it tells what can be reached, and names the partitions that
    /// cannot.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn conflicts(
        &self,
        prefix: impl Into<Bytes>,
        after: Option<Key>,
        limit: u32,
        partial: bool,
    ) -> Result<Reply<ListDone>, OperationError> {
        let settings = Settings::new(&self.client);
        let (bucket, prefix) = (self.name.clone(), prefix.into());
        let options = settings.options.clone();
        let list = List { bucket, prefix, after, limit, partial, options };
        let call = settings.call(Request::Conflicts(list), false);
        let accept = |response| match response {
            Response::Conflicts(done) => Some(done),
            _ => None,
        };
        self.client.shared.call(call, accept).await
    }
}
