//! What is waiting to be written to one connection.
//!
//! The driver appends encoded frames; one writer task takes everything that has gathered and writes it in one piece.
//! While a write is under way the next frames gather, so the busier a connection is, the more frames share a packet and a
//! system call, and an idle one waits for nothing. Both sides run on one thread, so this is a buffer and a wake-up, no
//! lock.

use std::cell::{Cell, RefCell};

use bytes::Bytes;
use tokio::sync::Notify;

/// Bounds of the room made for a batch when its first frame comes. In between it is as much as the batch before needed, so
/// that a busy connection's batch does not grow frame by frame and an idle one's takes little.
const BATCH_BYTES_MIN: usize = 1 << 10;
const BATCH_BYTES_MAX: usize = 64 << 10;

/// A connection's pending bytes.
pub(crate) struct Outgoing {
    pending: RefCell<Vec<u8>>,
    limit: usize,
    /// Bytes of the batch before.
    usual: Cell<usize>,
    frames: Cell<usize>,
    dropped: Cell<u64>,
    closed: Cell<bool>,
    wake: Notify,
    written: Cell<bool>,
    wake_waiter: Notify,
}

/// A batch that the writer task took.
pub(crate) struct Batch {
    /// Encoded frames, one after the other.
    pub(crate) bytes: Bytes,
    /// How many they are.
    pub(crate) frames: usize,
}

impl Outgoing {
    /// Refuses further frames while `limit` bytes or more are waiting.
    pub(crate) fn new(limit: usize) -> Outgoing {
        Outgoing {
            pending: RefCell::new(Vec::new()),
            limit,
            usual: Cell::new(0),
            frames: Cell::new(0),
            dropped: Cell::new(0),
            closed: Cell::new(false),
            wake: Notify::new(),
            written: Cell::new(false),
            wake_waiter: Notify::new(),
        }
    }

    /// Lets `write` append one frame. `write` says whether it did; what it left half written is cut off again.
    ///
    /// Returns false when the frame was not taken: the connection is closed, its buffer is full, or `write` refused.
    pub(crate) fn push(&self, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let mut pending = self.pending.borrow_mut();
        let before = pending.len();
        if before == 0 {
            pending.reserve(self.usual.get().clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX));
        }
        if self.closed.get() || before >= self.limit || !write(&mut pending) {
            pending.truncate(before);
            self.dropped.set(self.dropped.get() + 1);
            return false;
        }
        self.frames.set(self.frames.get() + 1);
        if before == 0 {
            self.wake.notify_one();
        }
        true
    }

    /// Bytes that wait to be written.
    pub(crate) fn pending(&self) -> usize {
        self.pending.borrow().len()
    }

    /// Everything that has gathered; waits until there is something. `None` once closed and empty.
    pub(crate) async fn take(&self) -> Option<Batch> {
        loop {
            let bytes = std::mem::take(&mut *self.pending.borrow_mut());
            if !bytes.is_empty() {
                self.usual.set(bytes.len());
                return Some(Batch { bytes: bytes.into(), frames: self.frames.take() });
            }
            if self.closed.get() {
                return None;
            }
            self.wake.notified().await;
        }
    }

    /// Takes no further frame; the writer task ends after what is pending.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.wake.notify_one();
    }

    /// The writer task has written everything, or cannot write any more.
    pub(crate) fn finish(&self) {
        self.close();
        self.written.set(true);
        self.wake_waiter.notify_one();
    }

    /// Waits, after [`Outgoing::close`], until the writer task has finished. For one waiter.
    pub(crate) async fn finished(&self) {
        while !self.written.get() {
            self.wake_waiter.notified().await;
        }
    }

    /// Frames that were not taken since the connection began.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.get()
    }
}

#[cfg(test)]
mod tests {
    use super::Outgoing;

    fn frame(bytes: &'static [u8]) -> impl FnOnce(&mut Vec<u8>) -> bool {
        |out| {
            out.extend_from_slice(bytes);
            true
        }
    }

    #[tokio::test]
    async fn frames_gather_while_nobody_writes() {
        let outgoing = Outgoing::new(1_000);
        assert!(outgoing.push(frame(b"one")) && outgoing.push(frame(b"two")));
        let batch = outgoing.take().await.unwrap();
        assert_eq!((&batch.bytes[..], batch.frames), (&b"onetwo"[..], 2));
    }

    #[tokio::test]
    async fn a_full_buffer_refuses_and_a_refused_frame_leaves_no_trace() {
        let outgoing = Outgoing::new(3);
        assert!(outgoing.push(frame(b"abcdef")));
        assert!(!outgoing.push(frame(b"g")));
        assert_eq!(outgoing.dropped(), 1);
        assert_eq!(&outgoing.take().await.unwrap().bytes[..], b"abcdef");
        let half_written = |out: &mut Vec<u8>| {
            out.push(1);
            false
        };
        assert!(!outgoing.push(half_written));
        outgoing.close();
        assert!(!outgoing.push(frame(b"late")));
        assert!(outgoing.take().await.is_none());
    }
}
