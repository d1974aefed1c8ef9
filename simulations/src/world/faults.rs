//! What breaks. Each fault of a plan becomes rules with an end on a link, a node, a disk, a clock or a belief.
//!
//! The end of everything that lasts is capped at the moment of healing, so that the healed phase is healthy whatever the
//! plan says.

use kvorum_store::sim_files;

use super::node::{Death, Doom};
use super::{Happening, World};
use crate::network::Rates;
use crate::plan::{DiskErrorKind, Fault, IndexDamage};
use crate::reached::Rare;

impl World {
    /// When something that begins now and lasts `for_us` ends.
    fn until_ns(&self, for_us: u64) -> u64 {
        let end_ns = self.schedule.now_ns().saturating_add(for_us.saturating_mul(1_000));
        end_ns.min(self.plan.heal_at_us * 1_000)
    }

    /// Lets a fault happen.
    pub(super) fn strike(&mut self, fault: &Fault) {
        if self.healed {
            return;
        }
        self.say(None, None, || format!("fault: {fault:?}"));
        match fault {
            Fault::Cut { .. }
            | Fault::Isolate { .. }
            | Fault::Bipartition { .. }
            | Fault::Clog { .. }
            | Fault::Degrade { .. }
            | Fault::SlowNode { .. }
            | Fault::Reset { .. } => self.strike_network(fault),
            Fault::Crash { node, down_us, within_io, index } => {
                let death = Death {
                    within_io: *within_io,
                    index: *index,
                    power: *index != IndexDamage::Unflushed,
                };
                self.die(*node, death, down_us * 1_000);
            }
            Fault::CrashAfterMint { node, mints, delay_us, down_us, within_io } => {
                let node = &mut self.nodes[usize::from(*node)];
                node.doom = Some(Doom {
                    mints: *mints,
                    delay_ns: delay_us * 1_000,
                    down_ns: down_us * 1_000,
                    within_io: *within_io,
                });
            }
            Fault::OwnersAway { key, owners, down_us } => {
                self.cut_owners(*key, *owners, down_us * 1_000);
            }
            Fault::PowerCut { down_us, within_io, index } => {
                for node in 0..self.plan.topology.nodes {
                    let death = Death { within_io: *within_io, index: *index, power: true };
                    self.die(node, death, down_us * 1_000);
                }
                self.reached.mark(Rare::AllDown);
            }
            Fault::Pause { node, for_us } => self.pause(*node, *for_us * 1_000),
            Fault::Wipe { node, down_us } => self.wipe(*node, down_us * 1_000),
            Fault::DiskError { .. } | Fault::SlowDisk { .. } | Fault::Unreadable { .. } => {
                self.strike_disk(fault);
            }
            Fault::ClockJump { node, by_ms } => {
                let now_ns = self.schedule.now_ns();
                self.latest_ms = self.latest_ms.max(self.wall_clocks().1);
                self.jumped_ns = now_ns;
                self.nodes[usize::from(*node)].clock.offset_ms += by_ms;
            }
            Fault::Suspect { observer, target, for_us } => {
                let until_ns = self.until_ns(*for_us);
                self.suspect(*observer, *target, until_ns.saturating_sub(self.schedule.now_ns()));
            }
        }
    }

    fn strike_disk(&mut self, fault: &Fault) {
        match fault {
            Fault::DiskError { node, after, error, down_us } => {
                let node = &mut self.nodes[usize::from(*node)];
                let fault = match error {
                    DiskErrorKind::Io => sim_files::Fault::Eio,
                    DiskErrorKind::Full => sim_files::Fault::NoSpace,
                    DiskErrorKind::Short => sim_files::Fault::ShortWrite,
                    DiskErrorKind::FlippedRead => sim_files::Fault::FlipRead,
                };
                node.files.fail_nth(u64::from(after.saturating_sub(1)), fault);
                node.stopped_for_ns = down_us * 1_000;
            }
            Fault::SlowDisk { node, factor, for_us } => {
                let until_ns = self.until_ns(*for_us);
                self.nodes[usize::from(*node)].slow_disk = (u64::from((*factor).max(1)), until_ns);
            }
            Fault::Unreadable { node, for_us } => {
                self.nodes[usize::from(*node)].unreadable_until_ns = self.until_ns(*for_us);
            }
            _ => {}
        }
    }

