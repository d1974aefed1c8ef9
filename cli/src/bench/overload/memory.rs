//! What the nodes hold in memory: by their own figures, once a second, and by the kernel's highest mark for those that run
//! on this machine for this run. A node under load may be too busy to tell; the kernel misses nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvorum_client::Client;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::Moment;

/// How often the nodes are asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long one node is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known so far of the memory of each node, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Most(BTreeMap<String, Mark>);

/// What is known of one.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// The most bytes.
    bytes: Option<u64>,
    /// How often it has told them.
    answers: u64,
    /// The kernel's own mark is among them.
    by_kernel: bool,
}

/// What one node held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Held {
    /// The most bytes before the overload.
    pub(crate) before: u64,
    /// The most bytes at any time.
    pub(crate) most: u64,
    /// How often it told them during the overload; `None` where the kernel kept the highest mark, which misses nothing.
    pub(crate) answers: Option<u64>,
}

impl Mark {
    fn raise(&mut self, bytes: u64) {
        self.bytes = self.bytes.max(Some(bytes));
    }
}

impl Most {
    /// A node was asked and has told so many bytes, or nothing.
    fn note(&mut self, node: &str, bytes: Option<u64>) {
        let mark = self.0.entry(node.to_owned()).or_default();
        if let Some(bytes) = bytes {
            mark.raise(bytes);
            mark.answers += 1;
        }
    }

    /// The kernel's highest mark of a node.
    fn note_by_kernel(&mut self, node: &str, bytes: u64) {
        let mark = self.0.entry(node.to_owned()).or_default();
        mark.raise(bytes);
        mark.by_kernel = true;
    }

    /// Beside what it was when the overload began and when it ended: each node, `None` where either is not known.
    pub(crate) fn since(&self, begin: &Most, end: &Most) -> BTreeMap<String, Option<Held>> {
        let of = |most: &Most, node: &str| most.0.get(node).copied().unwrap_or_default();
        let held = |(node, last): (&String, &Mark)| {
            let (begin, end) = (of(begin, node), of(end, node));
            let held = begin.bytes.zip(last.bytes).map(|(before, most)| Held {
                before,
                most,
                answers: (!(begin.by_kernel && last.by_kernel))
                    .then(|| end.answers - begin.answers),
            });
            (node.clone(), held)
        };
        self.0.iter().map(held).collect()
    }
}

/// Asks the nodes until it is ended.
pub(crate) struct Watch {
    most: Arc<Mutex<Most>>,
    task: JoinHandle<()>,
    client: Client,
    /// Processes of nodes on this machine.
    pids: BTreeMap<String, u32>,
}

impl Watch {
    /// Begins to ask. For nodes of which the process is known, the kernel is asked, too.
    pub(crate) fn begin(client: Client, pids: BTreeMap<String, u32>) -> Watch {
        let most = Arc::new(Mutex::new(Most::default()));
        let task = tokio::spawn({
            let (client, most) = (client.clone(), Arc::clone(&most));
            async move {
                let mut ticks = interval(INTERVAL);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    ask(&client, &most).await;
                }
            }
        });
        Watch { most, task, client, pids }
    }

    /// The most until now.
    pub(crate) fn most(&self) -> Most {
        let mut most = self.most.lock().unwrap_or_else(PoisonError::into_inner);
        for (node, pid) in &self.pids {
            if let Some(bytes) = high_water(*pid) {
                most.note_by_kernel(node, bytes);
            }
        }
        most.clone()
    }

    /// Asks once more, and no more.
    pub(crate) async fn end(self) -> Most {
        self.task.abort();
        ask(&self.client, &self.most).await;
        self.most()
    }
}

async fn ask(client: &Client, most: &Mutex<Most>) {
    for told in Moment::ask(client, None, PATIENCE).await.nodes {
        let metrics = told.metrics.ok();
        let bytes = metrics.and_then(|all| all.sum("process_resident_memory_bytes", &[]));
        let mut most = most.lock().unwrap_or_else(PoisonError::into_inner);
        most.note(&told.name, bytes.map(|bytes| bytes as u64));
    }
}

/// The most bytes that a process has had in memory, where the system keeps that in a file.
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::{Held, Most};

    #[test]
    fn the_most_is_kept_for_each_node_and_compared_with_what_it_was() {
        let mut most = Most::default();
        [5, 9, 7].into_iter().for_each(|bytes| most.note("n1", Some(bytes)));
        let begin = most.clone();
        most.note("n1", Some(20));
        most.note("n1", None);
        most.note("n2", Some(1));
        let end = most.clone();
        most.note("n1", Some(8));
        let held = most.since(&begin, &end);
        assert_eq!(held["n1"], Some(Held { before: 9, most: 20, answers: Some(1) }));
        assert_eq!(held["n2"], None, "nobody knows what it held before");
    }

    #[test]
    fn what_nobody_answered_during_the_overload_the_kernel_may_know() {
        let mut most = Most::default();
        most.note("n1", Some(5));
        most.note("n2", Some(5));
        most.note_by_kernel("n2", 6);
        let begin = most.clone();
        most.note_by_kernel("n2", 30);
        let held = most.since(&begin, &most);
        assert_eq!(held["n1"], Some(Held { before: 5, most: 5, answers: Some(0) }));
        assert_eq!(held["n2"], Some(Held { before: 6, most: 30, answers: None }));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_knows_the_most_that_a_process_had() {
        let most = super::high_water(std::process::id());
        assert!(most > Some(1 << 20), "{most:?}");
        assert_eq!(super::high_water(u32::MAX), None);
    }
}
