//! What happened to keys lately: a bounded memory that `kv key why` reads.
//!
//! Every machine that learns of something that explains a record later notes it: a version was minted, something was merged
//! and on which way it came, an owner was left behind and why. The newest events push out the oldest, so memory is fixed,
//! and whoever asks is told how far back it goes. Noting writes one slot: it allocates nothing, hashes nothing, and is of no
//! consequence for what the engine does.
//!
//! Also how peers were seen: when each could be reached, and when an exchange with it last came to its end.

use std::collections::BTreeMap;

use kvorum_protocol::limits::WHY_EVENTS;
use kvorum_protocol::message::{Happened, KeyEvent, PeerSight};
use kvorum_ring::{KeyHash, NodeId};
use kvorum_store::Now;
use kvorum_store::clock::NS_PER_MS;

/// One event.
#[derive(Clone, Copy, Debug)]
struct Noted {
    key: KeyHash,
    at_ns: u64,
    what: Happened,
}

/// How a peer was seen, in monotonic nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    fell_ns: Option<u64>,
    rose_ns: Option<u64>,
    compared_ns: Option<u64>,
}

/// What is remembered of a key, and how far back.
pub(crate) struct Remembered {
    pub(crate) events: Vec<KeyEvent>,
    /// Whatever happened since then is among them.
    pub(crate) remembers_ms: u64,
    /// Since the engine took its first input.
    pub(crate) up_ms: u64,
}

/// See the module's page.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    most: usize,
    /// A ring once it is full; `next` is the oldest then.
    ring: Vec<Noted>,
    next: usize,
    began_ns: Option<u64>,
    /// When the last event happened that was pushed out.
    forgot_ns: Option<u64>,
    /// Of members only: nobody else is ever connected.
    sights: BTreeMap<NodeId, Sight>,
}

impl Events {
    /// An empty memory for so many events.
    pub(crate) fn new(most: usize) -> Events {
        let (ring, sights) = (Vec::new(), BTreeMap::new());
        Events { most, ring, next: 0, began_ns: None, forgot_ns: None, sights }
    }

    /// The engine is given an input.
    pub(crate) fn begin(&mut self, now: Now) {
        self.began_ns.get_or_insert(now.mono_ns);
    }

    /// Notes what happened to a key.
    pub(crate) fn note(&mut self, now: Now, key: KeyHash, what: Happened) {
        let noted = Noted { key, at_ns: now.mono_ns, what };
        if self.ring.len() < self.most {
            self.ring.push(noted);
        } else if let Some(oldest) = self.ring.get_mut(self.next) {
            self.forgot_ns = Some(oldest.at_ns);
            *oldest = noted;
            self.next = if self.next + 1 < self.most { self.next + 1 } else { 0 };
        }
    }

    /// A peer can be reached.
    pub(crate) fn rise(&mut self, now: Now, node: NodeId) {
        self.sights.entry(node).or_default().rose_ns = Some(now.mono_ns);
    }

    /// A peer cannot be reached any more.
    pub(crate) fn fall(&mut self, now: Now, node: NodeId) {
        self.sights.entry(node).or_default().fell_ns = Some(now.mono_ns);
    }

    /// An exchange with a peer came to its end.
    pub(crate) fn compared(&mut self, now: Now, node: NodeId) {
        self.sights.entry(node).or_default().compared_ns = Some(now.mono_ns);
    }

    /// How a peer was seen.
    pub(crate) fn sight(&self, now: Now, node: NodeId, up: bool) -> PeerSight {
        let sight = self.sights.get(&node).copied().unwrap_or_default();
        let ago = |at_ns: Option<u64>| at_ns.map(|at_ns| ago_ms(now, at_ns));
        let (fell_ms, rose_ms) = (ago(sight.fell_ns), ago(sight.rose_ns));
        PeerSight { node, up, fell_ms, rose_ms, compared_ms: ago(sight.compared_ns) }
    }

