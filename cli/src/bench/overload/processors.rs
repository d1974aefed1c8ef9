//! Who works on which processor where generator and nodes share a machine.
//!
//! The generator stands for clients elsewhere, who bring their own processors. On the same ones it needs the more of them the more
//! it offers: then nodes under overload have less to work with than they had at their peak, or the generator falls behind,
//! and either would be taken for what overload does to them. So one processor is the generator's, and the nodes that the run
//! started have the others, in every phase alike.

use std::fs;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Parts the processors between this process and these. As far as the system lets us: what is missing shows in the verdict as
/// operations that were not begun.
pub(super) fn part(pids: impl IntoIterator<Item = u32>) {
    let parts = sched_getaffinity(None).ok().and_then(|all| halves(&all));
    let (Some((own, others)), mut pids) = (parts, pids.into_iter().peekable()) else { return };
    if pids.peek().is_none() {
        return;
    }
    pids.for_each(|pid| move_to(&pid.to_string(), &others));
    move_to("self", &own);
}

/// The first processor, and all others, if there are any.
fn halves(all: &CpuSet) -> Option<(CpuSet, CpuSet)> {
    let first = (0..CpuSet::MAX_CPU).find(|processor| all.is_set(*processor))?;
    let (mut own, mut others) = (CpuSet::new(), *all);
    own.set(first);
    others.unset(first);
    (others.count() > 0).then_some((own, others))
}

/// Every thread of a process. One that is started later works where the one does that starts it.
fn move_to(process: &str, processors: &CpuSet) {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let ids = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    for id in ids.filter_map(Pid::from_raw) {
        let _ = sched_setaffinity(Some(id), processors);
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::CpuSet;

    use super::halves;

    #[test]
    fn one_processor_is_the_generators_and_a_single_one_is_not_parted() {
        let of = |processors: &[usize]| {
            let mut set = CpuSet::new();
            processors.iter().for_each(|processor| set.set(*processor));
            set
        };
        assert_eq!(halves(&of(&[2, 5, 7])), Some((of(&[2]), of(&[5, 7]))));
        assert_eq!(halves(&of(&[1])), None);
    }
}
