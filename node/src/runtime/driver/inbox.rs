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

    /// Takes what else is there, a bounded number from each queue, so that it is worked off as one batch. Whether that left
    /// something in a queue.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(Event)) -> bool {
        for _ in 0..limits::EVENTS_PER_TURN {
            let Ok(report) = self.workers.try_recv() else { break };
            take(Event::Worker(report));
        }
        for _ in 0..limits::PEER_EVENTS_PER_TURN {
            let Ok(event) = self.peers.try_recv() else { break };
            take(Event::Peer(event));
        }
        for _ in 0..limits::EVENTS_PER_TURN {
            let Ok(event) = self.clients.try_recv() else { break };
            take(Event::Client(event));
        }
        !(self.workers.is_empty() && self.peers.is_empty() && self.clients.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use kvorum_ring::NodeId;
    use tokio::sync::{mpsc, watch};

    use super::{Event, Inbox};
    use crate::runtime::limits::{EVENTS_PER_TURN, PEER_EVENTS_PER_TURN};
    use crate::runtime::listener::{ClientEvent, ClientNumber};
    use crate::runtime::peers::{Channel, PeerEvent};

    fn message() -> PeerEvent {
        let (peer, frame) = (NodeId(1), Default::default());
        PeerEvent::Frame { peer, channel: Channel::Requests, frame, arrived_ns: 0 }
    }

    #[tokio::test]
    async fn a_turn_takes_four_messages_of_peers_for_each_request_of_a_client_and_tells_what_it_left()
     {
        let (flood, peers) = mpsc::channel(4 * PEER_EVENTS_PER_TURN);
        let (crowd, clients) = mpsc::channel(4 * EVENTS_PER_TURN);
        let (_workers, workers) = mpsc::channel(1);
        let (_questions, questions) = mpsc::channel(1);
        let (_file, saved) = mpsc::channel(1);
        let (_signal, stop) = watch::channel(false);
        let mut inbox = Inbox { peers, clients, workers, questions, saved, stop };
        while flood.try_send(message()).is_ok() {}
        while crowd.try_send(ClientEvent::Gone { client: ClientNumber(1) }).is_ok() {}
        for turn in 1..=4 {
            let (mut from_peers, mut from_clients) = (0, 0);
            let more = inbox.drain(|event| match event {
                Event::Peer(_) => from_peers += 1,
                Event::Client(_) => from_clients += 1,
                _ => unreachable!("nobody sent any other"),
            });
            assert_eq!((from_peers, from_clients), (4 * from_clients, EVENTS_PER_TURN));
            assert_eq!(more, turn < 4);
        }
    }

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
            assert!(flood.try_send(message()).is_ok());
        }
        assert!(file.try_send(Ok(())).is_ok() && signal.send(true).is_ok());
        let first = [inbox.next(None).await, inbox.next(None).await];
        assert!(matches!(first, [Event::Stop, Event::Saved(Ok(()))]));
        assert!(matches!(inbox.next(None).await, Event::Peer(_)));
    }
}
