//! What goes to the readers: records that memory misses, lists of keys, and the scrub when nobody waits.

use super::Shard;
use super::backlog::Region;
use crate::job::{Overlay, ReadJob, Reading};
use crate::limits;
use crate::reindex::summary;
use crate::request::{ContentsRange, ScanRange};

/// A list that waits for a reader.
#[derive(Clone, Debug)]
pub(super) enum Listing {
    Scan(ScanRange),
    Contents(ContentsRange),
}

impl Shard {
    /// What the table knows better than the index of a scan's keys.
    fn overlays(&self, range: &ScanRange) -> Vec<Overlay> {
        let mut overlay = Vec::new();
        for partition in &range.partitions {
            let region = Region::new(range.space, range.class, *partition);
            let entries = self.unindexed.region(region).iter().map(|slot| self.table.entry(*slot));
            let wanted = entries.filter(|entry| {
                let (bucket, key) = (&entry.key.bucket, &entry.key.key);
                let is_after = range.after.as_ref().is_none_or(|after| key > after);
                is_after && *bucket == range.bucket && key.as_bytes().starts_with(&range.prefix)
            });
            overlay.extend(wanted.map(|entry| Overlay {
                key: entry.key.to_index_bytes().into(),
                values: entry.body.record().map(|record| summary(&record.set)),
            }));
        }
        overlay.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        overlay
    }

    pub(super) fn readers_are_busy(&self) -> bool {
        self.loads.jobs_out() + self.scans_out >= limits::READ_JOBS
    }

    /// The readers' next job: what somebody waits for, then what a scrub wants.
    pub(super) fn read_job(&mut self) -> Option<ReadJob> {
        if self.readers_are_busy() {
            return None;
        }
        if let Some(job) = self.loads.job().or_else(|| self.digest_job()) {
            return Some(job);
        }
        // A list may take long, and must not be in the way of reads.
        if self.scans_out >= limits::LIST_JOBS {
            return self.scrub_job();
        }
        let Some((token, listing)) = self.scans.pop_front() else { return self.scrub_job() };
        self.scans_out += 1;
        // Overlays only now, because they may be large: few listings are out at once, but many may wait.
        Some(ReadJob(match listing {
            Listing::Scan(range) => {
                let overlay = self.overlays(&range);
                Reading::Scan { token, range, overlay }
            }
            Listing::Contents(range) => {
                let (by, overlay) = (self.options.leaf_key, self.contents_overlays(&range));
                Reading::Contents { token, range, by, overlay }
            }
        }))
    }
}
