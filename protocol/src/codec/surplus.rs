//! Fields of a later version, carried along without being understood.

use bytes::Bytes;

/// The fields behind those that this version knows, kept byte for byte and written back when the value is written. An
/// older node thereby never strips what a newer one stored.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Surplus {
    count: u32,
    encoded: Bytes,
}

impl Surplus {
    /// No further fields: what every value starts with.
    pub const NONE: Surplus = Surplus { count: 0, encoded: Bytes::new() };

    /// `count` encoded fields.
    pub(super) fn new(count: u32, encoded: Bytes) -> Surplus {
        Surplus { count, encoded }
    }

    /// How many fields there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The fields, encoded one behind the other.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
