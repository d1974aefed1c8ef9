//! Many puts or gets in one request.
//!
//! Each item is a request of its own, with its own coordinator, quorum and outcome; the batch saves round trips and promises
//! nothing more. Outcomes come back in the order of the items.

use kvorum_protocol::message::{
    BatchGet, BatchGetDone, BatchPut, BatchPutDone, Get, GetOutcome, Put, PutOutcome, Request,
    RequestOptions, Response,
};

use crate::engine::coordinator::outcome::error_of;
use crate::engine::machine::{Machine, Progress};
use crate::engine::turn::{Part, Turn};

/// A batch whose items are under way.
#[derive(Clone)]
pub(crate) struct Batch {
    kind: Kind,
    /// The items; gone once they are begun.
    requests: Vec<Request>,
    deadline_ns: u64,
    answers: Vec<Option<Response>>,
    outstanding: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Put,
    Get,
}

impl Batch {
    /// A batch of puts; each keeps its own operation id.
    pub(crate) fn of_puts(batch: BatchPut, deadline_ns: u64) -> Batch {
        let BatchPut { bucket, items, options } = batch;
        let request = |item: kvorum_protocol::message::PutItem| {
            Request::Put(Put {
                bucket: bucket.clone(),
                key: item.key,
                value: item.value,
                replaces: item.replaces,
                options: RequestOptions { operation: item.operation, ..options.clone() },
                expires_at_ms: item.expires_at_ms,
            })
        };
        Batch::new(Kind::Put, items.into_iter().map(request).collect(), deadline_ns)
    }

    /// A batch of gets.
    pub(crate) fn of_gets(batch: BatchGet, deadline_ns: u64) -> Batch {
        let BatchGet { bucket, keys, options } = batch;
        let request =
            |key| Request::Get(Get { bucket: bucket.clone(), key, options: options.clone() });
        Batch::new(Kind::Get, keys.into_iter().map(request).collect(), deadline_ns)
    }

    fn new(kind: Kind, requests: Vec<Request>, deadline_ns: u64) -> Batch {
        let outstanding = requests.len();
        Batch { kind, requests, deadline_ns, answers: vec![None; outstanding], outstanding }
    }

    fn response(&mut self) -> Response {
        let answers = std::mem::take(&mut self.answers).into_iter().flatten();
        match self.kind {
            Kind::Put => {
                Response::BatchPut(BatchPutDone { outcomes: answers.map(put_outcome).collect() })
            }
            Kind::Get => {
                Response::BatchGet(BatchGetDone { outcomes: answers.map(get_outcome).collect() })
            }
        }
    }
}

impl Machine for Batch {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        let deadline_ns = self.deadline_ns;
        for (index, request) in std::mem::take(&mut self.requests).into_iter().enumerate() {
            turn.begin(Part { index, request, deadline_ns });
        }
        Progress::Waiting
    }

    fn on_part(&mut self, turn: &mut Turn<'_>, index: usize, response: Response) -> Progress {
        let earlier = self.answers[index].replace(response);
        assert!(earlier.is_none(), "an item is answered once");
        self.outstanding -= 1;
        if self.outstanding > 0 {
            return Progress::Waiting;
        }
        let response = self.response();
        turn.answer(response);
        Progress::Done
    }

    fn on_deadline(&mut self, _turn: &mut Turn<'_>) -> Progress {
        // It sets no alarm: its items share its deadline, and each answers by then.
        Progress::Waiting
    }
}

fn put_outcome(response: Response) -> PutOutcome {
    match response {
        Response::Put(done) => PutOutcome::Done(done),
        other => PutOutcome::Failed { error: error_of(other) },
    }
}

fn get_outcome(response: Response) -> GetOutcome {
    match response {
        Response::Get(done) => GetOutcome::Done(done),
        Response::Merged(done) => GetOutcome::Merged(done),
        other => GetOutcome::Failed { error: error_of(other) },
    }
}
