//! Taking frames from a client without taking on more than there is room for.
//!
//! A large frame is counted before it is let in: its length is its first four bytes. When there is no room for it, its
//! bytes are thrown away as they arrive, and its request id, which stands near its beginning, gets an answer that says so.
//! What has begun must arrive in time, so that nobody holds the memory of a frame by sending a byte now and then.

use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use kvorum_protocol::frame::{FrameDecoder, read_request_id};
use kvorum_protocol::limits::{CLIENT_FRAME_BYTES, HELLO_BYTES};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use crate::runtime::clock::Clock;
use crate::runtime::limits;
use crate::runtime::listener::account::Account;
use crate::runtime::listener::session::SessionError;
use crate::runtime::quota::Taken;

/// Room made for the reader at a time: little at first, since most connections of a crowd say little, and twice as much
/// whenever it was used up. Frames are slices of it, so it is left to them and a new one made.
const ROOM_BYTES_MIN: usize = 4 << 10;
const ROOM_BYTES_MAX: usize = 64 << 10;

/// The part of a room that is enough for another read.
const ENOUGH: usize = 16;

/// Bytes of the length in front of a frame.
const LENGTH_BYTES: usize = 4;

/// The longest beginning of a frame up to and with its request id.
const HEAD_BYTES: usize = 24;

/// What came.
pub(super) enum Arrived {
    /// A whole frame.
    Frame {
        frame: Bytes,
        /// What has been counted for it if it is large.
        room: Option<Taken>,
        /// When its last bytes were read, in monotonic nanoseconds. It may have waited here since.
        arrived_ns: u64,
    },
    /// A large frame for which there was no room. The request id is missing when no answer can help.
    NoRoom(Option<u64>),
    /// The end of the stream, between two frames.
    End,
}

/// The reading half of a client's connection.
pub(super) struct Intake<R> {
    reader: R,
    clock: Clock,
    decoder: FrameDecoder,
    /// When something was read last, in monotonic nanoseconds.
    read_ns: u64,
    account: Option<Rc<Account>>,
    /// Bytes of the next room.
    room_bytes: usize,
    /// For the large frame that is arriving.
    room: Option<Taken>,
    /// Bytes still to be thrown away.
    skipped: usize,
    /// When the frame that is arriving must be there.
    deadline: Option<Instant>,
}

impl<R: AsyncRead + Unpin> Intake<R> {
    /// Takes in frames of a greeting's length only until there is an [`Account`].
    pub(super) fn new(reader: R, clock: Clock) -> Intake<R> {
        let decoder = FrameDecoder::new(HELLO_BYTES);
        Intake {
            reader,
            clock,
            decoder,
            read_ns: 0,
            account: None,
            room_bytes: ROOM_BYTES_MIN,
            room: None,
            skipped: 0,
            deadline: None,
        }
    }

    /// Counts large frames there from now on.
    pub(super) fn account_to(&mut self, account: Rc<Account>) {
        self.decoder.set_limit(CLIENT_FRAME_BYTES);
        self.account = Some(account);
    }

    /// The next thing that comes. Not to be cancelled: what has begun to arrive may be lost.
    pub(super) async fn next(&mut self) -> Result<Arrived, SessionError> {
        loop {
            if let Some(arrived) = self.take()? {
                self.deadline = None;
                return Ok(arrived);
            }
            if !self.fill().await? {
                let is_whole = self.decoder.is_between_frames() && self.skipped == 0;
                return if is_whole { Ok(Arrived::End) } else { Err(SessionError::Frame) };
            }
        }
    }

    /// What can be had of the bytes that are there.
    fn take(&mut self) -> Result<Option<Arrived>, SessionError> {
        let buffer = self.decoder.buffer();
        let thrown_away = self.skipped.min(buffer.len());
        buffer.advance(thrown_away);
        self.skipped -= thrown_away;
        if self.skipped > 0 {
            return Ok(None);
        }
        if self.room.is_none()
            && let Some(length) = announced(buffer).filter(|length| is_large(*length))
        {
            self.room = self.account.as_ref().and_then(|account| account.room_for(length));
            if self.room.is_none() {
                return Ok(self.refuse(length));
            }
        }
        let frame = self.decoder.next_frame().map_err(|_| SessionError::Frame)?;
        let arrived_ns = self.read_ns;
        Ok(frame.map(|frame| Arrived::Frame { frame, room: self.room.take(), arrived_ns }))
    }

    /// Begins to throw a large frame away, once its request id is there.
    fn refuse(&mut self, length: usize) -> Option<Arrived> {
        let buffer = self.decoder.buffer();
        let head = buffer.get(LENGTH_BYTES..LENGTH_BYTES + HEAD_BYTES)?;
        let request_id = read_request_id(Bytes::copy_from_slice(head));
        self.skipped = LENGTH_BYTES + length;
        Some(Arrived::NoRoom(request_id))
    }

    /// Reads some bytes; false at the end of the stream.
    async fn fill(&mut self) -> Result<bool, SessionError> {
        let is_between_frames = self.decoder.is_between_frames() && self.skipped == 0;
        let buffer = self.decoder.buffer();
        if buffer.capacity() - buffer.len() < self.room_bytes / ENOUGH {
            buffer.reserve(self.room_bytes);
            self.room_bytes = (self.room_bytes * 2).min(ROOM_BYTES_MAX);
        }
        let read = self.reader.read_buf(buffer);
        let count = if is_between_frames {
            self.deadline = None;
            read.await?
        } else {
            let deadline =
                *self.deadline.get_or_insert_with(|| Instant::now() + limits::FRAME_WITHIN);
            timeout_at(deadline, read).await.map_err(|_| SessionError::SlowFrame)??
        };
        self.read_ns = self.clock.now().mono_ns;
        Ok(count > 0)
    }
}

/// The length of the frame that begins a buffer.
fn announced(buffer: &BytesMut) -> Option<usize> {
    buffer.first_chunk::<LENGTH_BYTES>().map(|length| u32::from_be_bytes(*length) as usize)
}

/// Longer than a frame may be is the decoder's business.
fn is_large(length: usize) -> bool {
    (limits::LARGE_REQUEST_BYTES + 1..=CLIENT_FRAME_BYTES).contains(&length)
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::frame::write_message;
    use kvorum_protocol::limits::HELLO_BYTES;
    use kvorum_protocol::message::{Greeting, Hello};
    use tokio::io::AsyncWriteExt;

    use super::{Arrived, Intake};
    use crate::runtime::clock::Clock;

    #[tokio::test]
    async fn a_frame_has_arrived_when_it_was_read_however_late_it_is_looked_at() {
        let (mut pipe, theirs) = tokio::io::duplex(4 << 10);
        let clock = Clock::start();
        let mut intake = Intake::new(theirs, clock);
        let mut two = Vec::new();
        for _ in 0..2 {
            let hello = Greeting::Hello(Hello::current());
            write_message(&mut two, HELLO_BYTES, 0, &hello).unwrap();
        }
        pipe.write_all(&two).await.unwrap();
        let Ok(Arrived::Frame { arrived_ns: first_ns, .. }) = intake.next().await else {
            panic!("the first one")
        };
        let looked_ns = clock.now().mono_ns;
        assert!((1..=looked_ns).contains(&first_ns));
        while clock.now().mono_ns <= looked_ns {}
        let Ok(Arrived::Frame { arrived_ns, .. }) = intake.next().await else {
            panic!("the second one")
        };
        assert_eq!(arrived_ns, first_ns, "both came together");
    }
}
