//! What clients do to mergeable values, what they are shown, and why an operation is refused.

use bytes::Bytes;

crate::wire_enum! {
    /// An operation on a mergeable value. It fits one kind of bucket, or one kind of field of a map.
    pub enum Operation {
        /// Of a counter: add.
        1 = Increment {
            /// How much, at most 2^63 - 1.
            by: u64,
        },
        /// Of a counter: subtract.
        2 = Decrement {
            /// How much, at most 2^63 - 1.
            by: u64,
        },
        /// Of a set: have these elements in it, whatever others remove at the same time.
        3 = Add {
            /// Up to [`OPERATION_ITEMS`](crate::limits::OPERATION_ITEMS).
            elements: Vec<Bytes>,
        },
        /// Of a set: take these out, as far as their adds are known to the coordinator.
        4 = Remove {
            /// Up to [`OPERATION_ITEMS`](crate::limits::OPERATION_ITEMS).
            elements: Vec<Bytes>,
        },
        /// Of a register: replace what is known.
        5 = Assign {
            /// The new value.
            value: Bytes,
        },
        /// Of a map: change some fields, all or none.
        6 = Fields {
            /// Each field once, up to [`OPERATION_ITEMS`](crate::limits::OPERATION_ITEMS).
            changes: Vec<FieldChange>,
        },
        /// Of a field of a map: remove it, as far as its changes are known to the coordinator.
        7 = Clear,
    }
}

impl Operation {
    /// Bytes of what it names, about.
    pub fn bytes(&self) -> usize {
        let all = |parts: &[Bytes]| parts.iter().map(Bytes::len).sum();
        match self {
            Operation::Increment { .. } | Operation::Decrement { .. } | Operation::Clear => 8,
            Operation::Add { elements } | Operation::Remove { elements } => all(elements),
            Operation::Assign { value } => value.len(),
            Operation::Fields { changes } => {
                changes.iter().map(|change| change.name.len() + change.change.bytes()).sum()
            }
        }
    }
}

crate::wire_struct! {
    /// A change of one field of a map.
    pub struct FieldChange {
        /// The field, 1 to [`FIELD_NAME_BYTES`](crate::limits::FIELD_NAME_BYTES) bytes.
        pub name: Bytes,
        /// Any operation but `Fields`.
        pub change: Operation,
    }
}

crate::wire_enum! {
    /// A mergeable value as a reader sees it.
    pub enum Joined {
        /// A counter.
        2 = Counter {
            /// Whether it is below zero.
            negative: bool,
            /// How far from zero it is; it stands at the largest when it is farther.
            magnitude: u64,
        },
        /// A set.
        3 = Set {
            /// What is in it, ascending.
            elements: Vec<Bytes>,
        },
        /// A map.
        4 = Map {
            /// Its fields, ascending by name.
            fields: Vec<JoinedField>,
        },
        /// A register.
        6 = Register {
            /// One value; several when they were assigned concurrently; none when it was cleared.
            values: Vec<Bytes>,
        },
    } else {
        /// A kind that a later version added.
        Other
    }
}

crate::wire_struct! {
    /// A field of a map.
    pub struct JoinedField {
        /// Its name. It comes twice only when it was begun concurrently as two kinds.
        pub name: Bytes,
        /// A counter, a set or a register.
        pub value: Joined,
    }
}

impl OperationRefusal {
    /// Something of so many bytes is refused beyond a limit.
    pub(super) fn longer_than(limit: usize, bytes: usize) -> Result<(), OperationRefusal> {
        match bytes > limit {
            true => Err(OperationRefusal::TooLarge { bytes: bytes as u64, limit: limit as u64 }),
            false => Ok(()),
        }
    }

    /// So many elements or fields are refused beyond a limit.
    pub(super) fn more_than(limit: usize, items: usize) -> Result<(), OperationRefusal> {
        match items > limit {
            true => Err(OperationRefusal::TooMany { items: items as u64, limit: limit as u64 }),
            false => Ok(()),
        }
    }
}

/// Why an operation was not applied. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OperationRefusal {
    /// The value, or the field, is of another kind.
    #[error("an operation on a value of another kind")]
    WrongType,
    /// It names nothing.
    #[error("an operation that names nothing")]
    Empty,
    /// It names a field twice, or one without a name.
    #[error("a field that is named twice, or not at all")]
    FieldTwice,
    /// The counter would leave what 64 bits with a sign can hold.
    #[error("a counter beyond 64 bits")]
    OutOfRange,
    /// The value, an element or a name would be too long.
    #[error("{bytes} bytes: at most {limit}")]
    TooLarge {
        /// How long it would be.
        bytes: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// More elements or fields than one operation may name, or one value may have.
    #[error("{items} elements or fields: at most {limit}")]
    TooMany {
        /// How many there would be.
        items: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// What is stored is no mergeable value.
    #[error("what is stored is no mergeable value")]
    Unreadable,
}
