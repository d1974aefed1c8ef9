//! Values that merge themselves: counters, add-wins sets, registers, maps of these, and the stamped values of `lossy-lww`.
//!
//! In a bucket of such a rule the value of a version is not a client's bytes but a *state*, and clients send operations. The
//! coordinator joins the states of all live versions that it holds, applies the operation to the join, and stores the result as
//! one new version that replaces them. Replicas go on merging version sets and never look inside. A reader is shown the join of
//! what is live.
//!
//! Everything leans on one thing: whatever a version's dot and clock cover is in the version's state, unless something covered
//! took it out again. So a state that replaced another holds all of it, and an actor's newest event in a state says that all of
//! the actor's earlier ones were taken into account. Events are therefore numbered by their dots, and [`counter`] and
//! [`set`] keep for each actor one entry that only this actor writes: of two copies of it the one with the newer event holds
//! the other. That makes every join a join of chains and of dot sets, which is commutative, associative and idempotent
//! whatever the operations were (`tests/mergeable.rs`).
//!
//! *An operation id counts once.* A retry that was minted a second time elsewhere leaves two events of one id. Nothing can drop
//! one of them without coordination, so both stay, and looking at a state counts the id once. Ids are remembered per actor: by
//! a counter of as many events as it has not folded, by a set and a map of the last [`limits::REMEMBERED_EVENTS`]. When the two meet
//! only after one of them was forgotten, the id counts twice.
//!
//! The first paper of these types is Shapiro, Preguiça, Baquero and Zawirski, "Conflict-free replicated data types" (2011); the
//! set without tombstones is from Bieniusa and others, "An optimized conflict-free replicated set" (2012).
//!
//! What this does not do: deciding who may mint (the actor rule), and deletes, which remove the versions that they saw like
//! those of any bucket. An operation that did not see the delete brings back what it was applied to; and what an actor had done
//! before a delete goes again once the actor, having seen it, begins anew and its newer entry meets the older one.

mod columns;
pub mod counter;
mod events;
pub mod fields;
pub mod operation;
pub mod register;
pub mod set;
pub mod stamped;

use bytes::Bytes;

pub use counter::Counter;
pub use fields::Fields;
pub use operation::{FieldChange, Joined, JoinedField, Operation, OperationRefusal};
pub use register::Register;
pub use set::AddWinsSet;
pub use stamped::Stamped;

use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::limits;
use crate::version::{Dot, OperationId, Version, VersionSet};

/// The format that this version writes. It never grows by appended fields: a state is joined and written anew, and a field that
/// a reader does not know could be neither joined nor kept. A reader refuses another number.
pub const STATE_FORMAT: u8 = 1;

/// The state of a mergeable value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// A number that is added to.
    Counter(Counter),
    /// A set in which an add wins against a remove that did not see it.
    Set(AddWinsSet),
    /// A value that assignments replace; those that did not see each other both stay.
    Register(Register),
    /// Named counters, sets and registers.
    Fields(Fields),
}

/// One event: an operation with the dot that it gets and its id.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The dot of the version that will hold the result.
    pub dot: Dot,
    /// The client's name for the operation.
    pub operation: OperationId,
}

impl State {
    /// The empty state that an operation of this kind begins from.
    pub fn empty_for(operation: &Operation) -> State {
        match operation {
            Operation::Increment { .. } | Operation::Decrement { .. } => {
                State::Counter(Counter::default())
            }
            Operation::Add { .. } | Operation::Remove { .. } => State::Set(AddWinsSet::default()),
            Operation::Assign { .. } => State::Register(Register::default()),
            Operation::Fields { .. } | Operation::Clear => State::Fields(Fields::default()),
        }
    }

    /// The join of the states of a set's live versions; `None` when nothing is live.
    ///
    /// # Errors
    /// [`OperationRefusal::Unreadable`] when a value is no state, or when two are of different kinds.
    pub fn of(set: &VersionSet) -> Result<Option<State>, OperationRefusal> {
        let mut joined: Option<State> = None;
        for (_, version) in set.versions() {
            let state = State::from_version(version)?;
            joined = Some(match joined {
                None => state,
                Some(joined) => joined.join(&state)?,
            });
        }
        Ok(joined)
    }

    fn from_version(version: &Version) -> Result<State, OperationRefusal> {
        State::decode(version.value.clone()).map_err(|_| OperationRefusal::Unreadable)
    }

    /// What has seen whatever either has seen.
    ///
    /// # Errors
    /// [`OperationRefusal::Unreadable`] when the two are of different kinds.
    pub fn join(&self, other: &State) -> Result<State, OperationRefusal> {
        Ok(match (self, other) {
            (State::Counter(left), State::Counter(right)) => State::Counter(left.join(right)),
            (State::Set(left), State::Set(right)) => State::Set(left.join(right)),
            (State::Register(left), State::Register(right)) => State::Register(left.join(right)),
            (State::Fields(left), State::Fields(right)) => State::Fields(left.join(right)),
            _ => return Err(OperationRefusal::Unreadable),
        })
    }

