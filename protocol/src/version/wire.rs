//! The encoding of version sets, on the wire and in the log alike.
//!
//! A set is `[clock, versions, deletions]`; a clock is one flat array `[actor, counter, actor, counter, ...]`; a version is
//! `[actor, counter, operation, superseded, value, expiry or nil]`; a deletion is `[actor, counter, operation,
//! superseded]`. Fields of later versions are kept.

use super::actor::Actor;
use super::clock::{Clock, Entries};
use super::dot::Dot;
use super::operation::OperationId;
use super::set::{Deletion, Version, VersionSet, Versions};
use super::superseded::SupersededIds;
use crate::codec::{DecodeError, Fields, Invalid, Reader, Wire, WireFields, Writer};
use crate::limits;

impl Wire for Actor {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.uint(self.0);
    }

    fn read(reader: &mut Reader) -> Result<Actor, DecodeError> {
        reader.uint().map(Actor)
    }
}

impl Wire for OperationId {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0.to_be_bytes());
    }

    fn read(reader: &mut Reader) -> Result<OperationId, DecodeError> {
        reader.sixteen().map(OperationId)
    }
}

impl WireFields for Dot {
    const COUNT: u32 = 2;

    fn write_fields(&self, writer: &mut Writer<'_>) {
        self.actor.write(writer);
        writer.uint(self.counter);
    }

    fn read_fields(reader: &mut Reader, fields: &mut Fields) -> Result<Dot, DecodeError> {
        let actor = reader.field(fields)?;
        let counter = checked(reader.field(fields)?)?;
        Ok(Dot { actor, counter })
    }
}

impl Wire for Dot {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(Dot::COUNT);
        self.write_fields(writer);
    }

    fn read(reader: &mut Reader) -> Result<Dot, DecodeError> {
        let mut fields = reader.open()?;
        let dot = Dot::read_fields(reader, &mut fields)?;
        reader.close(fields)?;
        Ok(dot)
    }
}

impl Wire for Clock {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(2 * self.len() as u32);
        for (actor, counter) in self.iter() {
            actor.write(writer);
            writer.uint(counter);
        }
    }

    fn read(reader: &mut Reader) -> Result<Clock, DecodeError> {
        let mut entries = Entries::new();
        let mut pending = None;
        reader.each(2 * limits::CLOCK_ENTRIES, |reader| {
            let number = reader.uint()?;
            match pending.take() {
                None => pending = Some(Actor(number)),
                Some(actor) if entries.last().is_some_and(|last| last.0 >= actor) => {
                    return Err(Invalid::ClockOrder.into());
                }
                Some(actor) => entries.push((actor, checked(number)?)),
            }
            Ok(())
        })?;
        if pending.is_some() {
            return Err(DecodeError::MissingField);
        }
        Ok(Clock::from_sorted(entries))
    }
}

impl Wire for SupersededIds {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(self.as_bytes());
    }

    fn read(reader: &mut Reader) -> Result<SupersededIds, DecodeError> {
        SupersededIds::from_bytes(reader.bytes()?).ok_or(Invalid::OperationIds.into())
    }
}

impl Wire for (Dot, Version) {
    fn write(&self, writer: &mut Writer<'_>) {
        let (dot, version) = self;
        writer.array(Dot::COUNT + 4 + version.surplus.count());
        dot.write_fields(writer);
        version.operation.write(writer);
        version.superseded.write(writer);
        version.value.write(writer);
        version.expires_at_ms.write(writer);
        writer.encoded(version.surplus.encoded());
    }

    fn read(reader: &mut Reader) -> Result<(Dot, Version), DecodeError> {
        let mut fields = reader.open()?;
        let dot = Dot::read_fields(reader, &mut fields)?;
        let operation = reader.field(&mut fields)?;
        let superseded = reader.field(&mut fields)?;
        let value = reader.field(&mut fields)?;
        let expires_at_ms = reader.field(&mut fields)?;
        let surplus = reader.close_keeping(fields)?;
        Ok((dot, Version { operation, superseded, value, expires_at_ms, surplus }))
    }
}

impl Wire for Versions {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(self.len() as u32);
        self.iter().for_each(|version| version.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Versions, DecodeError> {
        let mut versions = Versions::new();
        reader.each(limits::LIST_ITEMS, |reader| {
            versions.push(<(Dot, Version)>::read(reader)?);
            Ok(())
        })?;
        Ok(versions)
    }
}

impl Wire for (Dot, Deletion) {
    fn write(&self, writer: &mut Writer<'_>) {
        let (dot, deletion) = self;
        writer.array(Dot::COUNT + 2 + deletion.surplus.count());
        dot.write_fields(writer);
        deletion.operation.write(writer);
        deletion.superseded.write(writer);
        writer.encoded(deletion.surplus.encoded());
    }

    fn read(reader: &mut Reader) -> Result<(Dot, Deletion), DecodeError> {
        let mut fields = reader.open()?;
        let dot = Dot::read_fields(reader, &mut fields)?;
        let operation = reader.field(&mut fields)?;
        let superseded = reader.field(&mut fields)?;
        let surplus = reader.close_keeping(fields)?;
        Ok((dot, Deletion { operation, superseded, surplus }))
    }
}

impl Wire for VersionSet {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(3 + self.surplus.count());
        self.clock.write(writer);
        self.versions.write(writer);
        self.deletions.write(writer);
        writer.encoded(self.surplus.encoded());
    }

    fn read(reader: &mut Reader) -> Result<VersionSet, DecodeError> {
        let mut fields = reader.open()?;
        let clock = reader.field(&mut fields)?;
        let versions = reader.field(&mut fields)?;
        let deletions = reader.field(&mut fields)?;
        let surplus = reader.close_keeping(fields)?;
        Ok(VersionSet { clock, versions, deletions, surplus }.checked()?)
    }
}

fn checked(counter: u64) -> Result<u64, DecodeError> {
    if (1..=limits::COUNTER).contains(&counter) {
        Ok(counter)
    } else {
        Err(Invalid::Counter.into())
    }
}