    /// What is remembered of a key, the newest last.
    pub(crate) fn about(&self, now: Now, key: KeyHash) -> Remembered {
        let (newer, older) = self.ring.split_at(self.next.min(self.ring.len()));
        let of_key = older.iter().chain(newer).filter(|noted| noted.key == key);
        let found: Vec<&Noted> = of_key.collect();
        let (cut, told) = found.split_at(found.len().saturating_sub(WHY_EVENTS));
        let told = told.iter();
        let events = told
            .map(|noted| KeyEvent { ago_ms: ago_ms(now, noted.at_ns), what: noted.what })
            .collect();
        let up_ms = self.began_ns.map_or(0, |began_ns| ago_ms(now, began_ns));
        let forgot_ns = cut.last().map(|noted| noted.at_ns).max(self.forgot_ns);
        let remembers_ms = forgot_ns.map_or(up_ms, |forgot_ns| ago_ms(now, forgot_ns));
        Remembered { events, remembers_ms, up_ms }
    }
}

fn ago_ms(now: Now, at_ns: u64) -> u64 {
    now.mono_ns.saturating_sub(at_ns) / NS_PER_MS
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::limits::WHY_EVENTS;
    use kvorum_protocol::message::Happened;
    use kvorum_ring::{KeyHash, NodeId};
    use kvorum_store::Now;

    use super::Events;

    const A: KeyHash = KeyHash(1);
    const B: KeyHash = KeyHash(2);

    fn at(ms: u64) -> Now {
        Now { mono_ns: ms * 1_000_000, wall_ms: 7 }
    }

    fn ages(events: &Events, now: Now, key: KeyHash) -> (Vec<u64>, u64) {
        let remembered = events.about(now, key);
        (remembered.events.iter().map(|event| event.ago_ms).collect(), remembered.remembers_ms)
    }

    #[test]
    fn a_keys_events_are_told_in_order_and_no_other_keys() {
        let mut events = Events::new(8);
        events.begin(at(0));
        events.note(at(1), A, Happened::HintDropped);
        events.note(at(2), B, Happened::FoundDamaged);
        events.note(at(3), A, Happened::Reclaimed);
        assert_eq!(ages(&events, at(10), A), (vec![9, 7], 10), "and nothing was forgotten");
        assert_eq!(ages(&events, at(10), KeyHash(3)), (vec![], 10));
    }

    #[test]
    fn the_newest_push_out_the_oldest_and_it_is_told_how_far_back_memory_goes() {
        let mut events = Events::new(4);
        events.begin(at(0));
        for ms in 1..=6 {
            events.note(at(ms), if ms % 2 == 0 { A } else { B }, Happened::HintDropped);
        }
        assert_eq!(ages(&events, at(10), A), (vec![6, 4], 8), "what happened at 2 is forgotten");
        assert_eq!(ages(&events, at(10), B), (vec![7, 5], 8));
        assert_eq!(events.ring.len(), 4);
    }

    #[test]
    fn of_a_busy_key_the_newest_are_told_and_the_rest_counts_as_forgotten() {
        let mut events = Events::new(WHY_EVENTS + 10);
        events.begin(at(0));
        for ms in 1..=WHY_EVENTS as u64 + 2 {
            events.note(at(ms), A, Happened::HintDropped);
        }
        let (told, remembers_ms) = ages(&events, at(1_000), A);
        assert_eq!((told.len(), told[0], remembers_ms), (WHY_EVENTS, 997, 998));
    }

    #[test]
    fn an_event_takes_what_its_bound_says() {
        assert!(size_of::<super::Noted>() <= 96, "limits::EVENTS tells how much memory they take");
    }

    #[test]
    fn a_memory_of_nothing_holds_nothing() {
        let mut events = Events::new(0);
        events.note(at(1), A, Happened::HintDropped);
        assert!(events.about(at(2), A).events.is_empty());
    }

    #[test]
    fn what_is_seen_of_a_peer_is_its_last_fall_and_rise() {
        let mut events = Events::new(4);
        let node = NodeId(5);
        assert_eq!(events.sight(at(1), node, false).fell_ms, None);
        events.rise(at(1), node);
        events.fall(at(4), node);
        events.rise(at(6), node);
        events.compared(at(8), node);
        let sight = events.sight(at(10), node, true);
        assert_eq!((sight.fell_ms, sight.rose_ms, sight.compared_ms), (Some(6), Some(4), Some(2)));
    }
}
