//! The bound under load, and what the tenants get of it.

use std::collections::VecDeque;
use std::iter;
use std::rc::Rc;

use kvorum_protocol::TokenId;

use super::{Gate, GateStats, Pace, Refused, Ticket, WINDOW_NS};
use crate::limits::{MAX_REQUESTS, RETRY_AFTER_MS};
use crate::runtime::limits::{
    ADMISSION_SAMPLES, ADMITTED_MIN, ADMITTED_WITHIN, EVENTS_PER_TURN, READS_PER_TURN,
    REFUSALS_PER_TURN, SHARED_FOR,
};
use crate::runtime::tenant::{Tenant, TenantId, TenantLimits};

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
            && let Some(ticket) = gate.enter_alone()
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

/// A node that is asked twice as much as it can do, through a socket from which it reads 96 requests at a time: how many
/// milliseconds after they came to the socket the slowest of the last second were answered.
fn through_a_socket(reads_first: bool) -> u64 {
    const ASKED_NS: u64 = 25_000;
    const READ_NS: u64 = 8_000;
    const SERVED_NS: u64 = 50_000;
    const AT_A_TIME: usize = 96;
    let gate = Gate::new();
    let mut socket: VecDeque<u64> = VecDeque::new();
    let mut inside: VecDeque<(u64, u64, Ticket)> = VecDeque::new();
    let (mut now_ns, mut asked_ns, mut longest_ns) = (0, 0, 0);
    while now_ns < 10_000 * MS {
        for nth in 0..=READS_PER_TURN {
            if nth > 0 && !(reads_first && gate.is_crowded()) {
                break;
            }
            for came_ns in socket.drain(..AT_A_TIME.min(socket.len())) {
                now_ns += READ_NS;
                match gate.enter_alone_at(now_ns) {
                    Some(ticket) => inside.push_back((came_ns, now_ns, ticket)),
                    None => {
                        gate.refused_enough();
                    }
                }
            }
            let come = (now_ns - asked_ns) / ASKED_NS;
            socket.extend((1..=come).map(|nth| asked_ns + nth * ASKED_NS));
            asked_ns += come * ASKED_NS;
        }
        gate.turn_begins();
        now_ns += ASKED_NS;
        for (came_ns, read_ns, ticket) in inside.drain(..EVENTS_PER_TURN.min(inside.len())) {
            now_ns += SERVED_NS;
            ticket.ended(now_ns, Pace::Took(now_ns - read_ns));
            longest_ns = longest_ns.max(if now_ns > 9_000 * MS { now_ns - came_ns } else { 0 });
        }
    }
    longest_ns / MS
}

#[test]
fn a_crowd_is_read_before_it_is_worked_off_so_that_nothing_waits_where_nothing_counts_it() {
    assert!(through_a_socket(false) > 2_000, "nothing to be seen by this test");
    let longest_ms = through_a_socket(true);
    assert!(longest_ms < 2 * ADMITTED_WITHIN.as_millis() as u64, "{longest_ms} ms");
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
            at_work.extend(gate.enter_alone().map(|ticket| (us, ticket)));
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
    let mut crowd: Vec<_> = (0..=ADMITTED_MIN).map(|_| gate.enter_alone().unwrap()).collect();
    let mut now_ns = 2 * WINDOW_NS;
    for ticket in crowd.split_off(crowd.len() - 2 * ADMISSION_SAMPLES as usize) {
        ticket.ended(now_ns, Pace::Took(now_ns));
        now_ns += WINDOW_NS / ADMISSION_SAMPLES;
    }
    assert_eq!(gate.stats().limit, ADMITTED_MIN);
    (gate, crowd, now_ns)
}

#[test]
fn who_is_not_let_in_hears_how_long_answers_take() {
    let gate = Gate::of(1);
    let _inside = gate.enter_alone().unwrap();
    let refused = |gate: &Rc<Gate>| gate.enter(&Tenant::anybody(), 1, 0).unwrap_err();
    assert_eq!(refused(&gate).retry_after_ms, RETRY_AFTER_MS, "nothing is known yet");
    let (gate, mut crowd, now_ns) = lowered();
    crowd.extend(iter::from_fn(|| gate.enter_alone()));
    assert_eq!(crowd.len(), ADMITTED_MIN);
    let last_took_ms = u32::try_from(now_ns / MS).unwrap();
    let told_ms = refused(&gate).retry_after_ms;
    assert!((2 * WINDOW_NS / MS) as u32 <= told_ms && told_ms <= last_took_ms, "{told_ms} ms");
    assert_eq!(gate.over_connection().retry_after_ms, told_ms);
    let GateStats { refused, over_connection, .. } = gate.stats();
    assert_eq!((refused, over_connection), (2, 1));
}

