//! An exchange at the owner that is asked: one question, one look into the store, one answer.

use kvorum_antientropy::answer::{self, Held};
use kvorum_antientropy::{Answer, Exchange, Leaves, Question, Refusal, Sum};
use kvorum_protocol::{Clock, EncodedSet, Space};
use kvorum_ring::{ClassId, NodeId, PartitionId};
use kvorum_store::{
    ContentsKey, ContentsRange, ReadError, StoreEvent, StoreRefusal, StoreRequest, limits,
};

use crate::engine::exchange::sharing::scope;
use crate::engine::machine::{Machine, Progress};
use crate::engine::replica::wrong_place;
use crate::engine::turn::Turn;
use crate::peer_message::{PeerMessage, ReplicaRefusal};

/// One question on its way to its answer.
#[derive(Clone)]
struct Answering {
    from: NodeId,
    token: u64,
    number: u32,
    question: Question,
}

/// The machine that answers a peer's question.
pub(crate) fn answering(
    from: NodeId,
    token: u64,
    number: u32,
    question: Question,
) -> Box<dyn Machine> {
    Box::new(Answering { from, token, number, question })
}

/// The answer to a question that is not looked at.
pub(crate) fn refusal(token: u64, number: u32, reason: ReplicaRefusal) -> PeerMessage {
    let reason = match reason {
        ReplicaRefusal::Stopping => Refusal::Stopping,
        _ => Refusal::Overloaded,
    };
    PeerMessage::Answered { token, number, answer: Box::new(Answer::Refused { reason }) }
}

impl Answering {
    fn give(&self, turn: &mut Turn<'_>, answer: Answer) -> Progress {
        let (token, number, answer) = (self.token, self.number, Box::new(answer));
        turn.send(self.from, PeerMessage::Answered { token, number, answer });
        Progress::Done
    }

    fn refuse(&self, turn: &mut Turn<'_>, reason: Refusal) -> Progress {
        self.give(turn, Answer::Refused { reason })
    }

    /// What the store is asked, or why it is not.
    fn request(&self, turn: &mut Turn<'_>) -> Result<StoreRequest, Refusal> {
        let token = turn.token;
        match &self.question {
            Question::Range { class, scope: theirs, first, count, .. } => {
                // Whoever asks about ranges has left the partition that it was at.
                turn.exchanges.leave(self.from);
                if *theirs != scope(turn.view) {
                    return Err(Refusal::OtherScope);
                }
                let pair = (turn.me, self.from);
                let shared = turn.exchanges.shared(turn.view, *class, pair);
                let range = usize::try_from(*first).ok().zip(usize::try_from(*count).ok());
                let partitions = range.and_then(|(first, count)| {
                    shared.get(first..first.checked_add(count)?).map(<[PartitionId]>::to_vec)
                });
                let partitions = partitions.ok_or(Refusal::NotShared)?;
                Ok(StoreRequest::Roots { token, class: *class, partitions })
            }
            Question::Leaves { class, partition, scope, .. } => {
                self.claim(turn, *class, *partition, *scope)?;
                Ok(StoreRequest::Leaves { token, class: *class, partition: *partition })
            }
            Question::Contents { class, partition, scope, leaves, from, through, .. } => {
                self.claim(turn, *class, *partition, *scope)?;
                let (class, partition, leaves) = (*class, *partition, Leaves(*leaves));
                let (from, through, limit) = (*from, *through, limits::CONTENTS_KEYS);
                let range = ContentsRange { class, partition, leaves, from, through, limit };
                Ok(StoreRequest::Contents { token, range })
            }
            Question::Offer { key, .. } => {
                match wrong_place(turn.me, turn.view, key, &[Space::Owned]) {
                    Some(_) => Err(Refusal::NotShared),
                    None => Ok(StoreRequest::Read { token, key: key.clone() }),
                }
            }
        }
    }

    /// Whether the peer may look closely at a partition.
    fn claim(
        &self,
        turn: &mut Turn<'_>,
        class: ClassId,
        partition: PartitionId,
        theirs: u64,
    ) -> Result<(), Refusal> {
        if theirs != scope(turn.view) {
            return Err(Refusal::OtherScope);
        }
        let owns = |node| turn.view.owns(node, class, partition);
        if !(owns(turn.me) && owns(self.from)) {
            return Err(Refusal::NotShared);
        }
        let is_free = turn.exchanges.be_asked_about(turn.now, self.from, (class, partition));
        if is_free { Ok(()) } else { Err(Refusal::Busy) }
    }

    fn answer(&self, event: StoreEvent) -> Option<Answer> {
        let refused = |reason| Answer::Refused { reason };
        Some(match (&self.question, event) {
            (Question::Range { sum, .. }, StoreEvent::Roots { roots, .. }) => {
                answer::to_range(roots.as_deref(), *sum)
            }
            (Question::Leaves { leaves: theirs, .. }, StoreEvent::Leaves { leaves, .. }) => {
                answer::to_leaves(leaves.map(|leaves| *leaves), theirs)
            }
            (
                Question::Contents { keys, through, .. },
                StoreEvent::Contents { result: Ok(page), .. },
            ) => {
                let held =
                    page.keys.into_iter().map(|ContentsKey { hash, key, tag }| (hash, tag, key));
                answer::to_contents(&held.collect::<Vec<Held>>(), page.more, keys, *through)
            }
            (Question::Offer { clock, digest, .. }, StoreEvent::Read { result, .. }) => {
                offered(result, clock, *digest)
            }
            (_, StoreEvent::Contents { result: Err(_), .. }) => refused(Refusal::Damaged),
            (_, StoreEvent::Refused { reason, .. }) => refused(match reason {
                StoreRefusal::Closing => Refusal::Stopping,
                _ => Refusal::Overloaded,
            }),
            _ => return None,
        })
    }
}

/// What is to travel of a key, by what was read of it here.
fn offered(result: Result<Option<EncodedSet>, ReadError>, clock: &Clock, digest: Sum) -> Answer {
    let Ok(held) = result else {
        return Answer::Offered { set: None, wants: Exchange::of_damaged(clock).wants };
    };
    let set = held.as_ref().map(EncodedSet::set);
    let Exchange { gives, wants } = Exchange::of(set, clock, digest);
    Answer::Offered { set: held.filter(|_| gives), wants }
}

impl Machine for Answering {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        match self.request(turn) {
            Ok(request) => {
                turn.store(request);
                Progress::Waiting
            }
            Err(reason) => self.refuse(turn, reason),
        }
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        if let StoreEvent::Poisoned { .. } = event {
            return Progress::Done;
        }
        match self.answer(event) {
            Some(answer) => self.give(turn, answer),
            None => Progress::Waiting,
        }
    }

    fn on_deadline(&mut self, _turn: &mut Turn<'_>) -> Progress {
        // It sets no alarm: the store answers everything.
        Progress::Waiting
    }
}
