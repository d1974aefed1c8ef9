//! One connection to one node: a greeting, then requests and answers in any order.
//!
//! A caller encodes its own frame, puts a slot for the answer into the table of pending requests, and hands the frame to
//! the writing task, which gathers what is there and writes it at once. The reading task cuts frames out of the stream
//! and fills the slots. When either side of the stream ends, every slot is dropped, and its owner learns that the answer
//! will never come.
//!
//! Invariants: a request that was handed over is never said to be unsent. The opposite may happen: a frame that was still
//! in the queue counts as sent. A connection is called silent only when not a byte has come over it for all the time that
//! a request was waited for: one request that is not answered says nothing about the others. An answer that comes when
//! nobody waits for it any more is dropped.

mod greeting;
mod pending;
mod pump;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kvorum_protocol::frame::{FrameError, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{Hello, Request, Response};
use kvorum_ring::NodeId;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::connection::pending::Pending;
use crate::endpoint::Transport;
use crate::error::ConnectError;
use crate::limits;
use crate::transport::Stream;

/// Whom we expect at the other end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) node: Option<NodeId>,
    pub(crate) cluster: Option<Arc<str>>,
}

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    node: NodeId,
    cluster: Arc<str>,
    transport: Transport,
    frames: mpsc::Sender<Vec<u8>>,
    pending: Arc<Pending>,
    places: Semaphore,
    tasks: [JoinHandle<()>; 2],
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The request never left: the connection was closed already, or too many others went before it.
    NotSent,
    /// The request does not fit into a frame.
    TooLong(FrameError),
    /// It was sent, and the connection was lost.
    Lost,
    /// It was sent, and no answer came in time, though the node spoke, or was not listened to for long enough to tell.
    TimedOut,
    /// It was sent, and then not a byte came over the connection: the node hangs or is out of reach.
    Silent,
}

impl Connection {
    /// Exchanges greetings and starts the two tasks. At most `in_flight` requests will be in flight.
    pub(crate) async fn open(
        mut stream: Stream,
        transport: Transport,
        hello: Hello,
        expected: &Expected,
        in_flight: usize,
    ) -> Result<Connection, ConnectError> {
        let (welcome, decoder) = greeting::exchange(&mut stream, hello, expected).await?;
        let pending = Arc::new(Pending::default());
        let (frames, queue) = mpsc::channel(limits::WRITE_QUEUE);
        let reading = pump::read(stream.reader, decoder, Arc::clone(&pending));
        let writing = pump::write(stream.writer, queue, Arc::clone(&pending));
        Ok(Connection {
            node: welcome.node,
            cluster: welcome.cluster_name.into(),
            transport,
            frames,
            pending,
            places: Semaphore::new(in_flight),
            tasks: [tokio::spawn(reading), tokio::spawn(writing)],
        })
    }

    /// Who answers here.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// The cluster it belongs to.
    pub(crate) fn cluster(&self) -> &Arc<str> {
        &self.cluster
    }

    /// What carries the frames.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether requests can still be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.pending.is_closed()
    }

    /// Sends a request and waits for its answer, at most `patience`.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        patience: Duration,
    ) -> Result<Response, NoAnswer> {
        let begun = Instant::now();
        let place = timeout(patience, self.places.acquire()).await;
        let _place = place.ok().and_then(Result::ok).ok_or(NoAnswer::NotSent)?;
        let mut slot = self.pending.register().ok_or(NoAnswer::NotSent)?;
        let mut frame = Vec::with_capacity(about_bytes(request));
        write_message(&mut frame, CLIENT_FRAME_BYTES, slot.id(), request)
            .map_err(NoAnswer::TooLong)?;
        let left = patience.saturating_sub(begun.elapsed());
        match timeout(left, self.frames.send(frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(NoAnswer::NotSent),
        }
        let left = patience.saturating_sub(begun.elapsed());
        match timeout(left, slot.answer()).await {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(NoAnswer::Lost),
            Err(_) if left < limits::SILENCE || !slot.heard_nothing() => Err(NoAnswer::TimedOut),
            // Perhaps it is this process that had no processor: what came meanwhile lies unread.
            Err(_) => match timeout(limits::LAST_LOOK, slot.answer()).await {
                Ok(Some(response)) => Ok(response),
                Ok(None) => Err(NoAnswer::Lost),
                Err(_) if slot.heard_nothing() => Err(NoAnswer::Silent),
                Err(_) => Err(NoAnswer::TimedOut),
            },
        }
    }
}

/// About how long a request's frame becomes, rather more than less, so that it does not grow while it is written.
fn about_bytes(request: &Request) -> usize {
    const HEADS: usize = 128;
    let key =
        request.key().map_or(0, |(bucket, key)| bucket.as_bytes().len() + key.as_bytes().len());
    match request {
        Request::Put(put) => HEADS + key + put.value.len(),
        Request::Update(update) => HEADS + key + update.change.bytes(),
        _ => HEADS + key,
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
