//! The operation ids that a version remembers of what it replaced.

use bytes::Bytes;

use super::operation::OperationId;
use crate::limits;

/// How many bytes one id takes.
const WIDTH: usize = 16;

/// Up to [`limits::SUPERSEDED_IDS`] operation ids, the most recently replaced first.
///
/// A context may cover writes that the coordinator does not hold, and so cannot name. The zero id then stands for them.
///
/// Kept as one byte string, so that a received version holds a slice of its frame and costs no allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SupersededIds(Bytes);

impl SupersededIds {
    /// No ids: what a version that replaces nothing remembers.
    pub const NONE: SupersededIds = SupersededIds(Bytes::new());

    /// Put among the ids of what is replaced when there was more of it than could be named.
    pub(super) const UNKNOWN: OperationId = OperationId(0);

    /// The first [`limits::SUPERSEDED_IDS`] distinct ids.
    pub fn of(ids: impl IntoIterator<Item = OperationId>) -> SupersededIds {
        let mut kept = [[0; WIDTH]; limits::SUPERSEDED_IDS];
        let mut count = 0;
        for id in ids {
            if count == kept.len() {
                break;
            }
            let bytes = id.0.to_be_bytes();
            if !kept[..count].contains(&bytes) {
                kept[count] = bytes;
                count += 1;
            }
        }
        SupersededIds(Bytes::copy_from_slice(kept[..count].as_flattened()))
    }

    /// The ids in these bytes, or `None` when no list of ids has that length.
    pub(super) fn from_bytes(bytes: Bytes) -> Option<SupersededIds> {
        let whole =
            bytes.len().is_multiple_of(WIDTH) && bytes.len() <= limits::SUPERSEDED_IDS * WIDTH;
        whole.then_some(SupersededIds(bytes))
    }

    /// The ids, sixteen big-endian bytes each.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.0.len() / WIDTH
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an operation that was replaced may be missing: pushed out, or never known here.
    pub fn is_full(&self) -> bool {
        self.len() == limits::SUPERSEDED_IDS || self.iter().any(|id| id == SupersededIds::UNKNOWN)
    }

    /// The id in this place, counted from the most recently replaced.
    pub fn get(&self, age: usize) -> Option<OperationId> {
        self.iter().nth(age)
    }

    /// The ids, the most recently replaced first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = OperationId> + '_ {
        self.0.as_chunks().0.iter().map(|chunk| OperationId(u128::from_be_bytes(*chunk)))
    }

    /// Whether the id is among them.
    pub fn contains(&self, id: OperationId) -> bool {
        id != SupersededIds::UNKNOWN && self.iter().any(|other| other == id)
    }
}

impl std::fmt::Debug for SupersededIds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}
