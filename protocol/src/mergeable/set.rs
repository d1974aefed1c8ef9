//! A set in which an add wins against a remove that did not see it.
//!
//! Each element stands with the dots of the adds that nobody removed. A dot that one side of a join holds and the other does not
//! was removed there if the other side has seen its event, and else is news. So a remove takes away just the adds that its
//! coordinator saw, and leaves no tombstone: only the actors' newest events (`events.rs`).
//!
//! *A retried add that was removed meanwhile stays removed.* When the retry was minted elsewhere, its dot is news to whoever
//! removed the first one. But both events are remembered with their common id; an add one of whose twins is no longer there was
//! seen by a remove, and is not shown. The next operation drops it. For this an add leaves the dots that are still remembered
//! where they are: a dot that is remembered and not there was removed, and by nothing else.

use std::collections::BTreeMap;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Event;
use super::events::Events;
use super::operation::{Operation, OperationRefusal};
use crate::codec::{DecodeError, Invalid, Reader, Wire, WireFields, Writer};
use crate::limits;
use crate::version::{Dot, OperationId};

/// The adds of one element that nobody removed, ascending; never empty.
type Dots = SmallVec<[Dot; 1]>;

/// Elements, each once.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AddWinsSet {
    /// Covers every dot of every element.
    events: Events,
    elements: BTreeMap<Bytes, Dots>,
}

impl AddWinsSet {
    /// The set that has seen the adds and removes of both.
    pub fn join(&self, other: &AddWinsSet) -> AddWinsSet {
        let mut elements = BTreeMap::new();
        let nothing = Dots::new();
        let both = self.elements.keys().chain(other.elements.keys());
        for element in both {
            if elements.contains_key(element) {
                continue;
            }
            let left = self.elements.get(element).unwrap_or(&nothing);
            let right = other.elements.get(element).unwrap_or(&nothing);
            let mut dots: Dots = left
                .iter()
                .filter(|dot| right.contains(dot) || !other.events.covers(**dot))
                .chain(right.iter().filter(|dot| !left.contains(dot) && !self.events.covers(**dot)))
                .copied()
                .collect();
            if !dots.is_empty() {
                dots.sort_unstable();
                elements.insert(element.clone(), dots);
            }
        }
        AddWinsSet { events: self.events.join(&other.events), elements }
    }

    /// Applies an add or a remove.
    pub(super) fn apply(
        &mut self,
        event: Event,
        operation: &Operation,
    ) -> Result<(), OperationRefusal> {
        match operation {
            Operation::Add { elements } => {
                check(elements)?;
                self.drop_hidden();
                elements.iter().for_each(|element| self.add(event, element.clone()));
                OperationRefusal::more_than(limits::SET_ELEMENTS, self.elements.len())?;
            }
            Operation::Remove { elements } => {
                check(elements)?;
                self.drop_hidden();
                elements.iter().for_each(|element| drop(self.elements.remove(element)));
            }
            _ => return Err(OperationRefusal::WrongType),
        }
        self.note(event)
    }

    /// Adds one element. The event is to be [noted](AddWinsSet::note) once, after all that it adds and removes.
    pub(super) fn add(&mut self, event: Event, element: Bytes) {
        let dots = self.elements.entry(element).or_default();
        let events = &self.events;
        dots.retain(|dot| events.id_of(*dot).is_some());
        let place = dots.partition_point(|dot| *dot < event.dot);
        if dots.get(place) != Some(&event.dot) {
            dots.insert(place, event.dot);
        }
    }

    /// Removes one element, whose event is to be noted as well.
    pub(super) fn remove(&mut self, element: &[u8]) {
        self.elements.remove(element);
    }

    /// Removes everything.
    pub(super) fn clear(&mut self, event: Event) -> Result<(), OperationRefusal> {
        self.elements.clear();
        self.note(event)
    }

    /// Notes the event of what was added and removed.
    pub(super) fn note(&mut self, event: Event) -> Result<(), OperationRefusal> {
        self.events.note(event.dot, event.operation)
    }

    /// Drops for good what is not shown: its dots are seen, so it goes wherever this goes.
    pub(super) fn drop_hidden(&mut self) {
        let removed = self.removed();
        if removed.is_empty() {
            return;
        }
        let events = &self.events;
        self.elements.retain(|_, dots| {
            let before = dots.clone();
            dots.retain(|dot| !is_hidden(events, &removed, &before, *dot));
            !dots.is_empty()
        });
    }

