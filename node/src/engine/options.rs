//! What an engine is configured with.

use crate::engine::planted::Planted;
use crate::limits;

/// An engine's settings. The defaults are right for production.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Client requests at work at once, batch items and forwarded requests included; the next one is refused as
    /// overloaded. At most [`limits::MAX_REQUESTS`].
    pub max_requests: usize,
    /// Peers' requests at work at once; the next one is refused as overloaded. At most [`limits::MAX_REPLICA_TASKS`].
    pub max_replica_tasks: usize,
    /// Milliseconds between two exchanges with another owner that was found to hold the same; 0, the default, for none: whoever
    /// drives the engine says how often it pays, as [`limits::EXCHANGE_EVERY_MS`] does for a node.
    pub exchange_every_ms: u64,
    /// Events of keys that are remembered for whoever asks why; [`limits::EVENTS`] by default.
    pub events: usize,
    /// A bug to run with. Always none outside the `planted` feature, where nothing looks at it.
    pub planted: Option<Planted>,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            max_requests: limits::MAX_REQUESTS,
            max_replica_tasks: limits::MAX_REPLICA_TASKS,
            exchange_every_ms: 0,
            events: limits::EVENTS,
            planted: None,
        }
    }
}
