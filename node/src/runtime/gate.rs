//! How many of the clients' requests are let in: as many as are answered within a moment.
//!
//! A request that waits long before it is worked on serves nobody: its client has given up by then, and what was done for it
//! is lost for one that still waited. So a node lets in what it can answer within [`limits::ADMITTED_WITHIN`], and says
//! Overloaded at once, for the price of taking the frame in, to what is more. How many that are it measures: by Little's law
//! the requests at work are the rate of answers times the time that each takes. While most answers take longer than they
//! may, the bound becomes the measured rate times that time; while requests are refused and most answers come in time, it
//! grows by an eighth. When most come after their deadlines, the clients have less patience than that, and answers may take
//! three quarters of theirs only. (Admission by measured delay: DAGOR, Zhou et al., SoCC 2018; Breakwater, Cho et al., OSDI
//! 2020.)
//!
//! Answers may take long although nothing is overloaded: an owner is far away, a disk is slow. Then letting in fewer makes
//! none of them quicker, and the node answers fewer. That is how it is told: when the rate of answers falls with the bound,
//! the bound goes back to where it was, and stays for [`limits::ADMISSION_PATIENCE`]. A node where nothing is at work is not
//! overloaded either, whatever it was.
//!
//! A request counts from when its bytes have been read until it is answered, so whatever it waits for in this node counts:
//! the driver's queue, the disk, the other owners. It does not count any longer while the last owner is heard of: one slow
//! node must not close the doors of the others.
//!
//! **Fairness.** While another tenant asks, too, nobody gets more than half of the bound, so that a flood leaves room for
//! whoever comes beside it. A token's own limits come first, and what they refuse tells nothing about the node: it neither
//! counts as refused nor lets the bound grow.
//!
//! Whoever is not let in is told to come again after about as long as answers take now: when those who are inside have left.
//!
//! **Reading first.** What waits in a socket waits where nothing counts it. A node that works off what it has read before it reads
//! on can have a second's requests there for ever, answer each of them too late, and see no crowd. So while requests come in crowds
//! the driver lets the sessions read until fewer come, or until they have refused so many ([`limits::REFUSALS_PER_TURN`]) that
//! those inside, whom only the driver lets out, must have their turn.
//!
//! **Not here:** requests about the cluster, which are few and are wanted most under overload; what peers ask, which the
//! engine bounds; bytes, which the clients' accounts bound.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use kvorum_store::clock::NS_PER_MS;

use crate::limits::{MAX_REQUESTS, RETRY_AFTER_MS};
use crate::runtime::limits;
use crate::runtime::tenant::{Company, OverLimit, Tenant, TenantId, TenantLimits, Tenants};

/// Nanoseconds of a window, after which is decided anew.
const WINDOW_NS: u64 = limits::ADMITTED_WITHIN.as_nanos() as u64;

/// The least that an answer may take, however impatient the clients are.
const WITHIN_NS_MIN: u64 = 10_000_000;

/// What a gate counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GateStats {
    /// Gauge: requests that may be at work.
    pub(crate) limit: usize,
    /// Gauge: requests at work.
    pub(crate) inside: usize,
    /// Requests answered Overloaded at the gate.
    pub(crate) refused: u64,
    /// Those among them for which there was room, but not for their tenant.
    pub(crate) over_share: u64,
    /// Requests answered Overloaded because their token had as many at work as it may.
    pub(crate) over_in_flight: u64,
    /// Requests answered Overloaded because their token had begun as many as it may.
    pub(crate) over_rate: u64,
    /// Requests answered Overloaded because their connection had as many at work as it may.
    pub(crate) over_connection: u64,
    /// Requests and messages whose deadline had passed before anybody looked at them.
    pub(crate) expired: u64,
}

/// How a request that was let in ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// It was answered, so many nanoseconds after its bytes had come.
    Took(u64),
    /// Its deadline passed after so many.
    Late(u64),
}

