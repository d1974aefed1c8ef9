//! Stopping in good order: finish what was begun, put everything into the index, say goodbye.

use tokio::time::timeout;

use crate::engine::Now;
use crate::runtime::driver::Driver;
use crate::runtime::limits;

/// How far a stop has come.
pub(crate) struct Stopping {
    deadline_ns: u64,
    closing_store: bool,
    done: bool,
}

impl Stopping {
    /// When waiting ends, whatever is still open.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// Whether the process can end.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }
}

impl Driver {
    /// New requests are refused from now on, and the peers are told.
    pub(super) fn begin_stop(&mut self, now: Now) {
        if self.stopping.is_some() {
            return;
        }
        tracing::info!("stopping");
        let wait_ns = u64::try_from(limits::STOP_WITHIN.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = now.mono_ns.saturating_add(wait_ns);
        self.stopping = Some(Stopping { deadline_ns, closing_store: false, done: false });
        self.parts.membership.leave(now.mono_ns);
    }

    /// Closes the store once the requests under way are answered, and ends at the deadline in any case: what is
    /// acknowledged is in the log, and the next start replays it.
    pub(super) fn go_on_stopping(&mut self, now: Now) {
        let Some(stopping) = &mut self.stopping else { return };
        if now.mono_ns >= stopping.deadline_ns {
            tracing::warn!("stopping with requests under way");
            stopping.done = true;
        } else if !stopping.closing_store && self.parts.engine.stats().requests == 0 {
            stopping.closing_store = true;
            self.parts.shard.begin_close(now);
        }
    }

    pub(super) fn store_closed(&mut self) {
        if let Some(stopping) = &mut self.stopping {
            stopping.done = true;
        }
    }

    /// Lets the connections write what is pending, as far as the other sides take it, and ends the threads.
    pub(super) async fn end(self) {
        let links =
            self.peers.links().flat_map(|link| std::iter::once(&link.main).chain(&link.facts));
        let connections: Vec<_> = self.clients.all().chain(links).cloned().collect();
        connections.iter().for_each(|outgoing| outgoing.close());
        let all_written = async {
            for outgoing in &connections {
                outgoing.finished().await;
            }
        };
        if timeout(limits::WRITE_OUT_WITHIN, all_written).await.is_err() {
            tracing::debug!("some connections did not take their last answers");
        }
        self.parts.workers.stop();
        self.parts.saver.stop();
    }
}
