//! What every machine of the engine is: something that starts, hears answers, and ends.
//!
//! A machine owns the course of one request and nothing else. It is told what happens by these calls, says what it wants
//! through its [`Turn`], and says after each call whether it is done. It may answer long before it is done: a put stays
//! after its answer to learn who else holds the write, a get to repair who is stale. What comes last in a machine's life
//! is its *final action*.

use kvorum_protocol::message::Response;
use kvorum_ring::NodeId;
use kvorum_store::StoreEvent;

use crate::engine::turn::Turn;
use crate::peer_message::PeerMessage;

/// Whether a machine has more to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// It waits for something.
    Waiting,
    /// It is done and forgotten. Whoever is owed an answer has it.
    Done,
}

/// One request's course. Every call may be spurious: late, repeated, or meant for an earlier phase.
pub(crate) trait Machine: Fork + Send {
    /// Begins. Called once, first.
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress;

    /// The store answered.
    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        let _ = (turn, event);
        Progress::Waiting
    }

    /// A peer answered.
    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        let _ = (turn, from, message);
        Progress::Waiting
    }

    /// A peer cannot be reached any more; what it has not answered it never will.
    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        let _ = (turn, node);
        Progress::Waiting
    }

    /// A request that this machine started on its own behalf has its answer.
    fn on_part(&mut self, turn: &mut Turn<'_>, index: usize, response: Response) -> Progress {
        let _ = (turn, index, response);
        Progress::Waiting
    }

    /// More is held for the owner that it delivers to.
    fn on_hinted(&mut self, turn: &mut Turn<'_>) -> Progress {
        let _ = turn;
        Progress::Waiting
    }

    /// The alarm that it set has rung.
    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress;
}

/// Copies a machine. An engine that can be copied can be explored: a check may try every next step from one state.
pub(crate) trait Fork {
    /// A copy in the same state.
    fn fork(&self) -> Box<dyn Machine>;
}

impl<M: Machine + Clone + 'static> Fork for M {
    fn fork(&self) -> Box<dyn Machine> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Machine> {
    fn clone(&self) -> Box<dyn Machine> {
        (**self).fork()
    }
}