    /// The state after an operation. This one is to hold all that its minting actor ever did.
    ///
    /// # Errors
    /// Why the operation was not applied.
    pub fn applied(&self, event: Event, operation: &Operation) -> Result<State, OperationRefusal> {
        let mut state = self.clone();
        match (&mut state, operation) {
            (State::Counter(counter), operation) => counter.apply(event, operation)?,
            (State::Set(set), operation) => set.apply(event, operation)?,
            (State::Register(register), operation) => register.apply(event, operation)?,
            (State::Fields(fields), operation) => fields.apply(event, operation)?,
        }
        Ok(state)
    }

    /// Whether the state remembers that the operation was applied.
    pub fn knows(&self, operation: OperationId) -> bool {
        match self {
            State::Counter(counter) => counter.knows(operation),
            State::Set(set) => set.knows(operation),
            State::Register(register) => register.knows(operation),
            State::Fields(fields) => fields.knows(operation),
        }
    }

    /// What a reader is shown.
    pub fn shown(&self) -> Joined {
        match self {
            State::Counter(counter) => counter.shown(),
            State::Set(set) => Joined::Set { elements: set.elements().cloned().collect() },
            State::Register(register) => Joined::Register { values: register.values() },
            State::Fields(fields) => Joined::Map { fields: fields.shown() },
        }
    }

    /// The encoding: one byte of format, then `[tag, field, ...]`. Equal states have equal bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![STATE_FORMAT];
        let mut writer = Writer::new(&mut out);
        writer.array(2);
        match self {
            State::Counter(counter) => {
                writer.uint(COUNTER);
                counter.write(&mut writer);
            }
            State::Set(set) => {
                writer.uint(SET);
                set.write(&mut writer);
            }
            State::Fields(fields) => {
                writer.uint(FIELDS);
                fields.write(&mut writer);
            }
            State::Register(register) => {
                writer.uint(REGISTER);
                register.write(&mut writer);
            }
        }
        out.into()
    }

    /// Decodes bytes that hold one state and nothing else. Elements and values are slices of them, and no list is allocated by
    /// its announced length.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(mut bytes: Bytes) -> Result<State, DecodeError> {
        let format = *bytes.first().ok_or(DecodeError::Truncated)?;
        if format != STATE_FORMAT {
            return Err(DecodeError::UnknownFormat(format));
        }
        let mut reader = Reader::new(bytes.split_off(1));
        let mut fields = reader.open()?;
        let state = match reader.field::<u64>(&mut fields)? {
            COUNTER => State::Counter(reader.field(&mut fields)?),
            SET => State::Set(reader.field(&mut fields)?),
            FIELDS => State::Fields(reader.field(&mut fields)?),
            REGISTER => State::Register(reader.field(&mut fields)?),
            tag => return Err(DecodeError::UnknownTag(tag.try_into().unwrap_or(u32::MAX))),
        };
        reader.close_exactly(fields)?;
        reader.finish()?;
        Ok(state)
    }
}

// The tags of the bucket rules that the states belong to.
const COUNTER: u64 = 2;
const SET: u64 = 3;
const FIELDS: u64 = 4;
const REGISTER: u64 = 6;

/// The state that an operation leaves: the join of what is live, with the operation applied, encoded.
///
/// # Errors
/// Why it was not applied; [`OperationRefusal::TooLarge`] when the result is over [`limits::INLINE_VALUE_BYTES`] and no smaller
/// than what was there. Concurrent states can join to more, and then operations that take something away must be possible.
pub fn operate(
    set: &VersionSet,
    event: Event,
    operation: &Operation,
) -> Result<Bytes, OperationRefusal> {
    let before = State::of(set)?.unwrap_or_else(|| State::empty_for(operation));
    let after = before.applied(event, operation)?.encode();
    match OperationRefusal::longer_than(limits::INLINE_VALUE_BYTES, after.len()) {
        Err(refusal) if after.len() >= before.encode().len() => Err(refusal),
        _ => Ok(after),
    }
}

/// The first live version whose state remembers the operation, beyond what the set itself remembers. Values that are no states
/// remember nothing.
pub fn remembering(set: &VersionSet, operation: OperationId) -> Option<Dot> {
    let knows =
        |version: &Version| State::from_version(version).is_ok_and(|state| state.knows(operation));
    set.versions().iter().find(|(_, version)| knows(version)).map(|(dot, _)| *dot)
}
