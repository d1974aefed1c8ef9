//! P8, at store level: what was removed stays removed.
//!
//! The simulator reclaims tombstones itself at the end of a run, when all owners hold the same one and nothing is under
//! way, and then cuts the power and damages the indexes. A record that was durably removed may not come back, neither as
//! an old value from a segment that still holds one nor as the tombstone.

use crate::oracle::Seen;
use crate::violation::{Property, Violation};

/// Judges what `node` holds of a key whose removal it had called durable.
pub fn check_removed(node: u16, seen: &Seen) -> Result<(), Violation> {
    if seen.clock.is_empty() && seen.live.is_empty() {
        return Ok(());
    }
    let what = if seen.live.is_empty() { "its tombstone" } else { "an old value" };
    Err(Violation::new(
        Property::P8,
        format!("node {node} had removed the record durably, and {what} came back"),
    ))
}

#[cfg(test)]
mod tests {
    use super::check_removed;
    use crate::oracle::{Seen, ShadowDot};

    #[test]
    fn a_removed_record_that_comes_back_is_caught() {
        assert_eq!(check_removed(0, &Seen::default()), Ok(()));
        let tombstone = Seen { clock: vec![(1, 2)], live: vec![] };
        assert!(check_removed(0, &tombstone).unwrap_err().what.contains("tombstone"));
        let old = Seen { clock: vec![(1, 1)], live: vec![ShadowDot { actor: 1, counter: 1 }] };
        assert!(check_removed(0, &old).unwrap_err().what.contains("old value"));
    }
}
