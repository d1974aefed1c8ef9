//! What a node counts about itself, and how it tells it.
//!
//! Counters and gauges live where things happen: in the engine, the shard, the connections, and here for what only the
//! runtime sees. Nothing is gathered before somebody asks; then all of it becomes one text in Prometheus' format, which
//! scrapers read at the admin port and `kv` through a diagnosis. `node/METRICS.md` explains every family, and a test holds it
//! against this code.
//!
//! **Invariant:** counting takes no lock and reads no clock on the way of a request; the store's threads count with atomics.

mod credentials;
mod exposition;
mod histogram;
mod process;
mod render;
mod requests;
mod timed_files;

use std::rc::Rc;
use std::sync::Arc;

use crate::runtime::faults::Faults;

pub(crate) use credentials::CredentialCounts;
pub(crate) use exposition::{CONTENT_TYPE, Exposition, Kind};
pub(crate) use process::ProcessUse;
pub(crate) use render::expose;
pub(crate) use requests::{Operation, RequestCounts};
pub(crate) use timed_files::{SyncTimes, TimedFiles};

/// What the runtime itself counts.
#[derive(Default)]
pub(crate) struct Meters {
    /// The clients' requests.
    pub(crate) requests: RequestCounts,
    /// Syncs of the store's files, counted by its threads.
    pub(crate) syncs: Arc<SyncTimes>,
    /// Changed certificate files.
    pub(crate) credentials: CredentialCounts,
    /// Certificates that ended a handshake, shared with all doors.
    pub(crate) faults: Rc<Faults>,
}

impl Meters {
    /// Nothing counted yet but what `syncs` already holds: the store opens before anything else begins.
    pub(crate) fn new(syncs: Arc<SyncTimes>) -> Meters {
        Meters { syncs, ..Meters::default() }
    }
}
