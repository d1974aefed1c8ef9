//! The clients as the driver knows them: where their answers go, and a span for each request at work.

use std::collections::BTreeMap;
use std::rc::Rc;

use kvorum_protocol::{Request, Response};
use kvorum_ring::PartitionCount;
use tracing::Span;

use crate::engine::Now;
use crate::runtime::access::Caller;
use crate::runtime::gate::Ticket;
use crate::runtime::listener::{Account, ClientNumber, push_answer};
use crate::runtime::metrics::{Meters, Operation};
use crate::runtime::outgoing::Outgoing;
use crate::runtime::telemetry;

/// One client.
struct Connected {
    caller: Caller,
    outgoing: Rc<Outgoing>,
    account: Rc<Account>,
    /// Its requests at work. As many as a session lets in.
    at_work: BTreeMap<u64, AtWork>,
}

/// A request at work.
struct AtWork {
    operation: Operation,
    arrival: Arrival,
}

/// How a request came in.
pub(crate) struct Arrival {
    /// When its bytes had come, in monotonic nanoseconds.
    pub(crate) at_ns: u64,
    /// Of a request for data, which was let in.
    pub(crate) ticket: Option<Ticket>,
}

/// All clients.
pub(crate) struct Clients {
    connected: BTreeMap<ClientNumber, Connected>,
    meters: Rc<Meters>,
    /// Only while somebody listens at level `debug`: a span costs more than many a request.
    spans: BTreeMap<(ClientNumber, u64), Span>,
    answered: u64,
}

impl Clients {
    /// Nobody yet. Answers are counted in `meters`.
    pub(crate) fn new(meters: Rc<Meters>) -> Clients {
        Clients { connected: BTreeMap::new(), meters, spans: BTreeMap::new(), answered: 0 }
    }

    /// A client has connected.
    pub(crate) fn opened(
        &mut self,
        client: ClientNumber,
        caller: Caller,
        outgoing: Rc<Outgoing>,
        account: Rc<Account>,
    ) {
        let connected = Connected { caller, outgoing, account, at_work: BTreeMap::new() };
        self.connected.insert(client, connected);
    }

    /// Who a client is, while it is connected.
    pub(crate) fn caller(&self, client: ClientNumber) -> Option<Caller> {
        self.connected.get(&client).map(|connected| connected.caller)
    }

    /// It is gone.
    pub(crate) fn gone(&mut self, client: ClientNumber) {
        self.connected.remove(&client);
        self.spans.retain(|(of, _), _| *of != client);
    }

    /// Begins a request's time, and its span.
    pub(crate) fn began(
        &mut self,
        client: ClientNumber,
        id: u64,
        request: &Request,
        arrival: Arrival,
        partitions: PartitionCount,
    ) {
        if let Some(connected) = self.connected.get_mut(&client) {
            let operation = Operation::of(request);
            connected.at_work.insert(id, AtWork { operation, arrival });
        }
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let span = telemetry::request_span(client, id, request, partitions);
        span.in_scope(|| tracing::debug!("request"));
        self.spans.insert((client, id), span);
    }

    /// Sends an answer, and ends the request's span. A client that is gone gets none.
    pub(crate) fn answer(
        &mut self,
        now: Now,
        client: ClientNumber,
        request_id: u64,
        response: &Response,
    ) {
        self.answered += 1;
        if let Some(span) = self.spans.remove(&(client, request_id)) {
            telemetry::answered(&span, response);
        }
        if let Some(connected) = self.connected.get_mut(&client) {
            if let Some(AtWork { operation, arrival }) = connected.at_work.remove(&request_id) {
                let took_ns = now.mono_ns.saturating_sub(arrival.at_ns);
                self.meters.requests.answered(operation, took_ns, response);
                if let (Some(ticket), true) = (arrival.ticket, tells_pace(response)) {
                    ticket.answered(now.mono_ns, took_ns);
                }
            }
            connected.account.answered(request_id);
            push_answer(&connected.outgoing, &connected.account, request_id, response);
        }
    }

    /// Requests answered since the start.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Clients connected now.
    pub(crate) fn count(&self) -> usize {
        self.connected.len()
    }

    /// Where the answers of all clients go.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rc<Outgoing>> {
        self.connected.values().map(|connected| &connected.outgoing)
    }
}

/// Whether an answer's time says how quickly the node works: that of one key's request that succeeded. Listings and batches
/// take long by their nature, and failures as long as their deadline.
fn tells_pace(response: &Response) -> bool {
    matches!(response, Response::Put(_) | Response::Get(_))
}
