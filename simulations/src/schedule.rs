//! Virtual time: one heap of events ordered by `(time, number)`.
//!
//! The number is given out at scheduling, so two events of one moment fire in the order in which they were scheduled, and
//! there is never a tie that an allocator or a hash could decide. Each event remembers which event caused it, so a trace
//! can be read backwards.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An event that is due.
#[derive(Debug)]
pub struct Fired<E> {
    /// The moment, in virtual nanoseconds.
    pub at_ns: u64,
    /// The event's number.
    pub number: u64,
    /// The number of the event that scheduled it; 0 for the plan itself.
    pub cause: u64,
    /// What happens.
    pub event: E,
}

/// All that will happen.
#[derive(Debug)]
pub struct Schedule<E> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// The events themselves stay in place while their small keys move through the heap.
    slots: Vec<Option<(u64, E)>>,
    free: Vec<u32>,
    next_number: u64,
    now_ns: u64,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            next_number: 1,
            now_ns: 0,
        }
    }
}

impl<E> Schedule<E> {
    /// The moment of the event that fired last.
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// How many events are waiting.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing will happen any more.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Lets `event` happen at `at_ns`, or now if that has passed.
    pub fn push(&mut self, at_ns: u64, cause: u64, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some((cause, event));
                slot
            }
            None => {
                self.slots.push(Some((cause, event)));
                (self.slots.len() - 1) as u32
            }
        };
        self.heap.push(Reverse((at_ns.max(self.now_ns), self.next_number, slot)));
        self.next_number += 1;
    }

    /// The next event; time moves on to it.
    pub fn pop(&mut self) -> Option<Fired<E>> {
        let Reverse((at_ns, number, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let (cause, event) =
            self.slots[slot as usize].take().expect("a slot in the heap is filled");
        self.now_ns = at_ns;
        Some(Fired { at_ns, number, cause, event })
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn events_fire_by_time_and_then_in_the_order_of_their_scheduling() {
        let mut schedule = Schedule::default();
        for (at, name) in [(30, 'd'), (10, 'a'), (20, 'b'), (20, 'c')] {
            schedule.push(at, 0, name);
        }
        let fired: String =
            std::iter::from_fn(|| schedule.pop()).map(|fired| fired.event).collect();
        assert_eq!(fired, "abcd");
        assert!(schedule.is_empty());
    }

    #[test]
    fn nothing_happens_in_the_past_and_causes_are_kept() {
        let mut schedule = Schedule::default();
        schedule.push(50, 0, 1);
        let first = schedule.pop().unwrap();
        schedule.push(10, first.number, 2);
        let second = schedule.pop().unwrap();
        assert_eq!((second.at_ns, second.cause, schedule.now_ns()), (50, first.number, 50));
    }
}
