//! The requests of one connection that wait for their answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvorum_protocol::message::Response;
use tokio::sync::oneshot;

/// Slots for answers, by request id. Closed once and for ever when the connection ends.
#[derive(Debug, Default)]
pub(super) struct Pending {
    table: Mutex<Table>,
    /// How often bytes have come, whatever they were: also a part of an answer, also one that nobody waits for any more.
    heard: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    closed: bool,
    slots: BTreeMap<u64, oneshot::Sender<Response>>,
}

/// A place for one answer. Dropping it gives the place up: an answer that comes later is thrown away.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    /// How often bytes had come before this request.
    heard_before: u64,
    answer: oneshot::Receiver<Response>,
    pending: Arc<Pending>,
}

impl Pending {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot with a fresh id; `None` when the connection is closed. How many there may be is the connection's business.
    pub(super) fn register(self: &Arc<Pending>) -> Option<Slot> {
        let mut table = self.table();
        if table.closed {
            return None;
        }
        table.last_id += 1;
        let id = table.last_id;
        let (sender, answer) = oneshot::channel();
        table.slots.insert(id, sender);
        let heard_before = self.heard.load(Ordering::Relaxed);
        Some(Slot { id, heard_before, answer, pending: Arc::clone(self) })
    }

    /// Bytes have come.
    pub(super) fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// Fills the slot of a request. An id that nobody waits for is no error: its request may have given up.
    pub(super) fn fill(&self, id: u64, response: Response) {
        let slot = self.table().slots.remove(&id);
        if let Some(slot) = slot {
            // The request may give up in this very moment; then nobody wants the answer.
            let _ = slot.send(response);
        }
    }

    /// Lets everybody know that no answer will come any more.
    pub(super) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        table.slots.clear();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.table().closed
    }
}

impl Slot {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Waits for the answer; `None` when the connection was lost.
    pub(super) async fn answer(&mut self) -> Option<Response> {
        (&mut self.answer).await.ok()
    }

    /// Whether not a byte has come over the connection since this request.
    pub(super) fn heard_nothing(&self) -> bool {
        self.pending.heard.load(Ordering::Relaxed) == self.heard_before
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pending.table().slots.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kvorum_protocol::message::{Nothing, Response};

    use super::Pending;

    #[tokio::test]
    async fn answers_find_their_requests_in_any_order() {
        let pending = Arc::new(Pending::default());
        let [mut first, mut second] =
            [pending.register(), pending.register()].map(|slot| slot.expect("a slot"));
        let answer = Response::Done(Nothing {});
        pending.fill(second.id(), answer.clone());
        pending.fill(99, answer.clone());
        assert_eq!(second.answer().await, Some(answer));
        pending.close();
        assert_eq!(first.answer().await, None);
        assert!(pending.register().is_none());
    }

    #[tokio::test]
    async fn a_request_that_gives_up_leaves_nothing_behind() {
        let pending = Arc::new(Pending::default());
        let slot = pending.register().expect("a slot");
        let id = slot.id();
        drop(slot);
        assert!(pending.table().slots.is_empty());
        pending.fill(id, Response::Done(Nothing {}));
    }
}
