//! One client's conversation, over whatever carries bytes both ways.
//!
//! A request is let in or refused as soon as it has been read, so nobody waits where the gate does not see it: what is too much
//! for the node, for the tenant or for the connection is answered Overloaded before those who were let in are answered. What
//! bounds that are the answers which the client has not read: while too many bytes of them wait, nothing more is read from
//! it, and its own socket fills up.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use kvorum_protocol::Request;
use kvorum_protocol::codec::DecodeError;
use kvorum_protocol::frame::{BadMessage, FrameError, read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::hello::{Features, Greeting, PROTOCOL_VERSION, Welcome, negotiate};
use kvorum_protocol::message::{AccessRefusal, ArgumentKind, LimitKind, RequestError, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::{spawn_local, yield_now};
use tokio::time::timeout;

use crate::limits::RETRY_AFTER_MS;
use crate::runtime::access::{Caller, Shown};
use crate::runtime::gate::{Refused, Ticket};
use crate::runtime::limits;
use crate::runtime::listener::account::Account;
use crate::runtime::listener::door::{ClientEvent, ClientNumber, Door};
use crate::runtime::listener::intake::{Arrived, Intake};
use crate::runtime::metrics::Operation;
use crate::runtime::outgoing::Outgoing;
use crate::runtime::quota::Taken;
use crate::runtime::source::Source;
use crate::runtime::strangers::{Late, Stranger};
use crate::runtime::tenant::{Tenant, weight};

/// Protocol versions that this node speaks with clients.
const VERSIONS: std::ops::RangeInclusive<u16> = PROTOCOL_VERSION..=PROTOCOL_VERSION;

/// Why a conversation ended before its time. The client sees its connection closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] io::Error),
    /// No greeting in time.
    #[error("{0}")]
    Late(#[from] Late),
    /// All places for clients are taken, or all for this client's source.
    #[error("no place for another client")]
    NoPlace,
    /// What came first was no greeting, or one of another protocol.
    #[error("the greeting was refused")]
    Greeting,
    /// It is not known who it is.
    #[error("not let in: {0}")]
    NotLetIn(AccessRefusal),
    /// A frame too long, or one without a request id to answer to.
    #[error("a frame that cannot be read")]
    Frame,
    /// A frame began and did not arrive.
    #[error("a frame did not arrive within {0:?}", limits::FRAME_WITHIN)]
    SlowFrame,
    /// The node stops, or the client does not read.
    #[error("nothing can be sent any more")]
    Stopping,
}

impl SessionError {
    /// Whether the client has been told in its greeting that it is not let in.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, SessionError::NotLetIn(_) | SessionError::NoPlace | SessionError::Greeting)
    }
}

/// Serves one client until it leaves. It is a stranger until it has been greeted.
pub(crate) async fn serve<R, W>(
    door: Rc<Door>,
    (source, shown): (Source, Shown),
    mut stranger: Stranger,
    reader: R,
    mut writer: W,
) -> Result<(), SessionError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + 'static,
{
    let mut intake = Intake::new(reader, door.clock);
    let greeting = greet(&door, (source, shown), &mut intake, &mut writer);
    let (_place, caller) = stranger.until(greeting).await??;
    drop(stranger);
    let client = door.next_number();
    // The session reads no further while much waits here, and `push_answer` bounds what its requests at work add to it.
    let outgoing = Rc::new(Outgoing::new(usize::MAX));
    let (account, tenant) = (door.account(source), door.tenant(caller, source));
    intake.account_to(account.clone());
    let writing = spawn_local(write(writer, outgoing.clone(), account.clone()));
    let opened = ClientEvent::Opened {
        client,
        caller,
        outgoing: outgoing.clone(),
        account: account.clone(),
    };
    door.events.send(opened).await.map_err(|_| SessionError::Stopping)?;
    let session = Session { door: &door, client, outgoing: &outgoing, account: &account, tenant };
    let ended = tokio::select! {
        ended = session.read(&mut intake) => ended,
        // Nothing that is still asked could be answered.
        _ = writing => Err(SessionError::Stopping),
    };
    outgoing.close();
    // A closed channel means that the driver is gone, and then nobody wants to know.
    let _ = door.events.send(ClientEvent::Gone { client }).await;
    ended
}

/// The first frame of both sides; the client's place and who it is, if it was welcome.
async fn greet<R, W>(
    door: &Door,
    (source, shown): (Source, Shown),
    intake: &mut Intake<R>,
    writer: &mut W,
) -> Result<(Taken, Caller), SessionError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Arrived::Frame { frame, .. } = intake.next().await? else {
        return Err(SessionError::Greeting);
    };
    let place = door.place(source);
    let (answer, outcome) = match (welcome(door, shown, frame), place) {
        (Ok((caller, welcome)), Some(place)) => (Greeting::Welcome(welcome), Ok((place, caller))),
        (Ok(_), None) => {
            let retry_after_ms = limits::PLACE_RETRY_AFTER_MS;
            let error = RequestError::Overloaded { retry_after_ms };
            (Greeting::Refused { error }, Err(SessionError::NoPlace))
        }
        (Err(error), _) => {
            let outcome = match error {
                RequestError::Unauthenticated { reason } => SessionError::NotLetIn(reason),
                _ => SessionError::Greeting,
            };
            (Greeting::Refused { error }, Err(outcome))
        }
    };
    let mut out = Vec::new();
    write_message(&mut out, CLIENT_FRAME_BYTES, 0, &answer).map_err(|_| SessionError::Greeting)?;
    writer.write_all(&out).await?;
    writer.flush().await?;
    if outcome.is_err() {
        // Lets the refusal arrive before the connection ends.
        writer.shutdown().await?;
    }
    outcome
}

