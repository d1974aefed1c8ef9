//! Known bugs, armed by name, that the tests and the simulator must find. Without the `planted` feature none can be armed,
//! and the code that hangs on one is dropped by the compiler.
//!
//! | bug | name | what it does | who plants it |
//! |---|---|---|---|
//! | 7 | `7-sibling-explosion` | the coordinator drops the put's context and mints a sibling | here |
//! | 18 | `18-not-resumed` | an owner that is back, or was before this node, is brought nothing | here |
//! | 20 | `20-hint-forgotten-early` | a hint is forgotten when it is sent, before its owner has it durably | here |
//! | 40 | `40-engine-counts-unsynced` | the coordinator counts its own copy when it is applied, before it is durable | here |
//! | 61 | `61-counts-twice` | a retried operation is minted under another id | here |
//! | 70 | `70-left-behind-untold` | a coordinator does not remember which owners a write ended without | here |
//! | 1, 2, 12, 13, 14, 21, 40, 46, 47, 49, 50 | | what a shard can do wrong by itself | `kvorum_store::planted` |

/// A bug that can be armed in the engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Planted {
    /// Bug 7: a put's context is ignored, so that every read-modify-write leaves a sibling.
    SiblingExplosion,
    /// Bug 18: nobody begins to deliver because an owner can be reached.
    NotResumed,
    /// Bug 20: a hint is forgotten as soon as it is sent.
    HintForgottenEarly,
    /// Bug 40, the engine's twin: the own copy counts before its sync.
    CountsUnsynced,
    /// Bug 61: a retry of an operation that nobody who was asked knows is minted under another id, so that the increment of a
    /// branch that could not be asked is counted beside it.
    CountsTwice,
    /// Bug 70: who was left behind is not noted, so that nothing explains what an owner lacks.
    LeftBehindUntold,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 6] = [
        Planted::SiblingExplosion,
        Planted::NotResumed,
        Planted::HintForgottenEarly,
        Planted::CountsUnsynced,
        Planted::CountsTwice,
        Planted::LeftBehindUntold,
    ];

    /// The name by which it is armed, which begins with its number in the list of known bugs.
    pub fn name(self) -> &'static str {
        match self {
            Planted::SiblingExplosion => "7-sibling-explosion",
            Planted::NotResumed => "18-not-resumed",
            Planted::HintForgottenEarly => "20-hint-forgotten-early",
            Planted::CountsUnsynced => "40-engine-counts-unsynced",
            Planted::CountsTwice => "61-counts-twice",
            Planted::LeftBehindUntold => "70-left-behind-untold",
        }
    }

    /// The bug of this name.
    pub fn named(name: &str) -> Option<Planted> {
        Planted::ALL.into_iter().find(|planted| planted.name() == name)
    }

    /// Whether this bug is the armed one. Never without the `planted` feature.
    pub(crate) fn is_armed(self, armed: Option<Planted>) -> bool {
        cfg!(feature = "planted") && armed == Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Planted;

    #[test]
    fn bugs_can_be_armed_only_in_a_build_that_has_them() {
        for planted in Planted::ALL {
            assert_eq!(planted.is_armed(Some(planted)), cfg!(feature = "planted"));
            assert!(!planted.is_armed(None));
            assert_eq!(Planted::named(planted.name()), Some(planted));
        }
    }
}
