//! Known bugs, armed by name, that the simulator must find. Compiled in only with the `planted` feature, and even then nothing
//! is armed unless [`Membership::arm`](crate::Membership::arm) is called.

/// A bug of the list that can be armed in membership.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Planted {
    /// Bugs 29 and 30: nobody is asked twice, so a node that lost sight of all others is alone for ever.
    NeverRejoins,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 1] = [Planted::NeverRejoins];

    /// The name by which it is armed, which begins with its number in the list of known bugs.
    pub fn name(self) -> &'static str {
        match self {
            Planted::NeverRejoins => "29-never-rejoins",
        }
    }

    /// The bug of this name.
    pub fn named(name: &str) -> Option<Planted> {
        Planted::ALL.into_iter().find(|planted| planted.name() == name)
    }
}
