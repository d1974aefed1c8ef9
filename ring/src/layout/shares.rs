//! Fair shares: how many partitions of a class each node should own, as exact fractions.
//!
//! A node's share is proportional to its weight, but a node cannot own a partition twice and a zone cannot hold more
//! (or fewer) copies of a partition than `spread` says. What a bounded node or zone cannot take flows to the others:
//! water-filling. All arithmetic is on integers, so every machine gets the same fractions.

use super::spread::Spread;
use crate::member::Member;

/// A non-negative fraction. Numerators stay below 2^40 and denominators below 2^20 (see `limits`), so the products of
/// one of each that comparisons need fit 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fraction {
    pub(super) numerator: u64,
    pub(super) denominator: u64,
}

impl Fraction {
    fn whole(number: u64) -> Fraction {
        Fraction { numerator: number, denominator: 1 }
    }

    /// The largest whole number that is not above.
    pub(super) fn floor(self) -> u64 {
        self.numerator / self.denominator
    }

    /// What is above the floor.
    pub(super) fn remainder(self) -> Fraction {
        Fraction { numerator: self.numerator % self.denominator, denominator: self.denominator }
    }

    /// Orders two fractions by size.
    pub(super) fn compare(self, other: Fraction) -> std::cmp::Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}

/// The fair shares of all members, and of the zones they stand in.
pub(super) struct Shares {
    /// By member index.
    pub(super) nodes: Vec<Fraction>,
    /// By zone index: the sum over the zone's members.
    pub(super) zones: Vec<Fraction>,
}

/// The water level of a group of nodes: what each unit of weight gets, up to `cap` for a node.
#[derive(Clone, Copy)]
struct Level {
    per_weight: Fraction,
    cap: u64,
}

impl Level {
    /// The level at which nodes of these weights, in descending order, hold `volume` together. Never more than all of
    /// them can hold.
    fn holding(volume: u64, weights: &[u64], cap: u64) -> Level {
        let mut rest = Fraction { numerator: volume, denominator: weights.iter().sum() };
        for weight in weights {
            if weight * rest.numerator < cap * rest.denominator {
                break;
            }
            rest = Fraction {
                numerator: rest.numerator - cap,
                denominator: rest.denominator - weight,
            };
        }
        // Every node is full: any level at the brim of the lightest will do.
        if rest.denominator == 0 {
            rest = Fraction::whole(cap);
        }
        Level { per_weight: rest, cap }
    }

    fn share(self, weight: u64) -> Fraction {
        let Fraction { numerator, denominator } = self.per_weight;
        if weight * numerator >= self.cap * denominator {
            Fraction::whole(self.cap)
        } else {
            Fraction { numerator: weight * numerator, denominator }
        }
    }

    /// The sum of the shares of these weights, over the level's denominator.
    fn sum(self, weights: &[u64]) -> Fraction {
        let denominator = self.per_weight.denominator;
        let brim = self.cap * denominator;
        let numerator =
            weights.iter().map(|weight| brim.min(weight * self.per_weight.numerator)).sum();
        Fraction { numerator, denominator }
    }
}

/// The fair shares of `owners` copies of each of `partitions` partitions.
pub(super) fn fair_shares(
    members: &[Member],
    spread: &Spread,
    partitions: u64,
    owners: usize,
) -> Shares {
    let mut weights: Vec<Vec<u64>> = vec![Vec::new(); spread.zones()];
    for (index, member) in members.iter().enumerate() {
        weights[spread.zone_of(index as u16)].push(u64::from(member.weight.get()));
    }
    weights.iter_mut().for_each(|zone| zone.sort_unstable_by(|left, right| right.cmp(left)));
    let levels = zone_levels(&weights, spread, partitions, partitions * owners as u64);
    let share = |(index, member): (usize, &Member)| {
        levels[spread.zone_of(index as u16)].share(u64::from(member.weight.get()))
    };
    Shares {
        nodes: members.iter().enumerate().map(share).collect(),
        zones: levels.iter().zip(&weights).map(|(level, weights)| level.sum(weights)).collect(),
    }
}

/// One water level for all zones that are within their bounds, and one of its own for each zone held at a bound.
///
/// Zones that would leave their bounds are held there in turns. If what is above the upper bounds outweighs what is
/// missing to the lower ones, the common level can only rise from here, so those above stay above: they are settled.
/// Otherwise the same holds for those below. Each turn settles a zone, so there are at most as many turns as zones.
fn zone_levels(weights: &[Vec<u64>], spread: &Spread, cap: u64, slots: u64) -> Vec<Level> {
    let bounds = |zone: usize| {
        let (least, most) = spread.bounds(zone);
        (least as u64 * cap, most as u64 * cap)
    };
    let mut held: Vec<Option<u64>> = vec![None; weights.len()];
    let common = loop {
        let is_free = |zone: &usize| held[*zone].is_none();
        let free: Vec<usize> = (0..weights.len()).filter(is_free).collect();
        let mut open: Vec<u64> =
            free.iter().flat_map(|zone| weights[*zone].iter().copied()).collect();
        open.sort_unstable_by(|left, right| right.cmp(left));
        let level = Level::holding(slots - held.iter().flatten().sum::<u64>(), &open, cap);
        let scale = level.per_weight.denominator;
        let sums: Vec<u64> = free.iter().map(|zone| level.sum(&weights[*zone]).numerator).collect();
        let over = |(zone, sum): (&usize, &u64)| sum.saturating_sub(bounds(*zone).1 * scale);
        let under = |(zone, sum): (&usize, &u64)| (bounds(*zone).0 * scale).saturating_sub(*sum);
        let above: u64 = free.iter().zip(&sums).map(over).sum();
        let below: u64 = free.iter().zip(&sums).map(under).sum();
        if above == 0 && below == 0 {
            break level;
        }
        for entry in free.iter().zip(&sums) {
            let (least, most) = bounds(*entry.0);
            if above >= below && over(entry) > 0 {
                held[*entry.0] = Some(most);
            } else if above < below && under(entry) > 0 {
                held[*entry.0] = Some(least);
            }
        }
    };
    let level_of = |(zone, held): (&Vec<u64>, &Option<u64>)| {
        held.map_or(common, |at| Level::holding(at, zone, cap))
    };
    weights.iter().zip(&held).map(level_of).collect()
}
