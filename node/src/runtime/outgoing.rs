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
    dropped: Cell<u64>,
    closed: Cell<bool>,
    wake: Notify,
    taken: Notify,
    written: Cell<bool>,
    wake_waiter: Notify,
}

impl Outgoing {
    /// Refuses further frames while `limit` bytes or more are waiting.
    pub(crate) fn new(limit: usize) -> Outgoing {
        Outgoing {
            pending: RefCell::new(Vec::new()),
            limit,
            usual: Cell::new(0),
            dropped: Cell::new(0),
            closed: Cell::new(false),
            wake: Notify::new(),
            taken: Notify::new(),
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
        if before == 0 {
            self.wake.notify_one();
        }
        true
    }

    /// Bytes that wait to be written.
    pub(crate) fn pending(&self) -> usize {
        self.pending.borrow().len()
    }

    /// Waits until fewer than so many bytes wait to be written, or nothing is any more. For one waiter.
    pub(crate) async fn pending_below(&self, bytes: usize) {
        while self.pending() >= bytes && !self.closed.get() {
            self.taken.notified().await;
        }
    }

    /// Everything that has gathered, frame after frame; waits until there is something. `None` once closed and empty.
    pub(crate) async fn take(&self) -> Option<Bytes> {
        loop {
            let bytes = std::mem::take(&mut *self.pending.borrow_mut());
            if !bytes.is_empty() {
                self.usual.set(bytes.len());
                self.taken.notify_one();
                return Some(bytes.into());
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
        self.taken.notify_one();
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
        assert_eq!(&outgoing.take().await.unwrap()[..], b"onetwo");
    }

    #[tokio::test]
    async fn who_would_add_more_can_wait_until_what_is_there_was_taken() {
        let outgoing = Outgoing::new(1_000);
        outgoing.pending_below(1).await;
        assert!(outgoing.push(frame(b"one")));
        let (batch, ()) = tokio::join!(outgoing.take(), outgoing.pending_below(3));
        assert_eq!((&batch.unwrap()[..], outgoing.pending()), (&b"one"[..], 0));
        assert!(outgoing.push(frame(b"two")));
        let close = async { outgoing.close() };
        tokio::join!(outgoing.pending_below(3), close);
    }

    #[tokio::test]
    async fn a_full_buffer_refuses_and_a_refused_frame_leaves_no_trace() {
        let outgoing = Outgoing::new(3);
        assert!(outgoing.push(frame(b"abcdef")));
        assert!(!outgoing.push(frame(b"g")));
        assert_eq!(outgoing.dropped(), 1);
        assert_eq!(&outgoing.take().await.unwrap()[..], b"abcdef");
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
