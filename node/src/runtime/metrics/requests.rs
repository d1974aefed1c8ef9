//! What became of the clients' requests: counted where they come in and where their answers leave.
//!
//! A request's time runs from the moment in which its last bytes had been read, which its session notes, to the turn of the
//! driver that answers it. What it waited for in sockets shows at the client.

use std::cell::Cell;

use kvorum_protocol::message::{ErrorClass, RequestError};
use kvorum_protocol::{Request, Response};

use crate::runtime::metrics::exposition::{Exposition, Kind};
use crate::runtime::metrics::histogram::Histogram;

/// What a client can ask for, as figures tell it apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Put,
    Get,
    Delete,
    List,
    BatchPut,
    BatchGet,
    /// An operation on a counter, set, map or register.
    Update,
    /// Topology, status, diagnosis, buckets: everything that is not about keys.
    Admin,
}

impl Operation {
    const ALL: [(Operation, &'static str); 8] = [
        (Operation::Put, "put"),
        (Operation::Get, "get"),
        (Operation::Delete, "delete"),
        (Operation::List, "list"),
        (Operation::BatchPut, "batch_put"),
        (Operation::BatchGet, "batch_get"),
        (Operation::Update, "update"),
        (Operation::Admin, "admin"),
    ];

    /// The operation that a request asks for.
    pub(crate) fn of(request: &Request) -> Operation {
        match request {
            Request::Put(_) => Operation::Put,
            Request::Get(_) => Operation::Get,
            Request::Delete(_) => Operation::Delete,
            Request::List(_) | Request::Conflicts(_) => Operation::List,
            Request::BatchPut(_) => Operation::BatchPut,
            Request::BatchGet(_) => Operation::BatchGet,
            Request::Update(_) => Operation::Update,
            _ => Operation::Admin,
        }
    }
}

/// How requests end, as figures tell it apart.
const RESULTS: [&str; 9] = [
    "ok",
    "not_found",
    "usage",
    "unavailable",
    "overloaded",
    "conflict",
    "refused",
    "unknown",
    "damaged",
];

/// The position in [`RESULTS`].
fn result_of(response: &Response) -> usize {
    let Response::Error { error } = response else { return 0 };
    match (error, error.class()) {
        (RequestError::Overloaded { .. }, _) => 4,
        (_, ErrorClass::NotFound) => 1,
        (_, ErrorClass::Usage) => 2,
        (_, ErrorClass::Unavailable) => 3,
        (_, ErrorClass::Conflict) => 5,
        (_, ErrorClass::Refused) => 6,
        (_, ErrorClass::Unknown) => 7,
        (_, ErrorClass::Damaged) => 8,
    }
}

/// How quorums came out, and who stood in them.
const OUTCOMES: [&str; 4] = ["met", "incomplete", "short", "unknown"];

/// Counters of one node's client requests.
#[derive(Default)]
pub(crate) struct RequestCounts {
    results: [[Cell<u64>; RESULTS.len()]; Operation::ALL.len()],
    times: [Histogram; Operation::ALL.len()],
    outcomes: [[Cell<u64>; OUTCOMES.len()]; 2],
    owners: [Cell<u64>; 2],
    fallbacks: [Cell<u64>; 2],
}

fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get() + more);
}

/// The writes' row of the tables about quorums.
const WRITES: usize = 0;
/// The reads' row.
const READS: usize = 1;

impl RequestCounts {
    /// Counts an answer that took `ns` nanoseconds.
    pub(crate) fn answered(&self, operation: Operation, ns: u64, response: &Response) {
        self.turned_away(operation, response);
        self.times[operation as usize].record_ns(ns);
        match response {
            Response::Put(done) => self.written(done.acked_owners, done.acked_fallbacks),
            Response::Update(done) => self.written(done.acked_owners, done.acked_fallbacks),
            Response::Get(done) => self.read(done.complete, done.owners, done.fallbacks),
            Response::Merged(done) => self.read(done.complete, done.owners, done.fallbacks),
            Response::Error { error } => self.failed(operation, error),
            _ => {}
        }
    }

    /// Counts how a request ended, and no time: all there is to say of one that was not let in, which was refused at once.
    pub(crate) fn turned_away(&self, operation: Operation, response: &Response) {
        add(&self.results[operation as usize][result_of(response)], 1);
    }

    fn written(&self, owners: u8, fallbacks: u8) {
        add(&self.outcomes[WRITES][0], 1);
        add(&self.owners[WRITES], owners.into());
        add(&self.fallbacks[WRITES], fallbacks.into());
    }

