//! P5: dots are unique, and an actor's counters rise.
//!
//! Asserted at each mint against everything that was ever minted, on any node, whatever crashed or was wiped between.

use crate::oracle::{KeyOracle, ShadowDot, WriteId};
use crate::violation::{Property, Violation};

/// Judges a mint before it is registered.
pub fn check_mint(oracle: &KeyOracle, write: WriteId, dot: ShadowDot) -> Result<(), Violation> {
    if let Some(version) = oracle.version_of(dot) {
        let other = oracle.versions()[version].write;
        return Err(Violation::new(
            Property::P5,
            format!("write {write} was given {dot:?}, which write {other} has"),
        ));
    }
    match oracle.highest_counter(dot.actor) {
        Some(highest) if highest >= dot.counter => Err(Violation::new(
            Property::P5,
            format!(
                "write {write} was given {dot:?}, below the counter {highest} that its actor had reached"
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check_mint;
    use crate::bits::Bits;
    use crate::oracle::{KeyOracle, ShadowDot};

    #[test]
    fn a_dot_given_twice_and_a_counter_that_falls_are_caught() {
        let mut key = KeyOracle::default();
        key.register(1, ShadowDot { actor: 7, counter: 2 }, false, Bits::new());
        assert!(check_mint(&key, 2, ShadowDot { actor: 7, counter: 2 }).is_err());
        assert!(check_mint(&key, 2, ShadowDot { actor: 7, counter: 1 }).is_err());
        assert_eq!(check_mint(&key, 2, ShadowDot { actor: 7, counter: 3 }), Ok(()));
        assert_eq!(check_mint(&key, 2, ShadowDot { actor: 8, counter: 1 }), Ok(()));
    }
}
