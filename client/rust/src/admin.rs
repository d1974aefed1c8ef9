//! Looking at a cluster, changing its buckets, and giving access to it.

use std::time::Duration;

use kvorum_protocol::message::{
    Bucket as BucketDescription, BucketRequest, BucketSet, BucketSettings, Buckets, Diag,
    Diagnosis, HintsAsk, HintsDone, Nothing, Request, Response, StatusDone, TokenCreate,
    TokenRevoke, TokenTerms, Tokens,
};
use kvorum_protocol::{AccessToken, BucketName, TokenId};
use kvorum_ring::NodeId;

use crate::attempts::{Attempts, Outcome};
use crate::call::{Call, Reply};
use crate::client::Client;
use crate::error::{ErrorKind, OperationError};
use crate::nodes::Insistence;

impl Client {
    /// Figures of one node, asked of that node itself.
    ///
    /// # Errors
    /// [`OperationError`] when it cannot be reached or does not answer.
    pub async fn status_of(&self, node: NodeId) -> Result<StatusDone, OperationError> {
        let answer = self.ask_node(node, Request::Status(Nothing {})).await?;
        match answer {
            Response::Status(done) => Ok(done),
            _ => Err(unexpected(node)),
        }
    }

    /// A diagnosis of one node, asked of that node itself. `sections` names those wanted; none stands for all.
    ///
    /// # Errors
    /// [`OperationError`] when it cannot be reached or does not answer.
    pub async fn diagnosis_of(
        &self,
        node: NodeId,
        sections: &[&str],
    ) -> Result<Diagnosis, OperationError> {
        let sections = sections.iter().map(|name| (*name).to_owned()).collect();
        let answer = self.ask_node(node, Request::Diag(Diag { sections })).await?;
        match answer {
            Response::Diag(done) => Ok(done),
            _ => Err(unexpected(node)),
        }
    }

    /// What one node holds for owners that were away, asked of that node itself. With `paused` it is told to keep it back from
    /// now on (`true`), or to hand it over, at once (`false`). The operator's.
    ///
    /// # Errors
    /// [`OperationError`] when it cannot be reached or does not answer;
    /// [`Forbidden`](kvorum_protocol::RequestError::Forbidden) to whoever has a token.
    pub async fn hints_of(
        &self,
        node: NodeId,
        paused: Option<bool>,
    ) -> Result<HintsDone, OperationError> {
        let answer = self.ask_node(node, Request::Hints(HintsAsk { paused })).await?;
        match answer {
            Response::Hints(done) => Ok(done),
            _ => Err(unexpected(node)),
        }
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// [`OperationError`]; [`BucketExists`](kvorum_protocol::RequestError::BucketExists) when there is one of this name.
    pub async fn create_bucket(
        &self,
        name: BucketName,
        settings: BucketSettings,
    ) -> Result<Reply<Buckets>, OperationError> {
        let bucket = BucketDescription { name, settings };
        self.buckets(Request::BucketCreate(BucketSet { bucket }), true).await
    }

    /// Changes a bucket's settings.
    ///
    /// # Errors
    /// [`OperationError`]; class and merge rule cannot be changed.
    pub async fn set_bucket(
        &self,
        name: BucketName,
        settings: BucketSettings,
    ) -> Result<Reply<Buckets>, OperationError> {
        let bucket = BucketDescription { name, settings };
        self.buckets(Request::BucketSet(BucketSet { bucket }), true).await
    }

    /// A bucket's settings.
    ///
    /// # Errors
    /// [`OperationError`]; [`NoSuchBucket`](kvorum_protocol::RequestError::NoSuchBucket) when there is none.
    pub async fn show_bucket(&self, name: BucketName) -> Result<Reply<Buckets>, OperationError> {
        self.buckets(Request::BucketShow(BucketRequest { name }), false).await
    }

    /// All buckets.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn list_buckets(&self) -> Result<Reply<Buckets>, OperationError> {
        self.buckets(Request::BucketList(Nothing {}), false).await
    }

    /// A fresh access token, which no cluster knows yet.
    pub fn draw_token() -> AccessToken {
        AccessToken::new(TokenId(rand::random()), rand::random())
    }

