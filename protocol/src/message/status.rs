//! How one node is doing.

use kvorum_ring::NodeId;

crate::wire_struct! {
    /// A peer as the answering node sees it.
    pub struct PeerStatus {
        /// The peer.
        pub node: NodeId,
        /// Its name.
        pub name: String,
        /// Whether it is believed up.
        pub up: bool,
        /// The 95th percentile of its answers, in microseconds; 0 until it has answered often enough.
        pub p95_us: u64 = 0,
    }
}

crate::wire_struct! {
    /// A background task.
    pub struct TaskStatus {
        /// What it does.
        pub name: String,
        /// Steps done.
        pub done: u64,
        /// Steps in all, as far as known.
        pub total: u64,
        /// Whether it is paused.
        pub paused: bool,
    }
}

crate::wire_struct! {
    /// One node's figures.
    pub struct NodeStatus {
        /// The node.
        pub node: NodeId,
        /// Its name.
        pub name: String,
        /// The software's version.
        pub version: String,
        /// The number of this run of its process.
        pub run: u64,
        /// Milliseconds since it started.
        pub uptime_ms: u64,
        /// Records that its index names, tombstones included. Of the `index_backlog` some are new and come on top, the others
        /// are later versions of these.
        pub keys: u64,
        /// Bytes of its log.
        pub log_bytes: u64,
        /// Bytes of the log that are still needed.
        pub live_bytes: u64,
        /// Records that the index has not taken in yet.
        pub index_backlog: u64,
        /// Whether the log lost something, and its absences do not count until peers have filled it again.
        pub refilling: bool,
        /// Client requests answered since the start.
        pub requests: u64,
        /// Records held for owners that are away.
        pub hinted_keys: u64 = 0,
        /// When its certificate expires, in milliseconds since 1970; 0 when it is not known.
        pub certificate_expires_at_ms: u64 = 0,
    }
}

crate::wire_struct! {
    /// The figures of the node that answers, its view of its peers, and its tasks.
    pub struct StatusDone {
        /// Its figures.
        pub node: NodeStatus,
        /// Its peers, ascending by id.
        pub peers: Vec<PeerStatus>,
        /// Its background tasks.
        pub tasks: Vec<TaskStatus>,
        /// Partitions with fewer owners up than a default write needs.
        pub below_quorum: u32 = 0,
        /// Partitions with an owner down.
        pub degraded: u32 = 0,
    }
}
