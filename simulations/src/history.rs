//! What the clients asked and what they were told: the outside view that several checkers judge by.

use serde::Serialize;

use crate::bits::Bits;
use crate::oracle::WriteId;

/// How an operation ended, as its client must understand it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// No answer yet.
    Pending,
    /// Applied, or read.
    Ok,
    /// Definitely not applied, or not readable.
    Failed,
    /// May take effect now, later or never.
    Indeterminate,
}

/// One operation of one client on one key.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The operation's number in the plan.
    pub operation: WriteId,
    /// The client that asked.
    pub client: u16,
    /// The key, by its number in the plan.
    pub key: u16,
    /// The node that was asked first.
    pub coordinator: u16,
    /// Whether the request was strict.
    pub strict: bool,
    /// How many holders must answer (r of a read, w of a write).
    pub quorum: u8,
    /// Whether it writes.
    pub write: bool,
    /// When it was asked, in virtual nanoseconds.
    pub invoked_ns: u64,
    /// When its end was known, in virtual nanoseconds.
    pub ended_ns: u64,
    /// When it must have ended.
    pub deadline_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// For a strict read: the writes that were acknowledged by owners when it was asked.
    #[serde(skip)]
    pub owed: Bits,
    /// For a write that says what it replaces: the versions that the client had been shown.
    #[serde(skip)]
    pub shown: Option<Bits>,
    /// For a write that says what it replaces: the clock of its context.
    #[serde(skip)]
    pub context_clock: Vec<(u64, u64)>,
    /// For a write: when its value expires, in milliseconds of an exact clock.
    pub expires_at_ms: Option<u64>,
    /// The earliest of all nodes' wall clocks when it was asked, in milliseconds.
    pub earliest_ms: u64,
    /// Whether the context was forged or is another key's, so that the write must be refused.
    pub bad_context: bool,
}

/// All rows of a run, in the order of their invocation.
#[derive(Debug, Default)]
pub struct History {
    rows: Vec<Row>,
    /// Row of each operation; `u32::MAX` where none.
    by_operation: Vec<u32>,
}

impl History {
    /// Adds a row.
    pub fn invoke(&mut self, row: Row) {
        let operation = row.operation as usize;
        if operation >= self.by_operation.len() {
            self.by_operation.resize(operation + 1, u32::MAX);
        }
        self.by_operation[operation] = self.rows.len() as u32;
        self.rows.push(row);
    }

    /// The row of `operation`.
    pub fn row(&self, operation: WriteId) -> Option<&Row> {
        let index = *self.by_operation.get(operation as usize)?;
        self.rows.get(index as usize)
    }

    /// The row of `operation`, to be ended.
    pub fn row_mut(&mut self, operation: WriteId) -> Option<&mut Row> {
        let index = *self.by_operation.get(operation as usize)?;
        self.rows.get_mut(index as usize)
    }

    /// All rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}
