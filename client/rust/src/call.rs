//! One operation from first attempt to verdict.
//!
//! The deadline is the caller's and covers everything: connecting, waiting, pauses, retries. Each attempt is given half
//! of what is left, so that a node that hangs leaves time for another one; the last one gets the rest.

use std::ops::Deref;
use std::time::Duration;

use kvorum_protocol::limits::DEADLINE_MAX_MS;
use kvorum_protocol::message::{Request, RequestError, Response};
use kvorum_protocol::{BucketName, OperationId};
use kvorum_ring::NodeId;
use tokio::time::{Instant, sleep};

use crate::attempts::{Attempts, Next, Outcome};
use crate::backoff;
use crate::client::Shared;
use crate::connection::{Connection, NoAnswer};
use crate::endpoint::Endpoint;
use crate::error::{ConnectError, ErrorKind, OperationError};
use crate::limits;
use crate::nodes::Insistence;
use crate::route;
use crate::topology::Topology;

/// Below this much time left an attempt is not cut in half any more.
const WHOLE_BELOW: Duration = Duration::from_millis(500);

/// Somebody may be up whom we do not know of.
const AFTER_A_LOOK: Next =
    Next::Again { at_least: Duration::ZERO, refresh: true, elsewhere: false };

/// Another node may serve what this one did not.
const ELSEWHERE: Next = Next::Again { at_least: Duration::ZERO, refresh: false, elsewhere: true };

/// An answer, with what the client knows about how it came. Dereferences to the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply<T> {
    /// What the node said.
    pub answer: T,
    /// The node that said it; for a request on a key, its coordinator.
    pub node: NodeId,
    /// How often the request was sent.
    pub attempts: u32,
    /// The operation's id.
    pub operation: OperationId,
}

impl<T> Deref for Reply<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.answer
    }
}

/// What is to be done, and how long it may take.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) operation: OperationId,
    pub(crate) deadline: Duration,
    pub(crate) is_write: bool,
    /// The operation was sent before, by an earlier call.
    pub(crate) is_retry: bool,
}

impl Shared {
    /// Carries out a call; `accept` takes the kind of answer that belongs to it.
    pub(crate) async fn call<T>(
        &self,
        mut call: Call,
        accept: impl Fn(Response) -> Option<T>,
    ) -> Result<Reply<T>, OperationError> {
        let longest = Duration::from_millis(u64::from(DEADLINE_MAX_MS));
        let end = Instant::now() + call.deadline.min(longest);
        let mut attempts = Attempts::new(call.is_write, self.attempts);
        let mut unreachable = Vec::new();
        let mut rounds = 0;
        let mut avoided = None;
        let mut refresh = false;
        loop {
            rounds += 1;
            let mut topology = self.topology(refresh, end).await;
            if !is_known(&call.request, &topology) {
                topology = self.topology(true, end).await;
            }
            let first = attempts.first_coordinator();
            let order = route::order(&topology, &call.request, first, self.next_spread());
            let connection =
                self.first_reachable(&topology, order, avoided, end, &mut unreachable).await;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let next = match connection {
                None => {
                    refusal(&unreachable).map_or(AFTER_A_LOOK, |refused| attempts.failed(refused))
                }
                Some(connection) => {
                    let window = window(left, rounds >= self.attempts);
                    prepare(&mut call, window, attempts.first_coordinator().is_some());
                    attempts.begin();
                    match ask(&connection, &call.request, window, &accept).await {
                        Ok(answer) => {
                            let (node, attempts) = (connection.node(), attempts.made());
                            return Ok(Reply { answer, node, attempts, operation: call.operation });
                        }
                        Err(outcome) => {
                            avoided = Some(connection.node());
                            if matches!(outcome, Outcome::Silent(_, NoAnswer::Silent)) {
                                self.nodes.abandon(&connection);
                            }
                            let is_behind = is_behind(&outcome, &call.request, &topology);
                            let next = attempts.failed(outcome);
                            if is_behind { ELSEWHERE } else { next }
                        }
                    }
                }
            };
            let Next::Again { at_least, refresh: wanted, elsewhere } = next else { break };
            if rounds >= self.attempts {
                break;
            }
            refresh = wanted;
            avoided = avoided.filter(|_| elsewhere);
            let pause = backoff::pause(rounds, rand::random(), Some(at_least));
            if Instant::now() + pause >= end {
                break;
            }
            sleep(pause).await;
        }
        let made = attempts.made();
        let kind = attempts.verdict(ErrorKind::NoNode(Vec::new()));
        let kind =
            if let ErrorKind::NoNode(_) = kind { ErrorKind::NoNode(unreachable) } else { kind };
        let retried = call.is_retry && call.is_write;
        Err(OperationError { operation: call.operation, attempts: made, retried, kind })
    }

