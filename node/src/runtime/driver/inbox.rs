//! Where everything that happens arrives.

use std::io;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::runtime::admin::Question;
use crate::runtime::limits;
use crate::runtime::listener::ClientEvent;
use crate::runtime::peers::PeerEvent;
use crate::runtime::workers::WorkerReport;

/// One thing that happened.
pub(crate) enum Event {
    Peer(PeerEvent),
    Client(ClientEvent),
    Worker(WorkerReport),
    /// The admin port asks for figures.
    Question(Question),
    /// The facts file was written, or could not be.
    Saved(io::Result<()>),
    /// The process was told to stop.
    Stop,
    /// A machine's deadline has come.
    Deadline,
}

/// The queues.
pub(crate) struct Inbox {
    pub(crate) peers: mpsc::Receiver<PeerEvent>,
    pub(crate) clients: mpsc::Receiver<ClientEvent>,
    pub(crate) workers: mpsc::Receiver<WorkerReport>,
    pub(crate) questions: mpsc::Receiver<Question>,
    pub(crate) saved: mpsc::Receiver<io::Result<()>>,
    /// Becomes true once.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Inbox {
    /// Waits for whatever happens first. What is rare goes first, or a flood would hide it; finished work goes before new
    /// work.
    pub(crate) async fn next(&mut self, deadline: Option<Instant>) -> Event {
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = self.stop.changed() => Event::Stop,
            Some(saved) = self.saved.recv() => Event::Saved(saved),
            Some(question) = self.questions.recv() => Event::Question(question),
            Some(report) = self.workers.recv() => Event::Worker(report),
            Some(event) = self.peers.recv() => Event::Peer(event),
            Some(event) = self.clients.recv() => Event::Client(event),
            () = due => Event::Deadline,
        }
    }

    /// Takes what else is there, a bounded number from each queue, so that it is worked off as one batch.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(Event)) {
        for _ in 0..limits::EVENTS_PER_TURN {
            let Ok(report) = self.workers.try_recv() else { break };
            take(Event::Worker(report));
        }
        for _ in 0..limits::EVENTS_PER_TURN {
            let Ok(event) = self.peers.try_recv() else { break };
            take(Event::Peer(event));
        }
        for _ in 0..limits::EVENTS_PER_TURN {
            let Ok(event) = self.clients.try_recv() else { break };
            take(Event::Client(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use kvorum_ring::NodeId;
    use tokio::sync::{mpsc, watch};

    use super::{Event, Inbox};
    use crate::runtime::peers::{Channel, PeerEvent};

    #[tokio::test]
    async fn a_flood_of_messages_hides_neither_a_stop_nor_a_saved_file() {
        let (flood, peers) = mpsc::channel(8);
        let (_clients, clients) = mpsc::channel(1);
        let (_workers, workers) = mpsc::channel(1);
        let (_questions, questions) = mpsc::channel(1);
        let (file, saved) = mpsc::channel(1);
        let (signal, stop) = watch::channel(false);
        let mut inbox = Inbox { peers, clients, workers, questions, saved, stop };
        for _ in 0..8 {
            let channel = Channel::Requests;
            let (peer, frame) = (NodeId(1), Default::default());
            let frame = PeerEvent::Frame { peer, channel, frame, arrived_ns: 0 };
            assert!(flood.try_send(frame).is_ok());
        }
        assert!(file.try_send(Ok(())).is_ok() && signal.send(true).is_ok());
        let first = [inbox.next(None).await, inbox.next(None).await];
        assert!(matches!(first, [Event::Stop, Event::Saved(Ok(()))]));
        assert!(matches!(inbox.next(None).await, Event::Peer(_)));
    }
}
