//! The machines that are under way, each under its token.
//!
//! A token names a machine to the store and to peers, and comes back in their answers. It is a slot's number below a
//! sequence that starts at a random place in every process: an answer to a machine that has ended, or to one of an
//! earlier life of this node, finds nobody. That matters, because a peer's "durable" for an old write must never count
//! for a new one.

use kvorum_store::Token;

use crate::engine::machine::Machine;
use crate::engine::origin::Origin;

/// Bits of a token that name the slot.
const SLOT_BITS: u32 = 20;

/// One machine with what the engine keeps about it.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) machine: Box<dyn Machine>,
    /// Who is owed an answer; taken when it is given.
    pub(crate) origin: Option<Origin>,
    /// When the machine wants to be woken, in monotonic nanoseconds.
    pub(crate) alarm_ns: Option<u64>,
    /// What it counts as.
    pub(crate) kind: Kind,
}

/// For whom a machine works. Each kind is bounded by itself, so that none takes another's room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// For a client.
    Request,
    /// For a peer.
    Replica,
    /// For nobody who waits: what was held for an owner is on its way there.
    Delivery,
    /// For nobody who waits, either: owners exchange what one of them missed.
    Exchange,
}

#[derive(Clone)]
struct Slot {
    token: Token,
    running: Option<Running>,
}

/// A table of machines whose tokens are never used twice.
#[derive(Clone)]
pub(crate) struct Machines {
    slots: Vec<Slot>,
    free: Vec<u32>,
    sequence: u64,
    /// How many there are of each kind.
    live: [usize; 4],
}

impl Machines {
    /// No machines; `start` is a random number of this process.
    pub(crate) fn new(start: u64) -> Machines {
        Machines { slots: Vec::new(), free: Vec::new(), sequence: start, live: [0; 4] }
    }

    /// Machines that work for clients.
    pub(crate) fn requests(&self) -> usize {
        self.live[Kind::Request as usize]
    }

    /// Machines that work for peers.
    pub(crate) fn replica_tasks(&self) -> usize {
        self.live[Kind::Replica as usize]
    }

    /// Machines that deliver what was held for others.
    pub(crate) fn deliveries(&self) -> usize {
        self.live[Kind::Delivery as usize]
    }

    /// Whether a machine has not ended.
    pub(crate) fn has(&self, token: Token) -> bool {
        self.slots.get(slot_of(token)).is_some_and(|slot| slot.token == token)
    }

    /// A token for a new machine. It must be [put back](Machines::put_back) before the next one is drawn.
    pub(crate) fn reserve(&mut self, kind: Kind) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { token: Token(0), running: None });
            u32::try_from(self.slots.len() - 1).expect("machines are bounded far below 2^20")
        });
        assert!(slot >> SLOT_BITS == 0, "machines are bounded far below 2^20");
        self.sequence = self.sequence.wrapping_add(1);
        let token = Token(self.sequence << SLOT_BITS | u64::from(slot));
        self.slots[slot as usize].token = token;
        self.live[kind as usize] += 1;
        token
    }

    /// Takes a machine out to work on it. None when it has ended.
    pub(crate) fn take(&mut self, token: Token) -> Option<Running> {
        let slot = self.slots.get_mut(slot_of(token))?;
        if slot.token == token { slot.running.take() } else { None }
    }

    /// Puts a machine back after work.
    pub(crate) fn put_back(&mut self, token: Token, running: Running) {
        let slot = &mut self.slots[slot_of(token)];
        assert!(slot.token == token && slot.running.is_none(), "a machine returns to its own slot");
        slot.running = Some(running);
    }

    /// Gives up the slot of a machine that has ended and was taken out.
    pub(crate) fn release(&mut self, token: Token, kind: Kind) {
        let slot = &mut self.slots[slot_of(token)];
        assert!(slot.token == token && slot.running.is_none(), "only a machine taken out can end");
        slot.token = Token(0);
        self.live[kind as usize] -= 1;
        self.free.push(u32::try_from(slot_of(token)).expect("machines are bounded far below 2^20"));
    }

    /// The tokens of all machines in the order of their slots.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        self.slots.iter().filter(|slot| slot.running.is_some()).map(|slot| slot.token).collect()
    }
}

fn slot_of(token: Token) -> usize {
    (token.0 & ((1 << SLOT_BITS) - 1)) as usize
}
