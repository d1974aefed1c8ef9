//! The open files of a shard's segments, shared by its workers.
//!
//! A lock is held only while a handle is looked up or put in, never during I/O.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::frame::SegmentKey;
use super::segment::{SegmentKind, segment_name};
use crate::files::{FileError, Files};
use crate::location::SegmentId;

/// An open segment.
pub(crate) struct Handle<F: Files> {
    pub(crate) file: F::File,
    pub(crate) key: SegmentKey,
}

type Open<F> = BTreeMap<SegmentId, Arc<Handle<F>>>;

/// All open segments, by id. Cloning shares them.
pub(crate) struct Handles<F: Files> {
    files: Arc<F>,
    store_id: u128,
    open: Arc<RwLock<Open<F>>>,
}

impl<F: Files> Clone for Handles<F> {
    fn clone(&self) -> Handles<F> {
        Handles { files: self.files.clone(), store_id: self.store_id, open: self.open.clone() }
    }
}

impl<F: Files> Handles<F> {
    pub(crate) fn new(files: Arc<F>, store_id: u128) -> Handles<F> {
        Handles { files, store_id, open: Arc::default() }
    }

    pub(crate) fn files(&self) -> &F {
        &self.files
    }

    pub(crate) fn store_id(&self) -> u128 {
        self.store_id
    }

    /// The handle of an open segment.
    pub(crate) fn get(&self, id: SegmentId) -> Option<Arc<Handle<F>>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Opens an existing segment's file.
    pub(crate) fn open(
        &self,
        id: SegmentId,
        kind: SegmentKind,
    ) -> Result<Arc<Handle<F>>, FileError> {
        match self.get(id) {
            Some(handle) => Ok(handle),
            None => Ok(self.adopt(id, self.files.open(&segment_name(id, kind))?)),
        }
    }

    /// Takes in the file of a new segment.
    pub(crate) fn adopt(&self, id: SegmentId, file: F::File) -> Arc<Handle<F>> {
        let handle = Arc::new(Handle { file, key: SegmentKey::new(self.store_id, id) });
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(id, handle.clone());
        handle
    }

    /// Forgets a segment, whose file closes when its last user is done.
    pub(crate) fn forget(&self, id: SegmentId) {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
