//! P4: no false domination.
//!
//! Whatever a stored clock covers must be live there, or superseded by something that is known there. A clock that
//! covers more makes every later merge throw the uncounted value away, silently and everywhere. Checked at every store
//! event, this catches the loss at the moment of the damage and not when somebody misses the value.

use crate::oracle::{KeyOracle, Seen};
use crate::violation::{Property, Violation};

/// Judges one stored set.
pub fn check(oracle: &KeyOracle, seen: &Seen) -> Result<(), Violation> {
    match oracle.covered(&seen.clock).first_missing_from(&oracle.recorded(seen)) {
        None => Ok(()),
        Some(version) => {
            let version = &oracle.versions()[version];
            Err(Violation::new(
                Property::P4,
                format!(
                    "a clock covers write {} ({:?}), which nothing here superseded",
                    version.write, version.dot
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::bits::Bits;
    use crate::oracle::{KeyOracle, Seen, ShadowDot};

    #[test]
    fn a_clock_that_covers_an_unseen_write_is_caught() {
        // The actor came back after a loss and went on counting: its second dot covers a first that nobody read.
        let (first, second) =
            (ShadowDot { actor: 7, counter: 1 }, ShadowDot { actor: 7, counter: 2 });
        let mut key = KeyOracle::default();
        key.register(1, first, false, Bits::new());
        key.register(2, second, false, Bits::new());
        let both = Seen { clock: vec![(7, 2)], live: vec![first, second] };
        assert_eq!(check(&key, &both), Ok(()));
        let silent = Seen { clock: vec![(7, 2)], live: vec![second] };
        assert!(check(&key, &silent).unwrap_err().what.contains("write 1"));
    }
}
