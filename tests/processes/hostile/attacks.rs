//! One attacker: draws a port and a way to misbehave there, again and again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kvorum_protocol::frame::{FrameDecoder, read_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{Greeting, RequestError, Response};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{interval, timeout};

use crate::hostile::doors::{Doors, HOSTILE, PATIENCE, Port, Stream};
use crate::hostile::frames;
use crate::hostile::workload::{BUCKET, VICTIM};

/// Bytes that a slow one sends, and the time between them.
const SLOW_BYTES: usize = 40;
const SLOW_EVERY: Duration = Duration::from_millis(100);

/// An attacker.
pub(super) struct Attacker {
    doors: Arc<Doors>,
    draws: StdRng,
    tally: Tally,
}

/// What became of attacks: a run in which nobody was refused anything has shown nothing.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// All attacks.
    pub(super) made: u64,
    /// Of these, cut off by the node or given up.
    pub(super) cut_off: u64,
    /// Greetings answered with a refusal.
    pub(super) greetings_refused: u64,
    /// Requests answered with an error, wrong contexts not among them.
    pub(super) requests_refused: u64,
    /// Puts refused for their context.
    pub(super) contexts_refused: u64,
}

impl Tally {
    /// Both together.
    pub(super) fn add(&mut self, other: &Tally) {
        self.made += other.made;
        self.cut_off += other.cut_off;
        self.greetings_refused += other.greetings_refused;
        self.requests_refused += other.requests_refused;
        self.contexts_refused += other.contexts_refused;
    }
}

/// What an attack found, when it was cut off: that is how most of them end.
type Cut = io::Result<()>;

impl Attacker {
    pub(super) fn new(doors: Arc<Doors>, draws: StdRng) -> Attacker {
        Attacker { doors, draws, tally: Tally::default() }
    }

    /// Attacks until told to stop; returns what became of it.
    ///
    /// # Panics
    /// When a node carried something out.
    pub(super) async fn attack_until(mut self, done: Arc<AtomicBool>) -> Tally {
        while !done.load(Ordering::Relaxed) {
            let port = Port::ALL[self.draws.random_range(0..Port::ALL.len())];
            let node = self.draws.random_range(0..self.doors.count(port));
            // A failure to connect, a reset, an end: all of it is what a node may do to an attacker.
            let ended = self.attack(port, node).await;
            self.tally.made += 1;
            self.tally.cut_off += u64::from(ended.is_err());
        }
        self.tally
    }

    async fn attack(&mut self, port: Port, node: usize) -> Cut {
        match (self.draws.random_range(0..10), port) {
            (0, _) => self.datagrams(port, node).await,
            (1, Port::Plain | Port::Tls) => self.raw_bytes(port, node).await,
            (1, _) => self.doors.quic(port, node).await.map(drop),
            (2, _) => self.refused_greeting(port, node).await,
            (_, Port::Peers) => self.nonsense_on_an_open_stream(port, node).await,
            (3, _) if self.draws.random() => self.slow(port, node).await,
            (3, _) => self.heavy(port, node).await,
            (4, _) => self.never_read(port, node).await,
            (5 | 6, _) => self.wrong_contexts(port, node).await,
            _ => self.nonsense_after_the_greeting(port, node).await,
        }
    }

    /// Packets that are no QUIC, or look like its beginning.
    async fn datagrams(&mut self, port: Port, node: usize) -> Cut {
        let socket = UdpSocket::bind((HOSTILE, 0)).await?;
        for _ in 0..20 {
            let mut packet = vec![0; self.draws.random_range(1..1_400)];
            self.draws.fill(&mut packet[..]);
            // The long header of an initial packet of version 1.
            packet.splice(..packet.len().min(5), [0xc0, 0, 0, 0, 1]);
            socket.send_to(&packet, self.doors.address(port, node)).await?;
        }
        Ok(())
    }

    /// What is neither TLS nor a frame.
    async fn raw_bytes(&mut self, port: Port, node: usize) -> Cut {
        let mut stream = self.doors.tcp(port, node).await?;
        stream.write_all(&frames::nonsense(&mut self.draws)).await?;
        until_the_end(&mut stream).await
    }

    async fn refused_greeting(&mut self, port: Port, node: usize) -> Cut {
        let mut stream = self.doors.open(port, node).await?;
        let hello = match self.draws.random() {
            true => frames::hello_of_another_version(&mut self.draws),
            // The peers' port knows no tokens, and takes no client whatever it says.
            false => frames::hello_with_a_wrong_token(&mut self.draws),
        };
        stream.write_all(&hello).await?;
        let answer = Answers::of(stream).next().await?;
        let greeting = read_message::<Greeting>(answer).map(|(_, greeting)| greeting);
        assert!(matches!(greeting, Ok(Greeting::Refused { .. })), "{greeting:?}");
        self.tally.greetings_refused += 1;
        Ok(())
    }

