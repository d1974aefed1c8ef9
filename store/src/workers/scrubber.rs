//! A reader's part of a scrub: whatever lies on the disk is read before somebody needs it.
//!
//! The log is read as it stands: every frame must be whole, and the index must name it or something newer of its key. And the
//! index is read in its order: what it names must be there, and be what it says. The first finds what the index lost, the
//! second says whose record a damaged frame was. What is found here is only a suspicion, because index and log go on changing;
//! the core asks again before it believes it.

use std::ops::ControlFlow;

use bytes::Bytes;
use kvorum_protocol::RecordKey;

use crate::files::Files;
use crate::index::{Index, IndexEntry, IndexError, IndexKey};
use crate::job::{Missing, ScrubNext, Scrubbed, Scrubbing, StepError};
use crate::limits;
use crate::location::SegmentId;
use crate::log::entry::Logged;
use crate::log::segment::SegmentKind;
use crate::log::walk::Found;
use crate::log::window::read_window;
use crate::reindex::summary;
use crate::workers::Reader;
use crate::workers::reader::Unread;

impl Scrubbed {
    fn new(next: ScrubNext) -> Scrubbed {
        Scrubbed {
            bytes: 0,
            next,
            damaged: 0,
            missing: Vec::new(),
            unreadable: Vec::new(),
            doubted: Vec::new(),
            wrong: 0,
        }
    }
}

/// Whether an index entry says of a record what is so.
fn describes(entry: &IndexEntry, logged: &Logged) -> bool {
    match logged {
        Logged::Record(record) => {
            !entry.is_removed()
                && (entry.values, entry.value_bytes) == summary(&record.set)
                && entry.digest == record.set.live_digest().0
        }
        Logged::Removal { .. } => entry.is_removed(),
    }
}

impl<F: Files, I: Index> Reader<F, I> {
    pub(super) fn scrub(&self, scrubbing: Scrubbing) -> Result<Scrubbed, StepError> {
        match scrubbing {
            Scrubbing::Log { segment, kind, offset, end, budget } => {
                self.scrub_log((segment, kind), (offset, end), budget)
            }
            Scrubbing::Index { after, budget } => {
                self.scrub_index(after, budget).map_err(StepError::Index)
            }
        }
    }

    fn scrub_log(
        &self,
        (segment, kind): (SegmentId, SegmentKind),
        (offset, end): (u32, u32),
        budget: usize,
    ) -> Result<Scrubbed, StepError> {
        let handle = self.handles.open(segment, kind).map_err(StepError::File)?;
        let window =
            read_window(&handle, segment, (offset, end), budget).map_err(StepError::File)?;
        let mut scrubbed = Scrubbed::new(ScrubNext::Offset(window.next));
        scrubbed.bytes = u64::from(window.next - offset);
        scrubbed.damaged = window.damaged;
        for found in window.found {
            self.compare(found, &mut scrubbed).map_err(StepError::Index)?;
        }
        Ok(scrubbed)
    }

    fn compare(&self, found: Found, scrubbed: &mut Scrubbed) -> Result<(), IndexError> {
        let key = found.logged.key();
        let named = self.index.get(&key.to_index_bytes())?;
        match named.filter(|entry| entry.sequence >= found.sequence) {
            Some(entry) => {
                let is_here = entry.sequence == found.sequence && entry.location == found.location;
                scrubbed.wrong += u64::from(is_here && !describes(&entry, &found.logged));
            }
            None => {
                let covers_through = match &found.logged {
                    Logged::Removal { covers_through, .. } => Some(*covers_through),
                    Logged::Record(_) => None,
                };
                let (sequence, segment) = (found.sequence, found.location.segment);
                let key = key.detached();
                scrubbed.missing.push(Missing { key, sequence, segment, covers_through });
            }
        }
        Ok(())
    }

    fn scrub_index(&self, after: Option<IndexKey>, budget: usize) -> Result<Scrubbed, IndexError> {
        let start = after.as_deref().unwrap_or_default();
        let mut named: Vec<(IndexKey, IndexEntry)> = Vec::new();
        let (mut bytes, mut is_cut) = (0, false);
        self.index.scan(start, &mut |key, entry| {
            if key == start {
                return ControlFlow::Continue(());
            }
            if bytes >= budget as u64 || named.len() >= limits::SCRUB_ENTRIES {
                is_cut = true;
                return ControlFlow::Break(());
            }
            // A small record costs its disk a block.
            bytes += u64::from(entry.location.length).max(limits::SCRUB_BLOCK_BYTES);
            named.push((key.into(), *entry));
            ControlFlow::Continue(())
        })?;
        let next = match named.last().filter(|_| is_cut) {
            Some((last, _)) => ScrubNext::Behind(last.clone()),
            None => ScrubNext::IndexEnd,
        };
        let mut scrubbed = Scrubbed { bytes, ..Scrubbed::new(next) };
        for (key, entry) in named {
            let key = RecordKey::from_index_bytes(&Bytes::copy_from_slice(&key))
                .map_err(|_| IndexError::Damaged)?;
            match self.read(&key, &entry).or_else(|_| self.read(&key, &entry)) {
                Ok(Logged::Record(record)) if record.in_doubt => scrubbed.doubted.push(key),
                Ok(_) => {}
                // A file that cannot be read now may be later.
                Err(Unread::File) => {}
                Err(Unread::Frame) => scrubbed.unreadable.push((key, entry.location)),
            }
        }
        Ok(scrubbed)
    }
}
