//! Where a get stands with its second questions to the owners (`again.rs`).

/// Where the second questions stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SecondLook {
    /// Nothing was handed over since the owners were asked, as far as was heard.
    Unneeded,
    /// Something may have been.
    Needed,
    UnderWay,
    /// Whether all owners answered, and had nothing.
    Over {
        all: bool,
    },
}

impl SecondLook {
    /// Whether nothing can be hidden by a handover.
    pub(super) fn is_over(self) -> bool {
        matches!(self, SecondLook::Unneeded | SecondLook::Over { all: true })
    }
}
