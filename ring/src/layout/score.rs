//! A node's cost for a partition: weighted rendezvous hashing (Thaler and Ravishankar, 1998).
//!
//! Whoever has the least cost is chosen. Costs of different nodes are independent, so a choice changes only where a
//! member that comes or goes had the least cost itself, and what one node leaves behind spreads over all others in
//! proportion to their weights.

use crate::hash::PartitionId;
use crate::member::Member;

/// An exponentially distributed cost whose mean is inverse to the member's weight, from the low bits of the node's id
/// and the partition. Integers only; lower is preferred.
pub(super) fn cost(member: &Member, partition: PartitionId) -> u64 {
    let id = (member.id.0 >> 64) as u64 ^ (member.id.0 as u64).rotate_left(32);
    let draw = mix(mix(id) ^ u64::from(partition.0));
    (negative_log2(draw) << 16) / u64::from(member.weight.get())
}

/// The finaliser of SplitMix64: every bit of the input sways every bit of the output.
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// `-log2((draw + 1) / 2^64)` in units of 2^-32, within one percent of a bit. Below 2^39.
///
/// The fraction of the logarithm of `1 + m` is `m + 0.34 m (1 - m)`, nearly. Good enough: an error moves a choice in
/// a hundred, the same one on every machine.
fn negative_log2(draw: u64) -> u64 {
    const ONE: u64 = 1 << 32;
    let draw = draw.max(1);
    let leading = u64::from(draw.leading_zeros());
    let mantissa = (draw << leading << 1) >> 32;
    let bulge = ((mantissa * (ONE - 1 - mantissa)) >> 32) * 11 / 32;
    (leading + 1) * ONE - (mantissa + bulge)
}

#[cfg(test)]
mod tests {
    use super::negative_log2;

    #[test]
    fn the_logarithm_is_good_to_a_hundredth_and_never_rises_with_the_draw() {
        let mut last = u64::MAX;
        for draw in (0..4_096u64).map(|step| (step << 52) + 7) {
            let exact = 64.0 - (draw as f64).log2();
            let got = negative_log2(draw) as f64 / (1u64 << 32) as f64;
            assert!((got - exact).abs() < 0.01, "draw {draw}: {got} instead of {exact}");
            assert!(negative_log2(draw) <= last);
            last = negative_log2(draw);
        }
    }
}
