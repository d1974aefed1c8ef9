//! Who durably holds what: the fault budget, computed from actual holders.
//!
//! A simulated disk may be wiped only while every write that lies on it lies durably on another disk as well. Assuming N
//! copies would be wrong in both directions: an acknowledgement promises W copies, and some may have gone already. What
//! counts as durable is what the shard reported as synced, and nothing else.

use std::collections::BTreeMap;

use crate::bits::Bits;
use crate::oracle::{KeyOracle, Seen, WriteId};
use crate::violation::{Property, Violation};

/// The versions that each node holds durably, for each key.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    durable: BTreeMap<(u16, u16), Bits>,
    /// What each node ever held durably, be it wiped or handed over since.
    ever: BTreeMap<(u16, u16), Bits>,
    /// For each key the writes whose last durable copy was destroyed, over budget.
    lost: BTreeMap<u16, Bits>,
}

impl Holders {
    /// Notes that `node` has `versions` of `key` on its disk.
    pub fn hold(&mut self, node: u16, key: u16, versions: &Bits) {
        self.durable.entry((node, key)).or_default().union_with(versions);
        self.ever.entry((node, key)).or_default().union_with(versions);
    }

    /// Notes that `node` has let go of what it held of `key`.
    pub fn let_go(&mut self, node: u16, key: u16) {
        self.durable.remove(&(node, key));
    }

    /// The versions of `key` that `node` holds durably.
    pub fn now(&self, node: u16, key: u16) -> Bits {
        self.durable.get(&(node, key)).cloned().unwrap_or_default()
    }

    /// The versions of `key` that `node` ever held durably.
    pub fn ever(&self, node: u16, key: u16) -> Bits {
        self.ever.get(&(node, key)).cloned().unwrap_or_default()
    }

    /// How many nodes ever held `write` durably.
    pub fn ever_copies(&self, key: u16, oracle: &KeyOracle, write: WriteId, nodes: u16) -> usize {
        let held = |node: &u16| self.ever.get(&(*node, key));
        (0..nodes)
            .filter(|node| held(node).is_some_and(|held| oracle.write_is_in(write, held)))
            .count()
    }

    /// The versions of `key` that all of `owners` hold durably.
    pub fn held_by_all(&self, owners: &[u16], key: u16) -> Bits {
        let mut held = owners.iter().map(|owner| self.durable.get(&(*owner, key)));
        let mut common = held.next().flatten().cloned().unwrap_or_default();
        held.for_each(|held| common.intersect_with(held.unwrap_or(&Bits::new())));
        common
    }

    /// Notes which writes will be gone with the disk of `node`: it holds their last durable copies.
    pub fn lose(&mut self, node: u16, nodes: u16, keys: &[KeyOracle]) {
        for (oracle, key) in keys.iter().zip(0..) {
            self.lose_key(node, nodes, key, oracle);
        }
    }

    /// The same for what `node` has of one key. A hint that is dropped may be the last copy by then: enough owners had the write, and
    /// their disks were wiped since.
    pub fn lose_key(&mut self, node: u16, nodes: u16, key: u16, oracle: &KeyOracle) {
        let here = self.durable.get(&(node, key)).into_iter().flat_map(Bits::iter);
        let here = here.map(|version| oracle.versions()[version].write);
        let last = |write: &WriteId| self.copies(key, oracle, *write, nodes, Some(node)) == 0;
        let lost: Bits = here.filter(last).map(|write| write as usize).collect();
        self.lost.entry(key).or_default().union_with(&lost);
    }

    /// Those of `writes` to `key` that were not destroyed over budget.
    pub fn left(&self, key: u16, writes: &Bits) -> Bits {
        let lost = self.lost.get(&key);
        writes.iter().filter(|write| !lost.is_some_and(|lost| lost.contains(*write))).collect()
    }

    /// Notes that nothing of `node` is left.
    pub fn wipe(&mut self, node: u16) {
        self.durable.retain(|(holder, _), _| *holder != node);
    }

    /// How many nodes hold `write` durably, not counting `without`.
    pub fn copies(
        &self,
        key: u16,
        oracle: &KeyOracle,
        write: WriteId,
        nodes: u16,
        without: Option<u16>,
    ) -> usize {
        (0..nodes)
            .filter(|node| Some(*node) != without)
            .filter(|node| {
                self.durable.get(&(*node, key)).is_some_and(|held| oracle.write_is_in(write, held))
            })
            .count()
    }

