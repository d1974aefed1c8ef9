//! Random streams: one for each purpose and entity, so that runs can be edited.
//!
//! A simulator with one generator reshuffles everything when a single event is taken out: the next message draws the
//! number that the removed one would have drawn. Shrinking would then search noise. Here a draw is a pure function of
//! `(seed, purpose, entity, counter)`: the delays of one link do not depend on what another link, a disk or a client
//! drew, and removing a fault leaves every other draw where it was.
//!
//! All arithmetic is on integers, the exponential distribution too: a logarithm from the platform's maths library
//! could differ in its last bit between machines, and a saved plan must replay on all of them.

/// What a stream of random numbers is for. The number of a purpose is part of every saved plan's meaning: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// How many nodes, keys and clients a seed's plan has, and their settings.
    Topology = 1,
    /// Which faults a seed's plan draws, and when.
    Faults = 2,
    /// The operations of a seed's plan.
    Workload = 3,
    /// How long a message takes on a link.
    LinkDelay = 4,
    /// Whether a link loses, duplicates or reorders a message.
    LinkFault = 5,
    /// How long a worker of a shard takes for a job.
    WorkLatency = 6,
    /// How long a failure detector takes to notice.
    Detector = 7,
    /// What a disk keeps of its unsynced writes, and what an index keeps of its entries.
    DiskRemains = 8,
    /// The seed of an engine's own streams, one for each run of a node.
    EngineSeed = 9,
    /// The seed of a shard's own streams, one for each run of a node.
    ShardSeed = 10,
    /// How long a client's message takes.
    ClientDelay = 11,
    /// Which of its contexts a client uses where the plan asks for a stale one.
    ClientChoice = 12,
    /// The seed of a membership machine, one for each run of a node.
    Gossip = 13,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64: every input bit reaches every output bit.
const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// One stream of random numbers, named by its seed, purpose and entity.
#[derive(Clone, Debug)]
pub struct Stream {
    key: u64,
    counter: u64,
}

impl Stream {
    /// The stream of `entity` (a node, a link, an operation) for `purpose`, at its first draw.
    pub fn new(seed: u64, purpose: Purpose, entity: u64) -> Self {
        let named = mix(seed ^ (purpose as u64).wrapping_mul(GOLDEN));
        Self {
            key: mix(named ^ entity.wrapping_mul(0xd6e8_feb8_6659_fd93).wrapping_add(GOLDEN)),
            counter: 0,
        }
    }

    /// The draw number `counter` of a stream, without keeping the stream.
    pub fn at(seed: u64, purpose: Purpose, entity: u64, counter: u64) -> u64 {
        let mut stream = Self::new(seed, purpose, entity);
        stream.counter = counter;
        stream.word()
    }

    /// The next 64 random bits.
    pub fn word(&mut self) -> u64 {
        let word = mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN)));
        self.counter += 1;
        word
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `ppm` of a million draws. Always takes one draw, so that a changed rate does not shift the stream.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// `minimum` plus an exponentially distributed time whose mean is `mean`.
    pub fn exponential(&mut self, minimum: u64, mean: u64) -> u64 {
        // -ln(u) = ln 2 * -log2(u); the logarithm's fraction is taken as linear, which is off by at most 6 percent.
        let word = self.word() | 1;
        let zeros = u64::from(word.leading_zeros());
        let mantissa = ((word << zeros) >> 47) & 0xffff;
        let log2_fixed = (zeros << 16) + (0x1_0000 - mantissa);
        let ln_fixed = (u128::from(log2_fixed) * 45_426) >> 16;
        minimum + ((u128::from(mean) * ln_fixed) >> 16) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Purpose, Stream};

    #[test]
    fn draws_depend_on_seed_purpose_entity_and_counter_only() {
        let mut stream = Stream::new(7, Purpose::LinkDelay, 3);
        let drawn: Vec<u64> = (0..8).map(|_| stream.word()).collect();
        for (counter, word) in drawn.iter().enumerate() {
            assert_eq!(*word, Stream::at(7, Purpose::LinkDelay, 3, counter as u64));
        }
        assert_ne!(drawn[0], Stream::at(8, Purpose::LinkDelay, 3, 0));
        assert_ne!(drawn[0], Stream::at(7, Purpose::LinkFault, 3, 0));
        assert_ne!(drawn[0], Stream::at(7, Purpose::LinkDelay, 4, 0));
    }

    #[test]
    fn below_stays_below_and_chance_follows_its_rate() {
        let mut stream = Stream::new(1, Purpose::Workload, 0);
        assert!((0..10_000).all(|_| stream.below(7) < 7));
        assert_eq!(stream.below(0), 0);
        let hits = (0..100_000).filter(|_| stream.chance(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits} of 100,000 at a quarter");
    }

    #[test]
    fn exponential_has_its_minimum_and_its_mean() {
        let mut stream = Stream::new(1, Purpose::LinkDelay, 9);
        let drawn: Vec<u64> = (0..100_000).map(|_| stream.exponential(500, 10_000)).collect();
        assert!(drawn.iter().all(|delay| *delay >= 500));
        let mean = drawn.iter().sum::<u64>() / drawn.len() as u64;
        assert!((9_900..11_300).contains(&mean), "mean {mean}, wanted about 10,500");
    }
}