/// Who a greeting is from and what to answer, or why it is refused.
fn welcome(door: &Door, shown: Shown, frame: Bytes) -> Result<(Caller, Welcome), RequestError> {
    let Ok((_, Greeting::Hello(hello))) = read_message::<Greeting>(frame) else {
        return Err(RequestError::InvalidArgument { argument: ArgumentKind::Malformed });
    };
    let (protocol, features) = negotiate(&hello, VERSIONS, Features::NONE).map_err(|_| {
        RequestError::UnsupportedVersion { min: *VERSIONS.start(), max: *VERSIONS.end() }
    })?;
    let caller = door.caller(shown, &hello.auth);
    let caller = caller.map_err(|reason| RequestError::Unauthenticated { reason })?;
    let cluster_name = door.cluster.clone();
    Ok((caller, Welcome { protocol, features, node: door.me, cluster_name }))
}

/// Logs why a session ended before its time. Who was not let in is worth knowing without looking closely.
pub(super) fn log_end(address: SocketAddr, error: &SessionError) {
    match error {
        SessionError::NotLetIn(reason) => tracing::info!(%address, %reason, "refused a client"),
        error => tracing::debug!(%address, %error, "a client's session ended"),
    }
}

/// A conversation after its greeting.
struct Session<'a> {
    door: &'a Door,
    client: ClientNumber,
    outgoing: &'a Outgoing,
    account: &'a Account,
    tenant: Rc<Tenant>,
}