    fn cut_owners(&mut self, key: u16, owners: u8, down_ns: u64) {
        let all = self.owners[usize::from(key)].clone();
        for node in all.into_iter().take(owners.into()) {
            let death = Death { within_io: false, index: IndexDamage::Whole, power: true };
            self.die(node, death, down_ns);
        }
    }

    fn strike_network(&mut self, fault: &Fault) {
        let now_ns = self.schedule.now_ns();
        let nodes = 0..self.plan.topology.nodes;
        match fault {
            Fault::Cut { from, to, both, for_us } => {
                let until_ns = self.until_ns(*for_us);
                self.network.cut(*from, *to, until_ns);
                if *both {
                    self.network.cut(*to, *from, until_ns);
                }
                self.cuts_until(until_ns);
            }
            Fault::Isolate { node, inbound, outbound, for_us } => {
                let until_ns = self.until_ns(*for_us);
                for other in nodes.filter(|other| other != node) {
                    if *inbound {
                        self.network.cut(other, *node, until_ns);
                    }
                    if *outbound {
                        self.network.cut(*node, other, until_ns);
                    }
                }
                self.cuts_until(until_ns);
            }
            Fault::Bipartition { side, for_us } => {
                let until_ns = self.until_ns(*for_us);
                for other in nodes.filter(|other| !side.contains(other)) {
                    for node in side {
                        self.network.cut(*node, other, until_ns);
                        self.network.cut(other, *node, until_ns);
                    }
                }
                self.cuts_until(until_ns);
            }
            Fault::Clog { from, to, for_us } => {
                let until_ns = self.until_ns(*for_us);
                self.network.clog(*from, *to, until_ns);
            }
            Fault::Degrade { from, to, loss_ppm, duplicate_ppm, reorder_ppm, for_us } => {
                let rates = Rates {
                    loss_ppm: *loss_ppm,
                    duplicate_ppm: *duplicate_ppm,
                    reorder_ppm: *reorder_ppm,
                };
                let until_ns = self.until_ns(*for_us);
                self.network.degrade(*from, *to, rates, until_ns);
            }
            Fault::SlowNode { node, factor, for_us } => {
                let until_ns = self.until_ns(*for_us);
                self.network.slow_node(*node, *factor, until_ns);
            }
            Fault::Reset { left, right } if left != right => {
                self.network.reset(now_ns, *left, *right);
                self.notice_pair(*left, *right);
            }
            _ => {}
        }
    }

    /// Detectors look now and when the cut has ended.
    fn cuts_until(&mut self, until_ns: u64) {
        self.look_around();
        let left_ns = until_ns.saturating_sub(self.schedule.now_ns());
        self.after(left_ns, Happening::LookAround);
    }

    fn wipe(&mut self, node: u16, down_ns: u64) {
        let nodes = self.plan.topology.nodes;
        if !self.holders.may_lose(node, nodes, &self.oracle) {
            self.reached.mark(Rare::WipeOverBudget);
            if !self.plan.over_budget {
                return;
            }
            self.holders.lose(node, nodes, &self.oracle);
            self.reached.mark(Rare::LastCopyDestroyed);
        }
        let death = Death { within_io: false, index: IndexDamage::Whole, power: true };
        self.die(node, death, down_ns);
        self.nodes[usize::from(node)].wipe();
        self.holders.wipe(node);
        self.reached.mark(Rare::Wiped);
    }

    fn pause(&mut self, node: u16, for_ns: u64) {
        let until_ns = self.until_ns(for_ns / 1_000);
        let paused = &mut self.nodes[usize::from(node)];
        if !paused.is_awake() {
            return;
        }
        paused.paused = true;
        paused.disturbed_ns = until_ns;
        self.notice(node);
        let left_ns = until_ns.saturating_sub(self.schedule.now_ns());
        self.after(left_ns, Happening::Wake { node });
    }

    /// A paused node goes on, with everything that came meanwhile.
    pub(super) fn wake(&mut self, node: u16) {
        let woken = &mut self.nodes[usize::from(node)];
        if !woken.paused {
            return;
        }
        woken.paused = false;
        woken.disturbed_ns = self.schedule.now_ns();
        let waiting = std::mem::take(&mut woken.deferred);
        if !waiting.is_empty() {
            self.reached.mark(Rare::WokeLate);
        }
        self.say(Some(node), None, || format!("goes on; {} inputs waited", waiting.len()));
        for happening in waiting {
            self.after(0, happening);
        }
        self.notice(node);
    }
}
