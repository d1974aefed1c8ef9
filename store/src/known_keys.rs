//! Which keys the index may hold, in memory: a lookup of any other key is answered without a look at the disk.
//!
//! A new key has to be looked up before it is first written, and the index looks for several microseconds before it finds
//! nothing; for a load of new keys that was a quarter of all a node's work. A Bloom filter says "certainly not" for it in a
//! fraction of one. (Bloom 1970; one cache line for each key: Putze, Sanders and Singler, 2007.)
//!
//! **It may err in one direction only.** A key is noted before the index is told of it, and never taken out, so whatever the index
//! holds is here, or the filter is not *complete* and says nothing. After a start it is not: the worker that feeds the index
//! also visits a stretch of it each time, until it has seen all that was there before. Lost with the process; nothing on disk
//! depends on it.
//!
//! **Growth.** Keys go to the newest of some layers, each four times as large as the one before, so that memory is in proportion to
//! the keys and no layer is ever rebuilt. Beyond the last one the filter gives up, and every lookup goes to the index as if there
//! were none.

use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::index::{Index, IndexBatch, IndexEntry, IndexError, Sentinel};
use crate::limits::{KNOWN_KEYS_LAYERS, KNOWN_KEYS_MIN, KNOWN_KEYS_VISITED};
use crate::random::mix;

/// Words of a block: one cache line.
const WORDS: usize = 8;

/// Keys for which a block has room: 12.8 bits each, with which about one in fifty unknown keys is taken for a known one.
const KEYS_PER_BLOCK: u64 = 40;

/// Bits that stand for a key.
const BITS: usize = 6;

/// One layer.
struct Layer {
    blocks: Box<[[AtomicU64; WORDS]]>,
    keys: AtomicU64,
}

impl Layer {
    fn new(capacity: u64) -> Layer {
        let blocks = (0..capacity.div_ceil(KEYS_PER_BLOCK)).map(|_| Default::default()).collect();
        Layer { blocks, keys: AtomicU64::new(0) }
    }

    fn block(&self, hash: u64) -> &[AtomicU64; WORDS] {
        let nth = (u128::from(hash) * self.blocks.len() as u128) >> 64;
        &self.blocks[nth as usize]
    }

    fn holds(&self, hash: u64) -> bool {
        let block = self.block(hash);
        bits(hash).all(|(word, bit)| block[word].load(Ordering::Relaxed) & bit != 0)
    }

    fn note(&self, hash: u64) {
        let block = self.block(hash);
        for (word, bit) in bits(hash) {
            block[word].fetch_or(bit, Ordering::Relaxed);
        }
        self.keys.fetch_add(1, Ordering::Relaxed);
    }
}

/// The bits of a key in its block.
fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let drawn = mix(hash);
    (0..BITS).map(move |nth| {
        let bit = drawn >> (9 * nth) & 0x1ff;
        ((bit >> 6) as usize, 1 << (bit & 63))
    })
}

/// Guards against nobody: keys that are made to collide make lookups as slow as they were without a filter.
fn hash_of(key: &[u8]) -> u64 {
    key.chunks(8).fold(key.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash.rotate_left(29) ^ u64::from_le_bytes(word))
    })
}

/// The keys. One thread notes, any number of threads ask.
#[derive(Default)]
struct KnownKeys {
    layers: [OnceLock<Layer>; KNOWN_KEYS_LAYERS],
    is_complete: AtomicBool,
    is_full: AtomicBool,
}

impl KnownKeys {
    /// Whether the index certainly does not hold a key.
    fn excludes(&self, key: &[u8]) -> bool {
        // Whoever hears of a key in the index has heard it from the thread that noted it before, so no order is needed here.
        self.is_complete.load(Ordering::Acquire) && !self.holds(hash_of(key))
    }

    fn holds(&self, hash: u64) -> bool {
        self.layers.iter().map_while(OnceLock::get).any(|layer| layer.holds(hash))
    }

    fn note(&self, key: &[u8]) {
        let hash = hash_of(key);
        if self.is_full.load(Ordering::Relaxed) || self.holds(hash) {
            return;
        }
        let mut capacity = KNOWN_KEYS_MIN;
        for layer in &self.layers {
            let layer = layer.get_or_init(|| Layer::new(capacity));
            if layer.keys.load(Ordering::Relaxed) < capacity {
                return layer.note(hash);
            }
            capacity *= 4;
        }
        self.is_full.store(true, Ordering::Relaxed);
        self.is_complete.store(false, Ordering::Release);
    }
}

/// An index and the keys that it may hold.
pub(crate) struct Known<I> {
    index: I,
    keys: KnownKeys,
}

impl<I: Index> Known<I> {
    /// Knows nothing yet of what the index holds.
    pub(crate) fn new(index: I) -> Known<I> {
        Known { index, keys: KnownKeys::default() }
    }

