//! The one place that reads the clocks.

use std::time::{Duration, Instant, SystemTime};

use crate::engine::Now;

/// Monotonic time counts from the start of the process.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// Both clocks. A wall clock before 1970 reads as 1970: nothing that matters reads it.
    pub(crate) fn now(&self) -> Now {
        let mono_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { mono_ns, wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX) }
    }

    /// A moment of the machines as a moment of the timer.
    pub(crate) fn instant(&self, mono_ns: u64) -> tokio::time::Instant {
        // Far beyond any process's life, and still addable.
        let bounded = mono_ns.min(u64::MAX / 4);
        tokio::time::Instant::from_std(self.started + Duration::from_nanos(bounded))
    }
}
