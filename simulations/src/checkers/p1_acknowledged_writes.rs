//! P1: no acknowledged write is lost.
//!
//! At the end, what all owners of a key hold together must account for every write that a client was told is applied:
//! live, superseded by something that is known, or deleted. Before the end, a strict read whose quorum must meet the
//! write's quorum (`r + w > n`) has to account for every write that was acknowledged before the read was asked. Writes
//! with an unknown end are never owed, and never forbidden.

use crate::bits::Bits;
use crate::oracle::{KeyOracle, Seen, WriteId};
use crate::violation::{Property, Violation};

/// Judges what all owners together hold at the end, by the acknowledged writes that are `owed`.
pub fn check_final(oracle: &KeyOracle, owed: &Bits, owners: &[Seen]) -> Result<(), Violation> {
    let mut known = Bits::new();
    for seen in owners {
        known.union_with(&oracle.recorded(seen));
    }
    match first_lost(oracle, owed, &known) {
        None => Ok(()),
        Some(write) => Err(Violation::new(
            Property::P1,
            format!(
                "write {write} was acknowledged, and at the end no owner holds it or anything that superseded it"
            ),
        )),
    }
}

/// Judges a strict read: `owed` are the writes acknowledged before it was asked, `seen` is what it returned. A reply
/// without a context (nothing found) is a `seen` that is empty, and then only deletes can account for what is owed.
pub fn check_strict_read(oracle: &KeyOracle, owed: &Bits, seen: &Seen) -> Result<(), Violation> {
    let known = oracle.known(seen);
    let nothing_found = seen.clock.is_empty();
    let accounted =
        |write| oracle.write_is_in(write, &known) || (nothing_found && oracle.is_deleted(write));
    let lost = owed.iter().map(|write| write as WriteId).find(|write| !accounted(*write));
    match lost {
        None => Ok(()),
        Some(write) => Err(Violation::new(
            Property::P1,
            format!(
                "a strict read missed write {write}, which was acknowledged before the read was asked"
            ),
        )),
    }
}

fn first_lost(oracle: &KeyOracle, owed: &Bits, known: &Bits) -> Option<WriteId> {
    owed.iter().map(|write| write as WriteId).find(|write| !oracle.write_is_in(*write, known))
}

#[cfg(test)]
mod tests {
    use super::{check_final, check_strict_read};
    use crate::bits::Bits;
    use crate::oracle::{KeyOracle, Seen, ShadowDot};

    const FIRST: ShadowDot = ShadowDot { actor: 10, counter: 1 };
    const SECOND: ShadowDot = ShadowDot { actor: 20, counter: 2 };

    /// Write 1, superseded by write 2; both acknowledged.
    fn two_writes(delete: bool) -> KeyOracle {
        let mut key = KeyOracle::default();
        let first = key.register(1, FIRST, false, Bits::new());
        let past = key.closure([first]);
        key.register(2, SECOND, delete, past);
        key.acknowledge(1);
        key.acknowledge(2);
        key
    }

    #[test]
    fn a_superseded_write_is_not_lost() {
        let seen = Seen { clock: vec![(10, 1), (20, 2)], live: vec![SECOND] };
        let key = two_writes(false);
        assert_eq!(check_final(&key, key.acknowledged(), &[Seen::default(), seen]), Ok(()));
    }

    #[test]
    fn an_acknowledged_write_that_no_owner_accounts_for_is_caught() {
        let old = Seen { clock: vec![(10, 1)], live: vec![FIRST] };
        let key = two_writes(false);
        let verdict = check_final(&key, key.acknowledged(), &[old, Seen::default()]);
        assert!(verdict.unwrap_err().what.contains("write 2"));
    }

    #[test]
    fn a_strict_read_that_misses_an_owed_write_is_caught() {
        let key = two_writes(false);
        let owed: Bits = [1, 2].into_iter().collect();
        let old = Seen { clock: vec![(10, 1)], live: vec![FIRST] };
        assert!(check_strict_read(&key, &owed, &old).is_err());
        assert!(
            check_strict_read(&key, &owed, &Seen::default()).is_err(),
            "not found is no excuse without a delete"
        );
        assert_eq!(check_strict_read(&key, &[1].into_iter().collect(), &old), Ok(()));
    }

    #[test]
    fn not_found_is_right_after_a_delete() {
        let owed: Bits = [1, 2].into_iter().collect();
        assert_eq!(check_strict_read(&two_writes(true), &owed, &Seen::default()), Ok(()));
    }
}
