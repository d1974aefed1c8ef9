//! Sessions over a pipe in memory: greeting, bad frames, and a client that does not read.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use kvorum_protocol::frame::{FrameDecoder, read_message, write_message};
use kvorum_protocol::limits::{CLIENT_FRAME_BYTES, HELLO_BYTES};
use kvorum_protocol::message::{
    AccessRefusal, ArgumentKind, GetDone, GetValue, Greeting, Hello, Nothing, Put, Replacing,
    RequestOptions,
};
use kvorum_protocol::{
    AccessToken, Actor, Dot, Key, OperationId, Request, RequestError, Response, TokenId,
};
use kvorum_ring::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::{Instant, interval};

use crate::limits::RETRY_AFTER_MS;
use crate::runtime::access::Shown;
use crate::runtime::clock::Clock;
use crate::runtime::gate::Gate;
use crate::runtime::limits;
use crate::runtime::listener::account::Account;
use crate::runtime::listener::door::{ClientEvent, Door, Guard};
use crate::runtime::listener::session::{SessionError, push_answer, serve};
use crate::runtime::metrics::{Exposition, Meters};
use crate::runtime::outgoing::Outgoing;
use crate::runtime::quota::Quota;
use crate::runtime::source::Source;

const ME: NodeId = NodeId(1);

/// Clients for whom there is room; half of them may come from one source.
const PLACES: usize = 2;

/// Bytes on their way in each direction between a client and its session.
const PIPE_BYTES: usize = 16 << 10;

fn run(test: impl Future<Output = ()>) {
    run_with(Builder::new_current_thread().enable_all(), test);
}

/// With a clock that jumps to the next deadline whenever everybody waits.
fn run_without_waiting(test: impl Future<Output = ()>) {
    run_with(Builder::new_current_thread().enable_all().start_paused(true), test);
}

fn run_with(builder: &mut Builder, test: impl Future<Output = ()>) {
    builder.build_local(LocalOptions::default()).unwrap().block_on(test);
}

/// One session and the client's end of its pipe.
struct Client {
    pipe: DuplexStream,
    decoder: FrameDecoder,
    events: mpsc::Receiver<ClientEvent>,
    session: JoinHandle<Result<(), SessionError>>,
    meters: Rc<Meters>,
}

fn client() -> Client {
    client_of(Shown::Certificate)
}

fn client_of(shown: Shown) -> Client {
    client_at(Gate::new(), shown)
}

fn client_at(gate: Rc<Gate>, shown: Shown) -> Client {
    client_with(gate, shown, PIPE_BYTES)
}

fn client_with(gate: Rc<Gate>, shown: Shown, pipe_bytes: usize) -> Client {
    let (pipe, theirs) = duplex(pipe_bytes);
    let (sender, events) = mpsc::channel(4_096);
    let (_members, members) = watch::channel(BTreeMap::from([(ME, String::new())]));
    let door =
        Rc::new(Door::new(PLACES, ME, "test".to_owned(), members, Guard { gate, ..guard(sender) }));
    let meters = door.meters.clone();
    let session = session(door, shown, theirs);
    Client { pipe, decoder: FrameDecoder::new(CLIENT_FRAME_BYTES), events, session, meters }
}

fn guard(events: mpsc::Sender<ClientEvent>) -> Guard {
    let (_access, access) = watch::channel(Arc::default());
    Guard::new(access, Clock::start(), events, &Rc::default())
}

fn session(
    door: Rc<Door>,
    shown: Shown,
    pipe: DuplexStream,
) -> JoinHandle<Result<(), SessionError>> {
    let (reader, writer) = split(pipe);
    let address = Ipv4Addr::LOCALHOST.into();
    let stranger = door.strangers.enter(address);
    spawn_local(serve(door, (Source::of(address), shown), stranger, reader, writer))
}

/// Where the driver puts its answers.
struct Answers {
    outgoing: Rc<Outgoing>,
    account: Rc<Account>,
}

impl Answers {
    fn push(&self, request_id: u64, answer: &Response) {
        self.account.answered(request_id);
        push_answer(&self.outgoing, &self.account, request_id, answer);
    }
}

impl Client {
    async fn greeted() -> (Client, Answers) {
        Client::greeted_at(Gate::new()).await
    }

