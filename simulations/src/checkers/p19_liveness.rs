//! P19: every operation ends in time, and nothing goes on for ever.
//!
//! While faults run, an operation owes an answer only if its coordinator stayed up, awake and reachable to the client.
//! In the phase after healing all of them owe one, and a bounded number of events must bring the cluster to rest.

use crate::history::{Outcome, Row};
use crate::violation::{Property, Violation};

/// Judges an operation that owed an answer, after its deadline and the answer's way back.
pub fn check_ended(row: &Row) -> Result<(), Violation> {
    if row.outcome == Outcome::Pending {
        return Err(Violation::new(
            Property::P19,
            format!(
                "operation {} had no answer at its deadline from node {}",
                row.operation, row.coordinator
            ),
        )
        .on_key(row.key));
    }
    Ok(())
}

/// Judges an operation of the healed phase: it must have succeeded.
pub fn check_succeeded(row: &Row) -> Result<(), Violation> {
    check_ended(row)?;
    if row.outcome != Outcome::Ok {
        return Err(Violation::new(
            Property::P19,
            format!(
                "operation {} ended as {:?} although all nodes were up and connected",
                row.operation, row.outcome
            ),
        )
        .on_key(row.key));
    }
    Ok(())
}

/// Judges the work after healing: `events` were needed where `allowed` are enough.
pub fn check_rest(events: u64, allowed: u64) -> Result<(), Violation> {
    if events > allowed {
        return Err(Violation::new(
            Property::P19,
            format!("no rest within {allowed} events after healing"),
        ));
    }
    Ok(())
}

/// Judges a node that is still at work for one input after `steps` answers between its engine and its store.
pub fn check_turn(steps: u64, allowed: u64) -> Result<(), Violation> {
    if steps > allowed {
        let what = format!(
            "engine and store answered each other {allowed} times for one input, and went on"
        );
        return Err(Violation::new(Property::P19, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_ended, check_rest, check_succeeded, check_turn};
    use crate::bits::Bits;
    use crate::history::{Outcome, Row};

    fn row(outcome: Outcome) -> Row {
        Row {
            operation: 4,
            client: 0,
            key: 2,
            coordinator: 1,
            strict: false,
            quorum: 2,
            write: true,
            invoked_ns: 0,
            ended_ns: 0,
            deadline_ns: 10,
            outcome,
            owed: Bits::new(),
            shown: None,
            context_clock: Vec::new(),
            expires_at_ms: None,
            earliest_ms: 0,
            bad_context: false,
        }
    }

    #[test]
    fn an_operation_without_an_answer_is_caught() {
        assert!(check_ended(&row(Outcome::Pending)).is_err());
        assert_eq!(check_ended(&row(Outcome::Indeterminate)), Ok(()));
        assert!(check_succeeded(&row(Outcome::Indeterminate)).is_err());
        assert_eq!(check_succeeded(&row(Outcome::Ok)), Ok(()));
    }

    #[test]
    fn endless_work_is_caught() {
        assert_eq!(check_rest(10, 10), Ok(()));
        assert!(check_rest(11, 10).is_err());
        assert_eq!(check_turn(10, 10), Ok(()));
        assert!(check_turn(11, 10).is_err());
    }
}