/// What was seen since the last decision.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// When the first answer came: before that nothing tells the rate.
    began_ns: u64,
    answered: u64,
    /// Those that had come since the bound was lowered, the slow and late ones of them, and what they took in all.
    told: u64,
    slow: u64,
    late: u64,
    late_ns: u64,
    took_ns: u64,
    refused: bool,
    /// The most that were inside at a time.
    most: usize,
}

impl Window {
    fn mean_ns(&self) -> u64 {
        self.took_ns / self.told.max(1)
    }

    /// Answers in a time, at the rate of a window that lasted so long.
    fn per(&self, time_ns: u64, lasted_ns: u64) -> usize {
        let answers = u128::from(self.answered) * u128::from(time_ns) / u128::from(lasted_ns);
        usize::try_from(answers).unwrap_or(usize::MAX)
    }
}

/// How it was before the bound was lowered, until it is seen whether that was in vain.
#[derive(Clone, Copy, Debug)]
struct Lowered {
    /// When it was lowered last.
    at_ns: u64,
    from: usize,
    /// Answers in the time of a window.
    rate: usize,
    mean_ns: u64,
}

/// The bound and what is counted against it. Pure: the time is an argument.
#[derive(Debug)]
struct Room {
    /// The highest bound.
    ceiling: usize,
    /// What an answer may take.
    within_ns: u64,
    stats: GateStats,
    company: Company,
    window: Window,
    /// What answers took lately, on average; 0 when nothing tells.
    usual_ns: u64,
    lowered: Option<Lowered>,
    /// Until when slow answers lower nothing, because it did not help.
    patient_until_ns: u64,
}

impl Room {
    fn new(ceiling: usize) -> Room {
        let stats = GateStats { limit: ceiling, ..GateStats::default() };
        let (company, window) = Default::default();
        let (within_ns, usual_ns, patient_until_ns) = (WINDOW_NS, 0, 0);
        Room {
            ceiling,
            within_ns,
            stats,
            company,
            window,
            usual_ns,
            lowered: None,
            patient_until_ns,
        }
    }

    /// Whether there is room for one more of a tenant that has so many inside.
    fn enter(&mut self, tenant: TenantId, its_inside: usize, now_ns: u64) -> bool {
        let is_shared = self.company.came(tenant, now_ns);
        if self.stats.inside == 0 {
            self.stats.limit = self.ceiling;
            self.within_ns = WINDOW_NS;
            self.usual_ns = 0;
            self.lowered = None;
            self.begin_window();
        }
        let has_room = self.stats.inside < self.stats.limit;
        let has_share = !is_shared || its_inside < self.stats.limit.div_ceil(2);
        if has_room && has_share {
            self.stats.inside += 1;
            self.window.most = self.window.most.max(self.stats.inside);
        } else {
            self.stats.refused += 1;
            self.stats.over_share += u64::from(has_room);
            self.window.refused = true;
        }
        has_room && has_share
    }

    fn ended(&mut self, now_ns: u64, pace: Pace) {
        let (Pace::Took(took_ns) | Pace::Late(took_ns)) = pace;
        if self.window.answered == 0 {
            self.window.began_ns = now_ns;
        }
        self.window.answered += 1;
        let came_ns = now_ns.saturating_sub(took_ns);
        if self.lowered.is_none_or(|lowered| came_ns >= lowered.at_ns) {
            let is_late = matches!(pace, Pace::Late(_));
            self.window.told += 1;
            self.window.slow += u64::from(is_late || took_ns > self.within_ns);
            self.window.late += u64::from(is_late);
            self.window.late_ns += if is_late { took_ns } else { 0 };
            self.window.took_ns += took_ns;
        }
        self.decide(now_ns);
    }

