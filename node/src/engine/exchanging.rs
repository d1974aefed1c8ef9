//! The engine's side of exchanges: beginning what is due, answering peers, and starting what an exchange wants.

use kvorum_antientropy::Question;
use kvorum_protocol::message::{Nothing, Response};
use kvorum_ring::NodeId;
use kvorum_store::Now;

use crate::engine::Engine;
use crate::engine::effect::Effect;
use crate::engine::exchange::answering::{answering, refusal};
use crate::engine::exchange::asking::Asking;
use crate::engine::exchange::claims::Wanted;
use crate::engine::exchange::repairing::Repairing;
use crate::engine::exchange::sharing::scope;
use crate::engine::machines::Kind;
use crate::engine::room;

impl Engine {
    /// A peer asks what is held here.
    pub(super) fn be_asked(
        &mut self,
        now: Now,
        from: NodeId,
        (token, number): (u64, u32),
        question: Question,
    ) {
        let tasks = self.machines.replica_tasks();
        match room::replica_room(self.stopped, tasks, &self.options) {
            Ok(()) => {
                self.start(now, answering(from, token, number, question), None, Kind::Replica);
            }
            Err(reason) => {
                let message = refusal(token, number, reason);
                self.effects.push_back(Effect::Send { to: from, message });
            }
        }
    }

    /// Exchanges come so often from now on.
    pub(super) fn exchange_every(&mut self, now: Now, every_ms: u64) {
        let up = self.peers.all_up();
        self.exchanges.set_every(now, (self.me, &self.view), every_ms, up);
    }

    /// Begins the exchanges that are due, and what exchanges under way want.
    pub(super) fn go_on_exchanging(&mut self, now: Now) {
        if self.stopped {
            return;
        }
        while let Some((peer, class)) = self.exchanges.take_due(now) {
            let shared = self.exchanges.shared(&self.view, class, (self.me, peer));
            if shared.is_empty() {
                self.exchanges.end(now, peer, class, false);
            } else {
                let asking = Asking::new(peer, class, scope(&self.view), shared.to_vec());
                self.start(now, Box::new(asking), None, Kind::Exchange);
            }
        }
        loop {
            if let Some(Wanted { exchange, peer, repair }) = self.exchanges.take_wanted() {
                let repairing = Box::new(Repairing::new(exchange, peer, repair));
                self.start(now, repairing, None, Kind::Exchange);
            } else if let Some((exchange, has_failed)) = self.exchanges.take_ended() {
                let (failed, done) = (usize::from(has_failed), Response::Done(Nothing {}));
                self.turn(now, exchange, |machine, turn| machine.on_part(turn, failed, done));
            } else {
                return;
            }
        }
    }
}
