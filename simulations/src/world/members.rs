//! Failure detection by the production membership machines, in the plans that ask for it.
//!
//! Each node has a machine of its own, which talks to the others in datagrams over the same links as everything else:
//! they are lost, doubled, delayed and cut off. A peer counts as up while it can be reached and the machine says that it is
//! alive, as in the runtime.
//!
//! After healing everybody has to see everybody. Then one node dies, or is cut off from all others, for longer than it
//! takes to notice, and comes back: both have to be seen by all within a bound. That done, the machines stop, because
//! they would gossip for ever, and the rest of the run needs no detection.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use kvorum_gossip::{Membership, MembershipOptions, MembershipOutput, Seed};

use super::node::Death;
use super::{Happening, World};
use crate::checkers::p19_membership;
use crate::limits;
use crate::plan::{GossipPlan, IndexDamage};
use crate::reached::Rare;
use crate::streams::Purpose;
use crate::violation::{Property, Violation};

/// A machine and the moment of the tick that is scheduled for it.
pub(super) struct Detector {
    machine: Membership,
    tick_ns: Option<u64>,
}

/// What comes next in the phase in which a node goes and returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// All have to see all; then the node goes.
    Before,
    /// The others have to have noticed; then it returns.
    Gone,
    /// All have to see all again.
    Back,
}

impl World {
    /// The machine of a node that starts.
    pub(super) fn detector(&self, number: u16) -> Option<Box<Detector>> {
        self.plan.gossip.as_ref().filter(|_| !self.detectors_stopped)?;
        let node = &self.nodes[usize::from(number)];
        let seed = |number: u16| Seed {
            node: self.nodes[usize::from(number)].id,
            address: SocketAddr::from((Ipv4Addr::new(10, 0, (number >> 8) as u8, number as u8), 1)),
        };
        let options = MembershipOptions {
            me: node.id,
            address: seed(number).address,
            renewal: node.starts,
            seeds: (0..self.plan.topology.nodes).map(seed).collect(),
        };
        #[cfg_attr(not(feature = "planted"), expect(unused_mut, reason = "nothing can be armed"))]
        let mut machine = Membership::new(options, node.draw(Purpose::Gossip));
        #[cfg(feature = "planted")]
        if let Some(planted) = self.plan.planted.as_deref().and_then(crate::planted::in_gossip) {
            machine.arm(planted);
        }
        Some(Box::new(Detector { machine, tick_ns: None }))
    }

    fn detector_mut(&mut self, number: u16) -> Option<&mut Detector> {
        self.nodes[usize::from(number)].life.as_mut()?.detector.as_deref_mut()
    }

    /// Whether a node's machine says that a peer is alive. Without machines everybody is.
    pub(super) fn is_thought_alive(&self, observer: u16, target: u16) -> bool {
        let life = self.nodes[usize::from(observer)].life.as_ref();
        let detector = life.and_then(|life| life.detector.as_ref());
        let target = self.nodes[usize::from(target)].id;
        detector.is_none_or(|detector| detector.machine.alive().contains_key(&target))
    }

    /// A connection to a peer is up.
    pub(super) fn connected(&mut self, observer: u16, target: u16) {
        let (now_ns, peer) = (self.schedule.now_ns(), self.nodes[usize::from(target)].id);
        if let Some(detector) = self.detector_mut(observer) {
            detector.machine.reachable(now_ns, peer);
            self.pump_detector(observer);
        }
    }

    /// A datagram arrives, if its receiver is still there.
    pub(super) fn hear_datagram(&mut self, from: u16, to: u16, connection: u32, datagram: Bytes) {
        let now_ns = self.schedule.now_ns();
        let run = self.nodes[usize::from(to)].run;
        if !self.network.delivers(now_ns, from, to, connection) {
            return;
        }
        let again = Happening::Datagram { from, to, connection, datagram: datagram.clone() };
        if self.is_deferred(to, run, again) {
            return;
        }
        let peer = self.nodes[usize::from(from)].id;
        let Some(detector) = self.detector_mut(to) else { return };
        let heard = detector.machine.datagram(now_ns, peer, &datagram);
        let heard = heard.map_err(|error| Violation::new(Property::P13, error.to_string()));
        self.accuse(heard, Some(to), None);
        self.pump_detector(to);
    }

    /// A deadline of a node's machine has come, unless another tick took its place.
    pub(super) fn tick_detector(&mut self, number: u16, run: u32) {
        if self.is_deferred(number, run, Happening::DetectorTick { node: number, run }) {
            return;
        }
        let now_ns = self.schedule.now_ns();
        let Some(detector) = self.detector_mut(number) else { return };
        if detector.tick_ns.is_none_or(|tick_ns| tick_ns > now_ns) {
            return;
        }
        detector.tick_ns = None;
        detector.machine.tick(now_ns);
        self.pump_detector(number);
    }

