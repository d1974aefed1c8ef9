//! The clients as the driver knows them: where their answers go, and a span for each request at work.

use std::collections::BTreeMap;
use std::rc::Rc;

use kvorum_protocol::{Request, Response};
use kvorum_ring::PartitionCount;
use tracing::Span;

use crate::runtime::listener::{ClientNumber, push_answer};
use crate::runtime::outgoing::Outgoing;
use crate::runtime::telemetry;

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
        let span = telemetry::request_span(client, id, request, partitions);
        span.in_scope(|| tracing::debug!("request"));
        self.spans.insert((client, id), span);
    }

    /// Sends an answer, and ends the request's span. A client that is gone gets none.
    pub(crate) fn answer(&mut self, client: ClientNumber, request_id: u64, response: &Response) {
        self.answered += 1;
        if let Some(span) = self.spans.remove(&(client, request_id)) {
            telemetry::answered(&span, response);
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
