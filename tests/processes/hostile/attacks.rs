//! One attack: a way to misbehave at one port of one node.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvorum_protocol::AccessToken;
use kvorum_protocol::frame::{FrameDecoder, read_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{Greeting, RequestError, Response};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{interval, timeout};

use crate::hostile::doors::{Doors, HOSTILE, PATIENCE, Port, Shown, Stream};
use crate::hostile::early::{Early, Impostors};
use crate::hostile::frames;
use crate::hostile::kinds::{KINDS, Kind};
use crate::hostile::replayed::Recording;
use crate::hostile::workload::{BUCKET, VICTIM};

/// Bytes of a slow frame that are sent, and the time between two bytes.
const SLOW_BYTES: usize = 40;
const SLOW_EVERY: Duration = Duration::from_millis(100);

/// How long a node may bear somebody who has not greeted: five seconds and some, on a busy machine.
const UNGREETED: Duration = Duration::from_secs(15);

/// What attackers have.
pub(super) struct Arms {
    pub(super) doors: Arc<Doors>,
    pub(super) impostors: Arc<Impostors>,
    pub(super) recording: Recording,
    /// Tokens of the node alone: one may read, one is revoked.
    pub(super) reads: AccessToken,
    pub(super) revoked: AccessToken,
}

/// An attack.
pub(super) struct Attack {
    pub(super) arms: Arc<Arms>,
    pub(super) draws: StdRng,
    /// What nodes said no to, or left unheard.
    pub(super) refusals: u64,
}

/// What an attack found, when it was cut off: that is how most of them end.
pub(super) type Cut = io::Result<()>;

impl Attack {
    /// Attacks in this way, at a port and a node that are drawn. A failure to connect, a reset, an end: all of it is what a
    /// node may do to an attacker.
    ///
    /// # Panics
    /// When a node carried something out.
    pub(super) async fn carry_out(&mut self, kind: usize) -> Cut {
        let described = &KINDS[kind];
        let port = described.ports[self.draws.random_range(0..described.ports.len())];
        let node = self.draws.random_range(0..self.arms.doors.count(port));
        match described.kind {
            Kind::Datagrams => self.datagrams(port, node).await,
            Kind::RawBytes => self.raw_bytes(port, node).await,
            Kind::LeftHandshakes => {
                self.arms.doors.open(port, node, Shown::Certificate).await.map(drop)
            }
            Kind::WrongVersions => {
                let hello = frames::hello_of_another_version(&mut self.draws);
                self.refused_greeting(port, node, Shown::Certificate, &hello).await
            }
            Kind::WrongTokens => self.wrong_tokens(port, node).await,
            Kind::WritesOfReaders => self.writes_of_readers(port, node).await,
            Kind::Nonsense if port == Port::Peers => self.nonsense_at_once(port, node).await,
            Kind::Nonsense => self.nonsense_after_the_greeting(port, node).await,
            Kind::WrongContexts => self.wrong_contexts(port, node).await,
            Kind::Silence => {
                let mut stream = self.arms.doors.tcp(port, node).await?;
                until_the_end(&mut stream, UNGREETED).await
            }
            Kind::SlowGreetings => self.slow_greeting(port, node).await,
            Kind::SlowFrames => self.slow_frame(port, node).await,
            Kind::HeavyFrames => self.heavy(port, node).await,
            Kind::UnreadAnswers => self.never_read(port, node).await,
            Kind::EarlyPuts => self.early(port).await,
            Kind::Replays => self.arms.recording.replay(&self.arms.doors).await,
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
            socket.send_to(&packet, self.arms.doors.address(port, node)).await?;
        }
        Ok(())
    }

    /// What is neither TLS nor a frame.
    async fn raw_bytes(&mut self, port: Port, node: usize) -> Cut {
        let mut stream = self.arms.doors.tcp(port, node).await?;
        stream.write_all(&frames::nonsense(&mut self.draws)).await?;
        until_the_end(&mut stream, PATIENCE).await
    }

    /// A greeting that has to be refused.
    async fn refused_greeting(
        &mut self,
        port: Port,
        node: usize,
        shown: Shown,
        hello: &[u8],
    ) -> Cut {
        let mut stream = self.arms.doors.open(port, node, shown).await?;
        stream.write_all(hello).await?;
        let answer = Answers::of(stream).next().await?;
        let greeting = read_message::<Greeting>(answer).map(|(_, greeting)| greeting);
        assert!(matches!(greeting, Ok(Greeting::Refused { .. })), "{greeting:?}");
        self.refusals += 1;
        Ok(())
    }

    /// Nothing to show, a guessed token, or a revoked one, with a certificate or without: a token alone decides.
    async fn wrong_tokens(&mut self, port: Port, node: usize) -> Cut {
        let shown = if self.draws.random() { Shown::Certificate } else { Shown::Nothing };
        let hello = match self.draws.random_range(0..3) {
            0 => frames::hello_with(&self.arms.revoked),
            1 if shown == Shown::Nothing => frames::hello(),
            _ => frames::hello_with(&frames::guessed_token(&mut self.draws)),
        };
        self.refused_greeting(port, node, shown, &hello).await
    }

    /// A put with a token that may read, which is shown by a get.
    async fn writes_of_readers(&mut self, port: Port, node: usize) -> Cut {
        let hello = frames::hello_with(&self.arms.reads);
        let mut answers = self.greeted(port, node, Shown::Nothing, &hello).await?;
        answers.stream.write_all(&frames::get(1, BUCKET, VICTIM)).await?;
        let Response::Get(_) = answers.response().await? else { return Ok(()) };
        answers.stream.write_all(&frames::latest(2, BUCKET, VICTIM)).await?;
        let error = answers.refused().await?;
        assert!(matches!(error, RequestError::Forbidden { .. }), "{error}");
        self.refusals += 1;
        Ok(())
    }

    async fn nonsense_at_once(&mut self, port: Port, node: usize) -> Cut {
        let mut stream = self.arms.doors.open(port, node, Shown::Certificate).await?;
        stream.write_all(&frames::nonsense(&mut self.draws)).await?;
        until_the_end(&mut stream, PATIENCE).await
    }

    async fn nonsense_after_the_greeting(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.welcomed(port, node).await?;
        for _ in 0..self.draws.random_range(1..5) {
            answers.stream.write_all(&frames::nonsense(&mut self.draws)).await?;
        }
        let _ = answers.stream.shutdown().await;
        loop {
            answers.refused().await?;
            self.refusals += 1;
        }
    }

    /// A greeting that would take longer than a node waits: it has to be cut off.
    async fn slow_greeting(&mut self, port: Port, node: usize) -> Cut {
        let mut stream = self.arms.doors.open(port, node, Shown::Certificate).await?;
        let hello = frames::hello_with(&frames::guessed_token(&mut self.draws));
        let mut pace = interval(SLOW_EVERY);
        for byte in hello {
            pace.tick().await;
            stream.write_all(&[byte]).await?;
        }
        panic!("a node waited for a greeting for as long as it took");
    }

    /// A frame byte by byte, and then gone.
    async fn slow_frame(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.welcomed(port, node).await?;
        let mut pace = interval(SLOW_EVERY);
        for byte in frames::get(1, BUCKET, VICTIM).into_iter().cycle().take(SLOW_BYTES) {
            pace.tick().await;
            answers.stream.write_all(&[byte]).await?;
        }
        Ok(())
    }

    /// A part of the longest frame, and the rest never: its memory is what a node has to bound.
    async fn heavy(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.welcomed(port, node).await?;
        timeout(PATIENCE, answers.stream.write_all(&frames::heavy(&mut self.draws))).await??;
        until_the_end(&mut answers.stream, PATIENCE).await
    }

    /// Asks and asks, and reads nothing.
    async fn never_read(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.welcomed(port, node).await?;
        let questions: Vec<u8> = (0..100).flat_map(|id| frames::get(id, BUCKET, VICTIM)).collect();
        for _ in 0..10 {
            timeout(PATIENCE, answers.stream.write_all(&questions)).await??;
        }
        Ok(())
    }

    /// A context of another key, then forged ones.
    async fn wrong_contexts(&mut self, port: Port, node: usize) -> Cut {
        let mut answers = self.welcomed(port, node).await?;
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
            self.refusals += u64::from(matches!(error, RequestError::BadContext { .. }));
        }
        Ok(())
    }

    /// A put that does not wait for the end of the handshake.
    ///
    /// # Panics
    /// When it is taken.
    async fn early(&mut self, port: Port) -> Cut {
        match self.arms.impostors.put_early(port).await? {
            Early::Taken => panic!("a node took early data"),
            Early::NotSent => Ok(()),
            Early::Refused => {
                self.refusals += 1;
                Ok(())
            }
        }
    }

    async fn welcomed(&self, port: Port, node: usize) -> io::Result<Answers> {
        self.greeted(port, node, Shown::Certificate, &frames::hello()).await
    }

    async fn greeted(
        &self,
        port: Port,
        node: usize,
        shown: Shown,
        hello: &[u8],
    ) -> io::Result<Answers> {
        let mut stream = self.arms.doors.open(port, node, shown).await?;
        stream.write_all(hello).await?;
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
pub(super) async fn until_the_end(stream: &mut (impl Stream + ?Sized), patience: Duration) -> Cut {
    let mut some = [0; 1_024];
    while timeout(patience, stream.read(&mut some)).await?? > 0 {}
    Ok(())
}
