//! The account of a write load under which a node was killed: every write is in exactly one column.
//!
//! Three rules, which are the system's promise: an acknowledged write is found; a write that was said not to be applied
//! is not found; about all others nothing was promised, so both are right. A breach of either rule is damage.

use serde::Serialize;

/// What the client was told about a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Durable on as many nodes as asked.
    Acknowledged,
    /// Not applied anywhere.
    NotApplied,
    /// Applied on fewer nodes than asked, or nobody knows.
    Uncertain,
}

/// What a later read saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Exactly the bytes that were written.
    Same,
    /// Other bytes, or several values.
    Other,
    /// Nothing.
    Absent,
}

/// The account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    /// Writes that were begun.
    pub(crate) writes: u64,
    /// Writes that needed more than one attempt.
    pub(crate) retried: u64,
    /// Acknowledged and found.
    pub(crate) acknowledged_found: u64,
    /// Acknowledged and not found: lost.
    pub(crate) acknowledged_lost: u64,
    /// Said not to be applied, and not found.
    pub(crate) refused_absent: u64,
    /// Said not to be applied, and found nevertheless.
    pub(crate) refused_found: u64,
    /// Uncertain, and found.
    pub(crate) uncertain_found: u64,
    /// Uncertain, and not found.
    pub(crate) uncertain_absent: u64,
    /// Found with bytes that nobody wrote there.
    pub(crate) wrong_bytes: u64,
}

impl Account {
    /// Enters one write.
    pub(crate) fn enter(&mut self, told: Told, seen: Seen, attempts: u32) {
        self.writes += 1;
        self.retried += u64::from(attempts > 1);
        let column = match (told, seen) {
            (_, Seen::Other) => &mut self.wrong_bytes,
            (Told::Acknowledged, Seen::Same) => &mut self.acknowledged_found,
            (Told::Acknowledged, Seen::Absent) => &mut self.acknowledged_lost,
            (Told::NotApplied, Seen::Same) => &mut self.refused_found,
            (Told::NotApplied, Seen::Absent) => &mut self.refused_absent,
            (Told::Uncertain, Seen::Same) => &mut self.uncertain_found,
            (Told::Uncertain, Seen::Absent) => &mut self.uncertain_absent,
        };
        *column += 1;
    }

    /// Whether every promise was kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.acknowledged_lost == 0 && self.refused_found == 0 && self.wrong_bytes == 0
    }

    /// Writes that were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged_found + self.acknowledged_lost
    }

    /// Writes whose outcome was said to be uncertain.
    pub(crate) fn uncertain(&self) -> u64 {
        self.uncertain_found + self.uncertain_absent
    }

    /// Writes that were said not to be applied.
    pub(crate) fn not_applied(&self) -> u64 {
        self.refused_absent + self.refused_found
    }

    /// Every write that was entered, column by column: nothing may be missing.
    pub(crate) fn accounted(&self) -> u64 {
        self.acknowledged() + self.not_applied() + self.uncertain() + self.wrong_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Seen, Told};

    #[test]
    fn every_write_is_in_exactly_one_column() {
        let mut account = Account::default();
        for told in [Told::Acknowledged, Told::NotApplied, Told::Uncertain] {
            for seen in [Seen::Same, Seen::Other, Seen::Absent] {
                account.enter(told, seen, 1);
            }
        }
        assert_eq!((account.writes, account.accounted()), (9, 9));
    }

    #[test]
    fn a_lost_write_a_phantom_and_wrong_bytes_each_break_the_promise() {
        let kept = |told, seen| {
            let mut account = Account::default();
            account.enter(told, seen, 2);
            account.is_kept()
        };
        assert!(kept(Told::Acknowledged, Seen::Same));
        assert!(kept(Told::NotApplied, Seen::Absent));
        assert!(kept(Told::Uncertain, Seen::Same) && kept(Told::Uncertain, Seen::Absent));
        assert!(!kept(Told::Acknowledged, Seen::Absent));
        assert!(!kept(Told::NotApplied, Seen::Same));
        assert!(!kept(Told::Uncertain, Seen::Other));
    }
}
