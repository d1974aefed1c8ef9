//! P2: once faults have ended and owners had some time to exchange what they missed, all owners of a key hold the same live
//! versions, whether or not anybody has read it.
//!
//! Clocks may differ: a tombstone is given back to nobody who has no record, and an entry that no live version needs does
//! no harm where it is missing.

use crate::oracle::{Seen, ShadowDot};
use crate::violation::{Property, Violation};

/// Judges the owners of one key, each with its node number.
pub fn check(owners: &[(u16, Seen)]) -> Result<(), Violation> {
    let Some(((first, expected), rest)) = owners.split_first() else { return Ok(()) };
    let expected = live(expected);
    for (node, seen) in rest {
        let held = live(seen);
        if held != expected {
            let what = format!(
                "after healing and exchanges, node {node} holds {held:?} live, and node {first} {expected:?}"
            );
            return Err(Violation::new(Property::P2, what));
        }
    }
    Ok(())
}

fn live(seen: &Seen) -> Vec<ShadowDot> {
    let mut live = seen.live.clone();
    live.sort_unstable();
    live
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::oracle::{Seen, ShadowDot};

    #[test]
    fn owners_that_differ_are_caught_and_order_does_not_matter() {
        let dots = [ShadowDot { actor: 1, counter: 1 }, ShadowDot { actor: 2, counter: 1 }];
        let one = Seen { clock: vec![(1, 1), (2, 1)], live: dots.to_vec() };
        let same = Seen { clock: vec![(2, 1), (1, 1)], live: vec![dots[1], dots[0]] };
        let less = Seen { clock: vec![(1, 1)], live: vec![dots[0]] };
        assert_eq!(check(&[(0, one.clone()), (1, same)]), Ok(()));
        let tombstone = Seen { clock: vec![(3, 1)], live: vec![] };
        assert_eq!(check(&[(0, tombstone), (1, Seen::default())]), Ok(()));
        assert!(check(&[(0, one), (1, less)]).is_err());
        assert_eq!(check(&[]), Ok(()));
    }
}