    /// Carries out what a machine wants, and sees to it that it is called at its next deadline.
    pub(super) fn pump_detector(&mut self, number: u16) {
        while let Some(output) = self.detector_mut(number).and_then(|one| one.machine.poll_output())
        {
            self.carry_detector(number, output);
        }
        let now_ns = self.schedule.now_ns();
        let run = self.nodes[usize::from(number)].run;
        let Some(detector) = self.detector_mut(number) else { return };
        let Some(next_ns) = detector.machine.next_deadline() else { return };
        if detector.tick_ns.is_none_or(|tick_ns| next_ns < tick_ns) {
            detector.tick_ns = Some(next_ns);
            let happening = Happening::DetectorTick { node: number, run };
            self.after(next_ns.saturating_sub(now_ns), happening);
        }
    }

    fn carry_detector(&mut self, number: u16, output: MembershipOutput) {
        match output {
            MembershipOutput::Send { to, datagram } => {
                let (now_ns, to) = (self.schedule.now_ns(), self.number_of(to));
                self.trace.hash.word(u64::from(number) << 16 | u64::from(to));
                self.trace.hash.bytes(&datagram);
                for arrival in self.network.send_datagram(now_ns, number, to).into_iter().flatten()
                {
                    let (connection, datagram) = (arrival.connection, datagram.clone());
                    let happening = Happening::Datagram { from: number, to, connection, datagram };
                    self.after(arrival.at_ns.saturating_sub(now_ns), happening);
                }
            }
            MembershipOutput::Up(seed) => {
                let target = self.number_of(seed.node);
                self.say(Some(number), None, || format!("hears that node {target} is alive"));
                self.look(number, target);
            }
            MembershipOutput::Down(node) => {
                let target = self.number_of(node);
                self.say(Some(number), None, || format!("declares node {target} down"));
                self.reached.mark(match self.nodes[usize::from(target)].is_awake() {
                    true => Rare::FalselyDown,
                    false => Rare::DeclaredDown,
                });
                self.look(number, target);
            }
            MembershipOutput::Renewed(_) => self.reached.mark(Rare::Renewed),
            MembershipOutput::News { .. } => {}
        }
    }

    /// Begins the phase in which a node goes and returns. False where the plan has no machines.
    pub(super) fn begin_absence(&mut self) -> bool {
        let watched = self.plan.gossip.is_some() && !self.detectors_stopped;
        if watched {
            let bound_ns = limits::NOTICE_WITHIN_MS * 1_000_000;
            self.after(bound_ns, Happening::Absence(Absence::Before));
        }
        watched
    }

    /// The bound has passed: judges what all machines say, and goes on.
    pub(super) fn go_on_absence(&mut self, absence: Absence) {
        let Some(GossipPlan { node, dies }) = self.plan.gossip else { return };
        let bound_ns = limits::NOTICE_WITHIN_MS * 1_000_000;
        let now_ns = self.schedule.now_ns();
        self.judge_views((absence == Absence::Gone).then_some(node));
        match absence {
            Absence::Before if dies => {
                let index = IndexDamage::Whole;
                self.end_life(node, Death { within_io: false, index, power: true });
                self.after(bound_ns, Happening::Absence(Absence::Gone));
            }
            Absence::Before => {
                for other in (0..self.plan.topology.nodes).filter(|other| *other != node) {
                    self.network.cut(node, other, now_ns + bound_ns);
                    self.network.cut(other, node, now_ns + bound_ns);
                }
                self.look_around();
                self.after(bound_ns, Happening::Absence(Absence::Gone));
            }
            Absence::Gone => {
                self.start(node);
                self.look_around();
                self.after(bound_ns, Happening::Absence(Absence::Back));
            }
            Absence::Back => self.stop_detectors(),
        }
    }

    /// Judges whom every machine thinks alive, while `gone` is dead or cut off.
    fn judge_views(&mut self, gone: Option<u16>) {
        for observer in 0..self.plan.topology.nodes {
            if !self.nodes[usize::from(observer)].is_up() {
                continue;
            }
            let others = (0..self.plan.topology.nodes).filter(|other| *other != observer);
            let (seen, expected) =
                others.clone().fold((Vec::new(), Vec::new()), |(mut seen, mut expected), other| {
                    if self.is_thought_alive(observer, other) {
                        seen.push(other);
                    }
                    if gone.is_none_or(|gone| gone != other && gone != observer) {
                        expected.push(other);
                    }
                    (seen, expected)
                });
            let judgement = p19_membership::check(&seen, &expected, limits::NOTICE_WITHIN_MS);
            self.accuse(judgement, Some(observer), None);
        }
    }

    /// From here on everybody who can be reached counts as up.
    fn stop_detectors(&mut self) {
        self.detectors_stopped = true;
        for node in &mut self.nodes {
            if let Some(life) = &mut node.life {
                life.detector = None;
            }
        }
        self.introduce_all();
    }
}
