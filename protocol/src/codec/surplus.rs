//! Fields of a later version, carried along without being understood.

use bytes::Bytes;

/// The fields behind those that this version knows, kept byte for byte and written back when the value is written. An
/// older node thereby never strips what a newer one stored.
///
/// Nearly always there are none, and every stored version has a place for them: so the place is small.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Surplus(Option<Box<Kept>>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Kept {
    /// At least one.
    count: u32,
    encoded: Bytes,
}

impl Surplus {
    /// No further fields: what every value starts with.
    pub const NONE: Surplus = Surplus(None);

    /// `count` encoded fields.
    pub(super) fn new(count: u32, encoded: Bytes) -> Surplus {
        Surplus((count > 0).then(|| Box::new(Kept { count, encoded })))
    }

    /// How many fields there are.
    pub fn count(&self) -> u32 {
        self.0.as_ref().map_or(0, |kept| kept.count)
    }

    /// The fields, encoded one behind the other.
    pub fn encoded(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |kept| &kept.encoded)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}
