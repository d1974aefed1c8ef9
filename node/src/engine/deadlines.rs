//! When machines want to be woken.
//!
//! An ordered set instead of a heap: nearly every operation ends long before its deadline, and a set forgets it then,
//! where a heap would carry the corpse until its time came.

use std::collections::BTreeSet;

use kvorum_store::Token;

/// The alarms of all machines, earliest first; equal times ring in the order of their tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    alarms: BTreeSet<(u64, Token)>,
}

impl Deadlines {
    /// Sets an alarm at a monotonic time in nanoseconds.
    pub(crate) fn arm(&mut self, at_ns: u64, token: Token) {
        let fresh = self.alarms.insert((at_ns, token));
        assert!(fresh, "a machine has one alarm");
    }

    /// Forgets an alarm that was set.
    pub(crate) fn disarm(&mut self, at_ns: u64, token: Token) {
        let known = self.alarms.remove(&(at_ns, token));
        assert!(known, "only a set alarm is forgotten");
    }

    /// The earliest alarm's time.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.alarms.first().map(|alarm| alarm.0)
    }

    /// Takes out the earliest alarm whose time has come.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<Token> {
        let earliest = *self.alarms.first()?;
        if earliest.0 > now_ns {
            return None;
        }
        self.alarms.remove(&earliest);
        Some(earliest.1)
    }
}

#[cfg(test)]
mod tests {
    use kvorum_store::Token;

    use super::Deadlines;

    #[test]
    fn alarms_ring_in_order_of_time_and_never_early() {
        let mut deadlines = Deadlines::default();
        for (at, token) in [(30, 1), (10, 2), (10, 3), (20, 4)] {
            deadlines.arm(at, Token(token));
        }
        deadlines.disarm(10, Token(3));
        assert_eq!(deadlines.next_ns(), Some(10));
        assert_eq!(deadlines.take_due(9), None);
        let rung: Vec<u64> =
            std::iter::from_fn(|| deadlines.take_due(20)).map(|token| token.0).collect();
        assert_eq!(rung, [2, 4]);
        assert_eq!(deadlines.next_ns(), Some(30));
    }
}
