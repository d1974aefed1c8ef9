//! The clients as the driver knows them: where their answers go, and a span for each request at work.
//!
//! A client that goes leaves its requests behind: the engine ends what it has begun. They count at the gate until then, so that
//! whoever asks, goes and comes again gets no more work done than whoever stays.

use std::collections::BTreeMap;
use std::rc::Rc;

use kvorum_protocol::{Request, RequestError, Response};
use kvorum_ring::PartitionCount;
use tracing::Span;

use crate::engine::Now;
use crate::runtime::access::Caller;
use crate::runtime::gate::{Pace, Ticket};
use crate::runtime::listener::{Account, ClientNumber, push_answer};
use crate::runtime::metrics::{Meters, Operation};
use crate::runtime::outgoing::Outgoing;
use crate::runtime::telemetry;

/// One client.
struct Connected {
    caller: Caller,
    outgoing: Rc<Outgoing>,
    account: Rc<Account>,
    /// Its requests at work, as many as a session lets in.
    at_work: ByRequest<AtWork>,
}

/// What belongs to the requests of one client, by request id. A client ought not to use an id twice at a time; of one that does
/// each request counts all the same, or it would get more of them past the gate than anybody else.
struct ByRequest<T>(BTreeMap<(u64, u32), T>);

impl<T> ByRequest<T> {
    fn last(&self, request_id: u64) -> Option<u32> {
        let same = (request_id, 0)..=(request_id, u32::MAX);
        self.0.range(same).next_back().map(|((_, nth), _)| *nth)
    }

    fn insert(&mut self, request_id: u64, it: T) {
        let nth = self.last(request_id).map_or(0, |nth| nth + 1);
        self.0.insert((request_id, nth), it);
    }

    fn remove(&mut self, request_id: u64) -> Option<T> {
        let nth = self.last(request_id)?;
        self.0.remove(&(request_id, nth))
    }
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

impl Arrival {
    /// It is answered: tells the gate, and how many nanoseconds that took.
    fn answered(self, now: Now, response: &Response) -> u64 {
        let took_ns = now.mono_ns.saturating_sub(self.at_ns);
        if let (Some(ticket), Some(pace)) = (self.ticket, pace(took_ns, response)) {
            ticket.ended(now.mono_ns, pace);
        }
        took_ns
    }
}

/// All clients.
pub(crate) struct Clients {
    connected: BTreeMap<ClientNumber, Connected>,
    /// What clients that are gone had asked for data, while the engine works on it. The gate bounds how many there are.
    left_behind: BTreeMap<ClientNumber, ByRequest<Arrival>>,
    meters: Rc<Meters>,
    /// Only while somebody listens at level `debug`: a span costs more than many a request.
    spans: BTreeMap<(ClientNumber, u64), Span>,
    answered: u64,
}

impl Clients {
    /// Nobody yet. Answers are counted in `meters`.
    pub(crate) fn new(meters: Rc<Meters>) -> Clients {
        Clients {
            connected: BTreeMap::new(),
            left_behind: BTreeMap::new(),
            meters,
            spans: BTreeMap::new(),
            answered: 0,
        }
    }

    /// A client has connected.
    pub(crate) fn opened(
        &mut self,
        client: ClientNumber,
        caller: Caller,
        outgoing: Rc<Outgoing>,
        account: Rc<Account>,
    ) {
        let connected =
            Connected { caller, outgoing, account, at_work: ByRequest(BTreeMap::new()) };
        self.connected.insert(client, connected);
    }

    /// Who a client is, while it is connected.
    pub(crate) fn caller(&self, client: ClientNumber) -> Option<Caller> {
        self.connected.get(&client).map(|connected| connected.caller)
    }