    /// Decides about the bound, once a window is over in which enough was answered to tell.
    fn decide(&mut self, now_ns: u64) {
        let window = self.window;
        let lasted_ns = now_ns.saturating_sub(window.began_ns);
        if lasted_ns < WINDOW_NS || window.told < limits::ADMISSION_SAMPLES {
            return;
        }
        self.usual_ns = window.mean_ns();
        if window.slow * 2 <= window.told {
            self.lowered = None;
            // Clients may have become more patient. Slowly: to find out that they have not costs answers.
            self.within_ns = (self.within_ns + self.within_ns / 256).min(WINDOW_NS);
            if window.refused {
                self.set_limit(self.stats.limit + self.stats.limit / 8);
            }
        } else if window.late * 2 > window.told {
            let patience_ns = window.late_ns / window.late * 3 / 4;
            self.within_ns = self.within_ns.min(patience_ns).max(WITHIN_NS_MIN);
            self.lower(now_ns, lasted_ns);
        } else if self.lowering_was_in_vain(window.per(WINDOW_NS, lasted_ns)) {
            self.set_limit(self.lowered.map_or(self.ceiling, |lowered| lowered.from));
            self.lowered = None;
            self.patient_until_ns = now_ns + limits::ADMISSION_PATIENCE.as_nanos() as u64;
        } else if now_ns >= self.patient_until_ns {
            self.lower(now_ns, lasted_ns);
        }
        self.begin_window();
    }

    /// A few that are slow are no crowd: the disk or a peer is slow, and group commit needs company.
    fn lower(&mut self, now_ns: u64, lasted_ns: u64) {
        let limit = self.window.per(self.within_ns, lasted_ns);
        if self.window.most > limits::ADMITTED_MIN && limit < self.stats.limit {
            let here = Lowered {
                at_ns: now_ns,
                from: self.stats.limit,
                rate: self.window.per(WINDOW_NS, lasted_ns),
                mean_ns: self.window.mean_ns(),
            };
            self.lowered = Some(Lowered { at_ns: now_ns, ..self.lowered.unwrap_or(here) });
            self.set_limit(limit);
        }
    }

    /// Whether there is room for a quarter less than was at work before, or even less, and the rate of answers fell by half of
    /// that part or more.
    fn lowering_was_in_vain(&self, rate: usize) -> bool {
        self.lowered.is_some_and(|before| {
            let at_work = before.rate as u128 * u128::from(before.mean_ns) / u128::from(WINDOW_NS);
            let limit = self.stats.limit as u128;
            let fell = rate as u128 * 2 * at_work < before.rate as u128 * (at_work + limit);
            limit * 4 <= at_work * 3 && fell
        })
    }

    fn set_limit(&mut self, limit: usize) {
        self.stats.limit = limit.max(limits::ADMITTED_MIN).min(self.ceiling);
    }

    /// When to come again: in the time that an answer takes, those who are inside leave.
    fn retry_after_ms(&self) -> u32 {
        let usual_ms = u32::try_from(self.usual_ns / NS_PER_MS).unwrap_or(u32::MAX);
        usual_ms.clamp(RETRY_AFTER_MS, limits::RETRY_AFTER_MAX_MS)
    }

    fn begin_window(&mut self) {
        self.window = Window { most: self.stats.inside, ..Window::default() };
    }
}

/// See the module's page. One for each node, shared by its sessions and its driver.
#[derive(Debug)]
pub(crate) struct Gate {
    room: RefCell<Room>,
    tenants: RefCell<Tenants>,
    /// Refusals since the driver's last turn began.
    refusals: Cell<usize>,
    /// Requests let in or refused since somebody asked whether they are a crowd.
    came: Cell<usize>,
}

/// A request that was let in; it has left when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    gate: Rc<Gate>,
    tenant: Rc<Tenant>,
    /// As how many requests it counts.
    weight: usize,
}

/// A request was not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    /// When to come again, in milliseconds.
    pub(crate) retry_after_ms: u32,
}

impl Gate {
    /// Nobody is inside, and as many as the engine takes may be.
    pub(crate) fn new() -> Rc<Gate> {
        Gate::of(MAX_REQUESTS)
    }