impl Session<'_> {
    async fn read<R: AsyncRead + Unpin>(&self, intake: &mut Intake<R>) -> Result<(), SessionError> {
        loop {
            self.outgoing.pending_below(limits::UNREAD_FREE_BYTES).await;
            match intake.next().await? {
                Arrived::End => return Ok(()),
                Arrived::Frame { frame, room, arrived_ns } => {
                    self.take(frame, room, arrived_ns).await?;
                }
                Arrived::NoRoom(None) => return Err(SessionError::Frame),
                Arrived::NoRoom(Some(request_id)) => {
                    self.refuse(request_id, Response::Error { error: overloaded() }).await;
                }
            }
        }
    }

    async fn take(
        &self,
        frame: Bytes,
        room: Option<Taken>,
        arrived_ns: u64,
    ) -> Result<(), SessionError> {
        let (request_id, request) = match read_message::<Request>(frame) {
            Ok(read) => read,
            Err(BadMessage { request_id: Some(request_id), error }) => {
                let error = not_understood(error);
                self.refuse(request_id, Response::Error { error }).await;
                return Ok(());
            }
            Err(BadMessage { request_id: None, .. }) => return Err(SessionError::Frame),
        };
        match self.admit(&request, arrived_ns) {
            Ok(ticket) => {
                self.account.began(request_id, room).map_err(|_| SessionError::Frame)?;
                let client = self.client;
                let asked =
                    ClientEvent::Request { client, request_id, request, arrived_ns, ticket };
                self.door.events.send(asked).await.map_err(|_| SessionError::Stopping)
            }
            Err(Refused { retry_after_ms }) => {
                let error = request.refused(RequestError::Overloaded { retry_after_ms });
                let answer = Response::Error { error };
                self.door.meters.requests.turned_away(Operation::of(&request), &answer);
                self.refuse(request_id, answer).await;
                Ok(())
            }
        }
    }

    /// Lets a request in, if there is a place for it. Requests about the cluster need one of their connection only.
    fn admit(&self, request: &Request, arrived_ns: u64) -> Result<Option<Ticket>, Refused> {
        let gate = &self.door.gate;
        if !self.account.has_place() {
            return Err(gate.over_connection());
        }
        let enter = |_| gate.enter(&self.tenant, weight(request), arrived_ns);
        request.options().map(enter).transpose()
    }

    /// Answers what is not begun. Whoever sends nothing else must not keep everybody else from their turn.
    async fn refuse(&self, request_id: u64, answer: Response) {
        push_answer(self.outgoing, self.account, request_id, &answer);
        if self.door.gate.refused_enough() {
            yield_now().await;
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(mut writer: W, outgoing: Rc<Outgoing>, account: Rc<Account>) {
    while let Some(batch) = outgoing.take().await {
        let _owed = account.take_owed();
        let written = async {
            writer.write_all(&batch).await?;
            writer.flush().await
        };
        match timeout(limits::READ_WITHIN, written).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_) => {
                tracing::info!(unread = batch.len(), "closing a client that does not read");
                break;
            }
        }
    }
    // Wakes a reader that waits for the answers to be written; and tells the client that nothing more comes.
    outgoing.finish();
    let _ = timeout(limits::READ_WITHIN, writer.shutdown()).await;
}

/// Appends an answer. One that does not fit a frame is replaced by an error that says so, and so is one that tells what is
/// there while too much waits already: it has changed nothing, and can be asked for again.
pub(crate) fn push_answer(
    outgoing: &Outgoing,
    account: &Account,
    request_id: u64,
    answer: &Response,
) {
    let write = |out: &mut Vec<u8>, answer: &Response| {
        write_message(out, CLIENT_FRAME_BYTES, request_id, answer)
    };
    let pushed = outgoing.push(|out| {
        let before = out.len();
        let written = if !tells(answer) {
            write(out, answer)
        } else if before >= limits::UNREAD_BYTES_PER_CLIENT {
            write(out, &Response::Error { error: overloaded() })
        } else {
            write(out, answer).and_then(|()| match account.may_owe(out.len()) {
                true => Ok(()),
                false => {
                    out.truncate(before);
                    write(out, &Response::Error { error: overloaded() })
                }
            })
        };
        match written {
            Ok(()) => true,
            Err(FrameError::TooLong { length, limit }) => {
                let (what, size, limit) = (LimitKind::Answer, length as u64, limit as u64);
                let error = RequestError::TooLarge { what, size, limit };
                write(out, &Response::Error { error }).is_ok()
            }
        }
    });
    if !pushed {
        tracing::debug!(request_id, "an answer for a client that is gone");
    }
}

/// Whether an answer only tells what is there.
fn tells(answer: &Response) -> bool {
    matches!(
        answer,
        Response::Get(_)
            | Response::Merged(_)
            | Response::BatchGet(_)
            | Response::List(_)
            | Response::Topology(_)
            | Response::Status(_)
            | Response::Diag(_)
            | Response::Buckets(_)
    )
}

fn overloaded() -> RequestError {
    RequestError::Overloaded { retry_after_ms: RETRY_AFTER_MS }
}

fn not_understood(error: DecodeError) -> RequestError {
    let argument = match error {
        DecodeError::UnknownTag(_) => ArgumentKind::UnknownRequest,
        _ => ArgumentKind::Malformed,
    };
    RequestError::InvalidArgument { argument }
}