    fn read(&self, complete: bool, owners: u8, fallbacks: u8) {
        add(&self.outcomes[READS][usize::from(!complete)], 1);
        add(&self.owners[READS], owners.into());
        add(&self.fallbacks[READS], fallbacks.into());
    }

    fn failed(&self, operation: Operation, error: &RequestError) {
        let row = match operation {
            Operation::Put | Operation::Delete | Operation::Update => WRITES,
            Operation::Get => READS,
            _ => return,
        };
        match error {
            RequestError::Unavailable { .. } | RequestError::AppliedBelowW { .. } => {
                add(&self.outcomes[row][2], 1);
            }
            RequestError::OutcomeUnknown { .. } => add(&self.outcomes[row][3], 1),
            _ => {}
        }
    }

    /// Writes the families. A series that nothing was counted in is left out.
    pub(crate) fn expose(&self, out: &mut Exposition) {
        let help = "Client requests answered, by what was asked and how it ended.";
        out.family("kvorum_requests_total", Kind::Counter, help);
        for (operation, name) in Operation::ALL {
            for (result, count) in RESULTS.iter().zip(&self.results[operation as usize]) {
                if count.get() > 0 {
                    out.sample(&[("operation", name), ("result", result)], count.get() as f64);
                }
            }
        }
        let help = "Time from taking a client's request to answering it, whatever the result.";
        out.family("kvorum_request_seconds", Kind::Histogram, help);
        for (operation, name) in Operation::ALL {
            let times = &self.times[operation as usize];
            if times.counts().iter().any(|count| *count > 0) {
                out.histogram(&[("operation", name)], times);
            }
        }
        let help = "Quorums of single puts, deletes, updates and gets: met; met but somebody who could know more was not heard \
                    (incomplete); fewer answers than asked for (short); not known (unknown).";
        out.family("kvorum_quorums_total", Kind::Counter, help);
        for (row, name) in ["write", "read"].into_iter().enumerate() {
            for (outcome, count) in OUTCOMES.iter().zip(&self.outcomes[row]) {
                out.sample(&[("kind", name), ("outcome", outcome)], count.get() as f64);
            }
        }
        let help = "Nodes that stood in quorums that were met, by whether they own the key or stood in for an owner.";
        out.family("kvorum_quorum_holders_total", Kind::Counter, help);
        for (row, name) in ["write", "read"].into_iter().enumerate() {
            let (owners, fallbacks) = (self.owners[row].get(), self.fallbacks[row].get());
            out.sample(&[("kind", name), ("holder", "owner")], owners as f64);
            out.sample(&[("kind", name), ("holder", "fallback")], fallbacks as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::Response;
    use kvorum_protocol::message::{GetDone, RequestError};

    use super::{Operation, RequestCounts};
    use crate::runtime::metrics::exposition::Exposition;

    #[test]
    fn answers_are_counted_by_operation_result_and_quorum() {
        let counts = RequestCounts::default();
        let done = GetDone {
            values: Vec::new(),
            context: None,
            complete: false,
            owners: 2,
            fallbacks: 1,
            needed: 2,
        };
        counts.answered(Operation::Get, 30_000, &Response::Get(done));
        let error = RequestError::Overloaded { retry_after_ms: 5 };
        counts.answered(Operation::Put, 10, &Response::Error { error });
        let error = RequestError::Overloaded { retry_after_ms: 5 };
        counts.turned_away(Operation::Put, &Response::Error { error });
        let error = RequestError::Unavailable { needed: 2, got: 1, causes: Vec::new() };
        counts.answered(Operation::Delete, 10, &Response::Error { error });
        let mut out = Exposition::default();
        counts.expose(&mut out);
        let text = out.finish();
        for line in [
            "kvorum_requests_total{operation=\"get\",result=\"ok\"} 1",
            "kvorum_requests_total{operation=\"put\",result=\"overloaded\"} 2",
            "kvorum_request_seconds_count{operation=\"put\"} 1",
            "kvorum_requests_total{operation=\"delete\",result=\"unavailable\"} 1",
            "kvorum_request_seconds_count{operation=\"get\"} 1",
            "kvorum_quorums_total{kind=\"read\",outcome=\"incomplete\"} 1",
            "kvorum_quorums_total{kind=\"write\",outcome=\"short\"} 1",
            "kvorum_quorum_holders_total{kind=\"read\",holder=\"fallback\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
