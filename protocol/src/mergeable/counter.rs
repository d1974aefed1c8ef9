//! A counter: for each actor what it added.
//!
//! An actor's *slot* holds its increments, numbered by their dots, each with its operation id. The oldest of them the actor folds
//! into a sum, and forgets their ids: a counter by itself keeps [`limits::UNFOLDED_INCREMENTS`], of each actor an equal share and at
//! least [`limits::REMEMBERED_EVENTS`]; a field of a map keeps those of the actor's last [`limits::REMEMBERED_EVENTS`] events in the
//! whole map. An actor's newest increment is never folded. Only the actor itself ever writes its slot, when it mints, and it always
//! holds its own last one; so of two copies the one with the newer increment, or of equal ones with more folded, has seen the
//! other, and wins as a whole. That is more than "the higher fold wins": after a delete an actor's slot begins anew, and what was
//! deleted is not taken back from an older copy.
//!
//! *An id counts once.* A retry through another coordinator leaves increments of one id in two slots. Of those that are not
//! folded the lowest actor's counts. When one of them is folded, it has to be settled for good which slot has it in its sum:
//!
//! - An actor that folds an increment while a lower actor's slot has the id adds nothing: the lower one counts it.
//! - The lowest adds it, and keeps the id as *claimed* while a higher slot still holds it unfolded; a claimed id counts nowhere
//!   else.
//!
//! Both may fold at the same time without knowing of it, and it still counts once. It counts twice where an actor folded it
//! before it heard of the other increment. That takes sixteen later operations of this actor at least, twice the eight within
//! which a retry is promised to be recognised. A counter keeps as many more as it can pay for, because a coordinator that is cut
//! off goes on for a second or two until that is noticed, and all that it takes meanwhile is retried at another one.
//!
//! *Nobody folds for others.* Two who did would each count a retried id that the other had not heard of. So an actor whose run has
//! ended leaves its slot as it is: some 300 bytes.

use super::Event;
use super::columns::{fold_sign, read_ids, read_numbers, unfold_sign, write_ids, write_numbers};
use super::operation::{Joined, Operation, OperationRefusal};
use crate::codec::{DecodeError, Invalid, Reader, Wire, Writer};
use crate::limits;
use crate::version::{Actor, Dot, OperationId};

/// One increment that is not folded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Increment {
    /// The counter of its dot.
    number: u64,
    operation: OperationId,
    by: i64,
}

/// What one actor added.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
struct Slot {
    /// Ascending by number; never empty.
    unfolded: Vec<Increment>,
    /// The newest increment that is folded; 0 when none is.
    folded_through: u64,
    /// The sum of those that are folded.
    sum: i64,
    /// Ids in the sum that higher actors' slots may still hold, ascending.
    claimed: Vec<OperationId>,
}

impl Slot {
    fn newest(&self) -> u64 {
        self.unfolded.last().map_or(0, |increment| increment.number)
    }

    /// What grows whenever the actor writes its slot.
    fn age(&self) -> (u64, u64) {
        (self.newest(), self.folded_through)
    }

    fn has(&self, operation: OperationId) -> bool {
        self.unfolded.iter().any(|increment| increment.operation == operation)
    }

    fn total(&self) -> i128 {
        let unfolded: i128 = self.unfolded.iter().map(|increment| i128::from(increment.by)).sum();
        i128::from(self.sum) + unfolded
    }
}

/// A number that many add to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counter {
    /// Ascending by actor.
    slots: Vec<(Actor, Slot)>,
}

impl Counter {
    /// For each actor the slot that it wrote later.
    pub fn join(&self, other: &Counter) -> Counter {
        let mut slots = self.slots.clone();
        for (actor, theirs) in &other.slots {
            match slots.binary_search_by_key(actor, |slot| slot.0) {
                Err(place) => slots.insert(place, (*actor, theirs.clone())),
                Ok(place) => {
                    let ours = &mut slots[place].1;
                    // Equal ages mean equal slots; should they ever not, both sides choose the same.
                    if (ours.age(), &*ours) < (theirs.age(), theirs) {
                        *ours = theirs.clone();
                    }
                }
            }
        }
        Counter { slots }
    }

