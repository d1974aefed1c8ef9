//! The engine: what a node decides, as a pure state machine.
//!
//! Everything that happens goes in through [`Engine::handle`] as an [`Input`]; everything that the engine wants done
//! comes out of [`Engine::poll_effect`] as an [`Effect`]; [`Engine::next_deadline`] says when to call again if nothing
//! else happens. The engine reads no clock, opens no socket or file, starts no thread, and its only randomness is the seed
//! that it is given, so the same inputs give the same effects: in production, under test, and in the simulator.
//!
//! Each request is a small machine (see `machine.rs`) that is found again by its token. The engine itself only admits
//! requests, routes answers to machines, and keeps their alarms. It never waits: a machine that needs the disk or a peer
//! asks, and is called again when the answer arrives.
//!
//! What it does not do: membership (it is told who is up), storage (the store decides what a write does to a record) and
//! changes of cluster facts (it is told the outcome as a new [`ClusterView`]).

mod admit;
mod asked;
mod breaker;
mod causes;
mod coordinator;
mod courier;
mod deadlines;
mod effect;
mod errand;
mod events;
mod exchange;
mod exchanging;
mod figures;
mod forward;
mod heard;
mod hearing;
mod input;
mod latency;
mod machine;
mod machines;
mod options;
mod origin;
mod parcel;
mod peers;
pub mod planted;
mod quorum;
mod random;
mod replica;
mod room;
mod stats;
mod turn;
mod view;
mod why;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kvorum_protocol::message::Response;
use kvorum_ring::NodeId;
pub use kvorum_store::{Now, Token};

pub use effect::Effect;
pub use input::{ClientId, Input};
pub use options::EngineOptions;
pub use stats::{EngineStats, ExchangeProgress, PeerStats};
pub use view::{ClusterView, MemberView};

use crate::engine::admit::Desk;
use crate::engine::asked::Asked;
use crate::engine::deadlines::Deadlines;
use crate::engine::events::Events;
use crate::engine::exchange::claims::Exchanges;
use crate::engine::heard::Heard;
use crate::engine::machine::{Machine, Progress};
use crate::engine::machines::{Kind, Machines, Running};
use crate::engine::origin::Origin;
use crate::engine::peers::Peers;
use crate::engine::turn::{Part, Turn};
use crate::peer_message::PeerMessage;

/// One shard's engine. See the module's page. A copy goes on by itself from the same state.
#[derive(Clone)]
pub struct Engine {
    me: NodeId,
    options: EngineOptions,
    view: Arc<ClusterView>,
    peers: Peers,
    machines: Machines,
    heard: Heard,
    deadlines: Deadlines,
    effects: VecDeque<Effect>,
    /// Answers of parts, on their way to the machine that began them.
    part_answers: VecDeque<(Token, usize, Response)>,
    /// Who delivers what is held for an owner. One that has ended is found out when its owner's next one is called.
    couriers: BTreeMap<NodeId, Token>,
    hints_paused: bool,
    exchanges: Exchanges,
    events: Events,
    /// Set for good when the store was poisoned: this node serves nothing any more.
    stopped: bool,
    stats: EngineStats,
}

impl Engine {
    /// An engine that knows no peer to be up. `seed` must differ from run to run of a node's process, because answers to
    /// an earlier run are told apart by it.
    pub fn new(me: NodeId, options: EngineOptions, seed: u64, view: Arc<ClusterView>) -> Engine {
        Engine {
            me,
            machines: Machines::new(random::number(seed, "tokens")),
            options,
            view,
            peers: Peers::new(random::number(seed, "breakers")),
            heard: Heard::default(),
            deadlines: Deadlines::default(),
            effects: VecDeque::new(),
            part_answers: VecDeque::new(),
            couriers: BTreeMap::new(),
            hints_paused: false,
            exchanges: Exchanges::new(options.exchange_every_ms),
            events: Events::new(options.events),
            stopped: false,
            stats: EngineStats::default(),
        }
    }

