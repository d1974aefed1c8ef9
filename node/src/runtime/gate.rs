//! How many of the clients' requests are let in: as many as are answered within a moment.
//!
//! A request that waits long before it is worked on serves nobody: its client has given up by then, and what was done for it
//! is lost for one that still waited. So a node lets in what it can answer within [`limits::ADMITTED_WITHIN`], and says
//! Overloaded at once, for the price of taking the frame in, to what is more. How many that are it measures: by Little's law
//! the requests at work are the rate of answers times the time that each takes. While most answers take longer than they
//! may, the bound becomes the measured rate times that time; while requests are refused and most answers come in time, it
//! grows by an eighth. (Admission by measured delay: DAGOR, Zhou et al., SoCC 2018; Breakwater, Cho et al., OSDI 2020.)
//!
//! A request counts from when its bytes have been read until it is answered, so whatever it waits for in this node counts:
//! the driver's queue, the disk, the other owners. It does not count any longer while the last owner is heard of: one slow
//! node must not close the doors of the others.
//!
//! **Not here:** requests about the cluster, which are few and are wanted most under overload; what peers ask, which the
//! engine bounds; bytes, which the clients' accounts bound.

use std::cell::RefCell;
use std::rc::Rc;

use crate::limits::MAX_REQUESTS;
use crate::runtime::limits;

/// Nanoseconds of a window, after which is decided anew.
const WINDOW_NS: u64 = limits::ADMITTED_WITHIN.as_nanos() as u64;

/// What a gate counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GateStats {
    /// Gauge: requests that may be at work.
    pub(crate) limit: usize,
    /// Gauge: requests at work.
    pub(crate) inside: usize,
    /// Requests answered Overloaded at the gate.
    pub(crate) refused: u64,
    /// Requests and messages whose deadline had passed before anybody looked at them.
    pub(crate) expired: u64,
}

/// What was seen since the last decision.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began_ns: u64,
    answered: u64,
    slow: u64,
    refused: bool,
    /// The most that were inside at a time.
    most: usize,
}

/// The bound and what is counted against it. Pure: the time is an argument.
#[derive(Debug)]
struct Room {
    stats: GateStats,
    window: Window,
}

impl Room {
    fn new() -> Room {
        let stats = GateStats { limit: MAX_REQUESTS, ..GateStats::default() };
        Room { stats, window: Window::default() }
    }

    fn enter(&mut self, now_ns: u64) -> bool {
        self.decide(now_ns);
        let has_room = self.stats.inside < self.stats.limit;
        if has_room {
            self.stats.inside += 1;
            self.window.most = self.window.most.max(self.stats.inside);
        } else {
            self.stats.refused += 1;
            self.window.refused = true;
        }
        has_room
    }

    fn answered(&mut self, now_ns: u64, took_ns: u64) {
        self.window.answered += 1;
        self.window.slow += u64::from(took_ns > WINDOW_NS);
        self.decide(now_ns);
    }

    /// Decides about the bound, once a window is over in which enough was answered to tell.
    fn decide(&mut self, now_ns: u64) {
        let Window { began_ns, answered, slow, refused, most } = self.window;
        let lasted_ns = now_ns.saturating_sub(began_ns);
        if lasted_ns < WINDOW_NS || (answered < limits::ADMISSION_SAMPLES && slow == 0) {
            return;
        }
        let limit = self.stats.limit;
        // A few that are slow are no crowd: the disk or a peer is slow, and letting in fewer would not make it quicker.
        let is_crowded = most > limits::ADMITTED_MIN;
        let limit = match (slow * 2 > answered, refused) {
            (true, _) if is_crowded => {
                let in_time = u128::from(answered) * u128::from(WINDOW_NS) / u128::from(lasted_ns);
                limit.min(usize::try_from(in_time).unwrap_or(usize::MAX))
            }
            (false, true) => limit + limit / 8,
            (true, _) | (false, false) => limit,
        };
        self.stats.limit = limit.clamp(limits::ADMITTED_MIN, MAX_REQUESTS);
        self.window = Window { began_ns: now_ns, most: self.stats.inside, ..Window::default() };
    }
}

/// See the module's page. One for each node, shared by its sessions and its driver.
#[derive(Debug)]
pub(crate) struct Gate(RefCell<Room>);

/// A request that was let in; it has left when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Rc<Gate>);

impl Gate {
    /// Nobody is inside, and as many as the engine takes may be.
    pub(crate) fn new() -> Rc<Gate> {
        Rc::new(Gate(RefCell::new(Room::new())))
    }

    /// One that lets in so many at first.
    #[cfg(test)]
    pub(crate) fn of(limit: usize) -> Rc<Gate> {
        let gate = Gate::new();
        gate.0.borrow_mut().stats.limit = limit;
        gate
    }