    /// Judges what `node` holds of `key`: all that it ever called durable must be known there, unless it was wiped since.
    pub fn check_kept(
        &self,
        node: u16,
        key: u16,
        oracle: &KeyOracle,
        seen: &Seen,
    ) -> Result<(), Violation> {
        let Some(durable) = self.durable.get(&(node, key)) else { return Ok(()) };
        match durable.first_missing_from(&oracle.recorded(seen)) {
            None => Ok(()),
            Some(version) => Err(Violation::new(
                Property::P1,
                format!(
                    "node {node} called write {} durable and lost it",
                    oracle.versions()[version].write
                ),
            )),
        }
    }

    /// Whether the disk of `node` may be lost: no write would lose its last durable copy that was acknowledged, or that
    /// may yet be. A copy counts towards an acknowledgement as soon as it is durable, and nobody takes it back when its disk
    /// is wiped before the others have answered.
    pub fn may_lose(&self, node: u16, nodes: u16, keys: &[KeyOracle]) -> bool {
        keys.iter().zip(0..).all(|(oracle, key)| {
            let held = self.durable.get(&(node, key));
            let here = held.into_iter().flat_map(Bits::iter);
            let here = here.map(|version| oracle.versions()[version].write);
            let acknowledged = oracle.acknowledged().iter().map(|write| write as WriteId);
            acknowledged.chain(here).all(|write| {
                oracle.failed().contains(write as usize)
                    || self.copies(key, oracle, write, nodes, Some(node)) > 0
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Holders;
    use crate::bits::Bits;
    use crate::oracle::{KeyOracle, Seen, ShadowDot};

    #[test]
    fn a_disk_with_the_last_copy_of_a_write_may_not_be_lost() {
        let mut key = KeyOracle::default();
        let version = key.register(1, ShadowDot { actor: 9, counter: 1 }, false, Bits::new());
        let mut holders = Holders::default();
        holders.hold(0, 0, &[version].into_iter().collect());
        assert!(!holders.may_lose(0, 3, std::slice::from_ref(&key)), "it may count already");
        assert!(holders.may_lose(1, 3, std::slice::from_ref(&key)), "nothing is there");
        key.acknowledge(1);
        assert!(!holders.may_lose(0, 3, std::slice::from_ref(&key)));
        assert!(holders.may_lose(1, 3, std::slice::from_ref(&key)));
        holders.hold(2, 0, &[version].into_iter().collect());
        assert!(holders.may_lose(0, 3, std::slice::from_ref(&key)));
        holders.wipe(0);
        assert!(!holders.may_lose(2, 3, std::slice::from_ref(&key)));
    }

    #[test]
    fn over_budget_a_write_is_excused_only_when_its_last_copy_is_destroyed() {
        let mut key = KeyOracle::default();
        let version = key.register(1, ShadowDot { actor: 9, counter: 1 }, false, Bits::new());
        let keys = std::slice::from_ref(&key);
        let [owed, copy]: [Bits; 2] = [[1].into_iter().collect(), [version].into_iter().collect()];
        let mut holders = Holders::default();
        holders.hold(0, 0, &copy);
        holders.hold(1, 0, &copy);
        assert_eq!(holders.held_by_all(&[0, 1], 0), copy);
        assert!(holders.held_by_all(&[0, 1, 2], 0).is_empty());
        holders.lose(0, 3, keys);
        holders.wipe(0);
        assert_eq!(holders.left(0, &owed), owed, "node 1 has it");
        holders.lose(1, 3, keys);
        holders.wipe(1);
        assert!(holders.left(0, &owed).is_empty());
    }

    #[test]
    fn a_node_that_lost_what_it_called_durable_is_caught() {
        let dot = ShadowDot { actor: 9, counter: 1 };
        let mut key = KeyOracle::default();
        let version = key.register(1, dot, false, Bits::new());
        let mut holders = Holders::default();
        holders.hold(0, 0, &[version].into_iter().collect());
        let kept = Seen { clock: vec![(9, 1)], live: vec![dot] };
        assert_eq!(holders.check_kept(0, 0, &key, &kept), Ok(()));
        assert!(holders.check_kept(0, 0, &key, &Seen::default()).is_err());
        assert_eq!(holders.check_kept(1, 0, &key, &Seen::default()), Ok(()));
    }
}
