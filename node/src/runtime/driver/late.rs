//! Time that went by before anybody looked: taken off what is left, and nothing is begun for which none is.
//!
//! A deadline travels as what is left of it, so whoever lets a message wait takes the wait off. What has nothing left then is
//! not begun: a client's request is answered as too late, a peer's as well by the engine, which refuses what has no time.

use kvorum_protocol::Request;
use kvorum_store::clock::NS_PER_MS;

use crate::engine::Now;
use crate::peer_message::PeerMessage;

/// Whole milliseconds since something arrived.
fn waited_ms(now: Now, arrived_ns: u64) -> u32 {
    u32::try_from(now.mono_ns.saturating_sub(arrived_ns) / NS_PER_MS).unwrap_or(u32::MAX)
}

/// Takes a request's wait off its deadline; false when nothing is left.
pub(super) fn age_request(now: Now, arrived_ns: u64, request: &mut Request) -> bool {
    let waited_ms = waited_ms(now, arrived_ns);
    let Some(options) = request.options_mut().filter(|_| waited_ms > 0) else { return true };
    // A deadline that is none is the engine's to refuse.
    if options.deadline_ms > 0 && options.deadline_ms <= waited_ms {
        return false;
    }
    options.deadline_ms = options.deadline_ms.saturating_sub(waited_ms);
    true
}

/// The same of a peer's message. Answers do not age: the machine that waits for them has its own alarm.
pub(super) fn age_message(now: Now, arrived_ns: u64, message: &mut PeerMessage) -> bool {
    let (PeerMessage::Replicate { deadline_ms, .. }
    | PeerMessage::Hold { deadline_ms, .. }
    | PeerMessage::Deliver { deadline_ms, .. }
    | PeerMessage::Fetch { deadline_ms, .. }
    | PeerMessage::Explain { deadline_ms, .. }
    | PeerMessage::Forward { deadline_ms, .. }
    | PeerMessage::Scan { deadline_ms, .. }) = message
    else {
        return true;
    };
    *deadline_ms = deadline_ms.saturating_sub(waited_ms(now, arrived_ns));
    *deadline_ms > 0
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::message::{Get, Nothing, RequestOptions};
    use kvorum_protocol::{Key, OperationId, Request};

    use super::{age_message, age_request};
    use crate::engine::Now;
    use crate::peer_message::PeerMessage;

    const MS: u64 = 1_000_000;

    fn now(ms: u64) -> Now {
        Now { mono_ns: ms * MS, wall_ms: 0 }
    }

    fn get(deadline_ms: u32) -> Request {
        let options = RequestOptions { deadline_ms, ..RequestOptions::new(OperationId(1)) };
        let (bucket, key) = ("default".parse().unwrap(), Key::new(vec![1]).unwrap());
        Request::Get(Get { bucket, key, options })
    }

    fn left_ms(request: &Request) -> u32 {
        request.options().unwrap().deadline_ms
    }

    #[test]
    fn what_a_request_waited_for_is_taken_off_and_no_time_is_no_request() {
        let mut request = get(100);
        assert!(age_request(now(130), 100 * MS, &mut request));
        assert_eq!(left_ms(&request), 70);
        assert!(!age_request(now(170), 100 * MS, &mut request));
        let mut wrong = get(0);
        assert!(age_request(now(170), 100 * MS, &mut wrong), "wrong, and not late");
        assert!(age_request(now(9_999), 0, &mut Request::Topology(Nothing {})));
    }

    #[test]
    fn a_peers_question_ages_and_its_answer_does_not() {
        let forward = |deadline_ms| PeerMessage::Forward {
            token: 1,
            hops: 1,
            request: Box::new(get(1_000)),
            deadline_ms,
        };
        let mut message = forward(50);
        assert!(age_message(now(40), 0, &mut message));
        assert!(matches!(message, PeerMessage::Forward { deadline_ms: 10, .. }));
        assert!(!age_message(now(10), 0, &mut message));
        let outcome = crate::peer_message::ReplicateOutcome::Durable;
        let mut answer = PeerMessage::Replicated { token: 1, outcome, held_for: 0 };
        assert!(age_message(now(9_999), 0, &mut answer));
    }
}
