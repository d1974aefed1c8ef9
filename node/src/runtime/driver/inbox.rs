//! Where everything that happens arrives.

use std::io;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::runtime::limits;
use crate::runtime::listener::ClientEvent;
use crate::runtime::peers::PeerEvent;
use crate::runtime::workers::WorkerReport;

/// One thing that happened.
pub(crate) enum Event {
    Peer(PeerEvent),
    Client(ClientEvent),
    Worker(WorkerReport),
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
    pub(crate) saved: mpsc::Receiver<io::Result<()>>,
    /// Becomes true once.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Inbox {
    /// Waits for whatever happens first. Finished work goes before new work.
    pub(crate) async fn next(&mut self, deadline: Option<Instant>) -> Event {
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(report) = self.workers.recv() => Event::Worker(report),
            Some(event) = self.peers.recv() => Event::Peer(event),
            Some(event) = self.clients.recv() => Event::Client(event),
            Some(saved) = self.saved.recv() => Event::Saved(saved),
            Ok(()) = self.stop.changed() => Event::Stop,
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
