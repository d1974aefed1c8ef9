//! The state of a simulated disk: what is synced, and what is not yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SECTOR_BYTES;
use super::recording::Fate;

/// A file's identity, whatever it is called at the moment.
pub(super) type FileId = u64;

/// A change to a file's bytes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Truncate { len: u64 },
}

/// A change to the directory.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create { name: String, file: FileId },
    Rename { from: String, to: String, file: FileId },
    Remove { name: String },
}

#[derive(Clone, Debug, Default)]
struct Body {
    synced: Vec<u8>,
    live: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    synced: BTreeMap<String, FileId>,
    live: BTreeMap<String, FileId>,
    unsynced: Vec<NameChange>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    names: Names,
    bodies: BTreeMap<FileId, Body>,
}

impl Disk {
    pub(super) fn lookup(&self, name: &str) -> Option<FileId> {
        self.names.live.get(name).copied()
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.names.live.keys().cloned().collect()
    }

    pub(super) fn next_file(&self) -> FileId {
        self.bodies.last_key_value().map_or(1, |(last, _)| last + 1)
    }

    pub(super) fn used(&self) -> u64 {
        self.names.live.values().map(|file| self.len(*file)).sum()
    }

    pub(super) fn len(&self, file: FileId) -> u64 {
        self.bodies.get(&file).map_or(0, |body| body.live.len() as u64)
    }

    pub(super) fn read(&self, file: FileId, offset: u64, buffer: &mut [u8]) -> usize {
        let live = self.bodies.get(&file).map_or(&[][..], |body| &body.live);
        let rest = live.get(offset as usize..).unwrap_or(&[]);
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        read
    }

    pub(super) fn change_file(&mut self, file: FileId, change: Change) {
        let body = self.bodies.entry(file).or_default();
        apply(&mut body.live, &change);
        body.unsynced.push(change);
    }

    pub(super) fn sync_file(&mut self, file: FileId) {
        let body = self.bodies.entry(file).or_default();
        for change in body.unsynced.drain(..) {
            apply(&mut body.synced, &change);
        }
    }

    /// A sync failed: the kernel dropped its dirty pages, and will not try again.
    pub(super) fn forget_unsynced(&mut self, file: FileId) {
        self.bodies.entry(file).or_default().unsynced.clear();
    }

    pub(super) fn change_names(&mut self, change: NameChange) {
        if let NameChange::Create { file, .. } = &change {
            self.bodies.insert(*file, Body::default());
        }
        apply_names(&mut self.names.live, &change);
        self.names.unsynced.push(change);
    }

    pub(super) fn sync_names(&mut self) {
        for change in self.names.unsynced.drain(..) {
            apply_names(&mut self.names.synced, &change);
        }
    }

    pub(super) fn flip(&mut self, name: &str, offset: u64, mask: u8) -> bool {
        let Some(body) = self.lookup(name).and_then(|file| self.bodies.get_mut(&file)) else {
            return false;
        };
        let offset = offset as usize;
        // What is unsynced lies over the synced byte, so both are flipped and the change list is settled first.
        if body.live.get(offset).is_none() {
            return false;
        }
        body.live[offset] ^= mask;
        if let Some(byte) = body.synced.get_mut(offset) {
            *byte ^= mask;
        }
        true
    }

    /// Changes to bytes and names that are not synced yet.
    pub(super) fn unsynced(&self) -> usize {
        self.names.unsynced.len()
            + self.bodies.values().map(|body| body.unsynced.len()).sum::<usize>()
    }

    /// The disk after a power cut. `fate` is asked once for each unsynced change, names first, then files in order.
    pub(super) fn crashed(&self, fate: &mut dyn FnMut(usize) -> Fate) -> Disk {
        let mut next = Disk::default();
        let mut names = self.names.synced.clone();
        let mut asked = 0;
        let mut ask = || {
            asked += 1;
            fate(asked - 1)
        };
        for change in &self.names.unsynced {
            // A directory entry has no middle state: torn is lost.
            if ask() == Fate::Kept {
                apply_names(&mut names, change);
            }
        }
        for (file, body) in &self.bodies {
            let mut bytes = body.synced.clone();
            for change in &body.unsynced {
                match ask() {
                    Fate::Kept => apply(&mut bytes, change),
                    Fate::Lost => {}
                    Fate::Torn { seed } => apply_torn(&mut bytes, change, seed),
                }
            }
            if names.values().any(|named| named == file) {
                next.bodies.insert(
                    *file,
                    Body { synced: bytes.clone(), live: bytes, unsynced: Vec::new() },
                );
            }
        }
        next.names = Names { synced: names.clone(), live: names, unsynced: Vec::new() };
        next
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes: written } => {
            let start = *offset as usize;
            let end = start + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(written);
        }
        Change::Truncate { len } => bytes.truncate(*len as usize),
    }
}

/// Keeps the sectors of a write whose bit of the (repeated) seed is set.
fn apply_torn(bytes: &mut Vec<u8>, change: &Change, seed: u64) {
    let Change::Write { offset, bytes: written } = change else { return };
    let mut start = 0;
    let mut sector = 0u32;
    while start < written.len() {
        let place = offset + start as u64;
        let end = written.len().min(start + (SECTOR_BYTES - place % SECTOR_BYTES) as usize);
        if seed.rotate_right(sector) & 1 == 1 {
            apply(bytes, &Change::Write { offset: place, bytes: written[start..end].into() });
        }
        start = end;
        sector += 1;
    }
}

fn apply_names(names: &mut BTreeMap<String, FileId>, change: &NameChange) {
    match change {
        NameChange::Create { name, file } => drop(names.insert(name.clone(), *file)),
        NameChange::Rename { from, to, file } => {
            names.remove(from);
            names.insert(to.clone(), *file);
        }
        NameChange::Remove { name } => drop(names.remove(name)),
    }
}
