//! What can break: the faults of a plan.
//!
//! Each fault that lasts has its own end, and all of them end when the cluster heals. What a fault does is in
//! `world/faults.rs`; which faults a seed draws is in [`crate::expand`].

use serde::{Deserialize, Serialize};

/// What an index loses in a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexDamage {
    /// It comes back as it was last made durable.
    Whole,
    /// It comes back with everything, durable or not, as after a killed process.
    Unflushed,
    /// It comes back at an older checkpoint.
    Stale,
    /// It comes back empty, without an error.
    Empty,
    /// A random subset of its entries is missing.
    Subset,
    /// It does not open.
    Refuses,
}

/// What breaks. Every fault that lasts has its own end; all of them end when the cluster heals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// Messages from one node to another vanish, or in both directions.
    Cut {
        /// The sender.
        from: u16,
        /// The receiver.
        to: u16,
        /// Whether the other direction is cut as well.
        both: bool,
        /// How long.
        for_us: u64,
    },
    /// One node hears nothing, or is not heard, or both.
    Isolate {
        /// The node.
        node: u16,
        /// Whether messages to it vanish.
        inbound: bool,
        /// Whether messages from it vanish.
        outbound: bool,
        /// How long.
        for_us: u64,
    },
    /// Two groups of nodes cannot talk to each other.
    Bipartition {
        /// The nodes on one side.
        side: Vec<u16>,
        /// How long.
        for_us: u64,
    },
    /// A link holds its messages back and then delivers them in one burst.
    Clog {
        /// The sender.
        from: u16,
        /// The receiver.
        to: u16,
        /// How long.
        for_us: u64,
    },
    /// A link loses, doubles and reorders beyond its usual rate.
    Degrade {
        /// The sender.
        from: u16,
        /// The receiver.
        to: u16,
        /// Lost of a million.
        loss_ppm: u32,
        /// Doubled of a million.
        duplicate_ppm: u32,
        /// Out of order of a million.
        reorder_ppm: u32,
        /// How long.
        for_us: u64,
    },
    /// All links of a node take many times longer.
    SlowNode {
        /// The node.
        node: u16,
        /// How many times.
        factor: u32,
        /// How long.
        for_us: u64,
    },
    /// A connection breaks and is made anew at once: what was on its way in both directions is lost.
    Reset {
        /// One end.
        left: u16,
        /// The other end.
        right: u16,
    },
    /// The process dies and starts again.
    Crash {
        /// The node.
        node: u16,
        /// How long it is down.
        down_us: u64,
        /// Whether it dies within a disk operation, if one is under way.
        within_io: bool,
        /// What its index loses.
        index: IndexDamage,
    },
    /// The process dies shortly after it minted its `mints`-th dot from now on.
    CrashAfterMint {
        /// The node.
        node: u16,
        /// Which mint, from 1.
        mints: u32,
        /// How long after it.
        delay_us: u64,
        /// How long it is down.
        down_us: u64,
        /// Whether it dies within a disk operation, if one is under way.
        #[serde(default)]
        within_io: bool,
    },
    /// All processes die at once, as in a power cut.
    PowerCut {
        /// How long they are down.
        down_us: u64,
        /// Whether each dies within a disk operation, if one is under way.
        #[serde(default)]
        within_io: bool,
        /// What the indexes lose.
        index: IndexDamage,
    },
    /// The first owners of a key die at once, as in a cut of their rack's power.
    OwnersAway {
        /// The key.
        key: u16,
        /// How many of its owners.
        owners: u8,
        /// How long they are down.
        down_us: u64,
    },
    /// The process stands still and then goes on, as after SIGSTOP and SIGCONT.
    Pause {
        /// The node.
        node: u16,
        /// How long.
        for_us: u64,
    },
    /// The process dies and its disk comes back empty. Left out where it would destroy the last durable copy of an
    /// acknowledged write.
    Wipe {
        /// The node.
        node: u16,
        /// How long it is down.
        down_us: u64,
    },
    /// One disk operation fails.
    DiskError {
        /// The node.
        node: u16,
        /// Which operation from now on, from 1.
        after: u32,
        /// How it fails.
        error: DiskErrorKind,
        /// How long the node stays down after it has stopped itself.
        down_us: u64,
    },
    /// All disk operations of a node take many times longer.
    SlowDisk {
        /// The node.
        node: u16,
        /// How many times.
        factor: u32,
        /// How long.
        for_us: u64,
    },
    /// No file of a node can be read, as on a disk that takes writes and does not answer. Ends with the process.
    Unreadable {
        /// The node.
        node: u16,
        /// How long.
        for_us: u64,
    },
    /// The wall clock of a node jumps.
    ClockJump {
        /// The node.
        node: u16,
        /// How far, in milliseconds.
        by_ms: i64,
    },
    /// A node believes that a healthy peer is down.
    Suspect {
        /// Who believes it.
        observer: u16,
        /// Whom it suspects.
        target: u16,
        /// How long.
        for_us: u64,
    },
}

/// How a disk operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskErrorKind {
    /// An input or output error.
    Io,
    /// No space is left.
    Full,
    /// Only a part of what was to be written is.
    Short,
    /// A read comes back with one bit wrong, once.
    FlippedRead,
}

impl Fault {
    /// The nodes that the fault touches.
    pub fn nodes(&self) -> Vec<u16> {
        match self {
            Self::Cut { from, to, .. }
            | Self::Clog { from, to, .. }
            | Self::Degrade { from, to, .. } => {
                vec![*from, *to]
            }
            Self::Reset { left, right } => vec![*left, *right],
            Self::Suspect { observer, target, .. } => vec![*observer, *target],
            Self::Isolate { node, .. }
            | Self::SlowNode { node, .. }
            | Self::Crash { node, .. }
            | Self::CrashAfterMint { node, .. }
            | Self::Pause { node, .. }
            | Self::Wipe { node, .. }
            | Self::DiskError { node, .. }
            | Self::SlowDisk { node, .. }
            | Self::Unreadable { node, .. }
            | Self::ClockJump { node, .. } => vec![*node],
            Self::Bipartition { side, .. } => side.clone(),
            Self::PowerCut { .. } | Self::OwnersAway { .. } => Vec::new(),
        }
    }
}