    async fn greeted_at(gate: Rc<Gate>) -> (Client, Answers) {
        Client::greeted_by(client_at(gate, Shown::Certificate)).await
    }

    async fn greeted_by(mut client: Client) -> (Client, Answers) {
        client.say(0, &Greeting::Hello(Hello::current())).await;
        let (_, answer) = read_message::<Greeting>(client.frame().await).unwrap();
        let Greeting::Welcome(welcome) = answer else { panic!("welcome") };
        assert_eq!((welcome.node, welcome.cluster_name.as_str()), (ME, "test"));
        let Some(ClientEvent::Opened { outgoing, account, .. }) = client.events.recv().await else {
            panic!("opened")
        };
        (client, Answers { outgoing, account })
    }

    async fn say<M: kvorum_protocol::codec::Tagged>(&mut self, request_id: u64, message: &M) {
        let mut out = Vec::new();
        write_message(&mut out, CLIENT_FRAME_BYTES, request_id, message).unwrap();
        self.pipe.write_all(&out).await.unwrap();
    }

    async fn frame(&mut self) -> bytes::Bytes {
        next_frame(&mut self.pipe, &mut self.decoder).await
    }
}

async fn next_frame(
    reader: &mut (impl AsyncRead + Unpin),
    decoder: &mut FrameDecoder,
) -> bytes::Bytes {
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            return frame;
        }
        let count = reader.read_buf(decoder.buffer()).await.unwrap();
        assert!(count > 0, "the session closed the pipe");
    }
}

fn put(retry: bool) -> Request {
    Request::Put(Put {
        bucket: "default".parse().unwrap(),
        key: Key::new(vec![1]).unwrap(),
        value: Default::default(),
        replaces: Replacing::Latest,
        options: RequestOptions { retry, ..RequestOptions::new(OperationId(3)) },
        expires_at_ms: None,
    })
}

fn figures(meters: &Meters) -> String {
    let mut figures = Exposition::default();
    meters.requests.expose(&mut figures);
    figures.finish()
}

/// Whether so many requests have ended like this.
fn result_counted(meters: &Meters, operation: &str, result: &str, count: u64) -> bool {
    let name = "kvorum_requests_total";
    let line = format!("{name}{{operation=\"{operation}\",result=\"{result}\"}} {count}");
    figures(meters).lines().any(|found| found == line)
}

#[test]
fn what_is_too_much_is_refused_at_once_and_questions_about_the_cluster_are_not() {
    run(async {
        let (mut client, _answers) = Client::greeted_at(Gate::of(1)).await;
        client.say(1, &put(false)).await;
        let Some(ClientEvent::Request { ticket: Some(_inside), .. }) = client.events.recv().await
        else {
            panic!("the first one is let in")
        };
        let overloaded = RequestError::Overloaded { retry_after_ms: RETRY_AFTER_MS };
        for (retry, error) in
            [(false, overloaded.clone()), (true, overloaded.of_retry(OperationId(3)))]
        {
            client.say(2, &put(retry)).await;
            let (_, answer) = read_message::<Response>(client.frame().await).unwrap();
            assert_eq!(answer, Response::Error { error });
        }
        client.say(4, &Request::Status(Nothing {})).await;
        let asked = client.events.recv().await;
        assert!(matches!(asked, Some(ClientEvent::Request { request_id: 4, ticket: None, .. })));
        assert!(result_counted(&client.meters, "put", "overloaded", 1));
        let figures = figures(&client.meters);
        assert!(!figures.contains("kvorum_request_seconds_count"), "{figures}");
    });
}

