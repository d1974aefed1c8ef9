//! Inputs, effects, store events and jobs: what the production runtime does with threads and channels, done in one loop.
//!
//! After every input the engine's effects are carried out in order, the store's events are fed back to the engine, and the
//! store's jobs are given to their workers, until nothing more comes. A job's file operations happen at the moment at which
//! it ends, so a death before that finds nothing of it on the disk, except where the death is drawn to fall within it.

use kvorum_node::engine::{Effect, Input};
use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::codec::{Wire, Writer, decode};
use kvorum_store::{Done, Job, StoreEvent};

use super::node::{Death, Life, worker_of};
use super::{Happening, Packet, World};
use crate::checkers::p19_liveness;
use crate::limits;
use crate::network::Arrival;
use crate::plan::IndexDamage;
use crate::reached::Rare;
use crate::violation::{Property, Violation};

/// Tokens from here on belong to the simulator's own questions to a store.
pub(super) const OWN_TOKENS: u64 = u64::MAX - (1 << 32);

impl Life {
    /// Does a job: here its file operations happen.
    pub(super) fn work(&mut self, job: Job) -> Done {
        match job {
            Job::Commit(job) => self.committer.run(job),
            Job::Read(job) => self.reader.run(job),
            Job::Index(job) => self.indexer.run(job),
            Job::Compact(job) => self.compactor.run(job),
        }
    }
}

impl World {
    /// Gives an engine one input, now, and carries out what follows.
    pub(super) fn feed(&mut self, number: u16, input: Input) {
        self.digest_input(number, &input);
        self.note_input(number, &input);
        let now_ns = self.schedule.now_ns();
        let node = &mut self.nodes[usize::from(number)];
        let now = node.now(now_ns);
        let Some(life) = &mut node.life else { return };
        life.engine.handle(now, input);
        self.pump(number);
    }

    /// Carries out everything that a node wants done. Engine and store answer each other here, and if they never stop, a
    /// real node would hang.
    pub(super) fn pump(&mut self, number: u16) {
        let now = self.nodes[usize::from(number)].now(self.schedule.now_ns());
        for step in 0.. {
            let judgement = p19_liveness::check_turn(step, limits::MAX_STEPS_OF_A_TURN);
            if judgement.is_err() {
                return self.accuse(judgement, Some(number), None);
            }
            while let Some(effect) = self.life(number).and_then(|life| life.engine.poll_effect()) {
                self.carry_out(number, effect);
            }
            let Some(life) = self.life(number) else { return };
            if let Some(event) = life.shard.poll_event() {
                if !self.hear_store(number, event) {
                    return;
                }
            } else if let Some(job) = life.shard.poll_job() {
                self.begin_job(number, job);
            } else {
                break;
            }
        }
        self.look_for_hints(number);
        self.arm_tick(number, now.mono_ns);
    }

    fn life(&mut self, number: u16) -> Option<&mut Life> {
        self.nodes[usize::from(number)].life.as_mut()
    }

    fn carry_out(&mut self, number: u16, effect: Effect) {
        match effect {
            Effect::Reply { client, request_id, response } => {
                self.answer(number, client, request_id, response)
            }
            Effect::Send { to, message } => self.send(number, self.number_of(to), message),
            Effect::Store(request) => {
                self.note_request(number, &request);
                let now = self.nodes[usize::from(number)].now(self.schedule.now_ns());
                if let Some(life) = self.life(number) {
                    life.shard.submit(now, request);
                }
            }
        }
    }

    /// Tells the judges and the engine what the store said. False if the node died of it.
    fn hear_store(&mut self, number: u16, event: StoreEvent) -> bool {
        self.judge_event(number, &event);
        if let Some(asked) = event.token().and_then(|token| token.0.checked_sub(OWN_TOKENS)) {
            self.hear_own(number, asked, &event);
            return true;
        }
        let poisoned = matches!(event, StoreEvent::Poisoned { .. });
        let now = self.nodes[usize::from(number)].now(self.schedule.now_ns());
        if let Some(life) = self.life(number) {
            life.engine.handle(now, Input::Store(event));
        }
        if poisoned {
            // The runtime stops the process; what the engine still said goes out before.
            while let Some(effect) = self.life(number).and_then(|life| life.engine.poll_effect()) {
                self.carry_out(number, effect);
            }
            self.reached.mark(Rare::Poisoned);
            let down_ns = self.nodes[usize::from(number)].stopped_for_ns;
            let death = Death { within_io: false, index: IndexDamage::Whole, power: true };
            self.die(number, death, down_ns);
            return false;
        }
        true
    }

    fn begin_job(&mut self, number: u16, job: Job) {
        let now_ns = self.schedule.now_ns();
        let disk = &self.plan.disk;
        // Each worker is one thread in production, so each does one job after the other here.
        let worker = worker_of(&job);
        let mean_us = [disk.commit_us, disk.load_us, disk.index_us, disk.compact_us][worker];
        let node = &mut self.nodes[usize::from(number)];
        let (factor, until_ns) = node.slow_disk;
        let factor = if now_ns < until_ns { factor } else { 1 };
        let took_ns = node.latency[worker].exponential(5_000, mean_us * 1_000) * factor;
        let run = node.run;
        let Some(life) = &mut node.life else { return };
        let free_ns = &mut life.free_ns[worker];
        *free_ns = (*free_ns).max(now_ns) + took_ns;
        let (done_ns, job_number) = (*free_ns, life.next_job);
        life.next_job += 1;
        life.jobs.insert(job_number, job);
        let happening = Happening::Job { node: number, run, job: job_number };
        self.after(done_ns - now_ns, happening);
    }