    /// What is in the set, ascending.
    pub fn elements(&self) -> impl Iterator<Item = &Bytes> + '_ {
        let removed = self.removed();
        self.elements
            .iter()
            .filter(move |(_, dots)| {
                dots.iter().any(|dot| !is_hidden(&self.events, &removed, dots, *dot))
            })
            .map(|(element, _)| element)
    }

    /// What is in the set or hidden in it, ascending.
    pub(super) fn held(&self) -> impl Iterator<Item = &Bytes> + '_ {
        self.elements.keys()
    }

    /// Whether the element is in the set.
    pub fn contains(&self, element: &[u8]) -> bool {
        let removed = self.removed();
        self.elements.get(element).is_some_and(|dots| {
            dots.iter().any(|dot| !is_hidden(&self.events, &removed, dots, *dot))
        })
    }

    /// Whether an operation of this id is remembered.
    pub fn knows(&self, operation: OperationId) -> bool {
        self.events.knows(operation)
    }

    /// Events that have a twin. Nearly always there are none.
    fn removed(&self) -> Vec<(OperationId, Dot)> {
        self.events.repeated()
    }
}

/// Whether a twin of this add, of the same operation, is not among the element's dots: then a remove has seen the operation.
fn is_hidden(events: &Events, twins: &[(OperationId, Dot)], dots: &[Dot], dot: Dot) -> bool {
    if twins.is_empty() {
        return false;
    }
    let Some(id) = events.id_of(dot) else { return false };
    let from = twins.partition_point(|twin| twin.0 < id);
    twins[from..].iter().take_while(|twin| twin.0 == id).any(|twin| !dots.contains(&twin.1))
}

fn check(elements: &[Bytes]) -> Result<(), OperationRefusal> {
    if elements.is_empty() {
        return Err(OperationRefusal::Empty);
    }
    OperationRefusal::more_than(limits::OPERATION_ITEMS, elements.len())?;
    let longest = elements.iter().map(Bytes::len).max().unwrap_or(0);
    OperationRefusal::longer_than(limits::ELEMENT_BYTES, longest)
}

/// `[events, [element, [actor, counter, ...], element, ...]]`.
impl Wire for AddWinsSet {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(2);
        self.events.write(writer);
        writer.array(2 * self.elements.len() as u32);
        for (element, dots) in &self.elements {
            writer.bytes(element);
            writer.array(2 * dots.len() as u32);
            dots.iter().for_each(|dot| dot.write_fields(writer));
        }
    }

    fn read(reader: &mut Reader) -> Result<AddWinsSet, DecodeError> {
        let mut fields = reader.open()?;
        let events: Events = reader.field(&mut fields)?;
        let elements = reader.field_with(&mut fields, |reader| read_elements(reader, &events))?;
        reader.close_exactly(fields)?;
        Ok(AddWinsSet { events, elements })
    }
}

fn read_elements(
    reader: &mut Reader,
    events: &Events,
) -> Result<BTreeMap<Bytes, Dots>, DecodeError> {
    let mut elements: BTreeMap<Bytes, Dots> = BTreeMap::new();
    let mut fields = reader.open()?;
    while fields.left() > 0 {
        let element: Bytes = reader.field(&mut fields)?;
        let ascends = elements.last_key_value().is_none_or(|last| *last.0 < element);
        let dots = reader.field_with(&mut fields, read_dots)?;
        if !ascends || dots.is_empty() || !dots.iter().all(|dot| events.covers(*dot)) {
            return Err(Invalid::State.into());
        }
        elements.insert(element, dots);
    }
    reader.close_exactly(fields)?;
    Ok(elements)
}

fn read_dots(reader: &mut Reader) -> Result<Dots, DecodeError> {
    let mut dots = Dots::new();
    let mut fields = reader.open()?;
    while fields.left() > 0 {
        let dot = Dot::read_fields(reader, &mut fields)?;
        if dots.last().is_some_and(|last| *last >= dot) {
            return Err(Invalid::DotOrder.into());
        }
        dots.push(dot);
    }
    reader.close_exactly(fields)?;
    Ok(dots)
}