    /// It is gone.
    pub(crate) fn gone(&mut self, client: ClientNumber) {
        let at_work = self.connected.remove(&client).map(|connected| connected.at_work.0);
        let arrivals = at_work.into_iter().flatten().map(|(id, at_work)| (id, at_work.arrival));
        let left: BTreeMap<_, _> =
            arrivals.filter(|(_, arrival)| arrival.ticket.is_some()).collect();
        if !left.is_empty() {
            self.left_behind.insert(client, ByRequest(left));
        }
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
            if let Some(AtWork { operation, arrival }) = connected.at_work.remove(request_id) {
                let took_ns = arrival.answered(now, response);
                self.meters.requests.answered(operation, took_ns, response);
            }
            connected.account.answered(request_id);
            push_answer(&connected.outgoing, &connected.account, request_id, response);
        } else if let Some(left) = self.left_behind.get_mut(&client) {
            if let Some(arrival) = left.remove(request_id) {
                arrival.answered(now, response);
            }
            if left.0.is_empty() {
                self.left_behind.remove(&client);
            }
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

/// What an answer's time says of how quickly the node works: that of one key's request that came to its end, and whatever
/// was late. Listings and batches that succeeded take long by their nature, and what was refused took no work.
fn pace(took_ns: u64, response: &Response) -> Option<Pace> {
    match response {
        Response::Put(_)
        | Response::Get(_)
        | Response::Update(_)
        | Response::Merged(_)
        | Response::Error { error: RequestError::Unavailable { .. } } => Some(Pace::Took(took_ns)),
        Response::Error { error } if is_late(error) => Some(Pace::Late(took_ns)),
        _ => None,
    }
}

fn is_late(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::DeadlineExceeded
            | RequestError::OutcomeUnknown { .. }
            | RequestError::AppliedBelowW { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::rc::Rc;

    use kvorum_protocol::message::{Get, Nothing, RequestOptions};
    use kvorum_protocol::{Key, OperationId, Request, RequestError, Response};
    use kvorum_ring::PartitionCount;

    use super::{Arrival, Clients};
    use crate::engine::Now;
    use crate::runtime::access::Caller;
    use crate::runtime::gate::Gate;
    use crate::runtime::listener::{Account, ClientNumber};
    use crate::runtime::outgoing::Outgoing;
    use crate::runtime::quota::Quota;
    use crate::runtime::source::Source;

    const CLIENT: ClientNumber = ClientNumber(1);

    fn get() -> Request {
        let (bucket, key) = ("default".parse().unwrap(), Key::new(vec![1]).unwrap());
        Request::Get(Get { bucket, key, options: RequestOptions::new(OperationId(1)) })
    }

    fn opened(clients: &mut Clients) {
        let source = Source::of(Ipv4Addr::LOCALHOST.into());
        let account = Rc::new(Account::new(source, Quota::new(1), Quota::new(1)));
        clients.opened(CLIENT, Caller::Operator, Rc::new(Outgoing::new(1_000)), account);
    }

    #[test]
    fn requests_under_one_id_count_singly_until_each_is_answered() {
        for stays in [true, false] {
            let (gate, mut clients) = (Gate::of(3), Clients::new(Rc::default()));
            opened(&mut clients);
            for _ in 0..3 {
                let arrival = Arrival { at_ns: 0, ticket: gate.enter_alone() };
                let partitions = PartitionCount::new(16).unwrap();
                clients.began(CLIENT, 7, &get(), arrival, partitions);
            }
            if !stays {
                clients.gone(CLIENT);
            }
            let now = Now { mono_ns: 1, wall_ms: 0 };
            for inside in [2, 1, 0] {
                let error = RequestError::DeadlineExceeded;
                clients.answer(now, CLIENT, 7, &Response::Error { error });
                assert_eq!(gate.stats().inside, inside);
            }
        }
    }

    #[test]
    fn what_a_client_leaves_behind_counts_at_the_gate_until_it_is_answered() {
        let (gate, mut clients) = (Gate::of(2), Clients::new(Rc::default()));
        let partitions = PartitionCount::new(16).unwrap();
        opened(&mut clients);
        for id in [1, 2] {
            let arrival = Arrival { at_ns: 0, ticket: gate.enter_alone() };
            clients.began(CLIENT, id, &get(), arrival, partitions);
        }
        let arrival = Arrival { at_ns: 0, ticket: None };
        clients.began(CLIENT, 3, &Request::Status(Nothing {}), arrival, partitions);
        clients.gone(CLIENT);
        assert!(gate.enter_alone().is_none(), "the engine works on both");
        let now = Now { mono_ns: 1, wall_ms: 0 };
        for (id, inside) in [(1, 1), (1, 1), (2, 0)] {
            let error = RequestError::DeadlineExceeded;
            clients.answer(now, CLIENT, id, &Response::Error { error });
            assert_eq!(gate.stats().inside, inside);
        }
        assert!(clients.left_behind.is_empty());
    }
}
