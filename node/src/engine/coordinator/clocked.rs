//! A put into a `lossy-lww` bucket: its coordinator compares clocks before it stamps.
//!
//! In such a bucket the highest stamp wins. A coordinator whose clock runs an hour ahead would win against everybody for an
//! hour, and every write through the others would be acknowledged and lost. So the coordinator asks the other owners what time
//! it is there. The stamp must be within [`limits::CLOCK_SKEW_MS`] of the clocks of a majority of the owners, itself counted; else
//! it refuses, and nothing was written. A majority, because one wrong clock must not stop the others, and two owners that share
//! an error are believed: no two majorities can go by clocks that are far apart. Where too few owners can be reached, or a
//! fallback coordinates, the clocks of the fallbacks count like theirs, and a majority of them all is needed: who is asked must
//! never grow without the number that has to agree, or one owner and one fallback with the same error would outvote the owners
//! behind a cut. So with all owners away nothing can be stamped: there are no more fallbacks than owners.
//!
//! It is the stamp that is compared, taken when the owners are asked, and never the own clock again, which may be set right
//! before they answer. An answer was true at some moment between question and answer, so a time from the stamp to as long after
//! it as the answer took, by the monotonic clock, does not differ at all. That says less the longer it takes: an answer that takes
//! longer than the bound itself says nothing and is none.
//!
//! It is the clocks' fault only if those that differ alone exclude a majority; else too few owners could be asked. When enough
//! agree, the rest is an ordinary put.

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
    /// Owners, and fallbacks where they count, that were asked and have not answered.
    awaited: Owners,
    /// What is to be compared: the own wall clock when they were asked.
    stamp_ms: u64,
    /// When that was, by the monotonic clock.
    asked_ns: u64,
    /// Owners whose clocks agree with the own one, which is counted.
    agreeing: usize,
    /// How many have to.
    needed: usize,
    /// How many may differ without excluding as many.
    spare: usize,
    /// How many do.
    differing: usize,
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
        let Change::Stamped(stamping) = &write.change else {
            return Box::new(Put::new(write, deadline_ns, me, fallbacks, reaches));
        };
        debug_assert!(write.rule == MergeRule::LossyLww);
        let stamp_ms = stamping.wall_ms;
        let mut asked = write.place.owners.clone();
        let reached = asked.iter().filter(|node| reaches(**node)).count();
        if write.sloppy && (reached < majority(asked.len()) || !asked.contains(&me)) {
            asked.extend(fallbacks());
        }
        let needed = majority(asked.len());
        let put = Put::new(write, deadline_ns, me, fallbacks, reaches);
        let comparing = Comparing {
            stamp_ms,
            asked_ns: 0,
            agreeing: 1,
            needed,
            spare: asked.len().saturating_sub(needed),
            differing: 0,
            awaited: asked,
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
            Some(skew_ms) if comparing.differing > comparing.spare => {
                turn.stats.clocks_refused += 1;
                RequestError::ClockSkew { skew_ms }
            }
            _ => RequestError::Unavailable {
                needed: small(comparing.needed),
                got: small(comparing.agreeing),
                causes: std::mem::take(&mut comparing.failures),
            },
        };
        self.put.fail(turn, error)
    }

    fn lose(&mut self, node: NodeId, cause: OwnerCause) {
        if let Some(comparing) = &mut self.comparing {
            comparing.lose(node, cause);
        }
    }
}

/// The least number that is more than half of them.
const fn majority(of: usize) -> usize {
    of / 2 + 1
}

impl Comparing {
    /// An owner told the time.
    fn hear(&mut self, node: NodeId, theirs_ms: u64, now_ns: u64) {
        let took_ms = now_ns.saturating_sub(self.asked_ns).div_ceil(1_000_000);
        if took_ms > limits::CLOCK_SKEW_MS {
            return self.lose(node, OwnerCause::TimedOut);
        }
        if !self.take(node) {
            return;
        }
        let latest_ms = self.stamp_ms.saturating_add(took_ms);
        let ahead_ms = theirs_ms.saturating_sub(latest_ms);
        let skew_ms = ahead_ms.max(self.stamp_ms.saturating_sub(theirs_ms));
        if skew_ms <= limits::CLOCK_SKEW_MS {
            self.agreeing += 1;
        } else {
            self.differing += 1;
            self.nearest_ms = Some(self.nearest_ms.map_or(skew_ms, |ms| ms.min(skew_ms)));
        }
    }

    fn lose(&mut self, node: NodeId, cause: OwnerCause) {
        if self.take(node) {
            self.failures.push(OwnerFailure { node, cause });
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
        // Later than the bound no answer counts.
        let useless_ns = turn.now.after_ms(limits::CLOCK_SKEW_MS);
        turn.wake_at(self.deadline_ns.min(useless_ns));
        if let Some(comparing) = &mut self.comparing {
            comparing.asked_ns = turn.now.mono_ns;
            for node in comparing.awaited.clone() {
                if node == turn.me {
                    comparing.take(node);
                } else if turn.reaches(node) {
                    turn.send(node, PeerMessage::AskClock { token: turn.token.0 });
                } else {
                    comparing.lose(node, OwnerCause::Unreachable);
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
                comparing.hear(from, wall_ms, turn.now.mono_ns);
                self.judge(turn)
            }
            (Some(_), _) => Progress::Waiting,
        }
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        if self.comparing.is_some() {
            self.lose(node, OwnerCause::Unreachable);
            // The put has not begun, and is told of it all the same: it was made when the owner could be reached.
            self.put.forget(node);
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