    /// Takes one input. Alarms that are due ring afterwards, whatever the input was.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.events.begin(now);
        match input {
            Input::Client { client, request_id, request } => {
                let origin = Origin::Client { client, request_id };
                self.begin(now, origin, Asked::by_client(request));
            }
            Input::ClientGone { .. } | Input::Tick => {}
            Input::Peer { from, message } => self.hear_peer(now, from, message),
            Input::PeerUp { node } => {
                self.peers.rise(node);
                self.events.rise(now, node);
                if !planted::Planted::NotResumed.is_armed(self.options.planted) {
                    self.call_courier(now, node);
                }
                self.exchanges.rise(now, self.me, &self.view, node);
            }
            Input::PeerDown { node } => {
                self.peers.fall(node);
                self.events.fall(now, node);
                self.exchanges.fall(node);
                self.turn_all(now, |machine, turn| machine.on_peer_down(turn, node));
            }
            Input::Store(event) => self.hear_store(now, event),
            Input::HintsPaused(paused) => self.pause_hints(now, paused),
            Input::ExchangeEvery(every_ms) => self.exchange_every(now, every_ms),
            Input::View(view) => {
                self.view = view;
                self.exchanges.forget_shared();
            }
        }
        while let Some(token) = self.deadlines.take_due(now.mono_ns) {
            self.ring(now, token);
        }
        while let Some((parent, index, response)) = self.part_answers.pop_front() {
            self.turn(now, parent, |machine, turn| machine.on_part(turn, index, response));
        }
        self.go_on_exchanging(now);
    }

    /// The next thing to do, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`Engine::handle`] with [`Input::Tick`] at the latest, in monotonic nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let exchange = self.exchanges.next_ns().filter(|_| !self.stopped);
        [self.deadlines.next_ns(), exchange].into_iter().flatten().min()
    }

    /// Admits a request and starts its machine, or answers with the reason why not. Nothing has happened before this:
    /// whatever is refused here has changed nothing anywhere.
    fn begin(&mut self, now: Now, origin: Origin, asked: Asked) {
        let refusal = room::overload(self.stopped, self.machines.requests(), &self.options);
        let desk = Desk { now, me: self.me, view: &self.view, peers: &self.peers, refusal };
        match desk.admit(asked) {
            Ok(machine) => {
                self.start(now, machine, Some(origin), Kind::Request);
            }
            Err(error) => {
                self.stats.refused += 1;
                self.give(origin, Response::Error { error });
            }
        }
    }

    fn start(
        &mut self,
        now: Now,
        machine: Box<dyn Machine>,
        origin: Option<Origin>,
        kind: Kind,
    ) -> Token {
        let token = self.machines.reserve(kind);
        self.machines.put_back(token, Running { machine, origin, alarm_ns: None, kind });
        self.turn(now, token, |machine, turn| machine.start(turn));
        token
    }

    fn ring(&mut self, now: Now, token: Token) {
        if let Some(mut running) = self.machines.take(token) {
            running.alarm_ns = None;
            self.machines.put_back(token, running);
            self.turn(now, token, |machine, turn| machine.on_deadline(turn));
        }
    }

    fn turn_all(
        &mut self,
        now: Now,
        mut call: impl FnMut(&mut dyn Machine, &mut Turn<'_>) -> Progress,
    ) {
        for token in self.machines.tokens() {
            self.turn(now, token, &mut call);
        }
    }

    /// Gives one machine one turn, and does what it asked for.
    fn turn(
        &mut self,
        now: Now,
        token: Token,
        call: impl FnOnce(&mut dyn Machine, &mut Turn<'_>) -> Progress,
    ) {
        let Some(mut running) = self.machines.take(token) else { return };
        let mut turn = Turn {
            now,
            me: self.me,
            token,
            view: &self.view,
            peers: &mut self.peers,
            planted: self.options.planted,
            effects: &mut self.effects,
            stats: &mut self.stats,
            exchanges: &mut self.exchanges,
            events: &mut self.events,
            response: None,
            alarm_ns: running.alarm_ns,
            parts: Vec::new(),
            deliveries: Vec::new(),
            hinted: Vec::new(),
            hints_paused: self.hints_paused,
        };
        let progress = call(running.machine.as_mut(), &mut turn);
        let Turn { response, alarm_ns, parts, deliveries, hinted, .. } = turn;
        if let Some(response) = response {
            let origin = running.origin.take().expect("a machine answers once");
            self.give(origin, response);
        }
        match progress {
            Progress::Waiting => {
                self.move_alarm(token, running.alarm_ns, alarm_ns);
                running.alarm_ns = alarm_ns;
                self.machines.put_back(token, running);
            }
            Progress::Done => {
                assert!(running.origin.is_none(), "a machine ends only after its answer");
                self.move_alarm(token, running.alarm_ns, None);
                self.machines.release(token, running.kind);
            }
        }
        for Part { index, request, deadline_ns } in parts {
            let origin = Origin::Batch { parent: token, index };
            self.begin(now, origin, Asked::as_part(request, deadline_ns));
        }
        self.deliver(now, token, deliveries);
        for target in hinted {
            self.call_courier(now, target);
        }
    }

    fn move_alarm(&mut self, token: Token, old_ns: Option<u64>, new_ns: Option<u64>) {
        if old_ns != new_ns {
            old_ns.inspect(|at_ns| self.deadlines.disarm(*at_ns, token));
            new_ns.inspect(|at_ns| self.deadlines.arm(*at_ns, token));
        }
    }

    fn give(&mut self, origin: Origin, response: Response) {
        match origin {
            Origin::Client { client, request_id } => {
                self.effects.push_back(Effect::Reply { client, request_id, response });
            }
            Origin::Peer { node, token } => {
                self.effects.push_back(Effect::Send {
                    to: node,
                    message: PeerMessage::Forwarded { token, response: Box::new(response) },
                });
            }
            Origin::Batch { parent, index } => {
                self.part_answers.push_back((parent, index, response))
            }
        }
    }
}
