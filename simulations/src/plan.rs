//! The plan of a run: everything that is not decided by the code under test.
//!
//! A seed expands to a plan (see [`crate::expand`]); a plan can be printed, edited, shrunk and replayed. Times are
//! virtual microseconds from the start. Nodes, keys and clients are numbers from 0. The plan's seed keys the random
//! streams of the run (message delays, what a crashed disk keeps), so a plan together with the code decides every bit.

use serde::{Deserialize, Serialize};

pub use crate::fault::{DiskErrorKind, Fault, IndexDamage};
use crate::violation::Property;

/// The format number of a saved plan.
pub const PLAN_FORMAT: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Must be [`PLAN_FORMAT`].
    pub format: u32,
    /// Keys every random stream of the run.
    pub seed: u64,
    /// The planted bug that is armed, by name; needs the `planted` feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<String>,
    /// What the plan is kept for, where it is kept: a sentence for whoever reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The property that the plan violates, where it is kept to show that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Property>,
    /// The merge rule of the one bucket.
    #[serde(default, skip_serializing_if = "Rule::is_siblings")]
    pub rule: Rule,
    /// How large the cluster is.
    pub topology: Topology,
    /// How links behave while no fault touches them.
    pub network: NetworkPlan,
    /// How disks behave.
    pub disk: DiskPlan,
    /// How fast failure detectors notice.
    pub detector: DetectorPlan,
    /// Failure detection by the production membership machines; modelled where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gossip: Option<GossipPlan>,
    /// The clocks of the nodes, one entry for each node; missing ones are exact.
    #[serde(default)]
    pub clocks: Vec<ClockPlan>,
    /// Whether peer messages pass through their byte codec on every delivery. Slower, and it checks the codec.
    pub through_codec: bool,
    /// Shrinks the shard's buffers and segments, so that rare paths are taken often. 0 is the usual size, 3 the
    /// smallest.
    pub buggify: u8,
    /// When all faults end and the healed phase begins.
    pub heal_at_us: u64,
    /// What all indexes lose in a last power cut, after which every record is looked at again; none if absent. Before it,
    /// tombstones that all owners agree on are reclaimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_cut: Option<IndexDamage>,
    /// Whether, before the last power cut, open indexes lose entries and the logs are compacted.
    #[serde(default)]
    pub index_loss: bool,
    /// Milliseconds between two exchanges of owners while faults run; none where it is 0. In the healed phase there are some.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exchange_every_ms: u64,
    /// Moments while faults run at which it is asked of every key why it holds what it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explain_at_us: Vec<u64>,
    /// Whether wipes may destroy the last copies of acknowledged writes. What is lost so is excused, and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_budget: bool,
    /// For each client the nodes that it reaches while faults run; all of them where it has no entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<Vec<u16>>,
    /// Operations and faults in the order of their times.
    pub events: Vec<PlanEvent>,
}

/// What a bucket's merge rule makes of the writes of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Puts and deletes are what they say.
    #[default]
    Siblings,
    /// Puts and deletes are increments, each by an amount that tells it from all others.
    Counter,
    /// A put adds the operation's number to the key's set; a delete removes the few numbers before its own.
    Set,
    /// Puts replace the latest, and the last one wins. Deletes are deletes.
    LossyLww,
}

impl Rule {
    const fn is_siblings(&self) -> bool {
        matches!(self, Self::Siblings)
    }
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How large the cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Nodes, from 1.
    pub nodes: u16,
    /// Owners of each key, n of the one replication class.
    pub replicas: u8,
    /// Partitions, a power of two.
    pub partitions: u32,
    /// Keys that the workload uses.
    pub keys: u16,
    /// Clients.
    pub clients: u16,
}

/// How links behave while no fault touches them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// The least delay of a message.
    pub minimum_us: u64,
    /// The mean of the exponentially distributed delay above the least.
    pub mean_us: u64,
    /// Messages lost of a million, each by itself.
    pub loss_ppm: u32,
    /// Messages delivered twice of a million.
    pub duplicate_ppm: u32,
    /// Messages of a million that may overtake others; all others of a link stay in order.
    pub reorder_ppm: u32,
}

/// How disks behave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskPlan {
    /// Mean time of a commit: append and sync of one batch.
    pub commit_us: u64,
    /// Mean time of a read that misses memory.
    pub load_us: u64,
    /// Mean time of feeding the index.
    pub index_us: u64,
    /// Mean time of one step of compaction.
    pub compact_us: u64,
}

/// How fast failure detectors notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectorPlan {
    /// The least time to notice that a peer has gone or is back.
    pub minimum_us: u64,
    /// The mean of the exponentially distributed time above the least.
    pub mean_us: u64,
}

/// Who goes and comes back once faults have ended, so that all others have to notice it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GossipPlan {
    /// The node.
    pub node: u16,
    /// Whether it dies; else it is cut off from all others.
    pub dies: bool,
}

