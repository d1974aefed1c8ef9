//! Which events a set has seen, with the operation ids of each actor's last ones.

use super::columns::{read_ids, read_numbers, write_ids, write_numbers};
use super::operation::OperationRefusal;
use crate::codec::{DecodeError, Invalid, Reader, Wire, Writer};
use crate::limits;
use crate::version::{Actor, Dot, OperationId};

/// The last events of one actor, the newest last; never empty. Only the actor itself adds to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
struct Line {
    recent: Vec<(u64, OperationId)>,
}

impl Line {
    fn newest(&self) -> u64 {
        self.recent.last().map_or(0, |event| event.0)
    }
}

/// For each actor its newest event, which stands for all earlier ones, and the ids of the last few.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Events {
    /// Ascending by actor.
    lines: Vec<(Actor, Line)>,
}

impl Events {
    /// For each actor the line with the newer event.
    pub(super) fn join(&self, other: &Events) -> Events {
        let mut lines = self.lines.clone();
        for (actor, theirs) in &other.lines {
            match lines.binary_search_by_key(actor, |line| line.0) {
                Err(place) => lines.insert(place, (*actor, theirs.clone())),
                // Equal numbers mean equal lines; should they ever not, both sides choose the same.
                Ok(place)
                    if (lines[place].1.newest(), &lines[place].1) < (theirs.newest(), theirs) =>
                {
                    lines[place].1 = theirs.clone();
                }
                Ok(_) => {}
            }
        }
        Events { lines }
    }

    /// Whether the event was seen.
    pub(super) fn covers(&self, dot: Dot) -> bool {
        self.line(dot.actor).is_some_and(|line| line.newest() >= dot.counter)
    }

    /// Notes an actor's next event. Refused when the actor is said to have come further already: its own coordinator knows
    /// that it has not.
    pub(super) fn note(
        &mut self,
        dot: Dot,
        operation: OperationId,
    ) -> Result<(), OperationRefusal> {
        if self.covers(dot) {
            return Err(OperationRefusal::Unreadable);
        }
        let place = match self.lines.binary_search_by_key(&dot.actor, |line| line.0) {
            Ok(place) => place,
            Err(place) => {
                self.lines.insert(place, (dot.actor, Line::default()));
                place
            }
        };
        let line = &mut self.lines[place].1;
        line.recent.push((dot.counter, operation));
        let excess = line.recent.len().saturating_sub(limits::REMEMBERED_EVENTS);
        line.recent.drain(..excess);
        Ok(())
    }

    /// The id of an event, while it is remembered.
    pub(super) fn id_of(&self, dot: Dot) -> Option<OperationId> {
        let line = self.line(dot.actor)?;
        let place = line.recent.binary_search_by_key(&dot.counter, |event| event.0).ok()?;
        Some(line.recent[place].1)
    }

    /// Whether an event of this id is remembered.
    pub(super) fn knows(&self, operation: OperationId) -> bool {
        self.all().any(|(id, _)| id == operation)
    }

    /// The remembered events whose ids are remembered more than once, ascending by id.
    pub(super) fn repeated(&self) -> Vec<(OperationId, Dot)> {
        if self.lines.len() < 2 {
            return Vec::new();
        }
        let mut all: Vec<(OperationId, Dot)> = self.all().collect();
        all.sort_unstable();
        let is_repeated = |place: usize| {
            let same = |other: Option<&(OperationId, Dot)>| {
                other.is_some_and(|other| other.0 == all[place].0)
            };
            same(all.get(place + 1)) || (place > 0 && same(all.get(place - 1)))
        };
        (0..all.len()).filter(|place| is_repeated(*place)).map(|place| all[place]).collect()
    }

    fn all(&self) -> impl Iterator<Item = (OperationId, Dot)> + '_ {
        self.lines.iter().flat_map(|(actor, line)| {
            line.recent.iter().map(|(number, id)| (*id, Dot::new(*actor, *number)))
        })
    }

    fn line(&self, actor: Actor) -> Option<&Line> {
        let place = self.lines.binary_search_by_key(&actor, |line| line.0).ok()?;
        Some(&self.lines[place].1)
    }
}

/// `[actor, numbers, ids, actor, numbers, ids, ...]`.
impl Wire for Events {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(3 * self.lines.len() as u32);
        for (actor, line) in &self.lines {
            actor.write(writer);
            write_numbers(writer, line.recent.iter().map(|event| event.0));
            write_ids(writer, line.recent.iter().map(|event| event.1));
        }
    }

    fn read(reader: &mut Reader) -> Result<Events, DecodeError> {
        let mut fields = reader.open()?;
        let mut lines: Vec<(Actor, Line)> = Vec::new();
        while fields.left() > 0 {
            let actor: Actor = reader.field(&mut fields)?;
            if lines.last().is_some_and(|last| last.0 >= actor) {
                return Err(Invalid::ClockOrder.into());
            }
            let numbers = reader.field_with(&mut fields, read_numbers)?;
            let ids = reader.field_with(&mut fields, read_ids)?;
            let sound = !numbers.is_empty()
                && numbers.len() == ids.len()
                && numbers.len() <= limits::REMEMBERED_EVENTS;
            if !sound || lines.len() == limits::CLOCK_ENTRIES {
                return Err(Invalid::State.into());
            }
            lines.push((actor, Line { recent: numbers.into_iter().zip(ids).collect() }));
        }
        reader.close_exactly(fields)?;
        Ok(Events { lines })
    }
}
