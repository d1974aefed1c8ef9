//! A circuit breaker for each peer that requests are passed on to.
//!
//! A peer can be believed up and serve nothing: its disk hangs, it is cut off from the other owners, it has more to do than it
//! can. Whoever passes a request on to it learns that by waiting, every time anew. So after a few failures in a row the
//! breaker *opens*, and for a while the peer is asked last. Then it is *half-open*: one request at a time goes there as a
//! probe; a good answer closes the breaker, a failure opens it for twice as long, up to a bound and with jitter, so that not
//! all nodes probe together. (The breaker is from "Release It!", Nygard 2007; counting failures in a row, from Envoy.)
//!
//! It is a choice among owners and never takes one away: a peer whose breaker is open is asked all the same when nobody else
//! is left. Replication, the quorums of reads and repair ask every owner and do not look here.
//!
//! What was sent before the time was up and fails later says nothing new, and prolongs nothing. A good answer closes the
//! breaker whenever it comes.

use kvorum_protocol::message::{ErrorClass, RequestError, Response};
use kvorum_store::clock::NS_PER_MS;

use crate::limits;

/// The breaker of one peer. A new one is closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breaker {
    /// Failures in a row while it is closed.
    failures: u32,
    /// How often it has opened since it was closed. Zero: it is closed.
    openings: u32,
    /// The peer is asked last until then, in monotonic nanoseconds; afterwards it is half-open.
    until_ns: u64,
    /// While half-open: no other probe is sent until then.
    probe_until_ns: u64,
    /// How often it has opened, ever.
    opened: u64,
}

impl Breaker {
    /// Whether it is closed: the peer has not failed again and again, or it has served since.
    pub(crate) fn is_closed(&self) -> bool {
        self.openings == 0
    }

    /// How often it has opened since the engine began.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Whether the peer may be asked in its turn: the breaker is closed, or half-open without a probe under way.
    pub(crate) fn lets_pass(&self, now_ns: u64) -> bool {
        self.is_closed() || now_ns >= self.until_ns.max(self.probe_until_ns)
    }

    /// A request is sent. If the breaker is half-open this is the probe, until its outcome is known or its deadline has passed.
    pub(crate) fn ask(&mut self, now_ns: u64, deadline_ns: u64) {
        if !self.is_closed() && self.lets_pass(now_ns) {
            self.probe_until_ns = deadline_ns;
        }
    }

    /// A request was served, which closes the breaker.
    pub(crate) fn serve(&mut self) {
        *self = Breaker { opened: self.opened, ..Breaker::default() };
    }

    /// A request that was sent at `asked_ns` failed. `random` is any number, for the jitter.
    pub(crate) fn fail(&mut self, asked_ns: u64, now_ns: u64, random: u64) {
        if self.is_closed() {
            self.failures += 1;
            if self.failures < limits::BREAKER_FAILURES {
                return;
            }
        } else if asked_ns < self.until_ns {
            return;
        }
        self.openings = self.openings.saturating_add(1);
        self.opened += 1;
        self.until_ns = now_ns.saturating_add(pause_ns(self.openings, random));
        self.probe_until_ns = 0;
    }

    /// The peer was connected to anew: it may be another process by now, and the next request is a probe.
    pub(crate) fn reconnect(&mut self) {
        (self.until_ns, self.probe_until_ns) = (0, 0);
    }
}

/// How long a breaker stays open that opens for the `openings`-th time in a row, in nanoseconds: between half of it and all of
/// it, whatever `random` says.
fn pause_ns(openings: u32, random: u64) -> u64 {
    let doubled_ms = limits::BREAKER_FIRST_MS << (openings - 1).min(32);
    let half_ns = doubled_ms.min(limits::BREAKER_LONGEST_MS) * NS_PER_MS / 2;
    half_ns + random % (half_ns + 1)
}