    /// Applies an increment or a decrement, and folds what is more than its actor's share.
    pub(super) fn apply(
        &mut self,
        event: Event,
        operation: &Operation,
    ) -> Result<(), OperationRefusal> {
        let (by, sign) = match operation {
            Operation::Increment { by } => (*by, 1),
            Operation::Decrement { by } => (*by, -1),
            _ => return Err(OperationRefusal::WrongType),
        };
        let by = i64::try_from(by).map_err(|_| OperationRefusal::OutOfRange)?;
        self.add(event, sign * by)?;
        let share = limits::UNFOLDED_INCREMENTS / self.slots.len();
        self.fold_before(event.dot, share.max(limits::REMEMBERED_EVENTS));
        Ok(())
    }

    /// Takes away what is counted here. The ids stay as long as others do: with them forgotten a retry of what was taken away would
    /// count again.
    pub(super) fn clear(&mut self, event: Event) -> Result<(), OperationRefusal> {
        let by = i64::try_from(-self.value()).map_err(|_| OperationRefusal::OutOfRange)?;
        self.add(event, by)
    }

    fn add(&mut self, event: Event, by: i64) -> Result<(), OperationRefusal> {
        let actor = event.dot.actor;
        let place = match self.slots.binary_search_by_key(&actor, |slot| slot.0) {
            Ok(place) => place,
            Err(place) => {
                self.slots.insert(place, (actor, Slot::default()));
                place
            }
        };
        let slot = &mut self.slots[place].1;
        if i64::try_from(slot.total() + i128::from(by)).is_err() {
            return Err(OperationRefusal::OutOfRange);
        }
        if slot.newest() >= event.dot.counter {
            // An actor's own coordinator knows that it has not come so far.
            return Err(OperationRefusal::Unreadable);
        }
        let (number, operation) = (event.dot.counter, event.operation);
        slot.unfolded.push(Increment { number, operation, by });
        Ok(())
    }

    /// Folds what the actor of an event that is being minted added before its last `kept` events, this one among them.
    pub(super) fn fold_before(&mut self, dot: Dot, kept: usize) {
        let Ok(place) = self.slots.binary_search_by_key(&dot.actor, |slot| slot.0) else { return };
        let unfolded = &self.slots[place].1.unfolded;
        let through = dot.counter.saturating_sub(kept as u64);
        let old = unfolded.partition_point(|increment| increment.number <= through);
        let excess = old.min(unfolded.len().saturating_sub(1));
        if excess == 0 {
            return;
        }
        for index in 0..excess {
            let Increment { number, operation, by } = self.slots[place].1.unfolded[index];
            let counts_elsewhere = self.counts_elsewhere(place, operation);
            let is_claimed = self.slots[place + 1..].iter().any(|(_, slot)| slot.has(operation));
            let slot = &mut self.slots[place].1;
            slot.folded_through = number;
            if !counts_elsewhere {
                slot.sum = slot.sum.saturating_add(by);
                if is_claimed && let Err(place) = slot.claimed.binary_search(&operation) {
                    slot.claimed.insert(place, operation);
                }
            }
        }
        let mut claimed = std::mem::take(&mut self.slots[place].1.claimed);
        claimed.retain(|id| {
            self.slots.iter().enumerate().any(|(other, (_, slot))| other != place && slot.has(*id))
        });
        let slot = &mut self.slots[place].1;
        slot.claimed = claimed;
        slot.unfolded.drain(..excess);
    }

    /// Whether another slot counts the id: a lower one holds it, or one has claimed it.
    fn counts_elsewhere(&self, place: usize, operation: OperationId) -> bool {
        let claims = |slot: &Slot| slot.claimed.binary_search(&operation).is_ok();
        self.slots.iter().enumerate().any(|(other, (_, slot))| {
            (other != place && claims(slot)) || (other < place && slot.has(operation))
        })
    }

    /// The sum of all increments, each operation id once.
    pub fn value(&self) -> i128 {
        let folded: i128 = self.slots.iter().map(|(_, slot)| i128::from(slot.sum)).sum();
        let slots = || self.slots.iter().enumerate();
        let mut unfolded: Vec<(OperationId, usize, i64)> = slots()
            .flat_map(|(place, (_, slot))| {
                slot.unfolded.iter().map(move |one| (one.operation, place, one.by))
            })
            .collect();
        if self.slots.len() > 1 {
            unfolded.sort_unstable();
            unfolded.dedup_by_key(|one| one.0);
            let mut claimed: Vec<OperationId> =
                slots().flat_map(|(_, (_, slot))| slot.claimed.iter().copied()).collect();
            claimed.sort_unstable();
            unfolded.retain(|one| claimed.binary_search(&one.0).is_err());
        }
        folded + unfolded.iter().map(|one| i128::from(one.2)).sum::<i128>()
    }

