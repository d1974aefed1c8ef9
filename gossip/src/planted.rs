//! Known bugs, armed by name, that the simulator must find. Compiled in only with the `planted` feature, and even then nothing
//! is armed unless [`Membership::arm`](crate::Membership::arm) is called.

use std::collections::BTreeSet;

use kvorum_ring::NodeId;

/// A bug of the list that can be armed in membership.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Planted {
    /// Bug 29: who has found anybody asks nobody any more, so a node that lost sight of all others is alone for ever.
    NeverRejoins,
    /// Bug 30: nobody is asked twice, so a node whose first datagrams were lost is alone for ever.
    AnnouncesOnce,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 2] = [Planted::NeverRejoins, Planted::AnnouncesOnce];

    /// The name by which it is armed, which begins with its number in the list of known bugs.
    pub fn name(self) -> &'static str {
        match self {
            Planted::NeverRejoins => "29-never-rejoins",
            Planted::AnnouncesOnce => "30-announces-once",
        }
    }

    /// The bug of this name.
    pub fn named(name: &str) -> Option<Planted> {
        Planted::ALL.into_iter().find(|planted| planted.name() == name)
    }
}

/// What an armed bug remembers of the seeds.
#[derive(Default)]
pub(crate) struct Armed {
    bug: Option<Planted>,
    asked: BTreeSet<NodeId>,
    joined: bool,
}

impl Armed {
    pub(crate) fn arm(&mut self, bug: Planted) {
        self.bug = Some(bug);
    }

    /// Somebody was found.
    pub(crate) fn joined(&mut self) {
        self.joined = true;
    }

    /// Whether the bug keeps a seed from being asked.
    pub(crate) fn passes_over(&mut self, seed: NodeId) -> bool {
        match self.bug {
            None => false,
            Some(Planted::NeverRejoins) => self.joined,
            Some(Planted::AnnouncesOnce) => !self.asked.insert(seed),
        }
    }
}