    /// One that never lets in more than so many at a time.
    pub(crate) fn of(ceiling: usize) -> Rc<Gate> {
        let (tenants, refusals, came) = Default::default();
        Rc::new(Gate { room: RefCell::new(Room::new(ceiling)), tenants, refusals, came })
    }

    /// The tenant of one more connection.
    pub(crate) fn tenant(&self, id: TenantId, limits: TenantLimits, now_ns: u64) -> Rc<Tenant> {
        self.tenants.borrow_mut().join(id, limits, now_ns)
    }

    /// Lets a request in that counts as `weight` of its tenant's, if the tenant may begin one and there is room.
    ///
    /// # Errors
    /// When to come again.
    pub(crate) fn enter(
        self: &Rc<Gate>,
        tenant: &Rc<Tenant>,
        weight: usize,
        now_ns: u64,
    ) -> Result<Ticket, Refused> {
        self.came.set(self.came.get() + 1);
        let mut room = self.room.borrow_mut();
        if let Err(over) = tenant.check(now_ns) {
            let retry_after_ms = match over {
                OverLimit::InFlight => {
                    room.stats.over_in_flight += 1;
                    room.retry_after_ms()
                }
                OverLimit::Rate { retry_after_ms } => {
                    room.stats.over_rate += 1;
                    retry_after_ms
                }
            };
            return Err(Refused { retry_after_ms });
        }
        if !room.enter(tenant.id(), tenant.inside(), now_ns) {
            return Err(Refused { retry_after_ms: room.retry_after_ms() });
        }
        tenant.began(weight, now_ns);
        Ok(Ticket { gate: Rc::clone(self), tenant: Rc::clone(tenant), weight })
    }

    /// Lets a request in of the only tenant that there is.
    #[cfg(test)]
    pub(crate) fn enter_alone(self: &Rc<Gate>) -> Option<Ticket> {
        self.enter_alone_at(0)
    }

    /// The same at a time.
    #[cfg(test)]
    pub(crate) fn enter_alone_at(self: &Rc<Gate>, now_ns: u64) -> Option<Ticket> {
        self.enter(&Tenant::anybody(), 1, now_ns).ok()
    }

    /// A connection has as many requests at work as it may, and sends another one.
    pub(crate) fn over_connection(&self) -> Refused {
        self.came.set(self.came.get() + 1);
        let mut room = self.room.borrow_mut();
        room.stats.over_connection += 1;
        Refused { retry_after_ms: room.retry_after_ms() }
    }

    /// The driver begins a turn.
    pub(crate) fn turn_begins(&self) {
        self.refusals.set(0);
    }

    /// Whether so many requests have come since this was asked last that more may wait in the sockets; and not so many were refused
    /// that it is the driver's turn.
    pub(crate) fn is_crowded(&self) -> bool {
        self.came.take() >= limits::CROWD && self.refusals.get() < limits::REFUSALS_PER_TURN
    }

    /// Counts a refusal. Whether it is time to let the driver, and everybody else, have a turn before the next one.
    pub(crate) fn refused_enough(&self) -> bool {
        self.refusals.set(self.refusals.get() + 1);
        self.refusals.get() >= limits::REFUSALS_PER_TURN
    }

    /// Something came too late to be looked at.
    pub(crate) fn expired(&self) {
        self.room.borrow_mut().stats.expired += 1;
    }

    /// What it has counted.
    pub(crate) fn stats(&self) -> GateStats {
        self.room.borrow().stats
    }
}

impl Ticket {
    /// The request has ended. Tells the gate how quickly the node works; not to be called of what takes long by its nature,
    /// unless it was late.
    pub(crate) fn ended(self, now_ns: u64, pace: Pace) {
        self.gate.room.borrow_mut().ended(now_ns, pace);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tenant.ended(self.weight);
        self.gate.room.borrow_mut().stats.inside -= 1;
    }
}

#[cfg(test)]
mod tests;