/// Whether an answer speaks against the peer that gave it: another one might have done better. What is wrong with the request
/// itself, any peer says.
pub(crate) fn is_failure(response: &Response) -> bool {
    let Response::Error { error } = response else { return false };
    match error.of_attempt() {
        RequestError::DiskFull => true,
        error => matches!(error.class(), ErrorClass::Unavailable | ErrorClass::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::OperationId;
    use kvorum_protocol::message::{Nothing, RequestError, Response};

    use super::{Breaker, NS_PER_MS, is_failure, pause_ns};
    use crate::limits::{BREAKER_FAILURES, BREAKER_FIRST_MS, BREAKER_LONGEST_MS};

    const FIRST_NS: u64 = BREAKER_FIRST_MS * NS_PER_MS;

    /// The random number that makes the pause as long as it may be.
    fn longest(openings: u32) -> u64 {
        pause_ns(openings, 0)
    }

    /// A breaker that opened at 0 and stays open for the whole of its first pause.
    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..BREAKER_FAILURES {
            assert!(breaker.lets_pass(0));
            breaker.fail(0, 0, longest(1));
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_not_after_scattered_ones() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            (1..BREAKER_FAILURES).for_each(|_| breaker.fail(0, 0, 0));
            assert!(breaker.is_closed() && breaker.lets_pass(0));
            breaker.serve();
        }
        assert_eq!(breaker.opened(), 0);
        let breaker = opened();
        assert!(!breaker.is_closed() && !breaker.lets_pass(FIRST_NS - 1));
        assert_eq!(breaker.opened(), 1);
    }

    #[test]
    fn half_open_it_lets_one_probe_pass_at_a_time() {
        let mut breaker = opened();
        breaker.ask(1, FIRST_NS * 9);
        assert!(breaker.lets_pass(FIRST_NS), "what is asked while it is open is no probe");
        breaker.ask(FIRST_NS, FIRST_NS + 10);
        assert!(!breaker.is_closed() && !breaker.lets_pass(FIRST_NS + 9));
        breaker.ask(FIRST_NS + 5, FIRST_NS * 9);
        assert!(breaker.lets_pass(FIRST_NS + 10), "of that probe nothing was heard");
    }

    #[test]
    fn the_probe_decides() {
        let mut breaker = opened();
        breaker.ask(FIRST_NS, FIRST_NS + 10);
        let mut failed = breaker.clone();
        breaker.serve();
        assert!(breaker.is_closed() && breaker.lets_pass(FIRST_NS + 1));
        failed.fail(FIRST_NS, FIRST_NS + 1, longest(2));
        assert!(!failed.lets_pass(FIRST_NS + 2 * FIRST_NS));
        assert!(failed.lets_pass(FIRST_NS + 1 + 2 * FIRST_NS), "twice as long as before");
        assert_eq!(failed.opened(), 2);
    }

    #[test]
    fn what_was_sent_before_the_time_was_up_prolongs_nothing() {
        let mut breaker = opened();
        breaker.fail(FIRST_NS - 1, FIRST_NS - 1, longest(2));
        breaker.fail(FIRST_NS - 1, FIRST_NS + 1, longest(2));
        assert!(breaker.lets_pass(FIRST_NS));
        assert_eq!(breaker.opened(), 1);
    }

    #[test]
    fn a_good_answer_closes_it_at_any_time_and_the_next_pause_is_short_again() {
        let mut breaker = opened();
        breaker.fail(FIRST_NS, FIRST_NS, 0);
        breaker.serve();
        assert!(breaker.is_closed());
        for _ in 0..BREAKER_FAILURES {
            assert!(breaker.lets_pass(FIRST_NS));
            breaker.fail(FIRST_NS, FIRST_NS, longest(1));
        }
        assert!(!breaker.lets_pass(FIRST_NS + 1) && breaker.lets_pass(2 * FIRST_NS));
        assert_eq!(breaker.opened(), 3);
    }

    #[test]
    fn a_new_connection_is_probed_at_once() {
        let mut breaker = opened();
        breaker.reconnect();
        assert!(!breaker.is_closed() && breaker.lets_pass(1));
        breaker.ask(1, 100);
        assert!(!breaker.lets_pass(2));
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_are_spread_over_their_upper_half() {
        let mut whole_ms = BREAKER_FIRST_MS;
        for openings in (1..80).chain([u32::MAX]) {
            let whole_ns = whole_ms.min(BREAKER_LONGEST_MS) * NS_PER_MS;
            let half_ns = whole_ns / 2;
            assert_eq!(pause_ns(openings, 0), half_ns, "{openings}");
            assert_eq!(pause_ns(openings, half_ns), whole_ns, "{openings}");
            assert_eq!(pause_ns(openings, half_ns + 1 + 7), half_ns + 7, "{openings}");
            whole_ms = (whole_ms * 2).min(BREAKER_LONGEST_MS);
        }
    }

    #[test]
    fn only_an_error_that_another_peer_might_not_make_is_a_failure() {
        let operation = OperationId(1);
        let failures = [
            RequestError::Overloaded { retry_after_ms: 1 },
            RequestError::Unavailable { needed: 2, got: 1, causes: Vec::new() },
            RequestError::OutcomeUnknown { operation },
            RequestError::DeadlineExceeded,
            RequestError::Stopping,
            RequestError::DiskFull,
            RequestError::Stopping.of_retry(operation),
        ];
        for error in failures {
            assert!(is_failure(&Response::Error { error: error.clone() }), "{error}");
        }
        let answers = [
            RequestError::NoSuchBucket,
            RequestError::TooManySiblings,
            RequestError::Damaged,
            RequestError::TooManySiblings.of_retry(operation),
        ];
        for error in answers {
            assert!(!is_failure(&Response::Error { error: error.clone() }), "{error}");
        }
        assert!(!is_failure(&Response::Done(Nothing::default())));
    }
}
