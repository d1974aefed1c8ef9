//! A map of named counters, sets and registers.
//!
//! Its fields are values of their own, joined one by one; which of them exist is an add-wins set of their names, to which every
//! change of a field adds. So a field that is cleared while somebody changes it stays, with just that change.
//!
//! The kind belongs to a field's name. A change that takes a field for another kind than it has is refused; two coordinators that
//! did not hear of each other can begin one name with two kinds, and then it is two fields, which are both shown.
//!
//! A cleared field leaves behind what it has seen, or an older copy would bring it back: of a counter some 50 bytes for each actor
//! that changed it, once the actor has come sixteen operations further in the map, and up to some 300 until then; of a set the ids
//! of sixteen events for each, some 300 bytes; of a register its clock and the ids of its deletion, some 200. So a map is for some
//! hundreds of names that stay, and not for thousands that come and go.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Event;
use super::counter::Counter;
use super::operation::{FieldChange, Joined, JoinedField, Operation, OperationRefusal};
use super::register::Register;
use super::set::AddWinsSet;
use crate::codec::{DecodeError, Invalid, Reader, Wire, Writer};
use crate::limits;
use crate::version::OperationId;

/// Named counters, sets and registers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Fields {
    /// The fields that exist: kind and name.
    names: AddWinsSet,
    counters: BTreeMap<Bytes, Counter>,
    sets: BTreeMap<Bytes, AddWinsSet>,
    registers: BTreeMap<Bytes, Register>,
}

/// What a field is. The number stands in front of its name among the names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Kind {
    Counter = b'c',
    Register = b'r',
    Set = b's',
}

const KINDS: [Kind; 3] = [Kind::Counter, Kind::Register, Kind::Set];

impl Kind {
    /// The kind that an operation changes.
    fn of(operation: &Operation) -> Option<Kind> {
        match operation {
            Operation::Increment { .. } | Operation::Decrement { .. } => Some(Kind::Counter),
            Operation::Add { .. } | Operation::Remove { .. } => Some(Kind::Set),
            Operation::Assign { .. } => Some(Kind::Register),
            Operation::Fields { .. } | Operation::Clear => None,
        }
    }

    fn before(self, name: &[u8]) -> Bytes {
        [&[self as u8], name].concat().into()
    }
}

impl Fields {
    /// Joins field by field.
    pub fn join(&self, other: &Fields) -> Fields {
        Fields {
            names: self.names.join(&other.names),
            counters: join_all(&self.counters, &other.counters, Counter::join),
            sets: join_all(&self.sets, &other.sets, AddWinsSet::join),
            registers: join_all(&self.registers, &other.registers, Register::join),
        }
    }

    /// Applies changes of fields, all or none.
    pub(super) fn apply(
        &mut self,
        event: Event,
        operation: &Operation,
    ) -> Result<(), OperationRefusal> {
        let Operation::Fields { changes } = operation else {
            return Err(OperationRefusal::WrongType);
        };
        check(changes)?;
        self.names.drop_hidden();
        for FieldChange { name, change } in changes {
            let name = Bytes::copy_from_slice(name);
            match (Kind::of(change), change) {
                (Some(kind), change) => self.change(event, kind, name, change)?,
                (None, Operation::Clear) => self.clear(event, &name)?,
                (None, _) => return Err(OperationRefusal::WrongType),
            }
        }
        OperationRefusal::more_than(limits::SET_ELEMENTS, self.names.elements().count())?;
        // All counters, also those that this event leaves alone: else each would keep the ids of its own last events.
        let counters = self.counters.values_mut();
        counters.for_each(|one| one.fold_before(event.dot, limits::REMEMBERED_EVENTS));
        self.names.note(event)
    }

    fn change(
        &mut self,
        event: Event,
        kind: Kind,
        name: Bytes,
        change: &Operation,
    ) -> Result<(), OperationRefusal> {
        let has = |kind: Kind| self.names.contains(&kind.before(&name));
        if !has(kind) && KINDS.into_iter().any(has) {
            return Err(OperationRefusal::WrongType);
        }
        self.names.add(event, kind.before(&name));
        match kind {
            Kind::Counter => self.counters.entry(name).or_default().apply(event, change),
            Kind::Set => self.sets.entry(name).or_default().apply(event, change),
            Kind::Register => self.registers.entry(name).or_default().apply(event, change),
        }
    }

