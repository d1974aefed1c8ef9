//! Sessions over a pipe in memory: greeting, bad frames, and a client that does not read.

use std::collections::BTreeMap;
use std::rc::Rc;

use kvorum_protocol::frame::{FrameDecoder, read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{ArgumentKind, GetDone, GetValue, Greeting, Hello, Nothing};
use kvorum_protocol::{Actor, Dot, Request, RequestError, Response};
use kvorum_ring::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};

use crate::identity::PeerName;
use crate::runtime::limits;
use crate::runtime::listener::door::{ClientEvent, Door};
use crate::runtime::listener::session::{SessionError, push_answer, serve};
use crate::runtime::outgoing::Outgoing;

const ME: NodeId = NodeId(1);

fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap()
        .block_on(test);
}

/// One session and the client's end of its pipe.
struct Client {
    pipe: DuplexStream,
    decoder: FrameDecoder,
    events: mpsc::Receiver<ClientEvent>,
    session: JoinHandle<Result<(), SessionError>>,
}

fn client() -> Client {
    let (pipe, theirs) = duplex(16 << 10);
    let (sender, events) = mpsc::channel(4_096);
    let (_members, members) = watch::channel(BTreeMap::from([(ME, String::new())]));
    let door = Rc::new(Door::new(ME, "test".to_owned(), members, sender));
    assert!(door.admits(PeerName::Client) && door.admits(PeerName::Node(ME)));
    assert!(!door.admits(PeerName::Node(NodeId(9))));
    let (reader, writer) = split(theirs);
    Client {
        pipe,
        decoder: FrameDecoder::new(CLIENT_FRAME_BYTES),
        events,
        session: spawn_local(serve(door, reader, writer)),
    }
}

impl Client {
    async fn greeted() -> (Client, Rc<Outgoing>) {
        let mut client = client();
        client.say(0, &Greeting::Hello(Hello::current())).await;
        let (_, answer) = read_message::<Greeting>(client.frame().await).unwrap();
        let Greeting::Welcome(welcome) = answer else { panic!("welcome") };
        assert_eq!((welcome.node, welcome.cluster_name.as_str()), (ME, "test"));
        let Some(ClientEvent::Opened { outgoing, .. }) = client.events.recv().await else {
            panic!("opened")
        };
        (client, outgoing)
    }

    async fn say<M: kvorum_protocol::codec::Tagged>(&mut self, request_id: u64, message: &M) {
        let mut out = Vec::new();
        write_message(&mut out, CLIENT_FRAME_BYTES, request_id, message).unwrap();
        self.pipe.write_all(&out).await.unwrap();
    }

    async fn frame(&mut self) -> bytes::Bytes {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            assert!(
                self.pipe.read_buf(self.decoder.buffer()).await.unwrap() > 0,
                "the session closed the pipe"
            );
        }
    }
}

#[test]
fn requests_arrive_and_answers_go_back_in_any_order() {
    run(async {
        let (mut client, outgoing) = Client::greeted().await;
        for request_id in [7, 8] {
            client.say(request_id, &Request::Status(Nothing {})).await;
            let Some(ClientEvent::Request { request_id: got, .. }) = client.events.recv().await
            else {
                panic!("asked")
            };
            assert_eq!(got, request_id);
        }
        for request_id in [8, 7] {
            push_answer(&outgoing, request_id, &Response::Done(Nothing {}));
            assert_eq!(read_message::<Response>(client.frame().await).unwrap().0, request_id);
        }
        client.pipe.shutdown().await.unwrap();
        assert!(matches!(client.events.recv().await, Some(ClientEvent::Gone { .. })));
        assert!(client.session.await.unwrap().is_ok());
    });
}

#[test]
fn a_greeting_of_another_version_is_refused_with_the_versions_spoken() {
    run(async {
        let mut client = client();
        let hello = Hello { protocol_min: 7, protocol_max: 9, ..Hello::current() };
        client.say(0, &Greeting::Hello(hello)).await;
        let (_, answer) = read_message::<Greeting>(client.frame().await).unwrap();
        let refused = RequestError::UnsupportedVersion { min: 1, max: 1 };
        assert_eq!(answer, Greeting::Refused { error: refused });
        assert!(matches!(client.session.await.unwrap(), Err(SessionError::Greeting)));
    });
}

