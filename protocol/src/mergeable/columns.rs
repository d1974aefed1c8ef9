//! Lists of numbers and ids as columns: one byte string of ids is read far quicker than a thousand small ones.

use bytes::Bytes;

use crate::codec::{DecodeError, Invalid, Reader, Writer};
use crate::limits;
use crate::version::OperationId;

/// Bytes of one id.
const WIDTH: usize = 16;

/// Operation ids, sixteen big-endian bytes each, as one byte string.
pub(super) fn write_ids(writer: &mut Writer<'_>, ids: impl ExactSizeIterator<Item = OperationId>) {
    let mut bytes = Vec::with_capacity(ids.len() * WIDTH);
    ids.for_each(|id| bytes.extend_from_slice(&id.0.to_be_bytes()));
    writer.bytes(&bytes);
}

/// What [`write_ids`] wrote.
pub(super) fn read_ids(reader: &mut Reader) -> Result<Vec<OperationId>, DecodeError> {
    let bytes: Bytes = reader.bytes()?;
    let (ids, rest) = bytes.as_chunks::<WIDTH>();
    if !rest.is_empty() {
        return Err(Invalid::OperationIds.into());
    }
    Ok(ids.iter().map(|id| OperationId(u128::from_be_bytes(*id))).collect())
}

/// Ascending event numbers, each as its distance from the one before.
pub(super) fn write_numbers(writer: &mut Writer<'_>, numbers: impl ExactSizeIterator<Item = u64>) {
    writer.array(numbers.len() as u32);
    let mut before = 0;
    for number in numbers {
        writer.uint(number - before);
        before = number;
    }
}

/// What [`write_numbers`] wrote: strictly ascending, from 1 to [`limits::COUNTER`].
pub(super) fn read_numbers(reader: &mut Reader) -> Result<Vec<u64>, DecodeError> {
    let mut numbers = Vec::new();
    let mut before = 0u64;
    reader.each(limits::STATE_ITEMS, |reader| {
        let number = before.saturating_add(reader.uint()?);
        if number <= before || number > limits::COUNTER {
            return Err(Invalid::Counter.into());
        }
        before = number;
        numbers.push(number);
        Ok(())
    })?;
    Ok(numbers)
}

/// A signed number as an unsigned one, small when it is near zero.
pub(super) fn fold_sign(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// What [`fold_sign`] folded.
pub(super) fn unfold_sign(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::{fold_sign, unfold_sign};

    #[test]
    fn a_sign_is_folded_and_unfolded() {
        for (number, folded) in
            [(0, 0), (-1, 1), (1, 2), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)]
        {
            assert_eq!(fold_sign(number), folded);
            assert_eq!(unfold_sign(folded), number);
        }
    }
}
