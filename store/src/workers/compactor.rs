//! Makes and frees the files that the log is made of.

use std::sync::Arc;

use crate::files::{File, FileError, Files, preallocate};
use crate::index::{Index, IndexError};
use crate::job::{Candidate, CompactJob, Compacting, Done, Finished, Step, StepError};
use crate::known_keys::Known;
use crate::location::SegmentId;
use crate::log::frame::FRAME_HEADER_BYTES;
use crate::log::handles::Handles;
use crate::log::segment::{FileName, SegmentKind, segment_name};
use crate::log::walk::{Found, Piece, read_bytes, walk};

/// Reads sealed segments for what is alive in them, makes spare files and removes emptied ones. It decides nothing: what
/// moves and what goes is the core's to say.
#[derive(Clone)]
pub struct Compactor<F: Files, I: Index> {
    handles: Handles<F>,
    index: Arc<Known<I>>,
}

impl<F: Files, I: Index> Compactor<F, I> {
    pub(crate) fn new(handles: Handles<F>, index: Arc<Known<I>>) -> Compactor<F, I> {
        Compactor { handles, index }
    }

    /// Runs one job.
    pub fn run(&mut self, job: CompactJob) -> Done {
        Done(match job.0 {
            Compacting::Step { segment, kind, offset, end, budget } => {
                let result = self.step(segment, kind, offset, end, budget);
                Finished::Stepped { segment, result }
            }
            Compacting::Prepare { spare, bytes } => {
                Finished::Prepared { spare, result: self.prepare(spare, bytes) }
            }
            Compacting::Retire { segment, kind, keep_as, bytes } => Finished::Retired {
                segment,
                keep_as,
                result: self.retire(segment, kind, keep_as, bytes),
            },
        })
    }

    fn step(
        &self,
        segment: SegmentId,
        kind: SegmentKind,
        offset: u32,
        end: u32,
        budget: usize,
    ) -> Result<Step, StepError> {
        let handle = self.handles.open(segment, kind).map_err(StepError::File)?;
        let mut wanted = budget.max(FRAME_HEADER_BYTES);
        loop {
            let window_end =
                offset.saturating_add(u32::try_from(wanted).unwrap_or(u32::MAX)).min(end);
            let bytes = read_bytes(&handle, offset, window_end).map_err(StepError::File)?;
            let mut step = Step::default();
            let mut found = Vec::new();
            let reached = walk(segment, &handle.key, offset, &bytes, &mut |piece| match piece {
                Piece::Entry(entry) => found.push(entry),
                Piece::Gap { length, .. } => step.damaged += length,
                Piece::Batch { .. } => {}
            });
            if window_end < end && reached == offset {
                // Not even one whole frame: a large one, or damage that goes on beyond the window.
                wanted = wanted.saturating_mul(4);
                continue;
            }
            step.next = if window_end == end { end } else { reached };
            if window_end == end {
                step.damaged += end - reached;
            }
            for entry in found {
                self.consider(entry, &mut step).map_err(StepError::Index)?;
            }
            return Ok(step);
        }
    }

    /// Leaves out what a higher sequence in the index proves dead; the core decides about the rest.
    fn consider(&self, found: Found, step: &mut Step) -> Result<(), IndexError> {
        let index = self.index.get(&found.logged.key().to_index_bytes())?;
        if index.is_none_or(|entry| entry.sequence <= found.sequence) {
            let Found { location, sequence, logged } = found;
            step.candidates.push(Candidate {
                placed: location,
                sequence,
                logged: logged.detached(),
                index,
            });
        }
        Ok(())
    }

    fn prepare(&self, spare: u32, bytes: u32) -> Result<(), FileError> {
        let name = FileName::Spare(spare).to_string();
        let files = self.handles.files();
        let file = files.create(&name)?;
        let made = preallocate(&file, u64::from(bytes)).and_then(|()| files.sync_dir());
        if made.is_err() {
            // Half a file is of no use, and its space may be what is missing. If it cannot be removed now, the next start
            // will do it.
            let _ = files.remove(&name);
        }
        made
    }

    /// Whether the file was kept as a spare.
    fn retire(
        &self,
        segment: SegmentId,
        kind: SegmentKind,
        keep_as: Option<u32>,
        bytes: u32,
    ) -> Result<bool, FileError> {
        let name = segment_name(segment, kind);
        let handle = self.handles.open(segment, kind)?;
        let whole = handle.file.len()? == u64::from(bytes);
        drop(handle);
        self.handles.forget(segment);
        let files = self.handles.files();
        match keep_as.filter(|_| whole) {
            Some(spare) => files.rename(&name, &FileName::Spare(spare).to_string())?,
            None => files.remove(&name)?,
        }
        files.sync_dir()?;
        Ok(keep_as.is_some() && whole)
    }
}
