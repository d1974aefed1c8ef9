//! The name that a client gives to one operation, so that a retry is recognised.

use std::fmt;
use std::str::FromStr;

/// A random 128-bit name that a client draws once per operation and repeats with every retry of it. Written as 32 hex
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u128);

/// A text that is not 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an operation id is 32 lowercase hex digits")]
pub struct NotAnOperationId;

impl fmt::Debug for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "op-{:08x}", self.0 >> 96)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl FromStr for OperationId {
    type Err = NotAnOperationId;

    fn from_str(text: &str) -> Result<OperationId, NotAnOperationId> {
        let canonical =
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return Err(NotAnOperationId);
        }
        u128::from_str_radix(text, 16).map(OperationId).map_err(|_| NotAnOperationId)
    }
}