    /// A worker is done: its file operations happen, and the shard learns of it.
    pub(super) fn finish_job(&mut self, number: u16, run: u32, job: u64) {
        let happening = Happening::Job { node: number, run, job };
        if self.is_deferred(number, run, happening) {
            return;
        }
        let now_ns = self.schedule.now_ns();
        let node = &self.nodes[usize::from(number)];
        node.files.set_unreadable(now_ns < node.unreadable_until_ns);
        let now = node.now(now_ns);
        let Some(life) = self.life(number) else { return };
        let Some(work) = life.jobs.remove(&job) else { return };
        let done = life.work(work);
        life.shard.complete(now, done);
        self.trace.hash.word(u64::from(number) << 48 | job);
        self.pump(number);
    }

    /// A deadline has come, unless another tick took its place.
    pub(super) fn tick(&mut self, number: u16, run: u32) {
        if self.is_deferred(number, run, Happening::Tick { node: number, run }) {
            return;
        }
        let now = self.nodes[usize::from(number)].now(self.schedule.now_ns());
        let Some(life) = self.life(number) else { return };
        if life.tick_ns.is_none_or(|tick_ns| tick_ns > now.mono_ns) {
            return;
        }
        life.tick_ns = None;
        if life.shard.next_deadline().is_some_and(|at_ns| at_ns <= now.mono_ns) {
            life.shard.tick(now);
        }
        self.feed(number, Input::Tick);
    }

    /// Sees to it that a tick comes at the next deadline.
    fn arm_tick(&mut self, number: u16, now_ns: u64) {
        let node = &mut self.nodes[usize::from(number)];
        let run = node.run;
        let Some(life) = &mut node.life else { return };
        let next =
            [life.engine.next_deadline(), life.shard.next_deadline()].into_iter().flatten().min();
        let Some(next_ns) = next else { return };
        if life.tick_ns.is_none_or(|tick_ns| next_ns < tick_ns) {
            life.tick_ns = Some(next_ns);
            self.after(next_ns.saturating_sub(now_ns), Happening::Tick { node: number, run });
        }
    }

    /// Whether something for a node has to wait because the node is paused, or is void because that run is over. Void
    /// happenings count as deferred: nobody is there to see them.
    pub(super) fn is_deferred(&mut self, number: u16, run: u32, happening: Happening) -> bool {
        let node = &mut self.nodes[usize::from(number)];
        if node.run != run || !node.is_up() {
            return true;
        }
        if node.paused {
            node.deferred.push(happening);
        }
        node.paused
    }

    /// Puts a message on its way.
    fn send(&mut self, from: u16, to: u16, message: PeerMessage) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        message.write(&mut Writer::new(&mut buffer));
        let digest = self.digest_message(from, to, &buffer);
        let arrivals = self.network.send(self.schedule.now_ns(), from, to);
        if self.trace.wants_text() {
            self.say_message(from, to, &message, arrivals[0].is_some());
        }
        let packet = if self.plan.through_codec {
            Packet::Encoded(buffer.clone().into())
        } else {
            Packet::Whole(message)
        };
        self.buffer = buffer;
        if let Some(Arrival { at_ns, connection }) = arrivals[1] {
            self.reached.mark(Rare::DuplicateDelivered);
            let packet = packet.clone();
            self.deliver_at(at_ns, Happening::Message { from, to, connection, digest, packet });
        }
        if let Some(Arrival { at_ns, connection }) = arrivals[0] {
            self.deliver_at(at_ns, Happening::Message { from, to, connection, digest, packet });
        }
    }

    fn deliver_at(&mut self, at_ns: u64, happening: Happening) {
        self.after(at_ns.saturating_sub(self.schedule.now_ns()), happening);
    }

    /// A message arrives, if its connection and its receiver are still there.
    pub(super) fn deliver(
        &mut self,
        from: u16,
        to: u16,
        connection: u32,
        digest: u64,
        packet: Packet,
    ) {
        let now_ns = self.schedule.now_ns();
        let run = self.nodes[usize::from(to)].run;
        if !self.network.delivers(now_ns, from, to, connection) {
            return;
        }
        if self.nodes[usize::from(to)].paused || !self.nodes[usize::from(to)].is_up() {
            self.is_deferred(to, run, Happening::Message { from, to, connection, digest, packet });
            return;
        }
        if connection != self.network.connection(from, to) {
            self.reached.mark(Rare::MessageFromTheDead);
        }
        let message = match packet {
            Packet::Whole(message) => message,
            Packet::Encoded(bytes) => match decode(bytes) {
                Ok(message) => message,
                Err(error) => {
                    let what = format!("a peer message does not decode: {error}");
                    self.accuse(Err(Violation::new(Property::P13, what)), Some(to), None);
                    return;
                }
            },
        };
        self.trace.hash.word(digest);
        let from = self.nodes[usize::from(from)].id;
        self.feed(to, Input::Peer { from, message });
    }
}
