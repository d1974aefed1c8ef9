//! Spans: what the log says about requests.
//!
//! A client's request is a span at level `debug` from its arrival to its answer; what a peer asks is a span at the same
//! level for a forwarded request and at `trace` for the copies and reads that every request causes. The engine logs
//! nothing: a span tells where a request came from and which operation, bucket and partition it is about, and its events
//! when it came and how it ended. Who installs the subscriber decides on level and format.

use kvorum_protocol::{Request, Response};
use kvorum_ring::{KeyHash, NodeId, PartitionCount};
use tracing::Span;
use tracing::field::{Empty, display};

use crate::peer_message::PeerMessage;
use crate::runtime::listener::ClientNumber;

/// The span of a client's request.
pub(crate) fn request_span(
    client: ClientNumber,
    request_id: u64,
    request: &Request,
    partitions: PartitionCount,
) -> Span {
    let span = tracing::debug_span!(
        "request",
        client = client.0,
        request_id,
        kind = kind(request),
        operation = Empty,
        bucket = Empty,
        partition = Empty,
    );
    describe(&span, request, partitions);
    span
}

/// The span of what a peer asks; none for its answers.
pub(crate) fn peer_span(peer: NodeId, message: &PeerMessage, partitions: PartitionCount) -> Span {
    match message {
        PeerMessage::Forward { request, hops, .. } => {
            let span = tracing::debug_span!(
                "forwarded",
                %peer,
                hops,
                kind = kind(request),
                operation = Empty,
                bucket = Empty,
                partition = Empty
            );
            describe(&span, request, partitions);
            span
        }
        PeerMessage::Replicate { key, .. } => {
            tracing::trace_span!("replicate", %peer, bucket = %key.bucket, partition = key.partition.0)
        }
        PeerMessage::Fetch { key, .. } => {
            tracing::trace_span!("fetch", %peer, bucket = %key.bucket, partition = key.partition.0)
        }
        PeerMessage::Hold { held, .. } => {
            let key = &held.key;
            tracing::trace_span!("hold", %peer, bucket = %key.bucket, partition = key.partition.0)
        }
        PeerMessage::Deliver { key, .. } => {
            tracing::trace_span!("deliver", %peer, bucket = %key.bucket, partition = key.partition.0)
        }
        PeerMessage::Scan { .. } => tracing::trace_span!("scan", %peer),
        PeerMessage::Ask { .. } => tracing::trace_span!("ask", %peer),
        PeerMessage::Explain { key, .. } => {
            tracing::trace_span!("explain", %peer, bucket = %key.bucket, partition = key.partition.0)
        }
        PeerMessage::AskClock { .. } => tracing::trace_span!("clock", %peer),
        PeerMessage::Replicated { .. }
        | PeerMessage::Clock { .. }
        | PeerMessage::Delivered { .. }
        | PeerMessage::Fetched { .. }
        | PeerMessage::Explained { .. }
        | PeerMessage::NotExplained { .. }
        | PeerMessage::Forwarded { .. }
        | PeerMessage::Answered { .. }
        | PeerMessage::Scanned { .. } => Span::none(),
    }
}

/// Logs how a request ended.
pub(crate) fn answered(span: &Span, response: &Response) {
    span.in_scope(|| match response {
        Response::Error { error } => tracing::debug!(%error, "answered"),
        _ => tracing::debug!("answered"),
    });
}

fn describe(span: &Span, request: &Request, partitions: PartitionCount) {
    if span.is_disabled() {
        return;
    }
    if let Some(options) = request.options() {
        span.record("operation", display(&options.operation));
    }
    if let Some((bucket, key)) = request.key() {
        let hash = KeyHash::of(bucket.as_bytes(), key.as_bytes());
        span.record("bucket", display(bucket));
        span.record("partition", partitions.partition_of(hash).0);
    }
}

fn kind(request: &Request) -> &'static str {
    match request {
        Request::Put(_) => "put",
        Request::Get(_) => "get",
        Request::Delete(_) => "delete",
        Request::List(_) => "list",
        Request::BatchPut(_) => "batch put",
        Request::BatchGet(_) => "batch get",
        Request::Update(_) => "update",
        Request::Topology(_) => "topology",
        Request::Status(_) => "status",
        Request::Diag(_) => "diag",
        Request::Repair(_) => "repair",
        Request::Hints(_) => "hints",
        Request::Why(_) => "why",
        Request::Conflicts(_) => "conflicts",
        Request::BucketCreate(_) => "bucket create",
        Request::BucketSet(_) => "bucket set",
        Request::BucketShow(_) => "bucket show",
        Request::BucketList(_) => "bucket list",
        Request::TokenCreate(_) => "token create",
        Request::TokenList(_) => "token list",
        Request::TokenRevoke(_) => "token revoke",
    }
}
