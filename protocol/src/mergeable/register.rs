//! A value that assignments replace. Assignments that did not see each other both stay, as siblings do, until the next one: no
//! clock decides which of them is lost.
//!
//! It is a version set of its own inside the state, with the dots of the versions around it, so its laws, and what becomes of
//! retries, are those of [`VersionSet`].

use bytes::Bytes;

use super::Event;
use super::operation::{Operation, OperationRefusal};
use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::limits;
use crate::version::{Change, OperationId, Replaces, VersionSet};

/// A value, or those that were assigned concurrently.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Register {
    assigned: VersionSet,
}

impl Register {
    /// The register that has seen the assignments of both.
    pub fn join(&self, other: &Register) -> Register {
        Register { assigned: self.assigned.merge(&other.assigned) }
    }

    /// Applies an assignment.
    pub(super) fn apply(
        &mut self,
        event: Event,
        operation: &Operation,
    ) -> Result<(), OperationRefusal> {
        let Operation::Assign { value } = operation else {
            return Err(OperationRefusal::WrongType);
        };
        OperationRefusal::longer_than(limits::INLINE_VALUE_BYTES, value.len())?;
        self.write(event, Change::Value { bytes: value.clone(), expires_at_ms: None })
    }

    /// Removes what is assigned.
    pub(super) fn clear(&mut self, event: Event) -> Result<(), OperationRefusal> {
        self.write(event, Change::Delete)
    }

    fn write(&mut self, event: Event, change: Change) -> Result<(), OperationRefusal> {
        let Event { dot, operation } = event;
        if self.assigned.clock().covers(dot) {
            // An actor's own coordinator knows that it has not come so far.
            return Err(OperationRefusal::Unreadable);
        }
        // What can be refused changes nothing here: a delete of a register that has no value.
        if let Ok(minted) = self.assigned.mint_as(dot, Replaces::Latest, change, operation) {
            self.assigned = minted.set;
        }
        Ok(())
    }

    /// What is assigned, ascending by dot: one value, or those of concurrent assignments.
    pub fn values(&self) -> Vec<Bytes> {
        self.assigned.values().map(|(_, version)| version.value.clone()).collect()
    }

    /// Whether an assignment of this id is remembered.
    pub fn knows(&self, operation: OperationId) -> bool {
        self.assigned.find_operation(operation).is_some()
    }
}

impl Wire for Register {
    fn write(&self, writer: &mut Writer<'_>) {
        self.assigned.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Register, DecodeError> {
        VersionSet::read(reader).map(|assigned| Register { assigned })
    }
}
