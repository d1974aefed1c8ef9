//! What the process uses of its machine, as the system counts it.

use std::fs;

/// Use of the machine by this process, all threads together.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct ProcessUse {
    /// Seconds of processor time, in user mode and in the kernel.
    pub(crate) cpu_seconds: f64,
    /// Bytes in memory; `None` where the system does not tell them in a file.
    pub(crate) resident_bytes: Option<u64>,
}

impl ProcessUse {
    /// Asks the system.
    pub(crate) fn now() -> ProcessUse {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        ProcessUse {
            cpu_seconds: time.tv_sec as f64 + time.tv_nsec as f64 / 1e9,
            resident_bytes: resident_bytes(),
        }
    }
}

fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::ProcessUse;

    #[test]
    fn a_process_that_works_uses_the_processor() {
        let before = ProcessUse::now();
        let mut sum = 0_u64;
        while ProcessUse::now().cpu_seconds <= before.cpu_seconds {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        if cfg!(target_os = "linux") {
            assert!(before.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{before:?}");
        }
    }
}
