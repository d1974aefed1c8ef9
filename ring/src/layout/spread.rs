//! How many copies of one partition may stand in each zone.
//!
//! Copies are poured into zones level by level, as water into vessels of different height (a zone is as high as it
//! has nodes). Every zone below the surface is full to the same level: that is its *base*, which each row must have.
//! What is left over, the *extras*, goes to distinct zones that still have room. With as many zones as owners the
//! base is zero and each extra a zone of its own; with two zones and three owners each zone has a base of one. So a
//! row stands in as many zones as exist, and losing a zone costs as few copies as possible.
//!
//! Rows are built step by step, so the rule is stated for incomplete rows too: a row is *sound* when it can still be
//! completed. Sound rows form a laminar matroid, which is why the augmenting paths in `moves` always succeed.

use crate::member::{Member, Zone};

/// The zones of a layout's members and the rule for one number of owners.
pub(super) struct Spread {
    /// The zone of each member, as an index into `base`.
    zone_of: Vec<u16>,
    /// Copies that each row has in a zone at least.
    base: Vec<usize>,
    /// Whether a zone has a node left for one copy above its base.
    takes_extra: Vec<bool>,
    /// Copies of a row above the bases.
    extras: usize,
}

/// A cell of a row under construction that nobody holds.
pub(super) const HOLE: u16 = u16::MAX;

impl Spread {
    /// The rule for rows of `owners` owners, at most as many as members.
    pub(super) fn new(members: &[Member], owners: usize) -> Spread {
        let mut zones: Vec<&Zone> = members.iter().map(|member| &member.zone).collect();
        zones.sort();
        zones.dedup();
        let index_of = |member: &Member| {
            zones.binary_search(&&member.zone).expect("every zone is listed") as u16
        };
        let zone_of: Vec<u16> = members.iter().map(index_of).collect();
        let mut sizes = vec![0usize; zones.len()];
        zone_of.iter().for_each(|zone| sizes[usize::from(*zone)] += 1);

        let poured = |level: usize| sizes.iter().map(|size| level.min(*size)).sum::<usize>();
        let level = (0..owners).take_while(|level| poured(level + 1) < owners).count();
        Spread {
            base: sizes.iter().map(|size| level.min(*size)).collect(),
            takes_extra: sizes.iter().map(|size| *size > level).collect(),
            extras: owners - poured(level),
            zone_of,
        }
    }

    /// The number of zones.
    pub(super) fn zones(&self) -> usize {
        self.base.len()
    }

    /// The zone of a member.
    pub(super) fn zone_of(&self, member: u16) -> usize {
        usize::from(self.zone_of[usize::from(member)])
    }

    /// The fewest and the most copies that a zone may hold of one partition.
    pub(super) fn bounds(&self, zone: usize) -> (usize, usize) {
        (self.base[zone], self.base[zone] + usize::from(self.takes_extra[zone]))
    }

    /// Whether a sound row stays sound when `coming` takes the place of the cell at `leaving`, a hole or a member.
    pub(super) fn admits(&self, row: &[u16], leaving: usize, coming: u16) -> bool {
        if row.contains(&coming) {
            return false;
        }
        let zone = self.zone_of(coming);
        if row[leaving] != HOLE && self.zone_of(row[leaving]) == zone {
            return true;
        }
        let staying =
            || row.iter().enumerate().filter(|(at, cell)| *at != leaving && **cell != HOLE);
        let beside = staying().filter(|(_, cell)| self.zone_of(**cell) == zone).count();
        let (least, most) = self.bounds(zone);
        if beside < least {
            return true;
        }
        // An extra is a copy that has as many copies of its zone before it as the zone's base.
        let is_extra = |(at, cell): &(usize, &u16)| {
            let zone = self.zone_of(**cell);
            let before =
                staying().filter(|(other, cell)| other < at && self.zone_of(**cell) == zone);
            before.count() >= self.base[zone]
        };
        beside < most && staying().filter(is_extra).count() < self.extras
    }
}

#[cfg(test)]
mod tests {
    use super::{HOLE, Spread};
    use crate::id::NodeId;
    use crate::member::Member;

    fn spread(zones: &[&str], owners: usize) -> Spread {
        let member = |(index, zone): (usize, &&str)| Member {
            zone: zone.parse().unwrap(),
            ..Member::new(NodeId(index as u128))
        };
        Spread::new(&zones.iter().enumerate().map(member).collect::<Vec<_>>(), owners)
    }

    #[test]
    fn with_enough_zones_no_two_copies_share_one() {
        let rule = spread(&["a", "a", "b", "c"], 3);
        assert!(!rule.admits(&[0, HOLE, HOLE], 1, 1), "second copy in zone a");
        assert!(rule.admits(&[0, HOLE, HOLE], 1, 2));
        assert!(rule.admits(&[0, 2, 3], 0, 1), "a neighbour in the same zone may take over");
    }

    #[test]
    fn with_fewer_zones_than_owners_every_zone_has_a_copy() {
        let rule = spread(&["a", "a", "a", "b", "b"], 3);
        assert!(rule.admits(&[0, HOLE, HOLE], 1, 1));
        assert!(
            !rule.admits(&[0, 1, HOLE], 2, 2),
            "three copies in zone a would leave none for zone b"
        );
        assert!(rule.admits(&[0, 1, HOLE], 2, 3));
    }

    #[test]
    fn a_small_zone_is_full_and_the_others_carry_the_rest() {
        let rule = spread(&["a", "b", "b", "b"], 4);
        assert_eq!((rule.bounds(0), rule.bounds(1)), ((1, 1), (2, 3)));
    }
}
