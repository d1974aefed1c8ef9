//! What happens after a failed attempt, and what is true about the operation then.
//!
//! Pure: it is told what came of each attempt and says whether to try again. Its one subtle duty is memory. Once a write
//! *may* have been applied, no later answer makes that untrue: "not applied" from a second coordinator speaks of the
//! second attempt only. So the first uncertain outcome is kept, every later attempt is marked as a retry (the coordinator
//! then asks the owners for the operation id before it mints), and only a success ends the doubt.

use std::time::Duration;

use kvorum_protocol::message::error::Retry;
use kvorum_protocol::message::{ErrorClass, RequestError};
use kvorum_ring::NodeId;

use crate::connection::NoAnswer;
use crate::error::ErrorKind;

/// What came of one attempt, when it was not a success.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The node answered with an error.
    Answered(NodeId, RequestError),
    /// The node answered something else than was asked.
    Unexpected(NodeId),
    /// There was no answer.
    Silent(NodeId, NoAnswer),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: it fails the same way again.
    GiveUp,
    /// Try again.
    Again {
        /// How long to wait at least.
        at_least: Duration,
        /// Ask for the topology first.
        refresh: bool,
        /// Leave out the node that was just asked.
        elsewhere: bool,
    },
}

/// The attempts of one operation so far.
#[derive(Debug)]
pub(crate) struct Attempts {
    is_write: bool,
    made: u32,
    /// How many there may be.
    most: u32,
    /// The coordinator of the first attempt that may have been applied, and what came of it.
    uncertain: Option<(NodeId, ErrorKind)>,
    last: Option<ErrorKind>,
}

impl Attempts {
    /// No attempt yet of at most `most`.
    pub(crate) fn new(is_write: bool, most: u32) -> Attempts {
        Attempts { is_write, made: 0, most, uncertain: None, last: None }
    }

    /// How many attempts were made.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// An attempt begins.
    pub(crate) fn begin(&mut self) {
        self.made += 1;
    }

    /// The node that may have applied an earlier attempt: a retry goes there if it can.
    pub(crate) fn first_coordinator(&self) -> Option<NodeId> {
        self.uncertain.as_ref().map(|(node, _)| *node)
    }

    /// An attempt failed.
    pub(crate) fn failed(&mut self, outcome: Outcome) -> Next {
        let next = self.next(&outcome);
        let outcome = of_this_attempt(outcome);
        let (node, kind) = self.kind(outcome);
        if self.is_write && class_of(&kind) == ErrorClass::Unknown {
            self.remember_doubt(node, kind.clone());
        }
        self.last = Some(kind);
        if self.made >= self.most { Next::GiveUp } else { next }
    }

    /// The first doubt stays, except that "applied at k of w" says more than "nobody knows".
    fn remember_doubt(&mut self, node: NodeId, kind: ErrorKind) {
        let says_more =
            matches!(&kind, ErrorKind::Answered { error: RequestError::AppliedBelowW { .. }, .. });
        match &mut self.uncertain {
            None => self.uncertain = Some((node, kind)),
            Some((_, known)) if says_more => *known = kind,
            Some(_) => {}
        }
    }

    /// What is true about the operation when no further attempt is made; `otherwise` when none was made at all.
    pub(crate) fn verdict(self, otherwise: ErrorKind) -> ErrorKind {
        let uncertain = self.uncertain.map(|(_, kind)| kind);
        uncertain.or(self.last).unwrap_or(otherwise)
    }

    fn kind(&self, outcome: Outcome) -> (NodeId, ErrorKind) {
        match outcome {
            Outcome::Answered(node, error) => (node, ErrorKind::Answered { node, error }),
            Outcome::Unexpected(node) => (node, ErrorKind::UnexpectedAnswer { node }),
            Outcome::Silent(node, NoAnswer::TooLong(error)) => (node, ErrorKind::TooLong(error)),
            Outcome::Silent(node, NoAnswer::NotSent) => (node, ErrorKind::NoNode(Vec::new())),
            Outcome::Silent(node, _) if self.is_write => (node, ErrorKind::OutcomeUnknown),
            Outcome::Silent(node, _) => (node, ErrorKind::NoAnswer),
        }
    }

    fn next(&self, outcome: &Outcome) -> Next {
        let again = |ms, refresh, elsewhere| Next::Again {
            at_least: Duration::from_millis(ms),
            refresh,
            elsewhere,
        };
        match outcome {
            Outcome::Answered(_, error) => match error.retry() {
                Retry::No => Next::GiveUp,
                Retry::After { ms } => again(u64::from(ms), false, wants_another(error)),
                Retry::AfterTopology => again(0, true, false),
            },
            Outcome::Unexpected(_) | Outcome::Silent(_, NoAnswer::TooLong(_)) => Next::GiveUp,
            // The node speaks, so it is a member: to ask all nodes for the topology would only be more to do for a busy one.
            Outcome::Silent(_, NoAnswer::TimedOut) => again(0, false, true),
            // A node that hangs is left alone; one whose connection broke is asked again if it can be reached.
            Outcome::Silent(_, why) => again(0, true, matches!(why, NoAnswer::Silent)),
        }
    }
}