    /// Walks along `order` to the first node that a connection can be had to; `avoided` comes last.
    async fn first_reachable(
        &self,
        topology: &Topology,
        mut order: Vec<NodeId>,
        avoided: Option<NodeId>,
        end: Instant,
        unreachable: &mut Vec<(Endpoint, ConnectError)>,
    ) -> Option<std::sync::Arc<Connection>> {
        order.sort_by_key(|node| Some(*node) == avoided);
        unreachable.clear();
        for node in order.iter().filter_map(|node| topology.node(*node)) {
            match tokio::time::timeout_at(end, self.reach(node, Insistence::AnyNode)).await {
                Ok(Ok(connection)) => return Some(connection),
                Ok(Err(failure)) => {
                    self.doubt_topology();
                    unreachable.push(failure);
                }
                Err(_) => return None,
            }
        }
        None
    }
}

/// How much of the time left an attempt is given. After the last one nobody needs any.
fn window(left: Duration, is_last: bool) -> Duration {
    if is_last || left <= WHOLE_BELOW { left } else { left / 2 }
}

/// Who did not let us in, if somebody could be asked at all: then waiting for the others is in vain.
fn refusal(unreachable: &[(Endpoint, ConnectError)]) -> Option<Outcome> {
    unreachable.iter().find_map(|(endpoint, error)| match error {
        ConnectError::Refused(error @ RequestError::Unauthenticated { .. }) => {
            Some(Outcome::Answered(endpoint.node?, error.clone()))
        }
        _ => None,
    })
}

/// Sends one attempt and sorts what comes back.
async fn ask<T>(
    connection: &Connection,
    request: &Request,
    window: Duration,
    accept: &impl Fn(Response) -> Option<T>,
) -> Result<T, Outcome> {
    let node = connection.node();
    match connection.ask(request, window + limits::ANSWER_GRACE).await {
        Ok(Response::Error { error }) => Err(Outcome::Answered(node, error)),
        Ok(response) => accept(response).ok_or(Outcome::Unexpected(node)),
        Err(no_answer) => Err(Outcome::Silent(node, no_answer)),
    }
}

/// Tells the node how much time it has, and whether the operation may have been applied before.
fn prepare(call: &mut Call, window: Duration, in_doubt: bool) {
    let retry = call.is_retry || in_doubt;
    if let Some(options) = call.request.options_mut() {
        options.deadline_ms = u32::try_from(window.as_millis()).unwrap_or(DEADLINE_MAX_MS).max(1);
        options.retry = retry;
    }
}

/// The bucket that a request is about.
fn bucket_of(request: &Request) -> Option<&BucketName> {
    match request {
        Request::Put(put) => Some(&put.bucket),
        Request::Get(get) => Some(&get.bucket),
        Request::Delete(delete) => Some(&delete.bucket),
        Request::List(list) => Some(&list.bucket),
        Request::BatchPut(batch) => Some(&batch.bucket),
        Request::BatchGet(batch) => Some(&batch.bucket),
        Request::Update(update) => Some(&update.bucket),
        _ => None,
    }
}

/// Whether the bucket that the request names was told of; one that was not may have been made since.
fn is_known(request: &Request, topology: &Topology) -> bool {
    bucket_of(request).is_none_or(|bucket| topology.buckets.contains_key(bucket))
}

/// Whether a node does not know of a bucket that another one told of: the news is still on its way.
fn is_behind(outcome: &Outcome, request: &Request, topology: &Topology) -> bool {
    let is_news = |error: &RequestError| *error.of_attempt() == RequestError::NoSuchBucket;
    matches!(outcome, Outcome::Answered(_, error) if is_news(error)) && is_known(request, topology)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::window;

    #[test]
    fn an_attempt_leaves_half_of_the_time_for_another_one_unless_it_is_the_last() {
        let [short, long] = [500, 1_000].map(Duration::from_millis);
        assert_eq!(window(long, false), long / 2);
        assert_eq!(window(long, true), long, "nobody needs what it leaves");
        assert_eq!(window(short, false), short, "half of it would be too little for anybody");
    }
}
