//! The shard's random numbers: one stream per purpose, all drawn from the seed given at opening.
//!
//! SplitMix64 (Steele, Lea, Flood 2014). It needs to be well spread, not secret: actors are 64 random bits so that two
//! never meet by chance, and nobody gains anything by guessing one.

/// A deterministic stream of 64-bit numbers.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    state: u64,
}

impl Stream {
    /// The stream of one purpose. Streams of different purposes do not disturb each other: taking one number more here
    /// changes nothing there.
    pub(crate) fn new(seed: u64, purpose: &str) -> Stream {
        let mut state = mix(seed ^ 0x6b76_6f72_756d_2d73);
        for byte in purpose.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        Stream { state }
    }

    /// The next number.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `bound`, which is at least 1. The bias is below 2^-32 for the small bounds used here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in `one_in` draws.
    pub(crate) fn one_in(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// A bijective scrambler of 64 bits: every input bit reaches every output bit.
pub(crate) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::Stream;

    #[test]
    fn a_stream_is_a_function_of_seed_and_purpose() {
        let first = |seed, purpose| Stream::new(seed, purpose).next_u64();
        assert_eq!(first(1, "actor"), first(1, "actor"));
        assert_ne!(first(1, "actor"), first(2, "actor"));
        assert_ne!(first(1, "actor"), first(1, "run"));
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut stream = Stream::new(7, "bound");
        assert!((0..1_000).all(|_| stream.below(3) < 3));
        assert!((0..1_000).any(|_| stream.one_in(2)));
    }
}
