//! What the nodes hold in memory, by their own figures, once a second.

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

/// The most bytes that each node has held so far, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Most(BTreeMap<String, u64>);

/// What one node held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Held {
    /// The most bytes before the overload.
    pub(crate) before: u64,
    /// The most bytes at any time.
    pub(crate) most: u64,
}

impl Most {
    fn note(&mut self, node: &str, bytes: u64) {
        let most = self.0.entry(node.to_owned()).or_default();
        *most = bytes.max(*most);
    }

    /// Beside what it was earlier. A node of which one of both is not known is left out.
    pub(crate) fn since(&self, earlier: &Most) -> BTreeMap<String, Held> {
        let held = |(node, most): (&String, &u64)| {
            let before = *earlier.0.get(node)?;
            Some((node.clone(), Held { before, most: *most }))
        };
        self.0.iter().filter_map(held).collect()
    }
}

/// Asks the nodes until it is ended.
pub(crate) struct Watch {
    most: Arc<Mutex<Most>>,
    task: JoinHandle<()>,
    client: Client,
}

impl Watch {
    /// Begins to ask.
    pub(crate) fn begin(client: Client) -> Watch {
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
        Watch { most, task, client }
    }

    /// The most until now.
    pub(crate) fn most(&self) -> Most {
        self.most.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let Ok(metrics) = told.metrics else { continue };
        if let Some(bytes) = metrics.sum("process_resident_memory_bytes", &[]) {
            most.lock().unwrap_or_else(PoisonError::into_inner).note(&told.name, bytes as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Most};

    #[test]
    fn the_most_is_kept_for_each_node_and_compared_with_what_it_was() {
        let mut most = Most::default();
        [5, 9, 7].into_iter().for_each(|bytes| most.note("n1", bytes));
        let before = most.clone();
        most.note("n1", 20);
        most.note("n2", 1);
        let held = most.since(&before);
        assert_eq!(held.len(), 1, "nobody knows what n2 held before");
        assert_eq!(held["n1"], Held { before: 9, most: 20 });
    }
}
