//! P3: no false concurrency, no sibling explosion.
//!
//! The live values of every stored or returned set are an antichain under the shadow order: none of them supersedes
//! another. And there are never more of them than the shadow has maximal versions among those that the set covers.
//! A store that lets superseded values live grows without bound under two clients that take turns.

use crate::oracle::{KeyOracle, Seen};
use crate::violation::{Property, Violation};

/// Judges one stored or returned set.
pub fn check(oracle: &KeyOracle, seen: &Seen) -> Result<(), Violation> {
    let mut live = Vec::with_capacity(seen.live.len());
    for dot in &seen.live {
        match oracle.version_of(*dot) {
            Some(version) => live.push(version),
            None => {
                return Err(Violation::new(
                    Property::P3,
                    format!("a live value has {dot:?}, which nobody minted"),
                ));
            }
        }
    }
    for older in &live {
        for newer in &live {
            if oracle.versions()[*newer].past.contains(*older) {
                let (old, new) = (&oracle.versions()[*older], &oracle.versions()[*newer]);
                return Err(Violation::new(
                    Property::P3,
                    format!(
                        "write {} lives beside write {}, which superseded it",
                        old.write, new.write
                    ),
                ));
            }
        }
    }
    if live.len() > 1 { check_size(oracle, seen, live.len()) } else { Ok(()) }
}

fn check_size(oracle: &KeyOracle, seen: &Seen, siblings: usize) -> Result<(), Violation> {
    let covered = oracle.covered(&seen.clock);
    let superseded = oracle.closure(
        covered
            .iter()
            .flat_map(|version| oracle.versions()[version].past.iter().collect::<Vec<_>>()),
    );
    let maximal = covered.iter().filter(|version| !superseded.contains(*version)).count();
    if siblings > maximal {
        return Err(Violation::new(
            Property::P3,
            format!("{siblings} siblings where only {maximal} covered versions are not superseded"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::bits::Bits;
    use crate::oracle::{KeyOracle, Seen, ShadowDot};

    const fn dot(actor: u64, counter: u64) -> ShadowDot {
        ShadowDot { actor, counter }
    }

    #[test]
    fn concurrent_writes_are_siblings_and_a_superseded_one_is_caught() {
        let mut key = KeyOracle::default();
        let first = key.register(1, dot(10, 1), false, Bits::new());
        key.register(2, dot(20, 1), false, Bits::new());
        let past = key.closure([first]);
        key.register(3, dot(10, 2), false, past);
        let honest = Seen { clock: vec![(10, 2), (20, 1)], live: vec![dot(10, 2), dot(20, 1)] };
        assert_eq!(check(&key, &honest), Ok(()));
        let explosion =
            Seen { clock: vec![(10, 2), (20, 1)], live: vec![dot(10, 1), dot(10, 2), dot(20, 1)] };
        assert!(check(&key, &explosion).unwrap_err().what.contains("write 1 lives beside write 3"));
    }

    #[test]
    fn a_set_with_more_siblings_than_maximal_versions_is_caught() {
        let mut key = KeyOracle::default();
        key.register(1, dot(10, 1), false, Bits::new());
        key.register(2, dot(20, 1), false, Bits::new());
        let uncovered = Seen { clock: vec![(10, 1)], live: vec![dot(10, 1), dot(20, 1)] };
        assert!(check(&key, &uncovered).is_err());
    }

    #[test]
    fn a_live_value_that_nobody_minted_is_caught() {
        let invented = Seen { clock: vec![(1, 1)], live: vec![dot(1, 1)] };
        assert!(check(&KeyOracle::default(), &invented).is_err());
    }
}
