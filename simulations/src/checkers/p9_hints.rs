//! P9: bounded hints that lose nothing.
//!
//! A fallback forgets what it holds for an owner only when that owner has had all of it durably, and drops it unasked only when
//! as many owners have it as the write needed. What it holds stays within its bounds, and is nothing once owners have been
//! back for long enough.

use crate::bits::Bits;
use crate::oracle::KeyOracle;
use crate::violation::{Property, Violation};

/// Judges a hint that is to end for an owner: `held` are the versions that it covers, `given` those that the owner ever called
/// durable.
pub fn check_forgotten(
    oracle: &KeyOracle,
    held: &Bits,
    given: &Bits,
    owner: u16,
) -> Result<(), Violation> {
    match held.first_missing_from(given) {
        None => Ok(()),
        Some(version) => Err(Violation::new(
            Property::P9,
            format!(
                "write {} is forgotten as delivered to node {owner}, which never had it durably",
                oracle.versions()[version].write
            ),
        )),
    }
}

/// Judges a hint that is dropped unasked. Of each version that it covers: how many owners ever called it durable, and how many
/// its write needed.
pub fn check_dropped(
    oracle: &KeyOracle,
    held: impl IntoIterator<Item = (usize, usize, usize)>,
) -> Result<(), Violation> {
    for (version, owners, needed) in held {
        if owners < needed {
            let write = oracle.versions()[version].write;
            return Err(Violation::new(
                Property::P9,
                format!("write {write} was dropped, which needs {needed} owners and has {owners}"),
            ));
        }
    }
    Ok(())
}

/// Judges what a fallback has of a key: `durable` are the versions that it called so and has not let go of, and it `is_listed` as
/// held there for somebody or not. What cannot be read for the moment is listed as well.
pub fn check_held(oracle: &KeyOracle, durable: &Bits, is_listed: bool) -> Result<(), Violation> {
    let version = durable.iter().next().filter(|_| !is_listed);
    match version.map(|version| oracle.versions()[version].write) {
        None => Ok(()),
        Some(write) => Err(Violation::new(
            Property::P9,
            format!("write {write} is not held any more, and nobody was given it or said so"),
        )),
    }
}

/// Judges how much is held: `bytes` where `most` are allowed.
pub fn check_bounded(bytes: usize, most: usize) -> Result<(), Violation> {
    if bytes <= most {
        return Ok(());
    }
    let what = format!("{bytes} bytes are held for others where {most} are allowed");
    Err(Violation::new(Property::P9, what))
}

/// Judges what a node still holds for others when all owners have been there for long.
pub fn check_drained(keys: usize) -> Result<(), Violation> {
    if keys == 0 {
        return Ok(());
    }
    let what = format!("{keys} keys are still held for others when all faults are long over");
    Err(Violation::new(Property::P19, what))
}

#[cfg(test)]
mod tests {
    use super::{check_bounded, check_drained, check_dropped, check_forgotten, check_held};
    use crate::bits::Bits;
    use crate::oracle::{KeyOracle, ShadowDot};

    #[test]
    fn what_is_forgotten_dropped_hoarded_or_left_is_caught() {
        let mut key = KeyOracle::default();
        let version = key.register(1, ShadowDot { actor: 9, counter: 1 }, false, Bits::new());
        let held: Bits = [version].into_iter().collect();
        assert_eq!(check_forgotten(&key, &held, &held, 2), Ok(()));
        assert!(check_forgotten(&key, &held, &Bits::new(), 2).is_err());
        assert_eq!(check_dropped(&key, [(version, 2, 2)]), Ok(()));
        assert!(check_dropped(&key, [(version, 1, 2)]).is_err());
        assert_eq!(check_held(&key, &held, true), Ok(()));
        assert_eq!(check_held(&key, &Bits::new(), false), Ok(()));
        assert!(check_held(&key, &held, false).is_err());
        assert_eq!(check_bounded(5, 5), Ok(()));
        assert!(check_bounded(6, 5).is_err());
        assert_eq!(check_drained(0), Ok(()));
        assert!(check_drained(1).is_err());
    }
}