#[test]
fn what_is_no_greeting_ends_the_session() {
    run(async {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 1, 0xc0], &[0xff; 8]] {
            let mut client = client();
            client.pipe.write_all(bytes).await.unwrap();
            let _ = client.pipe.shutdown().await;
            assert!(client.session.await.unwrap().is_err());
            assert!(client.events.recv().await.is_none(), "the driver never hears of it");
        }
    });
}

#[test]
fn a_malformed_request_is_answered_and_the_session_goes_on() {
    run(async {
        let (mut client, _outgoing) = Client::greeted().await;
        // [10, 5]: a put with request id 5 and nothing else; then [99, 6]: a request of a later version.
        for (body, request_id, argument) in [
            ([0x92, 10, 5], 5, ArgumentKind::Malformed),
            ([0x92, 99, 6], 6, ArgumentKind::UnknownRequest),
        ] {
            client.pipe.write_all(&[0, 0, 0, 3]).await.unwrap();
            client.pipe.write_all(&body).await.unwrap();
            let (id, answer) = read_message::<Response>(client.frame().await).unwrap();
            assert_eq!(id, request_id);
            assert_eq!(
                answer,
                Response::Error { error: RequestError::InvalidArgument { argument } }
            );
        }
        client.say(7, &Request::Status(Nothing {})).await;
        assert!(matches!(
            client.events.recv().await,
            Some(ClientEvent::Request { request_id: 7, .. })
        ));
    });
}

#[test]
fn a_frame_too_long_to_read_ends_the_session() {
    run(async {
        let (mut client, _outgoing) = Client::greeted().await;
        client.pipe.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        assert!(matches!(client.events.recv().await, Some(ClientEvent::Gone { .. })));
        assert!(matches!(client.session.await.unwrap(), Err(SessionError::Frame)));
    });
}

#[test]
fn values_that_nobody_reads_do_not_gather_without_bound() {
    let outgoing = Outgoing::new(usize::MAX);
    let value = GetValue {
        dot: Dot { actor: Actor(1), counter: 1 },
        value: vec![0; 1 << 20].into(),
        expires_at_ms: None,
    };
    let get = GetDone {
        values: vec![value],
        context: None,
        complete: true,
        owners: 1,
        fallbacks: 0,
        needed: 1,
    };
    for request_id in 0..200 {
        push_answer(&outgoing, request_id, &Response::Get(get.clone()));
    }
    assert!(outgoing.pending() < limits::CLIENT_PENDING_BYTES + (2 << 20));
    // What a write was told is never replaced: it has happened.
    let before = outgoing.pending();
    push_answer(&outgoing, 200, &Response::Done(Nothing {}));
    assert!(outgoing.pending() > before && outgoing.dropped() == 0);
}

#[test]
fn a_client_that_does_not_read_is_asked_no_more_than_its_share() {
    run(async {
        let (client, outgoing) = Client::greeted().await;
        let Client { mut pipe, mut events, session: _session, .. } = client;
        let mut out = Vec::new();
        for request_id in 0..limits::REQUESTS_PER_CLIENT as u64 + 100 {
            write_message(&mut out, CLIENT_FRAME_BYTES, request_id, &Request::Status(Nothing {}))
                .unwrap();
        }
        // The pipe takes it all in only as the session reads.
        let writer = spawn_local(async move {
            pipe.write_all(&out).await.unwrap();
            pipe
        });
        for _ in 0..limits::REQUESTS_PER_CLIENT {
            assert!(matches!(events.recv().await, Some(ClientEvent::Request { .. })));
        }
        let mut pipe = writer.await.unwrap();
        assert!(events.is_empty(), "no more until an answer has been written");
        push_answer(&outgoing, 0, &Response::Done(Nothing {}));
        assert!(matches!(events.recv().await, Some(ClientEvent::Request { .. })));
        assert!(pipe.read_u8().await.is_ok());
    });
}
