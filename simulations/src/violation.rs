//! What a run can be found guilty of: the property, its class, and where it showed.

use serde::{Deserialize, Serialize};

/// A property of the system that a checker watches. The names are those of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Property {
    /// No acknowledged write is lost.
    P1,
    /// Owners converge on what was read once faults have ended.
    P2,
    /// No false concurrency: sibling sets are antichains.
    P3,
    /// No false domination: a clock covers nothing that is neither stored nor superseded.
    P4,
    /// No two writes share a dot.
    P5,
    /// A context covers exactly what was returned with it.
    P6,
    /// What was removed stays removed.
    P8,
    /// What is held for owners that were away is never dropped while it counts, and ends only when they have it.
    P9,
    /// Hash trees are those of the records, and exchanges come to rest.
    P12,
    /// Bytes that come back are the bytes that went in.
    P13,
    /// A definite failure is never visible.
    P14,
    /// Every operation ends, every queue drains.
    P19,
    /// The same seed gives the same trace.
    P22,
    /// An operation id has one effect.
    P23,
    /// Every difference between owners has a reason, and the reason is true.
    P24,
    /// The code did not panic.
    Crash,
}

/// What kind of failure a violation is; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The code under test panicked.
    Crash,
    /// Something wrong happened.
    Safety,
    /// Something right did not happen in time.
    Liveness,
    /// The same seed took two different courses.
    NotDeterministic,
}

impl FailureClass {
    /// The exit code of a process that reports this class.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Crash => 20,
            Self::Safety => 21,
            Self::Liveness => 22,
            Self::NotDeterministic => 23,
        }
    }
}

impl Property {
    /// The class that a violation of this property belongs to.
    pub const fn class(self) -> FailureClass {
        match self {
            Self::Crash => FailureClass::Crash,
            Self::P2 | Self::P19 => FailureClass::Liveness,
            Self::P22 => FailureClass::NotDeterministic,
            Self::P1
            | Self::P3
            | Self::P4
            | Self::P5
            | Self::P6
            | Self::P8
            | Self::P9
            | Self::P12
            | Self::P13
            | Self::P14
            | Self::P23
            | Self::P24 => FailureClass::Safety,
        }
    }
}

/// One violation of one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The property that does not hold.
    pub property: Property,
    /// What was seen and what was expected, in a sentence.
    pub what: String,
    /// The virtual time at which it showed, in nanoseconds.
    pub at_ns: u64,
    /// The node at which it showed.
    pub node: Option<u16>,
    /// The key at which it showed, by its number in the plan.
    pub key: Option<u16>,
}

impl Violation {
    /// A violation that is not yet placed; the world adds time and node.
    pub fn new(property: Property, what: String) -> Self {
        Self { property, what, at_ns: 0, node: None, key: None }
    }

    /// The same violation, placed at `key`.
    pub fn on_key(mut self, key: u16) -> Self {
        self.key = Some(key);
        self
    }
}
