//! P14: a definite failure is never visible.
//!
//! "Not applied" is a promise. A write that is told so may appear in no reply and on no replica, then or later; whoever
//! is not certain says that the outcome is unknown.

use crate::oracle::{KeyOracle, Seen, WriteId};
use crate::violation::{Property, Violation};

/// Judges the moment at which a client is told that `write` is not applied.
pub fn check_failure(oracle: &KeyOracle, write: WriteId) -> Result<(), Violation> {
    match oracle.versions_of(write).first() {
        None => Ok(()),
        Some(version) => Err(Violation::new(
            Property::P14,
            format!(
                "write {write} was answered as not applied, and {:?} is its dot",
                oracle.versions()[*version].dot
            ),
        )),
    }
}

/// Judges a mint: the write must not have been answered as failed.
pub fn check_mint(oracle: &KeyOracle, write: WriteId) -> Result<(), Violation> {
    if oracle.failed().contains(write as usize) {
        return Err(Violation::new(
            Property::P14,
            format!("write {write} was minted after it was answered as failed"),
        ));
    }
    Ok(())
}

/// Judges a stored or returned set.
pub fn check_seen(oracle: &KeyOracle, seen: &Seen) -> Result<(), Violation> {
    for dot in &seen.live {
        let Some(version) = oracle.version_of(*dot) else { continue };
        let write = oracle.versions()[version].write;
        if oracle.failed().contains(write as usize) {
            return Err(Violation::new(
                Property::P14,
                format!("write {write} is visible, and was answered as failed"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_failure, check_mint, check_seen};
    use crate::bits::Bits;
    use crate::oracle::{KeyOracle, Seen, ShadowDot};

    #[test]
    fn a_failed_write_that_exists_or_appears_is_caught() {
        let dot = ShadowDot { actor: 1, counter: 1 };
        let mut key = KeyOracle::default();
        assert_eq!(check_failure(&key, 1), Ok(()));
        key.register(1, dot, false, Bits::new());
        assert!(check_failure(&key, 1).is_err());
        let seen = Seen { clock: vec![(1, 1)], live: vec![dot] };
        assert_eq!(check_seen(&key, &seen), Ok(()));
        key.fail(1);
        assert!(check_seen(&key, &seen).is_err());
        assert!(check_mint(&key, 1).is_err());
    }
}
