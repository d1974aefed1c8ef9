//! The clients as the driver knows them: where their answers go, and a span for each request at work.

use std::collections::BTreeMap;
use std::rc::Rc;

use kvorum_protocol::{Request, Response};
use kvorum_ring::KeyHash;
use kvorum_ring::PartitionCount;
use tracing::Span;

use crate::runtime::listener::{ClientNumber, push_answer};
use crate::runtime::outgoing::Outgoing;

/// All clients.
#[derive(Default)]
pub(crate) struct Clients {
    outgoing: BTreeMap<ClientNumber, Rc<Outgoing>>,
    /// Only while somebody listens at level `debug`: a span costs more than many a request.
    spans: BTreeMap<(ClientNumber, u64), Span>,
    answered: u64,
}

impl Clients {
    /// A client has connected.
    pub(crate) fn opened(&mut self, client: ClientNumber, outgoing: Rc<Outgoing>) {
        self.outgoing.insert(client, outgoing);
    }

    /// It is gone.
    pub(crate) fn gone(&mut self, client: ClientNumber) {
        self.outgoing.remove(&client);
        self.spans.retain(|(of, _), _| *of != client);
    }

    /// Begins a request's span.
    pub(crate) fn began(
        &mut self,
        client: ClientNumber,
        id: u64,
        request: &Request,
        partitions: PartitionCount,
    ) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let span = span(client, id, request, partitions);
        span.in_scope(|| tracing::debug!("request"));
        self.spans.insert((client, id), span);
    }

    /// Sends an answer, and ends the request's span. A client that is gone gets none.
    pub(crate) fn answer(&mut self, client: ClientNumber, request_id: u64, response: &Response) {
        self.answered += 1;
        if let Some(span) = self.spans.remove(&(client, request_id)) {
            span.in_scope(|| match response {
                Response::Error { error } => tracing::debug!(%error, "answered"),
                _ => tracing::debug!("answered"),
            });
        }
        if let Some(outgoing) = self.outgoing.get(&client) {
            push_answer(outgoing, request_id, response);
        }
    }

    /// Requests answered since the start.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Clients connected now.
    pub(crate) fn count(&self) -> usize {
        self.outgoing.len()
    }

    /// Where the answers of all clients go.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rc<Outgoing>> {
        self.outgoing.values()
    }
}

/// One span for each client request: everything that its handling logs stands in it.
fn span(
    client: ClientNumber,
    request_id: u64,
    request: &Request,
    partitions: PartitionCount,
) -> Span {
    use tracing::field::Empty;
    let span = tracing::debug_span!(
        "request",
        client = client.0,
        request_id,
        kind = kind(request),
        operation = Empty,
        bucket = Empty,
        partition = Empty,
    );
    if let Some(options) = request.options() {
        span.record("operation", tracing::field::display(&options.operation));
    }
    if let Some((bucket, key)) = request.key() {
        let hash = KeyHash::of(bucket.as_bytes(), key.as_bytes());
        span.record("bucket", tracing::field::display(bucket));
        span.record("partition", partitions.partition_of(hash).0);
    }
    span
}

fn kind(request: &Request) -> &'static str {
    match request {
        Request::Put(_) => "put",
        Request::Get(_) => "get",
        Request::Delete(_) => "delete",
        Request::List(_) => "list",
        Request::BatchPut(_) => "batch put",
        Request::BatchGet(_) => "batch get",
        Request::Topology(_) => "topology",
        Request::Status(_) => "status",
        Request::Diag(_) => "diag",
        Request::BucketCreate(_) => "bucket create",
        Request::BucketSet(_) => "bucket set",
        Request::BucketShow(_) => "bucket show",
        Request::BucketList(_) => "bucket list",
    }
}
