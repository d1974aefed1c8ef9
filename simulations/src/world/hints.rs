//! What fallbacks hold for owners, before the judges: nothing of it may end too early, and all of it has to end.

use kvorum_protocol::{RecordKey, Space};
use kvorum_ring::NodeId;

use super::World;
use super::node::Pending;
use crate::bits::Bits;
use crate::checkers::p9_hints;
use crate::oracle::Seen;
use crate::reached::Rare;

impl World {
    /// A node is about to let go of what it holds for an owner.
    pub(super) fn judge_release(&mut self, number: u16, key: u16, target: NodeId, held: &Seen) {
        let owner = self.number_of(target);
        let oracle = &self.oracle[usize::from(key)];
        let covered = oracle.covered(&held.clock);
        let given = self.holders.ever(owner, key);
        let judgement = p9_hints::check_forgotten(oracle, &covered, &given, owner);
        self.accuse(judgement, Some(number), Some(key));
    }

    /// A node has durably let go of a record, unless it holds it for somebody else or again.
    pub(super) fn let_go(&mut self, number: u16, key: u16, record: &RecordKey) {
        let Some(life) = &self.nodes[usize::from(number)].life else { return };
        let is_held_again = life.pending.iter().any(|one| one.key == key && one.released.is_none());
        if !life.shard.holds_hint(record) || is_held_again {
            // Where it is not certain what is left, nothing counts as left.
            self.holders.let_go(number, key);
            self.say(Some(number), Some(key), || "has let go of it".to_owned());
        }
    }

    /// A node dropped a hint unasked.
    pub(super) fn judge_drop(&mut self, number: u16, record: &RecordKey) {
        self.reached.mark(Rare::HintDropped);
        let Ok(key) = Self::number_of_key(&record.key) else { return };
        let oracle = &self.oracle[usize::from(key)];
        let owners = &self.owners[usize::from(key)];
        let ever: Vec<_> = owners.iter().map(|owner| self.holders.ever(*owner, key)).collect();
        let held = self.holders.ever(number, key);
        let held = held.iter().filter(|version| {
            let write = oracle.versions()[*version].write;
            oracle.acknowledged().contains(write as usize)
        });
        let counted = held.map(|version| {
            let write = oracle.versions()[version].write;
            let needed = self.history.row(write).map_or(0, |row| usize::from(row.quorum));
            (version, ever.iter().filter(|ever| ever.contains(version)).count(), needed)
        });
        let judgement = p9_hints::check_dropped(oracle, counted);
        self.accuse(judgement, Some(number), Some(key));
        let (oracle, nodes) = (&self.oracle[usize::from(key)], self.plan.topology.nodes);
        self.holders.lose_key(number, nodes, key, oracle);
        self.holders.let_go(number, key);
        if let Some(life) = &mut self.nodes[usize::from(number)].life {
            // What was applied before stands in front of the drop in the log: when it is durable it is gone.
            let applied = life.pending.iter_mut().filter(|one| one.key == key);
            applied
                .filter_map(|one| one.covered.as_mut())
                .for_each(|covered| *covered = Bits::new());
        }
        self.say(Some(number), Some(key), || "drops what it held for others".to_owned());
    }

    /// Looks whether a node still has what it called durable and holds for others. Only when there is less of it than before,
    /// because that is when something was let go of.
    pub(super) fn look_for_hints(&mut self, number: u16) {
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        let hinted = life.shard.hint_stats().keys;
        if std::mem::replace(&mut life.hinted, hinted) <= hinted {
            return;
        }
        for key in 0..self.plan.topology.keys {
            let durable = self.holders.now(number, key);
            if self.owners[usize::from(key)].contains(&number) || durable.is_empty() {
                continue;
            }
            let record = self.record_of(self.keys[usize::from(key)].clone());
            let Some(life) = &self.nodes[usize::from(number)].life else { return };
            let is_released =
                life.pending.iter().any(|one| one.key == key && one.released.is_some());
            let is_listed = life.shard.holds_hint(&record.in_space(Space::Hinted));
            let oracle = &self.oracle[usize::from(key)];
            let judgement = p9_hints::check_held(oracle, &durable, is_listed || is_released);
            self.accuse(judgement, Some(number), Some(key));
        }
    }

    /// A node died while it let go of what it held for others: whether that was durable, nobody knows.
    pub(super) fn forget_released(&mut self, number: u16, pending: &[Pending]) {
        for released in pending.iter().filter(|one| one.released.is_some()) {
            self.holders.let_go(number, released.key);
        }
    }

    /// What a node holds for others stays within its bounds. What was under way when the last of it was let in may be more.
    pub(super) fn judge_hoard(&mut self, number: u16) {
        let Some(life) = &self.nodes[usize::from(number)].life else { return };
        let stats = life.shard.hint_stats();
        let taken = stats.bearing_bytes + stats.spare_bytes + stats.unread_bytes;
        let most = self.nodes[usize::from(number)].most_hint_bytes();
        let judgement = p9_hints::check_bounded(taken, most);
        self.accuse(judgement, Some(number), None);
    }

    /// Faults are over and everything has come to rest: nothing is left to be delivered.
    pub(super) fn check_drained(&mut self) {
        for number in 0..self.plan.topology.nodes {
            let keys = self.nodes[usize::from(number)].hints();
            self.accuse(p9_hints::check_drained(keys), Some(number), None);
        }
    }
}
