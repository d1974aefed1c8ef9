//! P24: every difference between owners has a reason, and the reason is true.
//!
//! An owner that lacks an event which others know of must be said to lack it, and why. What is claimed is held against what the
//! harness saw happen: who minted the event and when, which acknowledgements reached the minter, whom it was told to be down,
//! what was refused, which process was started when. Ages are rounded to milliseconds, and a testimony is given at some moment
//! between question and answer, so a claim counts as false only if no moment in between makes it true.

use crate::violation::{Property, Violation};

/// Nanoseconds of a millisecond: what ages are rounded by.
const MS: u64 = 1_000_000;

/// A reason, in plain numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Its coordinator left the owner behind.
    LeftBehind {
        /// The coordinator.
        by: u16,
        /// Why.
        cause: Cause,
        /// How long before the testimony, in nanoseconds.
        ago_ns: u64,
    },
    /// The write is on its way.
    UnderWay {
        /// The coordinator.
        by: u16,
    },
    /// The owner cannot read its record.
    Damaged,
    /// The owner lost records.
    Refilling,
    /// It was one of these.
    OneOf(Vec<Suspect>),
    /// The records contradict each other, or nothing explains it.
    Nothing,
}

/// Why an owner was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It could not be reached.
    Unreachable,
    /// It did not answer in time.
    Late,
    /// It refused.
    Refused,
}

/// A node that may have minted an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The node.
    pub node: u16,
    /// How far back it remembers, in nanoseconds before its testimony; none if it did not answer, or had not heard of it itself.
    pub remembers_ns: Option<u64>,
    /// It did not know of the event when it answered.
    pub lacks: bool,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Who minted the event.
    pub minter: u16,
    /// When, in the run's nanoseconds.
    pub minted_ns: u64,
    /// When its client asked.
    pub invoked_ns: u64,
    /// By when the write had to end.
    pub deadline_ns: u64,
    /// When the owner's acknowledgement first reached the minter.
    pub acked_ns: Option<u64>,
    /// Whether a refusal of the owner reached the minter.
    pub refused: bool,
    /// Spans within which the minter was told that the owner is down; an open one has no end.
    pub down: Vec<(u64, Option<u64>)>,
    /// Whether the owner's store noticed a damaged record.
    pub damaged: bool,
    /// Whether the owner's store is refilling, or was.
    pub refilling: bool,
}

/// Judges one reason. The question was put at `asked_ns` and answered at `told_ns`.
pub fn check(
    claim: &Claim,
    truth: &Truth,
    (asked_ns, told_ns): (u64, u64),
) -> Result<(), Violation> {
    match claim {
        Claim::LeftBehind { by, cause, ago_ns } => {
            let earliest = asked_ns.saturating_sub(ago_ns + MS);
            let latest = told_ns.saturating_sub(*ago_ns);
            let is_told =
                latest >= truth.minted_ns && truth.acked_ns.is_none_or(|at| at >= earliest);
            let is_caused = match cause {
                Cause::Unreachable => {
                    let within = |(from, to): &(u64, Option<u64>)| {
                        *from <= latest && to.is_none_or(|to| to >= truth.invoked_ns)
                    };
                    truth.down.iter().any(within)
                }
                Cause::Late => true,
                Cause::Refused => truth.refused,
            };
            judge(*by == truth.minter && is_told && is_caused, claim, truth)
        }
        Claim::UnderWay { by } => {
            let may_be = asked_ns <= truth.deadline_ns + 2_000 * MS;
            judge(*by == truth.minter && may_be, claim, truth)
        }
        Claim::Damaged => judge(truth.damaged, claim, truth),
        Claim::Refilling => judge(truth.refilling, claim, truth),
        Claim::OneOf(suspects) => {
            let is_it = |suspect: &Suspect| {
                let forgot = suspect.remembers_ns.is_none_or(|remembers_ns| {
                    let is_before = truth.minted_ns <= told_ns.saturating_sub(remembers_ns);
                    is_before || suspect.lacks && truth.minted_ns >= asked_ns
                });
                // What a store does after its engine has given a write up leaves no event: nobody waits for it.
                let was_given_up = truth.minted_ns > truth.deadline_ns;
                suspect.node == truth.minter && (forgot || was_given_up)
            };
            judge(suspects.iter().any(is_it), claim, truth)
        }
        Claim::Nothing => judge(false, claim, truth),
    }
}

fn judge(is_true: bool, claim: &Claim, truth: &Truth) -> Result<(), Violation> {
    match is_true {
        true => Ok(()),
        false => {
            let what =
                format!("a difference is explained by {claim:?}, and the truth is {truth:?}");
            Err(Violation::new(Property::P24, what))
        }
    }
}