/// What an answer says of its own attempt. Whether an earlier one is in doubt is known here, and not from the node: it is the
/// first uncertain outcome that is kept, or the caller said that this is a retry.
fn of_this_attempt(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Answered(node, error) => Outcome::Answered(node, error.of_attempt().clone()),
        other => other,
    }
}

/// Whether another node may do better than the one that answered.
fn wants_another(error: &RequestError) -> bool {
    matches!(
        error.of_attempt(),
        RequestError::Unavailable { .. }
            | RequestError::Stopping
            | RequestError::Uncovered { .. }
            | RequestError::Overloaded { .. }
    )
}

fn class_of(kind: &ErrorKind) -> ErrorClass {
    match kind {
        ErrorKind::Answered { error, .. } => error.class(),
        ErrorKind::OutcomeUnknown | ErrorKind::UnexpectedAnswer { .. } => ErrorClass::Unknown,
        _ => ErrorClass::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kvorum_protocol::OperationId;
    use kvorum_protocol::message::RequestError;
    use kvorum_ring::NodeId;

    use super::{Attempts, Next, Outcome};
    use crate::connection::NoAnswer;
    use crate::error::ErrorKind;
    use crate::limits::ATTEMPTS;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn unavailable() -> RequestError {
        RequestError::Unavailable { needed: 2, got: 1, causes: Vec::new() }
    }

    fn verdict(is_write: bool, outcomes: Vec<Outcome>) -> ErrorKind {
        let mut attempts = Attempts::new(is_write, ATTEMPTS);
        for outcome in outcomes {
            attempts.begin();
            attempts.failed(outcome);
        }
        attempts.verdict(ErrorKind::NoNode(Vec::new()))
    }

    #[test]
    fn once_a_write_may_be_applied_no_later_refusal_makes_it_not_applied() {
        for later in [unavailable(), RequestError::DeadlineExceeded, RequestError::TooManySiblings]
        {
            let outcomes = vec![Outcome::Silent(A, NoAnswer::Lost), Outcome::Answered(B, later)];
            assert!(matches!(verdict(true, outcomes), ErrorKind::OutcomeUnknown));
        }
    }

    #[test]
    fn applied_below_w_says_more_than_unknown_and_stays() {
        let below = RequestError::AppliedBelowW {
            needed: 3,
            got: 2,
            operation: OperationId(1),
            causes: Vec::new(),
        };
        let outcomes = vec![
            Outcome::Silent(A, NoAnswer::TimedOut),
            Outcome::Answered(A, below.clone()),
            Outcome::Answered(B, unavailable()),
        ];
        assert!(
            matches!(verdict(true, outcomes), ErrorKind::Answered { error, .. } if error == below)
        );
    }

    #[test]
    fn a_write_that_never_left_is_not_applied_and_a_read_is_never_in_doubt() {
        let unsent = vec![Outcome::Silent(A, NoAnswer::NotSent)];
        assert!(matches!(verdict(true, unsent), ErrorKind::NoNode(_)));
        let lost = vec![Outcome::Silent(A, NoAnswer::Lost)];
        assert!(matches!(verdict(false, lost), ErrorKind::NoAnswer));
    }

    #[test]
    fn a_retry_goes_to_the_first_coordinator_only_when_that_may_have_applied_it() {
        let mut attempts = Attempts::new(true, ATTEMPTS);
        attempts.begin();
        attempts.failed(Outcome::Answered(A, unavailable()));
        assert_eq!(attempts.first_coordinator(), None);
        attempts.begin();
        attempts.failed(Outcome::Silent(B, NoAnswer::Lost));
        attempts.begin();
        attempts.failed(Outcome::Silent(A, NoAnswer::Lost));
        assert_eq!(attempts.first_coordinator(), Some(B));
    }

    #[test]
    fn a_node_that_refused_a_retry_is_not_the_one_that_may_have_applied_it() {
        let mut attempts = Attempts::new(true, ATTEMPTS);
        attempts.begin();
        let refused = unavailable().of_retry(OperationId(1));
        let next = attempts.failed(Outcome::Answered(A, refused));
        assert!(matches!(next, Next::Again { elsewhere: true, .. }));
        assert_eq!(attempts.first_coordinator(), None);
        attempts.begin();
        attempts.failed(Outcome::Silent(B, NoAnswer::Lost));
        assert_eq!(attempts.first_coordinator(), Some(B));
    }

    #[test]
    fn only_what_the_advice_allows_is_tried_again_and_not_without_end() {
        let mut attempts = Attempts::new(true, ATTEMPTS);
        attempts.begin();
        let pause = |ms| Duration::from_millis(ms);
        let overloaded = RequestError::Overloaded { retry_after_ms: 70 };
        let next = attempts.failed(Outcome::Answered(A, overloaded));
        assert_eq!(next, Next::Again { at_least: pause(70), refresh: false, elsewhere: true });
        let next = attempts.failed(Outcome::Answered(A, RequestError::WrongLayout));
        assert_eq!(next, Next::Again { at_least: pause(0), refresh: true, elsewhere: false });
        assert_eq!(attempts.failed(Outcome::Answered(A, RequestError::NoSuchBucket)), Next::GiveUp);
        for _ in 0..ATTEMPTS {
            attempts.begin();
        }
        assert_eq!(attempts.failed(Outcome::Silent(A, NoAnswer::Lost)), Next::GiveUp);
    }
}