#[test]
fn the_driver_gets_its_turn_between_so_many_refusals() {
    let gate = Gate::new();
    for _ in 0..2 {
        gate.turn_begins();
        let told = iter::repeat_with(|| gate.refused_enough()).take_while(|enough| !enough);
        assert_eq!(told.count(), REFUSALS_PER_TURN - 1);
        assert!(gate.refused_enough(), "and then one at a time");
    }
}

#[test]
fn a_bound_that_was_lowered_grows_again_when_answers_are_quick() {
    let (gate, crowd, mut now_ns) = lowered();
    let mut inside: VecDeque<_> = crowd.into();
    for _ in 0..100_000 {
        now_ns += MS;
        inside.extend(gate.enter_alone());
        inside.extend(gate.enter_alone());
        inside.pop_front().unwrap().ended(now_ns, Pace::Took(MS));
    }
    assert_eq!(gate.stats().limit, MAX_REQUESTS);
}

#[test]
fn a_node_without_work_is_open() {
    let (gate, crowd, _) = lowered();
    drop(crowd);
    let _first = gate.enter_alone().unwrap();
    assert_eq!(gate.stats().limit, MAX_REQUESTS);
}

#[test]
fn a_few_slow_answers_lower_nothing() {
    let gate = Gate::new();
    for round in 1..10 {
        let came_ns = round * 3 * WINDOW_NS;
        let few: Vec<_> = (0..100).map(|_| gate.enter_alone().unwrap()).collect();
        let slow = Pace::Took(2 * WINDOW_NS);
        few.into_iter().for_each(|ticket| ticket.ended(came_ns + 2 * WINDOW_NS, slow));
    }
    assert_eq!(gate.stats().limit, MAX_REQUESTS);
}

/// As many of a tenant as are let in.
fn filled(gate: &Rc<Gate>, tenant: &Rc<Tenant>, now_ns: u64) -> Vec<Ticket> {
    iter::from_fn(|| gate.enter(tenant, 1, now_ns).ok()).collect()
}

#[test]
fn a_flood_leaves_half_of_the_room_while_another_one_asks() {
    let gate = Gate::of(10);
    let tenant = |id| gate.tenant(TenantId::Token(TokenId(id)), TenantLimits::default(), 0);
    let (flood, other) = (tenant(1), tenant(2));
    let mut inside = filled(&gate, &flood, 0);
    assert_eq!(inside.len(), 10, "alone it has all");
    assert!(gate.enter(&other, 1, 1).is_err());
    for _ in 0..5 {
        inside.pop();
        assert!(filled(&gate, &flood, 2).is_empty(), "it is held to its share");
    }
    let others = filled(&gate, &other, 3);
    assert_eq!(others.len(), 5);
    assert_eq!((gate.stats().over_share, gate.stats().refused), (5, 8));
    drop(others);
    inside.extend(filled(&gate, &flood, 3 + SHARED_FOR.as_nanos() as u64));
    assert_eq!(inside.len(), 10, "alone again");
}

#[test]
fn what_a_tokens_own_limits_refuse_is_counted_apart() {
    let gate = Gate::of(10);
    let limits = TenantLimits { in_flight: Some(2), rate: Some(3) };
    let tenant = gate.tenant(TenantId::Token(TokenId(1)), limits, 0);
    let batch = gate.enter(&tenant, 2, 0).unwrap();
    let refused = gate.enter(&tenant, 1, 0).unwrap_err();
    assert_eq!(refused, Refused { retry_after_ms: RETRY_AFTER_MS });
    drop(batch);
    drop(gate.enter(&tenant, 1, 0).unwrap());
    let refused = gate.enter(&tenant, 1, 0).unwrap_err();
    assert_eq!(refused, Refused { retry_after_ms: 334 });
    let GateStats { inside, refused, over_in_flight, over_rate, .. } = gate.stats();
    assert_eq!((inside, refused, over_in_flight, over_rate), (0, 0, 1, 1));
}

#[test]
fn what_ends_without_an_answer_has_left_all_the_same() {
    let gate = Gate::new();
    let ticket = gate.enter_alone().unwrap();
    assert_eq!(gate.stats().inside, 1);
    drop(ticket);
    assert_eq!(gate.stats().inside, 0);
}
