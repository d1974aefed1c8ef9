//! The simulator's index: a sorted map that can lose what a real index has been seen to lose.
//!
//! It lives in a [`MemoryDisk`], which survives a simulated crash as a disk does. `flush` makes an image; after a crash
//! the disk holds whatever [`IndexDamage`] leaves of the images.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::index::{Index, IndexBatch, IndexEntry, IndexError, IndexKey, IndexOpener, Sentinel};
use crate::random::Stream;

/// What a crash does to the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexDamage {
    /// The last flushed image comes back whole, as the contract says.
    None,
    /// Everything applied comes back, flushed or not: a killed process, not a power cut.
    Unflushed,
    /// An image older than the last flushed one comes back.
    Stale,
    /// It comes back empty, without an error (sled, after a power cut).
    Empty,
    /// The last image comes back without some of its entries, the sentinel as it was.
    MissingEntries,
    /// It refuses to open until it is destroyed.
    Unopenable,
}

impl IndexDamage {
    /// Every kind of damage, for tests that go through all of them.
    pub const ALL: [IndexDamage; 6] = [
        IndexDamage::None,
        IndexDamage::Unflushed,
        IndexDamage::Stale,
        IndexDamage::Empty,
        IndexDamage::MissingEntries,
        IndexDamage::Unopenable,
    ];
}

/// How many flushed images are kept to come back stale. Older ones are no different to the store.
const IMAGES_KEPT: usize = 3;

#[derive(Clone, Default, Debug)]
struct Image {
    entries: BTreeMap<IndexKey, IndexEntry>,
    sentinel: Option<Sentinel>,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    live: Image,
    /// Flushed images, the newest last. The empty index counts as flushed at the beginning.
    flushed: Vec<Image>,
    unopenable: bool,
    /// Calls until one fails, for tests of every failing call.
    fail_after: Option<u64>,
}

/// The contents of a [`MemoryDisk`] at one moment.
#[derive(Clone, Debug)]
pub struct IndexMoment(Disk);

/// Where a [`MemoryIndex`] lives. Cloning it shares it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    disk: Arc<Mutex<Disk>>,
}