    /// Makes an access token known to the cluster, which is told a digest of its secret only. The operator's: see
    /// [`Config::identity`](crate::Config::identity).
    ///
    /// # Errors
    /// [`OperationError`]; [`Forbidden`](kvorum_protocol::RequestError::Forbidden) to whoever has a token himself.
    pub async fn create_token(
        &self,
        id: TokenId,
        terms: TokenTerms,
    ) -> Result<Reply<Tokens>, OperationError> {
        self.tokens(Request::TokenCreate(TokenCreate { id, terms }), true).await
    }

    /// All access tokens without their secrets, revoked and expired ones included. The operator's.
    ///
    /// # Errors
    /// As of [`Client::create_token`].
    pub async fn list_tokens(&self) -> Result<Reply<Tokens>, OperationError> {
        self.tokens(Request::TokenList(Nothing {}), false).await
    }

    /// Ends an access token for good. Nodes refuse it as soon as they hear of it: those that are connected to the answering
    /// one within a round trip, all others within seconds after they can be reached. `now_ms` is for people to read. The
    /// operator's.
    ///
    /// # Errors
    /// As of [`Client::create_token`]; [`NoSuchToken`](kvorum_protocol::RequestError::NoSuchToken) when there is none.
    pub async fn revoke_token(
        &self,
        id: TokenId,
        now_ms: u64,
    ) -> Result<Reply<Tokens>, OperationError> {
        self.tokens(Request::TokenRevoke(TokenRevoke { id, revoked_at_ms: now_ms }), true).await
    }

    async fn tokens(
        &self,
        request: Request,
        is_write: bool,
    ) -> Result<Reply<Tokens>, OperationError> {
        self.ask_any(request, is_write, |response| match response {
            Response::Tokens(tokens) => Some(tokens),
            _ => None,
        })
        .await
    }

    async fn buckets(
        &self,
        request: Request,
        is_write: bool,
    ) -> Result<Reply<Buckets>, OperationError> {
        self.ask_any(request, is_write, |response| match response {
            Response::Buckets(buckets) => Some(buckets),
            _ => None,
        })
        .await
    }

    async fn ask_any<T>(
        &self,
        request: Request,
        is_write: bool,
        accept: impl Fn(Response) -> Option<T>,
    ) -> Result<Reply<T>, OperationError> {
        let operation = Client::draw_operation();
        let deadline = self.shared.deadline;
        let call = Call { request, operation, deadline, is_write, is_retry: false };
        self.shared.call(call, accept).await
    }

    /// Asks exactly this node, once.
    pub(crate) async fn ask_node(
        &self,
        node: NodeId,
        request: Request,
    ) -> Result<Response, OperationError> {
        let mut attempts = Attempts::new(false, 1);
        let Some(known) = self.topology().node(node).cloned() else {
            return Err(failed(attempts, ErrorKind::NoNode(Vec::new())));
        };
        let connection = match self.shared.reach(&known, Insistence::ThisNode).await {
            Ok(connection) => connection,
            Err(failure) => return Err(failed(attempts, ErrorKind::NoNode(vec![failure]))),
        };
        attempts.begin();
        let patience: Duration = self.shared.deadline;
        let outcome = match connection.ask(&request, patience).await {
            Ok(Response::Error { error }) => Outcome::Answered(node, error),
            Ok(response) => return Ok(response),
            Err(no_answer) => Outcome::Silent(node, no_answer),
        };
        attempts.failed(outcome);
        Err(failed(attempts, ErrorKind::NoAnswer))
    }
}

fn failed(attempts: Attempts, otherwise: ErrorKind) -> OperationError {
    let made = attempts.made();
    OperationError {
        operation: Client::draw_operation(),
        attempts: made,
        retried: false,
        kind: attempts.verdict(otherwise),
    }
}

pub(crate) fn unexpected(node: NodeId) -> OperationError {
    let kind = ErrorKind::UnexpectedAnswer { node };
    OperationError { operation: Client::draw_operation(), attempts: 1, retried: false, kind }
}
