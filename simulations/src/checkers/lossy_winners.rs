//! Where the last write wins: one winner, which somebody wrote, stamped by a clock that most owners share.
//!
//! A bucket of that kind promises no more. What was acknowledged may lose; but what is shown was written and not refused, and a
//! coordinator whose clock is wrong never stamps, or it would win against everybody for as long as its clock is.

use crate::oracle::{KeyOracle, Seen};
use crate::violation::{Property, Violation};

use super::p14_honest_results;

/// Judges what a read returned.
pub fn check_read(oracle: &KeyOracle, seen: &Seen) -> Result<(), Violation> {
    if seen.live.len() > 1 {
        let what = format!("a read returned {} values where one wins", seen.live.len());
        return Err(Violation::new(Property::P3, what));
    }
    p14_honest_results::check_seen(oracle, seen)
}

/// Judges a stamp: the wall clock of the coordinator, of the owners of the key and of its fallbacks, its own included, at the
/// moment of minting. Two clocks may differ by `most_ms`. A majority of the owners has to agree, or of all of them together.
pub fn check_stamp(
    own_ms: u64,
    owners_ms: &[u64],
    fallbacks_ms: &[u64],
    most_ms: u64,
) -> Result<(), Violation> {
    let agreeing = |clocks_ms: &[u64]| {
        clocks_ms.iter().filter(|theirs_ms| own_ms.abs_diff(**theirs_ms) <= most_ms).count()
    };
    let owners = agreeing(owners_ms);
    let all = owners + agreeing(fallbacks_ms);
    if owners > owners_ms.len() / 2 || all > (owners_ms.len() + fallbacks_ms.len()) / 2 {
        return Ok(());
    }
    let what = format!(
        "a write was stamped at {own_ms}, and the owners' clocks say {owners_ms:?}, those of fallbacks {fallbacks_ms:?}"
    );
    Err(Violation::new(Property::P14, what))
}

#[cfg(test)]
mod tests {
    use super::{check_read, check_stamp};
    use crate::oracle::{KeyOracle, Seen, ShadowDot};

    #[test]
    fn a_stamp_of_a_wrong_clock_is_caught() {
        assert_eq!(check_stamp(1_000, &[1_000, 5_000_000, 1_900], &[], 1_000), Ok(()));
        assert!(check_stamp(1_000, &[1_000, 5_000_000, 2_001], &[], 1_000).is_err());
        assert_eq!(check_stamp(1_000, &[1_000], &[], 1_000), Ok(()));
    }

    #[test]
    fn an_owner_and_a_fallback_with_the_same_error_are_no_majority() {
        let right = 5_000_000;
        assert!(check_stamp(1_000, &[1_000, right, right], &[1_000], 1_000).is_err());
        assert_eq!(check_stamp(1_000, &[1_000, right, right], &[1_000; 3], 1_000), Ok(()));
        assert!(check_stamp(1_000, &[right; 3], &[1_000; 3], 1_000).is_err());
    }

    #[test]
    fn two_winners_are_caught() {
        let dot = |actor| ShadowDot { actor, counter: 1 };
        let seen = Seen { clock: vec![(1, 1), (2, 1)], live: vec![dot(1), dot(2)] };
        assert!(check_read(&KeyOracle::default(), &seen).is_err());
    }
}