    async fn nonsense_on_an_open_stream(&mut self, port: Port, node: usize) -> Cut {
        let mut stream = self.doors.open(port, node).await?;
        stream.write_all(&frames::nonsense(&mut self.draws)).await?;
        until_the_end(&mut stream).await
    }

    async fn nonsense_after_the_greeting(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.greeted(port, node).await?;
        for _ in 0..self.draws.random_range(1..5) {
            answers.stream.write_all(&frames::nonsense(&mut self.draws)).await?;
        }
        let _ = answers.stream.shutdown().await;
        loop {
            answers.refused().await?;
            self.tally.requests_refused += 1;
        }
    }

    /// A frame byte by byte, and then gone.
    async fn slow(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.greeted(port, node).await?;
        let mut pace = interval(SLOW_EVERY);
        for byte in frames::get(1, BUCKET, VICTIM).into_iter().cycle().take(SLOW_BYTES) {
            pace.tick().await;
            answers.stream.write_all(&[byte]).await?;
        }
        Ok(())
    }

    /// A part of the longest frame, and the rest never: its memory is what a node has to bound.
    async fn heavy(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.greeted(port, node).await?;
        timeout(PATIENCE, answers.stream.write_all(&frames::heavy(&mut self.draws))).await??;
        until_the_end(&mut answers.stream).await
    }

    /// Asks and asks, and reads nothing.
    async fn never_read(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.greeted(port, node).await?;
        let questions: Vec<u8> = (0..200).flat_map(|id| frames::get(id, BUCKET, VICTIM)).collect();
        for _ in 0..20 {
            timeout(PATIENCE, answers.stream.write_all(&questions)).await??;
        }
        Ok(())
    }

    /// A context of another key, then forged ones.
    async fn wrong_contexts(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.greeted(port, node).await?;
        answers.stream.write_all(&frames::get(1, BUCKET, VICTIM)).await?;
        let Response::Get(held) = answers.response().await? else { return Ok(()) };
        let Some(context) = held.context else { return Ok(()) };
        let context = context.to_bytes();
        let mut forged = context.to_vec();
        let position = self.draws.random_range(0..forged.len());
        forged[position] ^= 1 << self.draws.random_range(0..8);
        for (key, context) in
            [(&b"another-key"[..], context), (VICTIM, forged.into()), (VICTIM, Bytes::new())]
        {
            answers.stream.write_all(&frames::put(2, BUCKET, key, context)).await?;
            let error = answers.refused().await?;
            self.tally.contexts_refused +=
                u64::from(matches!(error, RequestError::BadContext { .. }));
        }
        Ok(())
    }

    async fn greeted(&self, port: Port, node: usize) -> io::Result<Answers> {
        let mut stream = self.doors.open(port, node).await?;
        stream.write_all(&frames::hello()).await?;
        let mut answers = Answers::of(stream);
        match read_message::<Greeting>(answers.next().await?) {
            Ok((_, Greeting::Welcome(_))) => Ok(answers),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

/// A stream with what comes back on it.
struct Answers {
    stream: Box<dyn Stream>,
    decoder: FrameDecoder,
}

impl Answers {
    fn of(stream: Box<dyn Stream>) -> Answers {
        Answers { stream, decoder: FrameDecoder::new(CLIENT_FRAME_BYTES) }
    }

    async fn next(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(io::Error::other)? {
                return Ok(frame);
            }
            if timeout(PATIENCE, self.stream.read_buf(self.decoder.buffer())).await?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn response(&mut self) -> io::Result<Response> {
        let answer = read_message::<Response>(self.next().await?);
        Ok(answer.expect("a node's answers can be read").1)
    }

    /// The next answer, which must be an error of one who did nothing.
    async fn refused(&mut self) -> io::Result<RequestError> {
        match self.response().await? {
            Response::Error { error } => {
                assert!(error.is_not_applied(), "{error}");
                let is_harmless = !matches!(error, RequestError::Stopping | RequestError::Damaged);
                assert!(is_harmless, "{error}");
                Ok(error)
            }
            other => panic!("carried out: {other:?}"),
        }
    }
}

/// Reads until the node ends it, for a while.
async fn until_the_end(stream: &mut (impl Stream + ?Sized)) -> Cut {
    let mut some = [0; 1_024];
    while timeout(PATIENCE, stream.read(&mut some)).await?? > 0 {}
    Ok(())
}
