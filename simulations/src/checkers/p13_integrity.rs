//! P13, at the client: the bytes that a read returns are the bytes that some write put in.
//!
//! Every value names its write and is filled by a rule of its own, so that a single wrong byte shows.

use crate::oracle::WriteId;
use crate::violation::{Property, Violation};

/// The value that write number `write` stores: its number, then a filling that depends on it. At least 4 bytes.
pub fn value_of(write: WriteId, size: u32) -> Vec<u8> {
    let mut value = write.to_le_bytes().to_vec();
    let mut state = write.wrapping_mul(0x9e37_79b9) | 1;
    while value.len() < size as usize {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        value.push((state >> 24) as u8);
    }
    value
}

/// The write that `value` names, without judging the rest.
pub fn write_of(value: &[u8]) -> Option<WriteId> {
    Some(WriteId::from_le_bytes(*value.first_chunk::<4>()?))
}

/// Judges a value that was read and says which write it is.
pub fn check(value: &[u8]) -> Result<WriteId, Violation> {
    match write_of(value) {
        Some(write) if value_of(write, value.len() as u32) == value => Ok(write),
        _ => Err(Violation::new(
            Property::P13,
            format!("a read returned {} bytes that no write put in", value.len()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{check, value_of};

    #[test]
    fn a_flipped_byte_is_caught() {
        let mut value = value_of(77, 100);
        assert_eq!(check(&value), Ok(77));
        value[60] ^= 1;
        assert!(check(&value).is_err());
        assert!(check(&[1, 2]).is_err());
    }
}