    /// Whether an increment of this id is remembered.
    pub fn knows(&self, operation: OperationId) -> bool {
        self.slots
            .iter()
            .any(|(_, slot)| slot.has(operation) || slot.claimed.binary_search(&operation).is_ok())
    }

    /// The value as a client is told it. Beyond what 64 bits hold it stands at the largest.
    pub(super) fn shown(&self) -> Joined {
        let value = self.value();
        let magnitude = u64::try_from(value.unsigned_abs()).unwrap_or(u64::MAX);
        Joined::Counter { negative: value < 0, magnitude }
    }

    /// How many increments are not folded.
    pub fn unfolded(&self) -> usize {
        self.slots.iter().map(|(_, slot)| slot.unfolded.len()).sum()
    }
}

/// `[actor, slot, actor, slot, ...]`.
impl Wire for Counter {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(2 * self.slots.len() as u32);
        for (actor, slot) in &self.slots {
            actor.write(writer);
            slot.write(writer);
        }
    }

    fn read(reader: &mut Reader) -> Result<Counter, DecodeError> {
        let mut slots: Vec<(Actor, Slot)> = Vec::new();
        let mut pending = None;
        reader.each(2 * limits::CLOCK_ENTRIES, |reader| {
            match pending.take() {
                None => pending = Some(Actor::read(reader)?),
                Some(actor) if slots.last().is_some_and(|last| last.0 >= actor) => {
                    return Err(Invalid::ClockOrder.into());
                }
                Some(actor) => slots.push((actor, Slot::read(reader)?)),
            }
            Ok(())
        })?;
        if pending.is_some() {
            return Err(DecodeError::MissingField);
        }
        Ok(Counter { slots })
    }
}

/// `[folded through, sum, claimed, numbers, ids, amounts]`.
impl Wire for Slot {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(6);
        writer.uint(self.folded_through);
        writer.uint(fold_sign(self.sum));
        write_ids(writer, self.claimed.iter().copied());
        write_numbers(writer, self.unfolded.iter().map(|increment| increment.number));
        write_ids(writer, self.unfolded.iter().map(|increment| increment.operation));
        writer.array(self.unfolded.len() as u32);
        self.unfolded.iter().for_each(|increment| writer.uint(fold_sign(increment.by)));
    }

    fn read(reader: &mut Reader) -> Result<Slot, DecodeError> {
        let mut fields = reader.open()?;
        let folded_through = reader.field(&mut fields)?;
        let sum = unfold_sign(reader.field(&mut fields)?);
        let claimed = reader.field_with(&mut fields, read_ids)?;
        let numbers = reader.field_with(&mut fields, read_numbers)?;
        let ids = reader.field_with(&mut fields, read_ids)?;
        let amounts = reader.field_with(&mut fields, read_amounts)?;
        reader.close_exactly(fields)?;
        let sound = !numbers.is_empty()
            && numbers[0] > folded_through
            && ids.len() == numbers.len()
            && amounts.len() == numbers.len()
            && claimed.is_sorted_by(|left, right| left < right);
        if !sound {
            return Err(Invalid::State.into());
        }
        let columns = numbers.into_iter().zip(ids).zip(amounts);
        let unfolded =
            columns.map(|((number, operation), by)| Increment { number, operation, by }).collect();
        Ok(Slot { unfolded, folded_through, sum, claimed })
    }
}

fn read_amounts(reader: &mut Reader) -> Result<Vec<i64>, DecodeError> {
    let mut amounts = Vec::new();
    reader.each(limits::STATE_ITEMS, |reader| {
        amounts.push(unfold_sign(reader.uint()?));
        Ok(())
    })?;
    Ok(amounts)
}

#[cfg(test)]
mod tests {
    use super::{Counter, Event};
    use crate::codec::encode;
    use crate::limits;
    use crate::mergeable::Operation;
    use crate::version::{Actor, Dot, OperationId};

    #[test]
    fn a_counter_lives_through_a_thousand_restarts_of_its_coordinators() {
        let (lives, increments) = (1_000, 25);
        let mut counter = Counter::default();
        for life in 1..=lives {
            for number in 1..=increments {
                let operation = OperationId(u128::from(life * increments + number));
                let event = Event { dot: Dot::new(Actor(life << 40), number), operation };
                counter.apply(event, &Operation::Increment { by: 1 }).expect("a small number");
            }
        }
        assert_eq!(counter.value(), i128::from(lives * increments));
        let bytes = encode(&counter).len();
        assert!(bytes < limits::INLINE_VALUE_BYTES * 2 / 5, "{bytes} bytes");
    }
}
