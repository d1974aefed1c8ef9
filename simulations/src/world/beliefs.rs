//! Who believes whom to be up.
//!
//! In most plans the failure detector itself is not simulated, only what it does to an engine: after a while each node learns
//! that a peer has gone or is back, each pair by itself, and sometimes wrongly. A connection that broke is noticed even if the
//! peer is back by then, as it is in the real runtime: down and up again, because what was outstanding there is lost.

use kvorum_node::engine::Input;

use super::{Happening, World};
use crate::plan::DetectorPlan;
use crate::reached::Rare;
use crate::streams::{Purpose, Stream};

/// What one node believes of another.
#[derive(Debug)]
struct Belief {
    up: bool,
    /// Whether the connection is open.
    linked: bool,
    /// The connection that it was last told of.
    connection: u32,
    suspected_until_ns: u64,
    delay: Stream,
}

/// What every node believes of every other.
#[derive(Debug)]
pub(super) struct Beliefs {
    nodes: u16,
    minimum_ns: u64,
    mean_ns: u64,
    beliefs: Vec<Belief>,
}

impl Beliefs {
    pub(super) fn new(seed: u64, nodes: u16, plan: &DetectorPlan) -> Self {
        let beliefs = (0..u64::from(nodes) * u64::from(nodes))
            .map(|pair| Belief {
                up: false,
                linked: false,
                connection: 0,
                suspected_until_ns: 0,
                delay: Stream::new(seed, Purpose::Detector, pair),
            })
            .collect();
        Self { nodes, minimum_ns: plan.minimum_us * 1_000, mean_ns: plan.mean_us * 1_000, beliefs }
    }

    fn pair(&mut self, observer: u16, target: u16) -> &mut Belief {
        &mut self.beliefs[usize::from(observer) * usize::from(self.nodes) + usize::from(target)]
    }

    fn delay_ns(&mut self, observer: u16, target: u16) -> u64 {
        let (minimum, mean) = (self.minimum_ns, self.mean_ns);
        self.pair(observer, target).delay.exponential(minimum, mean)
    }

    /// Forgets what a node believed, because it started anew.
    pub(super) fn forget(&mut self, observer: u16) {
        for target in 0..self.nodes {
            let pair = self.pair(observer, target);
            (pair.up, pair.linked) = (false, false);
        }
    }

    /// Ends all wrong suspicions.
    pub(super) fn trust(&mut self) {
        self.beliefs.iter_mut().for_each(|belief| belief.suspected_until_ns = 0);
    }
}

impl World {
    /// Tells every node of every other at once: the run begins with a cluster that has formed.
    pub(super) fn introduce_all(&mut self) {
        for observer in 0..self.plan.topology.nodes {
            for target in (0..self.plan.topology.nodes).filter(|target| *target != observer) {
                self.look(observer, target);
            }
        }
    }

    /// Something about `node` changed: all detectors that watch it, and its own, will notice after a while.
    pub(super) fn notice(&mut self, node: u16) {
        for other in (0..self.plan.topology.nodes).filter(|other| *other != node) {
            self.notice_pair(node, other);
        }
    }

    /// Something between two nodes changed: both will notice after a while.
    pub(super) fn notice_pair(&mut self, left: u16, right: u16) {
        for (observer, target) in [(left, right), (right, left)] {
            let delay = self.beliefs.delay_ns(observer, target);
            self.after(delay, Happening::Look { observer, target });
        }
    }

    /// Lets every detector look again after a while.
    pub(super) fn look_around(&mut self) {
        for left in 0..self.plan.topology.nodes {
            for right in left + 1..self.plan.topology.nodes {
                self.notice_pair(left, right);
            }
        }
    }

    /// Makes `observer` suspect `target` wrongly for a while.
    pub(super) fn suspect(&mut self, observer: u16, target: u16, for_ns: u64) {
        self.beliefs.pair(observer, target).suspected_until_ns = self.schedule.now_ns() + for_ns;
        self.look(observer, target);
        self.after(for_ns, Happening::Look { observer, target });
    }

    /// `observer` finds out whether it can talk to `target`.
    pub(super) fn look(&mut self, observer: u16, target: u16) {
        if observer == target || !self.nodes[usize::from(observer)].is_up() {
            return;
        }
        let now_ns = self.schedule.now_ns();
        let reaches = self.nodes[usize::from(target)].is_awake()
            && !self.network.is_cut(now_ns, observer, target)
            && !self.network.is_cut(now_ns, target, observer);
        let connection = self.network.connection(observer, target);
        let alive = self.is_thought_alive(observer, target);
        let belief = self.beliefs.pair(observer, target);
        let suspected = now_ns < belief.suspected_until_ns;
        let up = reaches && alive && !suspected;
        let was_up = belief.up;
        let broke = was_up && belief.connection != connection;
        let is_new = reaches && (!belief.linked || belief.connection != connection);
        (belief.up, belief.linked, belief.connection) = (up, reaches, connection);
        if reaches && suspected && was_up {
            self.reached.mark(Rare::WrongSuspicion);
        }
        let node = self.nodes[usize::from(target)].id;
        if was_up && (!up || broke) {
            self.feed(observer, Input::PeerDown { node });
        }
        if up && (!was_up || broke) {
            self.feed(observer, Input::PeerUp { node });
        }
        if is_new {
            self.connected(observer, target);
        }
    }
}
