//! A put into a `lossy-lww` bucket: its coordinator compares clocks before it stamps.
//!
//! In such a bucket the highest stamp wins. A coordinator whose clock runs an hour ahead would win against everybody for an
//! hour, and every write through the others would be acknowledged and lost. So the coordinator asks the other owners what time
//! it is there. Its own clock must be within [`limits::CLOCK_SKEW_MS`] of those of a majority of the owners, itself counted; else
//! it refuses, and nothing was written. A majority, because one wrong clock must not stop the others, and two owners that share
//! an error are believed: no two majorities can go by clocks that are far apart. Where too few owners can be reached the clocks of
//! the fallbacks that stand in for them count like theirs.
//!
//! An answer was true at some moment between question and answer, so a clock that shows a time between the two, by our own clock,
//! does not differ at all. When the own clock agrees, the rest is an ordinary put.

use kvorum_protocol::Change;
use kvorum_protocol::limits;
use kvorum_protocol::message::{MergeRule, OwnerCause, OwnerFailure, RequestError, Response};
use kvorum_ring::NodeId;
use kvorum_store::StoreEvent;

use crate::engine::coordinator::put::{Put, Write};
use crate::engine::coordinator::small;
use crate::engine::machine::{Machine, Progress};
use crate::engine::quorum::Owners;
use crate::engine::turn::Turn;
use crate::peer_message::PeerMessage;

/// A put that waits until its coordinator's clock is found right.
#[derive(Clone)]
pub(crate) struct Clocked {
    put: Put,
    deadline_ns: u64,
    /// Gone once the clock was found right.
    comparing: Option<Comparing>,
}

/// What is known of the owners' clocks.
#[derive(Clone)]
struct Comparing {
    /// Owners that were asked and have not answered.
    awaited: Owners,
    /// When they were asked, by the own wall clock.
    asked_ms: u64,
    /// Owners whose clocks agree with the own one, which is counted.
    agreeing: usize,
    /// How many have to.
    needed: usize,
    /// How far the nearest of the others is off.
    nearest_ms: Option<u64>,
    failures: Vec<OwnerFailure>,
}

impl Clocked {
    /// The machine of a write: with the comparison if it is to be stamped, and else the put alone.
    pub(crate) fn or_put(
        write: Write,
        deadline_ns: u64,
        me: NodeId,
        fallbacks: impl Fn() -> Owners,
        reaches: impl Fn(NodeId) -> bool,
    ) -> Box<dyn Machine> {
        let is_stamped = matches!(write.change, Change::Stamped(_));
        debug_assert!(!is_stamped || write.rule == MergeRule::LossyLww);
        let mut asked = write.place.owners.clone();
        let needed = asked.len() / 2 + 1;
        let reached = asked.iter().filter(|node| reaches(**node)).count();
        if is_stamped && write.sloppy && reached < needed {
            asked.extend(fallbacks());
        }
        let put = Put::new(write, deadline_ns, me, fallbacks, reaches);
        if !is_stamped {
            return Box::new(put);
        }
        let comparing = Comparing {
            awaited: asked,
            asked_ms: 0,
            agreeing: 1,
            needed,
            nearest_ms: None,
            failures: Vec::new(),
        };
        Box::new(Clocked { put, deadline_ns, comparing: Some(comparing) })
    }

    /// Goes on when enough agree, and ends when they cannot any more.
    fn judge(&mut self, turn: &mut Turn<'_>) -> Progress {
        let Some(comparing) = &mut self.comparing else { return Progress::Waiting };
        if comparing.agreeing >= comparing.needed {
            self.comparing = None;
            return self.put.start(turn);
        }
        if comparing.agreeing + comparing.awaited.len() >= comparing.needed {
            return Progress::Waiting;
        }
        let error = match comparing.nearest_ms {
            Some(skew_ms) => RequestError::ClockSkew { skew_ms },
            None => RequestError::Unavailable {
                needed: small(comparing.needed),
                got: small(comparing.agreeing),
                causes: std::mem::take(&mut comparing.failures),
            },
        };
        turn.stats.clocks_refused += 1;
        self.put.fail(turn, error)
    }

    fn lose(&mut self, node: NodeId, cause: OwnerCause) {
        if let Some(comparing) = &mut self.comparing
            && comparing.take(node)
        {
            comparing.failures.push(OwnerFailure { node, cause });
        }
    }
}

impl Comparing {
    /// An owner told the time.
    fn hear(&mut self, node: NodeId, theirs_ms: u64, now_ms: u64) {
        if !self.take(node) {
            return;
        }
        let (from_ms, to_ms) = (self.asked_ms.min(now_ms), self.asked_ms.max(now_ms));
        let skew_ms = theirs_ms.saturating_sub(to_ms).max(from_ms.saturating_sub(theirs_ms));
        match skew_ms <= limits::CLOCK_SKEW_MS {
            true => self.agreeing += 1,
            false => self.nearest_ms = Some(self.nearest_ms.map_or(skew_ms, |ms| ms.min(skew_ms))),
        }
    }

    /// Whether the owner was awaited; it is no longer.
    fn take(&mut self, node: NodeId) -> bool {
        let place = self.awaited.iter().position(|awaited| *awaited == node);
        place.map(|place| self.awaited.remove(place)).is_some()
    }
}

impl Machine for Clocked {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        turn.wake_at(self.deadline_ns);
        if let Some(comparing) = &mut self.comparing {
            comparing.asked_ms = turn.now.wall_ms;
            for node in comparing.awaited.clone() {
                if node == turn.me {
                    comparing.take(node);
                } else if turn.reaches(node) {
                    turn.send(node, PeerMessage::AskClock { token: turn.token.0 });
                } else {
                    comparing.take(node);
                    let cause = OwnerCause::Unreachable;
                    comparing.failures.push(OwnerFailure { node, cause });
                }
            }
        }
        self.judge(turn)
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        match (&self.comparing, event) {
            (None, event) => self.put.on_store(turn, event),
            (Some(_), StoreEvent::Poisoned { .. }) => self.put.fail(turn, RequestError::Stopping),
            (Some(_), _) => Progress::Waiting,
        }
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match (&mut self.comparing, message) {
            (None, message) => self.put.on_reply(turn, from, message),
            (Some(comparing), PeerMessage::Clock { wall_ms, .. }) => {
                comparing.hear(from, wall_ms, turn.now.wall_ms);
                self.judge(turn)
            }
            (Some(_), _) => Progress::Waiting,
        }
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        if self.comparing.is_some() {
            self.lose(node, OwnerCause::Unreachable);
            // The put has not begun, and is told of it all the same: it was made when the owner could be reached.
            self.put.forget(node, turn.me);
            return self.judge(turn);
        }
        self.put.on_peer_down(turn, node)
    }

    fn on_part(&mut self, turn: &mut Turn<'_>, index: usize, response: Response) -> Progress {
        self.put.on_part(turn, index, response)
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        let awaited = match &self.comparing {
            Some(comparing) => comparing.awaited.clone(),
            None => return self.put.on_deadline(turn),
        };
        awaited.into_iter().for_each(|node| self.lose(node, OwnerCause::TimedOut));
        self.judge(turn)
    }
}
