//! P6: a context says exactly what its holder was shown.
//!
//! A context that covers more than the values it came with erases versions that its holder never saw; one that covers
//! less leaves superseded versions alive. A write with a context descends from it. A forged context, or one of another
//! key, is refused and nothing of it takes effect.

use crate::oracle::{KeyOracle, Seen, covers};
use crate::violation::{Property, Violation};

/// Judges a reply: the clock of its context and the dots of the values that came with it.
pub fn check_reply(oracle: &KeyOracle, reply: &Seen) -> Result<(), Violation> {
    if let Some(dot) = reply.live.iter().find(|dot| !covers(&reply.clock, **dot)) {
        return Err(Violation::new(
            Property::P6,
            format!("a context does not cover {dot:?}, which came with it"),
        ));
    }
    let covered = oracle.covered(&reply.clock);
    let shown = oracle.known(reply);
    if let Some(version) = covered.first_missing_from(&shown) {
        let version = &oracle.versions()[version];
        return Err(Violation::new(
            Property::P6,
            format!(
                "a context covers write {} ({:?}), which was not shown with it",
                version.write, version.dot
            ),
        ));
    }
    match shown.first_missing_from(&covered) {
        None => Ok(()),
        Some(version) => Err(Violation::new(
            Property::P6,
            format!(
                "a context leaves out write {}, which came before what was shown",
                oracle.versions()[version].write
            ),
        )),
    }
}

/// Judges a mint that used a context: the clock it led to must descend from the context's.
pub fn check_mint(context: &[(u64, u64)], stored: &[(u64, u64)]) -> Result<(), Violation> {
    let missing = context.iter().find(|(actor, counter)| {
        !stored.iter().any(|(known, reached)| known == actor && reached >= counter)
    });
    match missing {
        None => Ok(()),
        Some(entry) => Err(Violation::new(
            Property::P6,
            format!(
                "a write with a context led to a clock that lacks the context's entry {entry:?}"
            ),
        )),
    }
}

/// Judges the end of a write whose context was forged or belongs to another key.
pub fn check_bad_context(refused_as_such: bool, minted: bool) -> Result<(), Violation> {
    if minted {
        return Err(Violation::new(
            Property::P6,
            "a write with a forged or foreign context was minted".to_owned(),
        ));
    }
    if !refused_as_such {
        let what =
            "a write with a forged or foreign context was answered otherwise than with a refusal"
                .to_owned();
        return Err(Violation::new(Property::P6, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_bad_context, check_mint, check_reply};
    use crate::bits::Bits;
    use crate::oracle::{KeyOracle, Seen, ShadowDot};

    const X: ShadowDot = ShadowDot { actor: 1, counter: 1 };
    const Y: ShadowDot = ShadowDot { actor: 1, counter: 2 };

    fn concurrent() -> KeyOracle {
        let mut key = KeyOracle::default();
        key.register(1, X, false, Bits::new());
        key.register(2, Y, false, Bits::new());
        key
    }

    #[test]
    fn a_context_that_claims_an_unshown_write_is_caught() {
        let key = concurrent();
        assert_eq!(check_reply(&key, &Seen { clock: vec![(1, 2)], live: vec![X, Y] }), Ok(()));
        let claims = check_reply(&key, &Seen { clock: vec![(1, 2)], live: vec![Y] });
        assert!(claims.unwrap_err().what.contains("covers write 1"));
    }

    #[test]
    fn a_context_that_leaves_out_what_was_shown_is_caught() {
        let mut key = concurrent();
        assert!(check_reply(&key, &Seen { clock: vec![(1, 1)], live: vec![X, Y] }).is_err());
        let past = key.closure([0, 1]);
        let z = ShadowDot { actor: 5, counter: 3 };
        key.register(3, z, false, past);
        assert!(check_reply(&key, &Seen { clock: vec![(5, 3)], live: vec![z] }).is_err());
    }

    #[test]
    fn a_write_that_does_not_descend_from_its_context_is_caught() {
        assert_eq!(check_mint(&[(1, 2)], &[(1, 2), (9, 3)]), Ok(()));
        assert!(check_mint(&[(1, 2)], &[(1, 1), (9, 3)]).is_err());
        assert!(check_mint(&[(1, 2)], &[(9, 3)]).is_err());
    }

    #[test]
    fn a_bad_context_that_took_effect_or_was_not_refused_is_caught() {
        assert_eq!(check_bad_context(true, false), Ok(()));
        assert!(check_bad_context(true, true).is_err());
        assert!(check_bad_context(false, false).is_err());
    }
}