/// Judges that an owner is said to lack just what it lacks: actors with the counters up to which others and it know them.
pub fn check_noticed(
    others: &[(u64, u64)],
    own: &[(u64, u64)],
    told: &[(u64, u64)],
) -> Result<(), Violation> {
    let known = |clock: &[(u64, u64)], actor: u64| {
        clock.iter().find(|(other, _)| *other == actor).map_or(0, |(_, counter)| *counter)
    };
    for (actor, counter) in others.iter().filter(|(actor, counter)| known(own, *actor) < *counter) {
        if !told.contains(&(*actor, *counter)) {
            let what = format!("nobody says that an owner lacks {actor:x}:{counter}");
            return Err(Violation::new(Property::P24, what));
        }
    }
    for (actor, counter) in told {
        if known(own, *actor) >= *counter || known(others, *actor) < *counter {
            let what = format!("an owner is said to lack {actor:x}:{counter}, and does not");
            return Err(Violation::new(Property::P24, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Cause, Claim, MS, Suspect, Truth, check, check_noticed};

    /// Node 1 minted at 100 ms, and was told at 50 ms that the owner is down.
    fn truth() -> Truth {
        Truth {
            minter: 1,
            minted_ns: 100 * MS,
            invoked_ns: 95 * MS,
            deadline_ns: 1_100 * MS,
            down: vec![(50 * MS, Some(200 * MS))],
            ..Truth::default()
        }
    }

    /// Asked at 500 ms, told at 510 ms.
    fn holds(claim: &Claim, truth: &Truth) -> bool {
        check(claim, truth, (500 * MS, 510 * MS)).is_ok()
    }

    fn left(by: u16, cause: Cause, ago_ms: u64) -> Claim {
        Claim::LeftBehind { by, cause, ago_ns: ago_ms * MS }
    }

    #[test]
    fn being_left_behind_needs_the_right_node_the_right_cause_and_no_acknowledgement() {
        assert!(holds(&left(1, Cause::Unreachable, 400), &truth()));
        assert!(!holds(&left(2, Cause::Unreachable, 400), &truth()), "another node wrote it");
        assert!(!holds(&left(1, Cause::Unreachable, 450), &truth()), "before it was minted");
        assert!(!holds(&left(1, Cause::Refused, 400), &truth()), "it refused nothing");
        let up = Truth { down: vec![(210 * MS, None)], ..truth() };
        assert!(!holds(&left(1, Cause::Unreachable, 400), &up), "it was up until later");
        let acked = Truth { acked_ns: Some(101 * MS), ..truth() };
        assert!(!holds(&left(1, Cause::Late, 300), &acked), "it had acknowledged it");
        let acked = Truth { acked_ns: Some(300 * MS), ..truth() };
        assert!(holds(&left(1, Cause::Late, 300), &acked), "it acknowledged it later");
    }

    #[test]
    fn a_write_is_under_way_only_within_its_time() {
        assert!(holds(&Claim::UnderWay { by: 1 }, &truth()));
        let late = Truth { deadline_ns: 0, ..truth() };
        assert!(check(&Claim::UnderWay { by: 1 }, &late, (2_001 * MS, 2_001 * MS)).is_err());
    }

    #[test]
    fn what_is_forgotten_was_minted_before_memory_or_after_the_answer() {
        let suspect = |remembers_ms: u64, lacks| {
            let remembers_ns = Some(remembers_ms * MS);
            Claim::OneOf(vec![Suspect { node: 1, remembers_ns, lacks }])
        };
        assert!(holds(&suspect(300, false), &truth()), "it started at 200 ms");
        assert!(!holds(&suspect(450, false), &truth()), "it remembers since 50 ms");
        let later = Truth { minted_ns: 505 * MS, ..truth() };
        assert!(holds(&suspect(450, true), &later) && !holds(&suspect(450, false), &later));
        let given_up = Truth { minted_ns: 400 * MS, deadline_ns: 300 * MS, ..truth() };
        assert!(holds(&suspect(450, false), &given_up), "nobody waited for it any more");
        let silent = Suspect { node: 1, remembers_ns: None, lacks: false };
        assert!(holds(&Claim::OneOf(vec![silent]), &truth()));
        assert!(!holds(&Claim::OneOf(vec![Suspect { node: 2, ..silent }]), &truth()));
        assert!(!holds(&Claim::Nothing, &truth()));
    }

    #[test]
    fn what_an_owner_lacks_is_said_and_nothing_else() {
        let (others, own) = ([(1, 3), (2, 1)], [(1, 2), (2, 1)]);
        assert_eq!(check_noticed(&others, &own, &[(1, 3)]), Ok(()));
        assert!(check_noticed(&others, &own, &[]).is_err());
        assert!(check_noticed(&others, &own, &[(1, 3), (2, 1)]).is_err());
        assert!(check_noticed(&others, &own, &[(1, 3), (1, 4)]).is_err());
    }
}
