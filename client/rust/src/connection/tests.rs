//! When a connection is called silent, against an other end that the test plays.
#![allow(clippy::disallowed_methods)] // Deadlines are what is tested.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvorum_protocol::frame::{FrameDecoder, read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{
    Features, Greeting, Hello, Nothing, PROTOCOL_VERSION, Request, Response, Welcome,
};
use kvorum_ring::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Connection, Expected, NoAnswer};
use crate::endpoint::Transport;
use crate::limits::{IN_FLIGHT, SILENCE};
use crate::transport::Stream;

const BYTES: usize = 1 << 20;

/// More than it takes to be called silent.
const PATIENCE: Duration = Duration::from_millis(400);

fn request() -> Request {
    Request::Topology(Nothing {})
}

fn answer(id: u64) -> Vec<u8> {
    frame(id, &Response::Done(Nothing {}))
}

fn frame<M: kvorum_protocol::codec::Tagged>(id: u64, message: &M) -> Vec<u8> {
    let mut frame = Vec::new();
    write_message(&mut frame, CLIENT_FRAME_BYTES, id, message).expect("fits");
    frame
}

/// The other end.
struct Node<S> {
    stream: S,
    decoder: FrameDecoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Node<S> {
    async fn greet(stream: S) -> Node<S> {
        let mut node = Node { stream, decoder: FrameDecoder::new(CLIENT_FRAME_BYTES) };
        let (id, _) = read_message::<Greeting>(node.next().await).expect("a greeting");
        let (protocol, features, node_id) = (PROTOCOL_VERSION, Features::NONE, NodeId(1));
        let cluster_name = "test".to_owned();
        let welcome = Welcome { protocol, features, node: node_id, cluster_name };
        node.say(&frame(id, &Greeting::Welcome(welcome))).await;
        node
    }

    async fn next(&mut self) -> bytes::Bytes {
        loop {
            if let Some(body) = self.decoder.next_frame().expect("a possible frame") {
                return body;
            }
            let read = self.stream.read_buf(self.decoder.buffer()).await.expect("it is open");
            assert!(read > 0, "the client has gone");
        }
    }

    /// The id of the next request.
    async fn asked(&mut self) -> u64 {
        read_message::<Request>(self.next().await).expect("a request").0
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the client listens");
    }
}

async fn open(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Arc<Connection> {
    let (reader, writer) = tokio::io::split(stream);
    let stream = Stream { reader: Box::new(reader), writer: Box::new(writer) };
    let (hello, expected) = (Hello::current(), Expected::default());
    let opened = Connection::open(stream, Transport::Plain, hello, &expected, IN_FLIGHT).await;
    Arc::new(opened.expect("a greeting"))
}

async fn pair() -> (Arc<Connection>, Node<tokio::io::DuplexStream>) {
    let (here, there) = duplex(BYTES);
    tokio::join!(open(here), Node::greet(there))
}

#[tokio::test]
async fn a_connection_on_which_anything_came_since_the_request_is_not_silent() {
    let (connection, mut node) = pair().await;
    let ask = request();
    let asking = connection.ask(&ask, PATIENCE);
    let speaking = async {
        let id = node.asked().await;
        // A part of an answer: a large value on a slow network.
        node.say(&answer(id)[..2]).await;
        id
    };
    let (outcome, id) = tokio::join!(asking, speaking);
    assert_eq!(outcome, Err(NoAnswer::TimedOut));
    let asking = connection.ask(&ask, PATIENCE);
    let speaking = async {
        // Its rest comes too late for anybody, and then the answer that is waited for.
        node.say(&answer(id)[2..]).await;
        let id = node.asked().await;
        node.say(&answer(id)).await;
    };
    let (outcome, ()) = tokio::join!(asking, speaking);
    assert_eq!(outcome, Ok(Response::Done(Nothing {})), "the late answer did no harm");
    assert_eq!(connection.ask(&ask, PATIENCE).await, Err(NoAnswer::Silent));
}

#[tokio::test]
async fn who_got_a_place_only_at_the_end_does_not_call_the_connection_silent() {
    let (connection, _node) = pair().await;
    let mut first = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let connection = Arc::clone(&connection);
        first.spawn(async move { connection.ask(&request(), PATIENCE).await });
    }
    while connection.places.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let waited = connection.ask(&request(), PATIENCE + SILENCE / 2).await;
    assert_eq!(waited, Err(NoAnswer::TimedOut), "it listened for {:?} only", SILENCE / 2);
    while let Some(outcome) = first.join_next().await {
        assert_eq!(outcome.expect("no panic"), Err(NoAnswer::Silent));
    }
}

#[tokio::test]
async fn an_answer_that_lies_unread_because_this_process_had_no_processor_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (mut outside, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    // Answers pass through a task of their own before they are read, as they do over QUIC.
    let (here, mut inside) = duplex(BYTES);
    let passing = tokio::spawn(async move {
        let outside = outside.as_mut().expect("connects");
        let _ = copy_bidirectional(&mut inside, outside).await;
    });
    let (connection, mut node) =
        tokio::join!(open(here), Node::greet(accepted.expect("accepts").0));
    let ask = request();
    let asking = connection.ask(&ask, PATIENCE);
    let answering = async {
        let id = node.asked().await;
        node.say(&answer(id)).await;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE * 2 {
            std::hint::spin_loop();
        }
    };
    let (outcome, ()) = tokio::join!(asking, answering);
    assert_eq!(outcome, Ok(Response::Done(Nothing {})));
    passing.abort();
}
