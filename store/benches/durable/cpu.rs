//! What each thread of the shard has used of the processor, as the kernel counts it.
//!
//! On a busy machine this says more than the wall clock: what a record costs stays, how long it waits does not. Where there
//! is no `/proc` (any system but Linux) everything is zero.

use std::collections::BTreeMap;
use std::fs;

/// The thread that runs the core, and the writers.
pub(crate) const CORE: &str = "core";
/// sled's own thread pool.
const OTHERS: &str = "others";
/// In the order in which they are printed.
pub(crate) const THREADS: [&str; 5] = [CORE, "committer", "indexer", "compactor", OTHERS];

/// Nanoseconds on a processor since the threads began, by name.
#[derive(Clone, Default)]
pub(crate) struct Cpu {
    used: BTreeMap<&'static str, u64>,
}

impl Cpu {
    /// As it is now.
    pub(crate) fn now() -> Cpu {
        let mut used = BTreeMap::new();
        let main = std::process::id().to_string();
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let (name, times) = (read("comm"), read("schedstat"));
            let named = THREADS.into_iter().find(|known| *known == name.trim());
            let is_main = task.file_name().to_string_lossy() == main;
            let name = if is_main { CORE } else { named.unwrap_or(OTHERS) };
            let ns: u64 = times.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
            *used.entry(name).or_default() += ns;
        }
        Cpu { used }
    }

    /// Microseconds that a thread has used since `before`.
    pub(crate) fn since_us(&self, before: &Cpu, thread: &'static str) -> f64 {
        let of = |cpu: &Cpu| cpu.used.get(thread).copied().unwrap_or(0);
        of(self).saturating_sub(of(before)) as f64 / 1_000.0
    }
}