    /// Visits the next stretch of the index after a key, and notes what is there. Returns where to go on; `None` when all was seen.
    /// For the thread that applies.
    ///
    /// # Errors
    /// What the index says.
    pub(crate) fn learn(&self, after: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let (mut seen, mut last) = (0, None);
        self.index.scan(after, &mut |key, _| {
            self.keys.note(key);
            seen += 1;
            if seen < KNOWN_KEYS_VISITED {
                return ControlFlow::Continue(());
            }
            last = Some(key.to_vec());
            ControlFlow::Break(())
        })?;
        if last.is_none() {
            let is_full = self.keys.is_full.load(Ordering::Relaxed);
            self.keys.is_complete.store(!is_full, Ordering::Release);
        }
        Ok(last)
    }
}

impl<I: Index> Index for Known<I> {
    fn get(&self, key: &[u8]) -> Result<Option<IndexEntry>, IndexError> {
        if self.keys.excludes(key) { Ok(None) } else { self.index.get(key) }
    }

    fn apply(&self, batch: &IndexBatch) -> Result<(), IndexError> {
        for (key, change) in &batch.changes {
            if change.is_some() {
                self.keys.note(key);
            }
        }
        self.index.apply(batch)
    }

    fn scan(
        &self,
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &IndexEntry) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        self.index.scan(start, visit)
    }

    fn sentinel(&self) -> Result<Option<Sentinel>, IndexError> {
        self.index.sentinel()
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.index.flush()
    }

    fn size_on_disk(&self) -> Result<u64, IndexError> {
        self.index.size_on_disk()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::{Known, KnownKeys};
    use crate::index::{EntryState, Index, IndexBatch, IndexEntry, IndexOpener, Sentinel};
    use crate::limits::{KNOWN_KEYS_MIN, KNOWN_KEYS_VISITED};
    use crate::location::{Location, SegmentId};
    use crate::memory_index::{MemoryDisk, MemoryIndex};

    fn key(number: u64) -> [u8; 11] {
        let mut key = *b"key........";
        key[3..].copy_from_slice(&number.to_be_bytes());
        key
    }

    fn entry(sequence: u64) -> IndexEntry {
        let location = Location { segment: SegmentId(0), offset: 64, length: 10 };
        let state = EntryState::Record;
        IndexEntry { sequence, location, state, values: 1, value_bytes: 3, digest: 0 }
    }

    fn batch(numbers: std::ops::Range<u64>) -> IndexBatch {
        let changes = numbers.map(|number| (key(number)[..].into(), Some(entry(number)))).collect();
        IndexBatch { changes, sentinel: Sentinel::default() }
    }

    fn index() -> MemoryIndex {
        MemoryDisk::default().open().unwrap()
    }

    /// Learns all; in how many stretches.
    fn learn_all<I: Index>(known: &Known<I>) -> u64 {
        let (mut after, mut stretches) = (Some(Vec::new()), 0);
        while let Some(from) = after {
            after = known.learn(&from).unwrap();
            stretches += 1;
        }
        stretches
    }

    #[test]
    fn whatever_was_noted_is_known_and_nearly_everything_else_is_not() {
        let keys = KnownKeys::default();
        let count = KNOWN_KEYS_MIN * 8;
        keys.is_complete.store(true, Ordering::Release);
        for number in 0..count {
            keys.note(&key(number));
        }
        assert!((0..count).all(|number| !keys.excludes(&key(number))));
        let taken_for_known = (count..2 * count).filter(|number| !keys.excludes(&key(*number)));
        let share = taken_for_known.count() as u64 * 100 / count;
        assert!(share <= 8, "{share} %");
    }

    #[test]
    fn nothing_is_excluded_before_all_that_the_index_held_was_seen() {
        let index = index();
        let count = 2 * KNOWN_KEYS_VISITED as u64 + 5;
        index.apply(&batch(0..count)).unwrap();
        let known = Known::new(index);
        assert!(!known.keys.excludes(b"unknown"));
        assert!(known.get(&key(7)).unwrap().is_some());
        let half_way = known.learn(&[]).unwrap();
        assert!(half_way.is_some() && !known.keys.excludes(b"unknown"));
        known.apply(&batch(count..count + 1)).unwrap();
        assert_eq!(learn_all(&known), 3);
        assert!(known.keys.excludes(b"unknown"));
        assert!((0..=count).all(|number| known.get(&key(number)).unwrap().is_some()));
        assert_eq!(known.get(b"unknown"), Ok(None));
    }

    #[test]
    fn what_comes_later_is_known_from_the_moment_in_which_the_index_is_told() {
        let known = Known::new(index());
        assert_eq!(learn_all(&known), 1);
        assert!(known.keys.excludes(&key(1)));
        known.apply(&batch(1..2)).unwrap();
        assert_eq!(known.get(&key(1)).unwrap().map(|entry| entry.sequence), Some(1));
    }
}
