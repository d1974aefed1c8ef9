//! One client's conversation, over whatever carries bytes both ways.

use std::io;
use std::rc::Rc;

use kvorum_protocol::Request;
use kvorum_protocol::codec::DecodeError;
use kvorum_protocol::frame::{BadMessage, FrameDecoder, read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::hello::{Features, Greeting, PROTOCOL_VERSION, Welcome, negotiate};
use kvorum_protocol::message::{ArgumentKind, RequestError, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::limits::RETRY_AFTER_MS;
use crate::runtime::limits;
use crate::runtime::listener::door::{ClientEvent, ClientNumber, Door};
use crate::runtime::outgoing::Outgoing;

/// Room made for the reader at a time. Frames are slices of it, so it is left to them and a new one made, but only when
/// it is nearly used up.
const READ_BYTES: usize = 64 << 10;

/// Room that is enough for another read.
const READ_BYTES_MIN: usize = 4 << 10;

/// Protocol versions that this node speaks with clients.
const VERSIONS: std::ops::RangeInclusive<u16> = PROTOCOL_VERSION..=PROTOCOL_VERSION;

/// Why a conversation ended before its time. The client sees its connection closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] io::Error),
    /// No greeting in time.
    #[error("no greeting within {0:?}", limits::GREETING_WITHIN)]
    Silent,
    /// What came first was no greeting, or one of another protocol.
    #[error("the greeting was refused")]
    Greeting,
    /// A frame too long, or one without a request id to answer to.
    #[error("a frame that cannot be read")]
    Frame,
    /// The node stops.
    #[error("the node stops")]
    Stopping,
}

/// Serves one client until it leaves.
pub(crate) async fn serve<R, W>(
    door: Rc<Door>,
    mut reader: R,
    mut writer: W,
) -> Result<(), SessionError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + 'static,
{
    let mut decoder = FrameDecoder::new(CLIENT_FRAME_BYTES);
    timeout(limits::GREETING_WITHIN, greet(&door, &mut decoder, &mut reader, &mut writer))
        .await
        .map_err(|_| SessionError::Silent)??;
    let client = door.next_number();
    // The permits bound how many answers gather here, and `push_answer` how many bytes of values.
    let outgoing = Rc::new(Outgoing::new(usize::MAX));
    let permits = Rc::new(Semaphore::new(limits::REQUESTS_PER_CLIENT));
    spawn_local(write(writer, outgoing.clone(), permits.clone()));
    let opened = ClientEvent::Opened { client, outgoing: outgoing.clone() };
    door.events.send(opened).await.map_err(|_| SessionError::Stopping)?;
    let ended = read(&door, client, &mut decoder, &mut reader, &outgoing, &permits).await;
    outgoing.close();
    // A closed channel means that the driver is gone, and then nobody wants to know.
    let _ = door.events.send(ClientEvent::Gone { client }).await;
    ended
}

/// The first frame of both sides.
async fn greet<R, W>(
    door: &Door,
    decoder: &mut FrameDecoder,
    reader: &mut R,
    writer: &mut W,
) -> Result<(), SessionError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let frame = loop {
        if let Some(frame) = decoder.next_frame().map_err(|_| SessionError::Greeting)? {
            break frame;
        }
        fill(decoder, reader).await?.then_some(()).ok_or(SessionError::Greeting)?;
    };
    let answer = match read_message::<Greeting>(frame) {
        Ok((_, Greeting::Hello(hello))) => match negotiate(&hello, VERSIONS, Features::NONE) {
            Ok((protocol, features)) => {
                let cluster_name = door.cluster.clone();
                Greeting::Welcome(Welcome { protocol, features, node: door.me, cluster_name })
            }
            Err(_) => {
                let error = RequestError::UnsupportedVersion {
                    min: *VERSIONS.start(),
                    max: *VERSIONS.end(),
                };
                Greeting::Refused { error }
            }
        },
        _ => Greeting::Refused {
            error: RequestError::InvalidArgument { argument: ArgumentKind::Malformed },
        },
    };
    let mut out = Vec::new();
    write_message(&mut out, CLIENT_FRAME_BYTES, 0, &answer).map_err(|_| SessionError::Greeting)?;
    writer.write_all(&out).await?;
    writer.flush().await?;
    match answer {
        Greeting::Welcome(_) => Ok(()),
        _ => {
            // Lets the refusal arrive before the connection ends.
            writer.shutdown().await?;
            Err(SessionError::Greeting)
        }
    }
}

