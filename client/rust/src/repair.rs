//! Repair by order: making the owners of a key, or of a partition, hold the same, and learning which of them does not.
//!
//! A partition comes in steps. Nothing is kept anywhere between two of them, so whoever repairs may stop after any step and go on
//! later, here or elsewhere, from the hash that the last answer named.

use std::time::Duration;

use kvorum_protocol::limits::DEADLINE_MAX_MS;
use kvorum_protocol::message::{
    Repair, RepairDone, RepairTarget, Request, RequestOptions, Response,
};
use kvorum_protocol::{BucketName, Key};
use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionId};

use crate::admin::unexpected;
use crate::call::{Call, Reply};
use crate::client::Client;
use crate::error::OperationError;

impl Client {
    /// Has all owners of a key hold the same, durably. It needs the right to write in the bucket.
    ///
    /// # Errors
    /// [`OperationError`] when no owner answers. An owner that is away is no error: the answer names it.
    pub async fn repair_key(
        &self,
        bucket: BucketName,
        key: Key,
    ) -> Result<Reply<RepairDone>, OperationError> {
        let operation = Client::draw_operation();
        let target = RepairTarget::Key { bucket, key };
        let request = Request::Repair(Repair { target, options: RequestOptions::new(operation) });
        let deadline = self.shared.deadline;
        let call = Call { request, operation, deadline, is_write: false, is_retry: false };
        let accept = |response| match response {
            Response::Repair(done) => Some(done),
            _ => None,
        };
        self.shared.call(call, accept).await
    }

    /// Has the owners of a partition hold the same of the keys from a hash on, as many as come in one step, led by one of the
    /// owners. Begin with the hash 0, and go on with [`RepairDone::next`]. The operator's.
    ///
    /// # Errors
    /// [`OperationError`] when that node cannot be reached, does not answer, or is no owner. An owner beside it that is away is
    /// no error: the answer names it.
    pub async fn repair_step(
        &self,
        node: NodeId,
        class: ClassId,
        partition: PartitionId,
        from: KeyHash,
    ) -> Result<RepairDone, OperationError> {
        // A step uses its time up when it has much to do, and its answer has to come as well.
        let deadline = (self.shared.deadline / 5 * 4).max(Duration::from_millis(1));
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        let options = RequestOptions {
            deadline_ms: deadline_ms.min(DEADLINE_MAX_MS),
            ..RequestOptions::new(Client::draw_operation())
        };
        let target = RepairTarget::Partition { class, partition, from };
        match self.ask_node(node, Request::Repair(Repair { target, options })).await? {
            Response::Repair(done) => Ok(done),
            _ => Err(unexpected(node)),
        }
    }
}
