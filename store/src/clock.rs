//! Time as the pure parts see it: a value that is passed in at every call, never read.

/// One reading of both clocks, taken by the runtime (or invented by the simulator) just before a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Now {
    /// Monotonic nanoseconds since an arbitrary start. All timers and deadlines count in it.
    pub mono_ns: u64,
    /// Wall clock, milliseconds since 1970. It may jump; no safety property reads it.
    pub wall_ms: u64,
}

/// Nanoseconds in a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;

impl Now {
    /// The monotonic moment `ms` milliseconds after this one.
    pub fn after_ms(self, ms: u64) -> u64 {
        self.mono_ns.saturating_add(ms.saturating_mul(NS_PER_MS))
    }
}
