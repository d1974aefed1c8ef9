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
//! **Not here:** requests about the cluster, which are few and are wanted most under overload; what peers ask, which the
//! engine bounds; bytes, which the clients' accounts bound.

use std::cell::RefCell;
use std::rc::Rc;

use crate::limits::MAX_REQUESTS;
use crate::runtime::limits;

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
    window: Window,
    lowered: Option<Lowered>,
    /// Until when slow answers lower nothing, because it did not help.
    patient_until_ns: u64,
}

impl Room {
    fn new(ceiling: usize) -> Room {
        let stats = GateStats { limit: ceiling, ..GateStats::default() };
        let window = Window::default();
        let within_ns = WINDOW_NS;
        Room { ceiling, within_ns, stats, window, lowered: None, patient_until_ns: 0 }
    }

    fn enter(&mut self) -> bool {
        if self.stats.inside == 0 {
            self.stats.limit = self.ceiling;
            self.within_ns = WINDOW_NS;
            self.lowered = None;
            self.begin_window();
        }
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

    fn begin_window(&mut self) {
        self.window = Window { most: self.stats.inside, ..Window::default() };
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
        Gate::of(MAX_REQUESTS)
    }

    /// One that never lets in more than so many at a time.
    pub(crate) fn of(ceiling: usize) -> Rc<Gate> {
        Rc::new(Gate(RefCell::new(Room::new(ceiling))))
    }

    /// Lets a request in, if there is room.
    pub(crate) fn enter(self: &Rc<Gate>) -> Option<Ticket> {
        let has_room = self.0.borrow_mut().enter();
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
    /// The request has ended. Tells the gate how quickly the node works; not to be called of what takes long by its nature,
    /// unless it was late.
    pub(crate) fn ended(self, now_ns: u64, pace: Pace) {
        self.0.0.borrow_mut().ended(now_ns, pace);
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
    use std::rc::Rc;

    use super::{Gate, Pace, Ticket, WINDOW_NS};
    use crate::limits::MAX_REQUESTS;
    use crate::runtime::limits::{ADMISSION_SAMPLES, ADMITTED_MIN, ADMITTED_WITHIN};

    const MS: u64 = 1_000_000;

    /// What became of the last second of some, and the bound at its end.
    #[derive(Debug)]
    struct Second {
        in_time: u64,
        longest_ms: u64,
        limit: usize,
    }

    /// A node that works one request off every so many microseconds, in the order in which they came, in time or not;
    /// asked every so many, for some seconds, by clients that wait so many milliseconds.
    fn overload(serves_us: u64, asked_us: u64, deadline_ms: u64, seconds: u64) -> Second {
        let gate = Gate::new();
        let mut queue: VecDeque<(u64, Ticket)> = VecDeque::new();
        let (mut in_time, mut longest_ns) = (0, 0);
        for us in 0..seconds * 1_000_000 {
            let now_ns = us * 1_000;
            if us % asked_us == 0
                && let Some(ticket) = gate.enter()
            {
                queue.push_back((now_ns, ticket));
            }
            if us % serves_us == 0
                && let Some((came_ns, ticket)) = queue.pop_front()
            {
                let took_ns = now_ns - came_ns;
                let is_late = took_ns > deadline_ms * MS;
                let pace = if is_late { Pace::Late(took_ns) } else { Pace::Took(took_ns) };
                ticket.ended(now_ns, pace);
                if us >= (seconds - 1) * 1_000_000 {
                    in_time += u64::from(!is_late);
                    longest_ns = longest_ns.max(took_ns);
                }
            }
        }
        Second { in_time, longest_ms: longest_ns / MS, limit: gate.stats().limit }
    }

    #[test]
    fn under_twice_the_load_the_node_works_at_its_peak_and_answers_in_time() {
        let Second { in_time, longest_ms, limit } = overload(100, 50, 1_000, 8);
        assert!(in_time > 9_900, "{in_time} of 10,000");
        let within_ms = ADMITTED_WITHIN.as_millis() as u64;
        assert!(longest_ms < within_ms * 3 / 2, "{longest_ms} ms");
        assert!(limit < 3_000, "{limit}");
    }

    #[test]
    fn clients_of_little_patience_are_served_too() {
        let Second { in_time, longest_ms, .. } = overload(100, 50, 150, 8);
        assert!(in_time > 8_000 && longest_ms < 400, "{in_time} of 10,000, {longest_ms} ms");
    }

    #[test]
    fn below_its_peak_nothing_is_refused_and_the_bound_stays() {
        let Second { in_time, longest_ms, limit } = overload(100, 250, 1_000, 3);
        assert!(in_time >= 3_999 && longest_ms < 2, "{in_time}, {longest_ms} ms");
        assert_eq!(limit, MAX_REQUESTS);
    }

    /// Answers that take 300 ms however many there are, 4,000 a second.
    #[test]
    fn answers_that_are_slow_without_a_queue_are_left_alone() {
        const TAKES_US: u64 = 300_000;
        let gate = Gate::new();
        let mut at_work: VecDeque<(u64, Ticket)> = VecDeque::new();
        for us in 0..20_000_000 {
            if us % 250 == 0 {
                at_work.extend(gate.enter().map(|ticket| (us, ticket)));
            }
            if at_work.front().is_some_and(|(came_us, _)| came_us + TAKES_US <= us) {
                let (_, ticket) = at_work.pop_front().unwrap();
                ticket.ended(us * 1_000, Pace::Took(TAKES_US * 1_000));
            }
        }
        let refused = gate.stats().refused;
        assert!(refused < 80_000 / 20, "{refused} of 80,000 were refused");
    }

    /// A gate whose bound a crowd's slow answers have lowered to the least, what is inside, and when.
    fn lowered() -> (Rc<Gate>, Vec<Ticket>, u64) {
        let gate = Gate::new();
        let mut crowd: Vec<_> = (0..=ADMITTED_MIN).map(|_| gate.enter().unwrap()).collect();
        let mut now_ns = 2 * WINDOW_NS;
        for ticket in crowd.split_off(crowd.len() - 2 * ADMISSION_SAMPLES as usize) {
            ticket.ended(now_ns, Pace::Took(now_ns));
            now_ns += WINDOW_NS / ADMISSION_SAMPLES;
        }
        assert_eq!(gate.stats().limit, ADMITTED_MIN);
        (gate, crowd, now_ns)
    }

    #[test]
    fn a_bound_that_was_lowered_grows_again_when_answers_are_quick() {
        let (gate, crowd, mut now_ns) = lowered();
        let mut inside: VecDeque<_> = crowd.into();
        for _ in 0..100_000 {
            now_ns += MS;
            inside.extend(gate.enter());
            inside.extend(gate.enter());
            inside.pop_front().unwrap().ended(now_ns, Pace::Took(MS));
        }
        assert_eq!(gate.stats().limit, MAX_REQUESTS);
    }

    #[test]
    fn a_node_without_work_is_open() {
        let (gate, crowd, _) = lowered();
        drop(crowd);
        let _first = gate.enter().unwrap();
        assert_eq!(gate.stats().limit, MAX_REQUESTS);
    }

    #[test]
    fn a_few_slow_answers_lower_nothing() {
        let gate = Gate::new();
        for round in 1..10 {
            let came_ns = round * 3 * WINDOW_NS;
            let few: Vec<_> = (0..100).map(|_| gate.enter().unwrap()).collect();
            let slow = Pace::Took(2 * WINDOW_NS);
            few.into_iter().for_each(|ticket| ticket.ended(came_ns + 2 * WINDOW_NS, slow));
        }
        assert_eq!(gate.stats().limit, MAX_REQUESTS);
    }

    #[test]
    fn what_ends_without_an_answer_has_left_all_the_same() {
        let gate = Gate::new();
        let ticket = gate.enter().unwrap();
        assert_eq!(gate.stats().inside, 1);
        drop(ticket);
        assert_eq!(gate.stats().inside, 0);
    }
}
