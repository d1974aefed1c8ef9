//! P23: one effect per operation id, through whatever coordinators it was retried; and none of them is lost.
//!
//! A counter is the sum of the ids that it counted, each once: all that were acknowledged, and of those whose end is unknown
//! any. The amounts are made so that the sum tells how many were counted, and, where few are in doubt, which. A set has the
//! elements whose adds were acknowledged and which nobody may have removed, and none that nobody added.

use std::collections::BTreeSet;

use crate::oracle::WriteId;
use crate::violation::{Property, Violation};

/// What the increment of a write adds: 2^32, which counts it, and its number's square, which tells it from others.
pub const fn amount(write: WriteId) -> u64 {
    (1 << 32) + write as u64 * write as u64
}

/// Judges a counter: `must` are the writes that it has to count, `may` all that it can have counted, those of `must` among them
/// or not.
pub fn check_counter(
    value: i128,
    must: &BTreeSet<WriteId>,
    may: &BTreeSet<WriteId>,
) -> Result<(), Violation> {
    let sum = |writes: &mut dyn Iterator<Item = WriteId>| -> i128 {
        writes.map(|write| i128::from(amount(write))).sum()
    };
    let rest = value - sum(&mut must.iter().copied());
    let open: Vec<WriteId> = may.difference(must).copied().collect();
    let count = usize::try_from(rest >> 32).unwrap_or(usize::MAX);
    let is_possible = match count {
        _ if rest < 0 || count > open.len() => false,
        0 => rest == 0,
        1 => open.iter().any(|write| i128::from(amount(*write)) == rest),
        // The open writes ascend, and so do their amounts.
        count => {
            let least = sum(&mut open.iter().take(count).copied());
            let most = sum(&mut open.iter().rev().take(count).copied());
            (least..=most).contains(&rest)
        }
    };
    if is_possible {
        return Ok(());
    }
    let what = format!(
        "a counter is {value}, which is {rest} more than the writes {must:?}, and only {open:?} are in doubt"
    );
    Err(Violation::new(Property::P23, what))
}

/// Judges a set of numbers of writes: `must` are the adds that it has to show, `may` all that it can.
pub fn check_set(
    elements: &BTreeSet<WriteId>,
    must: &BTreeSet<WriteId>,
    may: &BTreeSet<WriteId>,
) -> Result<(), Violation> {
    if let Some(lost) = must.difference(elements).next() {
        let what = format!("the add of write {lost} was acknowledged, and is not in the set");
        return Err(Violation::new(Property::P1, what));
    }
    match elements.difference(may).next() {
        None => Ok(()),
        Some(invented) => {
            let what = format!("a set has {invented}, which no write added to it");
            Err(Violation::new(Property::P23, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{amount, check_counter, check_set};

    fn writes(writes: &[u32]) -> BTreeSet<u32> {
        writes.iter().copied().collect()
    }

    fn sum(writes: &[u32]) -> i128 {
        writes.iter().map(|write| i128::from(amount(*write))).sum()
    }

    #[test]
    fn a_counter_counts_what_was_acknowledged_once_and_what_is_in_doubt_at_most_once() {
        let (must, may) = (writes(&[1, 5]), writes(&[1, 5, 7, 9, 11]));
        for counted in [&[1, 5][..], &[1, 5, 9], &[1, 5, 7, 11], &[1, 5, 7, 9, 11]] {
            assert_eq!(check_counter(sum(counted), &must, &may), Ok(()), "{counted:?}");
        }
        for wrong in [&[1][..], &[1, 5, 5], &[1, 1, 5], &[1, 5, 6], &[1, 5, 7, 9, 11, 11], &[]] {
            assert!(check_counter(sum(wrong), &must, &may).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_lost_and_an_invented_element_are_caught() {
        let (must, may) = (writes(&[1]), writes(&[1, 2]));
        assert_eq!(check_set(&writes(&[1]), &must, &may), Ok(()));
        assert_eq!(check_set(&writes(&[1, 2]), &must, &may), Ok(()));
        assert!(check_set(&writes(&[2]), &must, &may).is_err());
        assert!(check_set(&writes(&[1, 3]), &must, &may).is_err());
    }
}
