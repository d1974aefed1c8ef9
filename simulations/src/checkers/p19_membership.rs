//! P19, for membership: who went is noticed by all, and so is who came back.
//!
//! While faults run, a detector may be wrong about anybody. Once links are sound, everybody thinks those and only those
//! alive who are, within a bound: none is taken for dead for ever, and a node that lost sight of all others finds
//! them again by itself.

use crate::violation::{Property, Violation};

/// Judges whom a node thinks alive (`seen`), against who is up and can be reached from it, after `within_ms` without
/// change. Both ascend.
pub fn check(seen: &[u16], expected: &[u16], within_ms: u64) -> Result<(), Violation> {
    if seen == expected {
        return Ok(());
    }
    let what = format!(
        "{within_ms} ms after the last change it thinks that nodes {seen:?} are alive, and {expected:?} are"
    );
    Err(Violation::new(Property::P19, what))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_node_that_is_missed_or_mourned_for_ever_is_caught() {
        assert_eq!(check(&[1, 2], &[1, 2], 30_000), Ok(()));
        assert!(check(&[1], &[1, 2], 30_000).is_err(), "back, and nobody noticed");
        assert!(check(&[1, 2], &[1], 30_000).is_err(), "gone, and nobody noticed");
    }
}
