//! Who goes first where generator and nodes share the processors.
//!
//! The generator stands for clients elsewhere. With equal rights it would be the first to fall behind when nodes on the same
//! machine have more to do than they can, and would measure how much it was let send. So nodes that the run started step
//! back behind it, in every phase alike.

use std::fs;

use rustix::process::{Pid, setpriority_process};

/// How far the nodes step back: a thirtieth of the weight that the generator has. With a third of it, several threads of nodes
/// that are always runnable left one thread half of a processor, and it waited for it as long as it worked.
const NICENESS: i32 = 15;

/// Makes every thread of these processes give way to this one. As far as the system lets us: what is missing shows in the
/// verdict as operations that were not begun.
pub(super) fn step_back(pids: impl IntoIterator<Item = u32>) {
    let threads = pids.into_iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
    let ids =
        threads.flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for id in ids.filter_map(Pid::from_raw) {
        let _ = setpriority_process(Some(id), NICENESS);
    }
}
