//! One partition's repair from its first step to its last.

use kvorum_client::{Client, OperationError};
use kvorum_protocol::message::RepairDone;
use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionId};

/// Steps in a row that come no further, after which a partition is given up: its owners have too much to do.
const STEPS_IN_VAIN: u32 = 5;

/// Which partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) class: ClassId,
    pub(super) partition: PartitionId,
}

/// See the module's page.
pub(super) struct Walk<'a> {
    client: &'a Client,
    place: Place,
    /// Owners in the order in which they are asked to lead.
    leaders: Vec<NodeId>,
    rest: Option<KeyHash>,
    in_vain: u32,
}

impl<'a> Walk<'a> {
    /// A repair from a hash on. Owners that are up lead before others, and `last` behind all that are up.
    pub(super) fn new(
        client: &'a Client,
        place: Place,
        owners: &[NodeId],
        last: Option<NodeId>,
        from: KeyHash,
    ) -> Walk<'a> {
        let topology = client.topology();
        let is_up = |node: &NodeId| topology.node(*node).is_some_and(|known| known.up);
        let mut leaders = owners.to_vec();
        leaders.sort_by_key(|node| (!is_up(node), Some(*node) == last));
        Walk { client, place, leaders, rest: Some(from), in_vain: 0 }
    }

    /// Where the next step begins; none when there is none, or when it would be in vain.
    pub(super) fn next(&self) -> Option<KeyHash> {
        self.rest.filter(|_| self.in_vain < STEPS_IN_VAIN)
    }

    /// Where the part begins that has not been looked at.
    pub(super) fn rest(&self) -> Option<KeyHash> {
        self.rest
    }

    /// Has one step made by the first owner that does it.
    ///
    /// # Errors
    /// Why the last of the owners did not.
    pub(super) async fn step(&mut self) -> Result<RepairDone, OperationError> {
        let from = self.rest.unwrap_or(KeyHash(0));
        let mut leaders = self.leaders.clone().into_iter();
        loop {
            let leader = leaders.next().expect("a partition has owners");
            let Place { class, partition } = self.place;
            match self.client.repair_step(leader, class, partition, from).await {
                Ok(done) => {
                    self.in_vain = if done.next == Some(from) { self.in_vain + 1 } else { 0 };
                    self.rest = done.next;
                    return Ok(done);
                }
                Err(error) if leaders.len() == 0 => return Err(error),
                Err(_) => {
                    // It is asked last from now on.
                    self.leaders.retain(|node| *node != leader);
                    self.leaders.push(leader);
                }
            }
        }
    }
}