#[test]
fn requests_arrive_and_answers_go_back_in_any_order() {
    run(async {
        let (mut client, answers) = Client::greeted().await;
        for request_id in [7, 8] {
            client.say(request_id, &Request::Status(Nothing {})).await;
            let Some(ClientEvent::Request { request_id: got, .. }) = client.events.recv().await
            else {
                panic!("asked")
            };
            assert_eq!(got, request_id);
        }
        for request_id in [8, 7] {
            answers.push(request_id, &Response::Done(Nothing {}));
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
fn who_shows_neither_certificate_nor_token_or_a_wrong_one_is_told_so_and_not_let_in() {
    run(async {
        let wrong = AccessToken::new(TokenId(1), [1; 32]);
        let with_token = Hello::current().with_token(&wrong);
        for (shown, hello, reason) in [
            (Shown::Nothing, Hello::current(), AccessRefusal::Nothing),
            (Shown::Nothing, with_token.clone(), AccessRefusal::Wrong),
            (Shown::Certificate, with_token.clone(), AccessRefusal::Wrong),
            (Shown::Development, with_token, AccessRefusal::Wrong),
        ] {
            let mut client = client_of(shown);
            client.say(0, &Greeting::Hello(hello)).await;
            let (_, answer) = read_message::<Greeting>(client.frame().await).unwrap();
            let refused = RequestError::Unauthenticated { reason };
            assert_eq!(answer, Greeting::Refused { error: refused });
            let ended = client.session.await.unwrap();
            assert!(matches!(ended, Err(SessionError::NotLetIn(told)) if told == reason));
            assert!(client.events.recv().await.is_none(), "the driver never hears of it");
        }
    });
}

#[test]
fn a_greeting_longer_than_one_can_be_is_not_waited_for() {
    run(async {
        let mut client = client_of(Shown::Nothing);
        client.pipe.write_all(&(HELLO_BYTES as u32 + 1).to_be_bytes()).await.unwrap();
        assert!(client.session.await.unwrap().is_err());
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
    let outgoing = Rc::new(Outgoing::new(usize::MAX));
    let (requests, unread) = (Quota::new(0), Quota::new(usize::MAX));
    let account = Rc::new(Account::new(Source::of(Ipv4Addr::LOCALHOST.into()), requests, unread));
    let answers = Answers { outgoing: outgoing.clone(), account };
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
        answers.push(request_id, &Response::Get(get.clone()));
    }
    assert!(outgoing.pending() < limits::UNREAD_BYTES_PER_CLIENT + (2 << 20));
    // What a write was told is never replaced: it has happened.
    let before = outgoing.pending();
    answers.push(200, &Response::Done(Nothing {}));
    assert!(outgoing.pending() > before && outgoing.dropped() == 0);
}

#[test]
fn whatever_one_connection_asks_at_once_is_answered_and_what_is_too_much_before_the_rest() {
    const ASKED: u64 = 5_000;
    const LET_IN: u64 = limits::REQUESTS_PER_CLIENT as u64;
    run(async {
        let (client, answers) = Client::greeted().await;
        let Client { pipe, mut decoder, mut events, meters, .. } = client;
        let (mut reader, mut writer) = split(pipe);
        let mut asked = Vec::new();
        for request_id in 0..ASKED {
            let put = put(request_id % 2 == 0);
            write_message(&mut asked, CLIENT_FRAME_BYTES, request_id, &put).unwrap();
        }
        let writing = spawn_local(async move {
            writer.write_all(&asked).await.unwrap();
            writer
        });
        // Nobody works on those that were let in, and the others hear at once.
        let overloaded = RequestError::Overloaded { retry_after_ms: RETRY_AFTER_MS };
        assert!(overloaded.is_not_applied());
        for request_id in LET_IN..ASKED {
            let error = match request_id % 2 {
                0 => overloaded.clone().of_retry(OperationId(3)),
                _ => overloaded.clone(),
            };
            let refused = (request_id, Response::Error { error });
            let frame = next_frame(&mut reader, &mut decoder).await;
            assert_eq!(read_message::<Response>(frame).unwrap(), refused);
            assert!(answers.outgoing.pending() < limits::UNREAD_FREE_BYTES + 100);
        }
        // Of the retries nobody knows what came of the attempt before.
        assert!(result_counted(&meters, "put", "overloaded", (ASKED - LET_IN) / 2));
        for expected in 0..LET_IN {
            let Some(ClientEvent::Request { request_id, ticket: Some(_), .. }) =
                events.recv().await
            else {
                panic!("those that came first were let in")
            };
            assert_eq!(request_id, expected);
        }
        assert!(events.is_empty());
        for request_id in 0..LET_IN {
            answers.push(request_id, &Response::Done(Nothing {}));
            let frame = next_frame(&mut reader, &mut decoder).await;
            assert_eq!(read_message::<Response>(frame).unwrap().0, request_id);
        }
        let mut again = Vec::new();
        write_message(&mut again, CLIENT_FRAME_BYTES, ASKED, &put(false)).unwrap();
        writing.await.unwrap().write_all(&again).await.unwrap();
        let asked = events.recv().await;
        assert!(matches!(asked, Some(ClientEvent::Request { request_id: ASKED, .. })));
    });
}

#[test]
fn who_does_not_read_its_refusals_is_read_no_further_and_cut_off() {
    run_without_waiting(async {
        let (mut client, answers) = Client::greeted_at(Gate::of(0)).await;
        let begun = Instant::now();
        let mut put_frame = Vec::new();
        write_message(&mut put_frame, CLIENT_FRAME_BYTES, 1, &put(false)).unwrap();
        // Ends because the session closes the pipe.
        while client.pipe.write_all(&put_frame).await.is_ok() {}
        assert!(matches!(client.session.await.unwrap(), Err(SessionError::Stopping)));
        assert!((limits::READ_WITHIN..limits::READ_WITHIN * 2).contains(&begun.elapsed()));
        assert!(answers.outgoing.pending() < limits::UNREAD_FREE_BYTES + 100);
        let mut refusal = Vec::new();
        let error = RequestError::Overloaded { retry_after_ms: RETRY_AFTER_MS };
        write_message(&mut refusal, CLIENT_FRAME_BYTES, 1, &Response::Error { error }).unwrap();
        // What waits, what is being written, and what is in the pipe.
        let most = (2 * limits::UNREAD_FREE_BYTES + PIPE_BYTES) / refusal.len() + 3;
        let counted = |refused| result_counted(&client.meters, "put", "overloaded", refused as u64);
        let refused = (0..=most).find(|refused| counted(*refused));
        assert!(refused.is_some_and(|refused| refused > most / 4), "{refused:?} of {most}");
        assert!(
            client
                .events
                .recv()
                .await
                .is_some_and(|event| { matches!(event, ClientEvent::Gone { .. }) })
        );
    });
}

#[test]
fn a_flood_of_refusals_lets_everybody_else_have_their_turns() {
    const ASKED: usize = 4 * limits::REFUSALS_PER_TURN;
    run(async {
        let (mut client, _answers) =
            Client::greeted_by(client_with(Gate::of(0), Shown::Certificate, 1 << 20)).await;
        let mut asked = Vec::new();
        for request_id in 0..ASKED {
            write_message(&mut asked, CLIENT_FRAME_BYTES, request_id as u64, &put(false)).unwrap();
        }
        client.pipe.write_all(&asked).await.unwrap();
        let turns = Rc::new(Cell::new(0));
        let counted = turns.clone();
        spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        for _ in 0..ASKED {
            client.frame().await;
        }
        let least = ASKED - limits::REFUSALS_PER_TURN;
        assert!(turns.get() >= least, "{} turns", turns.get());
    });
}

#[test]
fn a_client_without_a_place_is_told_when_to_come_again_and_the_others_stay() {
    run(async {
        let (sender, mut events) = mpsc::channel(16);
        let (_members, members) = watch::channel(BTreeMap::new());
        let door = Rc::new(Door::new(PLACES, ME, "test".to_owned(), members, guard(sender)));
        let connect = || {
            let (pipe, theirs) = duplex(16 << 10);
            let decoder = FrameDecoder::new(CLIENT_FRAME_BYTES);
            (pipe, decoder, session(door.clone(), Shown::Certificate, theirs))
        };
        let mut outcomes = Vec::new();
        for _ in 0..PLACES {
            let (mut pipe, mut decoder, session) = connect();
            let mut out = Vec::new();
            let hello = Greeting::Hello(Hello::current());
            write_message(&mut out, CLIENT_FRAME_BYTES, 0, &hello).unwrap();
            pipe.write_all(&out).await.unwrap();
            let frame = loop {
                if let Some(frame) = decoder.next_frame().unwrap() {
                    break frame;
                }
                assert!(pipe.read_buf(decoder.buffer()).await.unwrap() > 0);
            };
            outcomes.push((read_message::<Greeting>(frame).unwrap().1, pipe, session));
        }
        let (second, _, ended) = outcomes.pop().unwrap();
        let retry_after_ms = limits::PLACE_RETRY_AFTER_MS;
        let error = RequestError::Overloaded { retry_after_ms };
        assert_eq!(second, Greeting::Refused { error });
        assert!(matches!(ended.await.unwrap(), Err(SessionError::NoPlace)));

        let (first, pipe, session) = outcomes.pop().unwrap();
        assert!(matches!(first, Greeting::Welcome(_)) && !session.is_finished());
        assert!(matches!(events.recv().await, Some(ClientEvent::Opened { .. })));
        drop(pipe);
        assert!(session.await.unwrap().is_ok());
        assert!(door.place(Source::of(Ipv4Addr::LOCALHOST.into())).is_some(), "it came back");
    });
}

#[test]
fn who_says_nothing_is_no_client_for_long() {
    run_without_waiting(async {
        let mut client = client();
        client.pipe.write_all(&[0, 0]).await.unwrap();
        assert!(matches!(client.session.await.unwrap(), Err(SessionError::Late(_))));
        assert!(client.events.recv().await.is_none(), "the driver never hears of it");
    });
}

#[test]
fn a_frame_that_comes_byte_by_byte_ends_the_session_in_time_and_an_idle_client_stays() {
    run_without_waiting(async {
        let (idle, _answers) = Client::greeted().await;
        let (mut slow, _answers) = Client::greeted().await;
        let begun = Instant::now();
        slow.pipe.write_all(&1_000_u32.to_be_bytes()).await.unwrap();
        let mut every_second = interval(Duration::from_secs(1));
        let ended = loop {
            tokio::select! {
                ended = &mut slow.session => break ended.unwrap(),
                _ = every_second.tick() => slow.pipe.write_all(&[0]).await.unwrap(),
            }
        };
        assert!(matches!(ended, Err(SessionError::SlowFrame)), "{ended:?}");
        assert!(begun.elapsed() < limits::FRAME_WITHIN + Duration::from_secs(1));
        assert!(!idle.session.is_finished());
    });
}

#[test]
fn a_client_that_never_reads_is_cut_off() {
    run_without_waiting(async {
        let (mut client, answers) = Client::greeted().await;
        let begun = Instant::now();
        for request_id in 0..10_000 {
            answers.push(request_id, &Response::Done(Nothing {}));
        }
        assert!(matches!(client.session.await.unwrap(), Err(SessionError::Stopping)));
        assert!(begun.elapsed() < limits::READ_WITHIN + Duration::from_secs(1));
        assert!(matches!(client.events.recv().await, Some(ClientEvent::Gone { .. })));
    });
}

#[test]
fn a_large_request_without_room_is_overloaded_at_once_and_small_ones_go_on() {
    run(async {
        let (mut client, answers) = Client::greeted().await;
        let mut room = Vec::new();
        // The share of one source.
        while let Some(taken) = answers.account.room_for(8 << 20) {
            room.push(taken);
        }
        let put = |bytes: usize| {
            Request::Put(Put {
                bucket: "default".parse().unwrap(),
                key: Key::new(&b"key"[..]).unwrap(),
                value: vec![7; bytes].into(),
                replaces: Replacing::Latest,
                options: RequestOptions::new(OperationId(1)),
                expires_at_ms: None,
            })
        };
        client.say(1, &put(limits::LARGE_REQUEST_BYTES)).await;
        let (request_id, answer) = read_message::<Response>(client.frame().await).unwrap();
        let error = RequestError::Overloaded { retry_after_ms: crate::limits::RETRY_AFTER_MS };
        assert_eq!((request_id, answer), (1, Response::Error { error }));
        client.say(2, &put(limits::LARGE_REQUEST_BYTES / 2)).await;
        let asked = client.events.recv().await;
        assert!(matches!(asked, Some(ClientEvent::Request { request_id: 2, .. })));

        // With room it is let in, and gives it back with its answer.
        room.pop();
        for request_id in 3..5 {
            client.say(request_id, &put(6 << 20)).await;
            let asked = client.events.recv().await;
            assert!(matches!(asked, Some(ClientEvent::Request { request_id: 3 | 4, .. })));
            answers.push(request_id, &Response::Done(Nothing {}));
            client.frame().await;
        }
    });
}