    /// Lets a request in, if there is room.
    pub(crate) fn enter(self: &Rc<Gate>, now_ns: u64) -> Option<Ticket> {
        let has_room = self.0.borrow_mut().enter(now_ns);
        has_room.then(|| Ticket(Rc::clone(self)))
    }

    /// Something came too late to be looked at.
    pub(crate) fn expired(&self) {
        self.0.borrow_mut().stats.expired += 1;
    }

    /// What it has counted.
    pub(crate) fn stats(&self) -> GateStats {
        self.0.borrow().stats
    }
}

impl Ticket {
    /// The request has been answered, so long after its bytes had come. Tells the gate how quickly the node works; not to be
    /// called of what takes long by its nature.
    pub(crate) fn answered(self, now_ns: u64, took_ns: u64) {
        self.0.0.borrow_mut().answered(now_ns, took_ns);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.0.borrow_mut().stats.inside -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::{Gate, Ticket, WINDOW_NS};
    use crate::limits::MAX_REQUESTS;
    use crate::runtime::limits::{ADMITTED_MIN, ADMITTED_WITHIN};

    const MS: u64 = 1_000_000;

    /// A node that answers one request every so many microseconds, asked every so many, for some seconds. Returns the
    /// rate of answers and the longest wait of the last second, in milliseconds, and the bound at the end.
    fn overload(serves_us: u64, asked_us: u64, seconds: u64) -> (u64, u64, usize) {
        let gate = Gate::new();
        let mut queue: VecDeque<(u64, Ticket)> = VecDeque::new();
        let (mut answers, mut longest_ns) = (0, 0);
        for us in 0..seconds * 1_000_000 {
            let now_ns = us * 1_000;
            if us % asked_us == 0
                && let Some(ticket) = gate.enter(now_ns)
            {
                queue.push_back((now_ns, ticket));
            }
            if us % serves_us == 0
                && let Some((came_ns, ticket)) = queue.pop_front()
            {
                ticket.answered(now_ns, now_ns - came_ns);
                if us >= (seconds - 1) * 1_000_000 {
                    answers += 1;
                    longest_ns = longest_ns.max(now_ns - came_ns);
                }
            }
        }
        (answers, longest_ns / MS, gate.stats().limit)
    }

    #[test]
    fn under_twice_the_load_the_node_works_at_its_peak_and_answers_in_time() {
        let (answers, longest_ms, limit) = overload(100, 50, 8);
        assert!(answers > 9_900, "{answers} of 10,000");
        let within_ms = ADMITTED_WITHIN.as_millis() as u64;
        assert!(longest_ms < within_ms * 3 / 2, "{longest_ms} ms");
        assert!(limit < 3_000, "{limit}");
    }

    #[test]
    fn below_its_peak_nothing_is_refused_and_the_bound_stays() {
        let (answers, longest_ms, limit) = overload(100, 250, 3);
        assert!(answers >= 3_999 && longest_ms < 2, "{answers}, {longest_ms} ms");
        assert_eq!(limit, MAX_REQUESTS);
    }

    #[test]
    fn a_bound_that_was_lowered_grows_again_when_answers_are_quick() {
        let gate = Gate::new();
        let mut crowd: Vec<_> = (0..=ADMITTED_MIN).map(|_| gate.enter(0).unwrap()).collect();
        crowd.pop().unwrap().answered(2 * WINDOW_NS, 2 * WINDOW_NS);
        assert_eq!(gate.stats().limit, ADMITTED_MIN);
        drop(crowd);
        let mut now_ns = 2 * WINDOW_NS;
        for _ in 0..100 {
            let mut inside = Vec::new();
            while let Some(ticket) = gate.enter(now_ns) {
                inside.push(ticket);
            }
            now_ns += WINDOW_NS;
            inside.into_iter().for_each(|ticket| ticket.answered(now_ns, MS));
        }
        assert_eq!(gate.stats().limit, MAX_REQUESTS);
    }

    #[test]
    fn a_few_slow_answers_lower_nothing() {
        let gate = Gate::new();
        for round in 1..10 {
            let alone = gate.enter(round * 3 * WINDOW_NS).unwrap();
            alone.answered((round * 3 + 2) * WINDOW_NS, 2 * WINDOW_NS);
        }
        assert_eq!(gate.stats().limit, MAX_REQUESTS);
    }

    #[test]
    fn what_ends_without_an_answer_has_left_all_the_same() {
        let gate = Gate::new();
        let ticket = gate.enter(0).unwrap();
        assert_eq!(gate.stats().inside, 1);
        drop(ticket);
        assert_eq!(gate.stats().inside, 0);
    }
}
