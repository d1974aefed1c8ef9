//! Appends encoded values to a byte vector.

use rmp::encode;

/// Writes msgpack values behind what a byte vector already holds. Numbers take the shortest form, so that equal values
/// have equal bytes.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

/// `rmp` writes through `std::io::Write`, whose errors a vector never returns.
const IN_MEMORY: &str = "writing into memory cannot fail";

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out }
    }

    /// The head of an array of `count` values, which the caller writes next.
    pub fn array(&mut self, count: u32) {
        encode::write_array_len(self.out, count).expect(IN_MEMORY);
    }

    /// An unsigned number.
    pub fn uint(&mut self, number: u64) {
        encode::write_uint(self.out, number).expect(IN_MEMORY);
    }

    /// A truth value.
    pub fn bool(&mut self, truth: bool) {
        encode::write_bool(self.out, truth).expect(IN_MEMORY);
    }

    /// The absent value.
    pub fn nil(&mut self) {
        encode::write_nil(self.out).expect(IN_MEMORY);
    }

    /// A byte string.
    ///
    /// # Panics
    /// When it is 4 GiB or longer; every type that holds bytes is bounded far below that.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("byte strings are far below 4 GiB");
        encode::write_bin_len(self.out, length).expect(IN_MEMORY);
        self.out.extend_from_slice(bytes);
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        encode::write_str(self.out, text).expect(IN_MEMORY);
    }

    /// Values that are already encoded, as they are.
    pub fn encoded(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }
}
