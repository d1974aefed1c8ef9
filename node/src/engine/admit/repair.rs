//! Which machine carries a repair that somebody ordered.

use kvorum_protocol::message::{ArgumentKind, Repair, RepairTarget, Request, RequestError};

use crate::engine::admit::{Desk, invalid};
use crate::engine::coordinator::mending::key::MendKey;
use crate::engine::coordinator::mending::partition::{MendPartition, Stretch};
use crate::engine::coordinator::small;
use crate::engine::errand::Errand;
use crate::engine::forward::Forward;
use crate::engine::machine::Machine;
use crate::engine::quorum::Owners;
use crate::limits;

impl Desk<'_> {
    /// A key's repair is passed on to an owner; a partition's is only begun at one, because it comes in steps that belong together.
    pub(super) fn repair(
        &self,
        repair: Repair,
        hops: u8,
        deadline_ns: u64,
    ) -> Result<Box<dyn Machine>, RequestError> {
        let Repair { target, options } = repair;
        match target {
            RepairTarget::Key { bucket, key } => {
                let place = self.view.place(&bucket, &key)?;
                if !place.owners.contains(&self.me) {
                    let repair = Repair { target: RepairTarget::Key { bucket, key }, options };
                    return self.pass_on(repair, &place.owners, hops, deadline_ns);
                }
                let fallbacks = self.view.fallbacks(place.key.class, place.key.partition);
                Ok(Box::new(MendKey::new(place, &fallbacks, deadline_ns)))
            }
            RepairTarget::Partition { class, partition, from } => {
                let owners = self.view.owners(class, partition);
                if owners.is_empty() {
                    return Err(invalid(ArgumentKind::Class));
                }
                if !owners.contains(&self.me) {
                    return Err(RequestError::WrongLayout);
                }
                let stretch = Stretch { class, partition, from, owners, options };
                Ok(Box::new(MendPartition::new(self.me, stretch, deadline_ns)))
            }
        }
    }

    fn pass_on(
        &self,
        repair: Repair,
        owners: &Owners,
        hops: u8,
        deadline_ns: u64,
    ) -> Result<Box<dyn Machine>, RequestError> {
        if hops >= limits::MAX_HOPS {
            return Err(RequestError::WrongLayout);
        }
        // Repairing twice is merging twice.
        let errand = Errand::Read;
        let (needed, nobody) = (small(owners.len()), Owners::new());
        let (request, hops) = (Request::Repair(repair), hops + 1);
        let nodes = (owners.as_slice(), nobody);
        Ok(Box::new(Forward::new(request, errand, hops, deadline_ns, needed, nodes)))
    }
}