impl MemoryDisk {
    /// An empty one.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        // A panicking test leaves nothing half done here that a later one could see.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk of its own that holds the same.
    pub fn snapshot(&self) -> MemoryDisk {
        let Disk { live, flushed, unopenable, .. } = &*self.lock();
        let disk = Disk {
            live: live.clone(),
            flushed: flushed.clone(),
            unopenable: *unopenable,
            fail_after: None,
        };
        MemoryDisk { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Crashes: whatever was opened before is to be dropped; the next opening sees what `damage` left. The seed picks
    /// the stale image and the missing entries.
    pub fn crash(&self, damage: IndexDamage, seed: u64) {
        let mut disk = self.lock();
        let mut stream = Stream::new(seed, "index damage");
        let last = disk.flushed.last().cloned().unwrap_or_default();
        disk.live = match damage {
            IndexDamage::None => last,
            IndexDamage::Unflushed => disk.live.clone(),
            IndexDamage::Empty => Image::default(),
            IndexDamage::Stale => {
                let older = disk.flushed.len().saturating_sub(1) as u64;
                let chosen = stream.below(older.max(1)) as usize;
                if older == 0 { Image::default() } else { disk.flushed[chosen].clone() }
            }
            IndexDamage::MissingEntries => thinned(last, &mut stream),
            IndexDamage::Unopenable => {
                disk.unopenable = true;
                Image::default()
            }
        };
        disk.flushed = vec![disk.live.clone()];
        disk.fail_after = None;
    }

    /// Loses a seeded subset of the entries of the open index, at least one if there are any; returns how many. The
    /// sentinel stays as it was.
    pub fn lose_entries(&self, seed: u64) -> usize {
        let mut disk = self.lock();
        let before = disk.live.entries.len();
        let live = std::mem::take(&mut disk.live);
        disk.live = thinned(live, &mut Stream::new(seed, "index loss"));
        before - disk.live.entries.len()
    }

    /// Loses one entry of the open index. False when there is none of this key.
    pub fn lose_entry(&self, key: &[u8]) -> bool {
        self.lock().live.entries.remove(key).is_some()
    }

    /// The present moment, for [`MemoryDisk::return_to`].
    pub fn moment(&self) -> IndexMoment {
        IndexMoment(self.lock().clone())
    }

    /// Goes back in time. An index that was open at that moment is of use again.
    pub fn return_to(&self, moment: &IndexMoment) {
        *self.lock() = moment.0.clone();
    }

    /// Makes the n-th call from now (0 is the next one) fail once.
    pub fn fail_nth(&self, n: u64) {
        self.lock().fail_after = Some(n);
    }

    /// Takes back what [`MemoryDisk::fail_nth`] said, if nothing has failed yet.
    pub fn fail_none(&self) {
        self.lock().fail_after = None;
    }

    /// Entries in the open index.
    pub fn entries(&self) -> usize {
        self.lock().live.entries.len()
    }
}

/// The image without a seeded subset of its entries, at least one if there are any.
fn thinned(mut image: Image, stream: &mut Stream) -> Image {
    let keys: Vec<IndexKey> = image.entries.keys().cloned().collect();
    if keys.is_empty() {
        return image;
    }
    let doomed = stream.below(keys.len() as u64) as usize;
    for (position, key) in keys.iter().enumerate() {
        if position == doomed || stream.one_in(4) {
            image.entries.remove(key);
        }
    }
    image
}

impl Disk {
    fn count_call(&mut self) -> Result<(), IndexError> {
        match self.fail_after {
            Some(0) => {
                self.fail_after = None;
                Err(IndexError::Io)
            }
            Some(left) => {
                self.fail_after = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The opener of a [`MemoryIndex`].
impl IndexOpener for MemoryDisk {
    type Index = MemoryIndex;

    fn open(&mut self) -> Result<MemoryIndex, IndexError> {
        let mut disk = self.lock();
        disk.count_call()?;
        if disk.unopenable {
            return Err(IndexError::Unopenable);
        }
        drop(disk);
        Ok(MemoryIndex { disk: self.clone() })
    }

    fn destroy(&mut self) -> Result<(), IndexError> {
        let mut disk = self.lock();
        disk.count_call()?;
        disk.live = Image::default();
        disk.flushed.clear();
        disk.unopenable = false;
        Ok(())
    }
}

/// An open index in a [`MemoryDisk`].
#[derive(Clone, Debug)]
pub struct MemoryIndex {
    disk: MemoryDisk,
}

impl Index for MemoryIndex {
    fn get(&self, key: &[u8]) -> Result<Option<IndexEntry>, IndexError> {
        let mut disk = self.disk.lock();
        disk.count_call()?;
        Ok(disk.live.entries.get(key).copied())
    }

    fn apply(&self, batch: &IndexBatch) -> Result<(), IndexError> {
        let mut disk = self.disk.lock();
        disk.count_call()?;
        for (key, change) in &batch.changes {
            match change {
                Some(entry) => drop(disk.live.entries.insert(key.clone(), *entry)),
                None => drop(disk.live.entries.remove(key)),
            }
        }
        disk.live.sentinel = Some(batch.sentinel);
        Ok(())
    }

    fn scan(
        &self,
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &IndexEntry) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        let mut disk = self.disk.lock();
        disk.count_call()?;
        for (key, entry) in
            disk.live.entries.range::<[u8], _>((Bound::Included(start), Bound::Unbounded))
        {
            if visit(key, entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn sentinel(&self) -> Result<Option<Sentinel>, IndexError> {
        let mut disk = self.disk.lock();
        disk.count_call()?;
        Ok(disk.live.sentinel)
    }

    fn flush(&self) -> Result<(), IndexError> {
        let mut disk = self.disk.lock();
        disk.count_call()?;
        let image = disk.live.clone();
        disk.flushed.push(image);
        let surplus = disk.flushed.len().saturating_sub(IMAGES_KEPT);
        disk.flushed.drain(..surplus);
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, IndexError> {
        let disk = self.disk.lock();
        Ok(disk.live.entries.keys().map(|key| key.len() as u64 + 32).sum())
    }
}