/// The wall clock of one node. Monotonic clocks of all nodes are the simulation's own time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockPlan {
    /// How far the wall clock is off at the start, in milliseconds.
    pub offset_ms: i64,
    /// How fast it goes wrong, in parts of a million.
    pub drift_ppm: i32,
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEvent {
    /// When.
    pub at_us: u64,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// What a plan event does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A client asks.
    Operation(Operation),
    /// Something breaks.
    Fault(Fault),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Unique in the plan; values name it. A batch uses `id`, `id + 1` and so on, one for each of its keys.
    pub id: u32,
    /// Who asks.
    pub client: u16,
    /// The node that is asked first.
    pub node: u16,
    /// What is asked.
    pub kind: OperationKind,
    /// Holders that must answer (r or w).
    pub quorum: u8,
    /// Strict: no fallbacks, repair before the answer.
    pub strict: bool,
    /// The request's deadline.
    pub timeout_us: u64,
    /// How often the client asks again, at another node under the same operation id, when the outcome is unknown.
    #[serde(default)]
    pub retries: u8,
}

/// The kinds of operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum OperationKind {
    /// Reads a key.
    Get {
        /// The key.
        key: u16,
    },
    /// Writes a key.
    Put {
        /// The key.
        key: u16,
        /// What the write replaces.
        replaces: ContextChoice,
        /// Bytes of the value, from 4.
        size: u32,
        /// How long after the asking the value expires, by an exact clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: u16,
        /// What the delete replaces.
        replaces: ContextChoice,
    },
    /// Lists the bucket's keys, one page.
    List {
        /// Keys on a page.
        limit: u16,
        /// The key behind which the page begins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u16>,
        /// Whether a page with gaps will do.
        #[serde(default)]
        partial: bool,
    },
    /// Writes several keys at once, each as `latest`.
    BatchPut {
        /// The keys.
        keys: Vec<u16>,
        /// Bytes of each value, from 4.
        size: u32,
    },
    /// Reads several keys at once.
    BatchGet {
        /// The keys.
        keys: Vec<u16>,
    },
}

/// What a write says that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextChoice {
    /// What the coordinator holds.
    Latest,
    /// Nothing: a sibling.
    Nothing,
    /// The client's newest context of the key; nothing if it has none.
    Held,
    /// One of the client's older contexts of the key; nothing if it has none.
    Stale,
    /// The client's context of another key: must be refused. `Latest` if it has none.
    Foreign,
    /// The client's context with a changed byte: must be refused. `Latest` if it has none.
    Forged,
}

impl Operation {
    /// The keys that the operation names, in order. That a page begins behind a key is no operation on it.
    pub fn keys(&self) -> &[u16] {
        match &self.kind {
            OperationKind::Get { key }
            | OperationKind::Put { key, .. }
            | OperationKind::Delete { key, .. } => std::slice::from_ref(key),
            OperationKind::List { .. } => &[],
            OperationKind::BatchPut { keys, .. } | OperationKind::BatchGet { keys } => keys,
        }
    }

    /// The key behind which a listing begins.
    const fn after(&self) -> Option<u16> {
        match self.kind {
            OperationKind::List { after, .. } => after,
            _ => None,
        }
    }
}

impl Plan {
    /// The plan as text that can be edited: pretty JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a plan has string keys and finite numbers only")
    }

    /// Reads a plan and says in a sentence what is wrong with it, if anything is.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(PlanError::Syntax)?;
        plan.validate()?;
        Ok(plan)
    }

    /// Checks that every number names something that is there.
    pub fn validate(&self) -> Result<(), PlanError> {
        let topology = &self.topology;
        if self.format != PLAN_FORMAT {
            return Err(PlanError::Format(self.format));
        }
        let sound = topology.nodes > 0
            && topology.nodes <= crate::limits::MAX_NODES
            && topology.keys > 0
            && topology.clients > 0
            && topology.replicas > 0
            && self.gossip.is_none_or(|gossip| gossip.node < topology.nodes)
            && topology.partitions.is_power_of_two();
        if !sound {
            return Err(PlanError::Topology);
        }
        for (index, event) in self.events.iter().enumerate() {
            let fits = match &event.action {
                Action::Operation(operation) => {
                    operation.node < topology.nodes
                        && operation.client < topology.clients
                        && operation.keys().iter().all(|key| *key < topology.keys)
                        && operation.after().is_none_or(|key| key < topology.keys)
                }
                Action::Fault(Fault::OwnersAway { key, .. }) => *key < topology.keys,
                Action::Fault(fault) => fault.nodes().iter().all(|node| *node < topology.nodes),
            };
            if !fits {
                return Err(PlanError::Event(index));
            }
        }
        Ok(())
    }
}

/// Why a text is not a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON of a plan's shape.
    #[error("not a plan: {0}")]
    Syntax(serde_json::Error),
    /// A format that this version does not know.
    #[error("plan format {0} is not known here")]
    Format(u32),
    /// The topology cannot be built.
    #[error(
        "the plan's topology needs nodes, keys, clients, replicas and a power of two of partitions"
    )]
    Topology,
    /// An event names a node, key or client that is not there.
    #[error("event {0} of the plan names a node, key or client that the topology does not have")]
    Event(usize),
}