    fn clear(&mut self, event: Event, name: &Bytes) -> Result<(), OperationRefusal> {
        for kind in KINDS {
            if !self.names.contains(&kind.before(name)) {
                continue;
            }
            // Concurrent changes have added the name once more, and keep it.
            self.names.remove(&kind.before(name));
            match kind {
                Kind::Counter => self.counters.get_mut(name).map(|one| one.clear(event)),
                Kind::Set => self.sets.get_mut(name).map(|one| one.clear(event)),
                Kind::Register => self.registers.get_mut(name).map(|one| one.clear(event)),
            }
            .unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// The fields, by name and then by kind.
    pub(super) fn shown(&self) -> Vec<JoinedField> {
        let mut shown = Vec::new();
        for element in self.names.elements() {
            let (kind, name) = (element[0], element.slice(1..));
            let value = if kind == Kind::Counter as u8 {
                self.counters.get(&name).map(Counter::shown)
            } else if kind == Kind::Set as u8 {
                let elements = |set: &AddWinsSet| set.elements().cloned().collect();
                self.sets.get(&name).map(|set| Joined::Set { elements: elements(set) })
            } else {
                self.registers.get(&name).map(|one| Joined::Register { values: one.values() })
            };
            shown.extend(value.map(|value| JoinedField { name, value }));
        }
        shown.sort_by(|left, right| left.name.cmp(&right.name));
        shown
    }

    /// Whether an operation of this id is remembered.
    pub fn knows(&self, operation: OperationId) -> bool {
        self.names.knows(operation)
            || self.counters.values().any(|counter| counter.knows(operation))
            || self.registers.values().any(|register| register.knows(operation))
    }
}

fn check(changes: &[FieldChange]) -> Result<(), OperationRefusal> {
    if changes.is_empty() {
        return Err(OperationRefusal::Empty);
    }
    OperationRefusal::more_than(limits::OPERATION_ITEMS, changes.len())?;
    let mut names: Vec<&Bytes> = changes.iter().map(|change| &change.name).collect();
    names.sort_unstable();
    // One event cannot change a field twice: an actor's increments are told apart by their events.
    if names.windows(2).any(|pair| pair[0] == pair[1]) || names[0].is_empty() {
        return Err(OperationRefusal::FieldTwice);
    }
    let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
    OperationRefusal::longer_than(limits::FIELD_NAME_BYTES, longest)
}

fn join_all<T: Clone>(
    left: &BTreeMap<Bytes, T>,
    right: &BTreeMap<Bytes, T>,
    join: impl Fn(&T, &T) -> T,
) -> BTreeMap<Bytes, T> {
    let mut all = left.clone();
    for (name, theirs) in right {
        match all.get_mut(name) {
            Some(ours) => *ours = join(ours, theirs),
            None => drop(all.insert(name.clone(), theirs.clone())),
        }
    }
    all
}

/// `[names, counters, sets, registers]`, the last three as `[name, value, name, ...]`.
impl Wire for Fields {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(4);
        self.names.write(writer);
        write_named(writer, &self.counters);
        write_named(writer, &self.sets);
        write_named(writer, &self.registers);
    }

    fn read(reader: &mut Reader) -> Result<Fields, DecodeError> {
        let mut fields = reader.open()?;
        let names: AddWinsSet = reader.field(&mut fields)?;
        let kinds = KINDS.map(|kind| kind as u8);
        let is_named = |element: &Bytes| element.len() > 1 && kinds.contains(&element[0]);
        // Those that are hidden, too: a join can show them again.
        if !names.held().all(is_named) {
            return Err(Invalid::State.into());
        }
        let counters = reader.field_with(&mut fields, read_named)?;
        let sets = reader.field_with(&mut fields, read_named)?;
        let registers = reader.field_with(&mut fields, read_named)?;
        reader.close_exactly(fields)?;
        Ok(Fields { names, counters, sets, registers })
    }
}

fn write_named<T: Wire>(writer: &mut Writer<'_>, named: &BTreeMap<Bytes, T>) {
    writer.array(2 * named.len() as u32);
    for (name, value) in named {
        writer.bytes(name);
        value.write(writer);
    }
}

fn read_named<T: Wire>(reader: &mut Reader) -> Result<BTreeMap<Bytes, T>, DecodeError> {
    let mut named: BTreeMap<Bytes, T> = BTreeMap::new();
    let mut fields = reader.open()?;
    while fields.left() > 0 {
        let name: Bytes = reader.field(&mut fields)?;
        if named.last_key_value().is_some_and(|last| *last.0 >= name) {
            return Err(Invalid::State.into());
        }
        named.insert(name, reader.field(&mut fields)?);
    }
    reader.close_exactly(fields)?;
    Ok(named)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Event, FieldChange, Fields, Operation};
    use crate::codec::encode;
    use crate::mergeable::Joined;
    use crate::version::{Actor, Dot, OperationId};

    const ACTORS: u64 = 3;

    /// Changes one field as an actor whose last event was `number - 1`.
    fn change(fields: &mut Fields, actor: u64, number: u64, field: u64, change: Operation) {
        let operation = OperationId(u128::from(actor) << 64 | u128::from(number));
        let event = Event { dot: Dot::new(Actor(actor << 40), number), operation };
        let name = Bytes::copy_from_slice(&field.to_be_bytes());
        let changes = vec![FieldChange { name, change }];
        fields.apply(event, &Operation::Fields { changes }).expect("a small change");
    }

    #[test]
    fn many_busy_counters_in_a_map_keep_few_ids() {
        let (counters, rounds) = (64, 40);
        let mut fields = Fields::default();
        for round in 0..rounds {
            for actor in 1..=ACTORS {
                for field in 0..counters {
                    let number = round * counters + field + 1;
                    change(&mut fields, actor, number, field, Operation::Increment { by: 1 });
                }
            }
        }
        let counted = Joined::Counter { negative: false, magnitude: ACTORS * rounds };
        let shown = fields.shown();
        assert!(shown.len() as u64 == counters && shown.iter().all(|one| one.value == counted));
        let bytes = encode(&fields).len();
        assert!(bytes < 32 * 1024, "{bytes} bytes");
    }

    #[test]
    fn counters_that_were_cleared_leave_little_behind() {
        let (counters, rounds) = (64, 16);
        let mut fields = Fields::default();
        for number in 1..=counters * rounds {
            change(&mut fields, 1, number, number % counters, Operation::Increment { by: 7 });
        }
        for field in 0..counters {
            let number = counters * rounds + field + 1;
            change(&mut fields, 1, number, field, Operation::Clear);
        }
        assert_eq!(fields.shown(), []);
        let bytes = encode(&fields).len();
        assert!(bytes < 60 * counters as usize + 16 * 64, "{bytes} bytes");
    }
}