async fn read<R: AsyncRead + Unpin>(
    door: &Door,
    client: ClientNumber,
    decoder: &mut FrameDecoder,
    reader: &mut R,
    outgoing: &Outgoing,
    permits: &Semaphore,
) -> Result<(), SessionError> {
    loop {
        while let Some(frame) = decoder.next_frame().map_err(|_| SessionError::Frame)? {
            let permit = permits.acquire().await.map_err(|_| SessionError::Stopping)?;
            // Given back by the writer when the answer has been written.
            permit.forget();
            match read_message::<Request>(frame) {
                Ok((request_id, request)) => {
                    let asked = ClientEvent::Request { client, request_id, request };
                    door.events.send(asked).await.map_err(|_| SessionError::Stopping)?;
                }
                Err(BadMessage { request_id: Some(request_id), error }) => {
                    push_answer(
                        outgoing,
                        request_id,
                        &Response::Error { error: not_understood(error) },
                    );
                }
                Err(BadMessage { request_id: None, .. }) => return Err(SessionError::Frame),
            }
        }
        if outgoing.is_closed() {
            return Err(SessionError::Stopping);
        }
        if !fill(decoder, reader).await? {
            return if decoder.is_between_frames() { Ok(()) } else { Err(SessionError::Frame) };
        }
    }
}

/// Reads some bytes; false at the end of the stream.
async fn fill<R: AsyncRead + Unpin>(
    decoder: &mut FrameDecoder,
    reader: &mut R,
) -> io::Result<bool> {
    let buffer = decoder.buffer();
    if buffer.capacity() - buffer.len() < READ_BYTES_MIN {
        buffer.reserve(READ_BYTES);
    }
    Ok(reader.read_buf(buffer).await? > 0)
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    outgoing: Rc<Outgoing>,
    permits: Rc<Semaphore>,
) {
    while let Some(batch) = outgoing.take().await {
        let written = async {
            writer.write_all(&batch.bytes).await?;
            writer.flush().await
        };
        if written.await.is_err() {
            break;
        }
        permits.add_permits(batch.frames);
    }
    // Wakes a reader that waits for a permit; and tells the client that nothing more comes.
    permits.close();
    let _ = writer.shutdown().await;
    outgoing.finish();
}

/// Appends an answer. One that does not fit a frame is replaced by an error that says so, and so is a read's while too
/// much waits already: a read that is not answered has changed nothing.
pub(crate) fn push_answer(outgoing: &Outgoing, request_id: u64, answer: &Response) {
    let is_read = matches!(answer, Response::Get(_) | Response::BatchGet(_) | Response::List(_));
    let overloaded =
        Response::Error { error: RequestError::Overloaded { retry_after_ms: RETRY_AFTER_MS } };
    let is_too_much = is_read && outgoing.pending() >= limits::CLIENT_PENDING_BYTES;
    let answer = if is_too_much { &overloaded } else { answer };
    let pushed =
        outgoing.push(|out| match write_message(out, CLIENT_FRAME_BYTES, request_id, answer) {
            Ok(()) => true,
            Err(kvorum_protocol::frame::FrameError::TooLong { length, limit }) => {
                let what = kvorum_protocol::message::LimitKind::Answer;
                let error =
                    RequestError::TooLarge { what, size: length as u64, limit: limit as u64 };
                write_message(out, CLIENT_FRAME_BYTES, request_id, &Response::Error { error })
                    .is_ok()
            }
        });
    if !pushed {
        tracing::debug!(request_id, "an answer for a client that is gone");
    }
}

fn not_understood(error: DecodeError) -> RequestError {
    let argument = match error {
        DecodeError::UnknownTag(_) => ArgumentKind::UnknownRequest,
        _ => ArgumentKind::Malformed,
    };
    RequestError::InvalidArgument { argument }
}
