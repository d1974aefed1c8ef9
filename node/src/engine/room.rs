//! Whether there is room for one more: of clients' requests, of peers' requests, of what peers held for this node. Each is
//! bounded by itself.

use kvorum_protocol::message::RequestError;

use crate::engine::options::EngineOptions;
use crate::limits;
use crate::peer_message::ReplicaRefusal;

/// Why no request at all is taken right now.
pub(crate) fn overload(
    stopped: bool,
    requests: usize,
    options: &EngineOptions,
) -> Option<RequestError> {
    if stopped {
        return Some(RequestError::Stopping);
    }
    let full = requests >= options.max_requests;
    full.then_some(RequestError::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS })
}

/// Whether a peer's request is taken right now.
pub(crate) fn replica_room(
    stopped: bool,
    tasks: usize,
    options: &EngineOptions,
) -> Result<(), ReplicaRefusal> {
    if stopped {
        return Err(ReplicaRefusal::Stopping);
    }
    let has_room = tasks < options.max_replica_tasks;
    has_room
        .then_some(())
        .ok_or(ReplicaRefusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS })
}

/// How many deliveries a peer may have under way here: fewer, the more this node has to do for clients and peers.
pub(crate) fn delivery_credit(requests: usize, tasks: usize, options: &EngineOptions) -> u32 {
    let free = |taken: usize, most: usize| {
        let left = most.saturating_sub(taken) as u64;
        (u64::from(limits::DELIVERY_CREDIT) * left / most.max(1) as u64) as u32
    };
    free(requests, options.max_requests).min(free(tasks, options.max_replica_tasks)).max(1)
}

#[cfg(test)]
mod tests {
    use super::delivery_credit;
    use crate::engine::options::EngineOptions;
    use crate::limits::DELIVERY_CREDIT;

    #[test]
    fn a_busy_node_takes_fewer_deliveries_and_always_one() {
        let options =
            EngineOptions { max_requests: 100, max_replica_tasks: 100, ..EngineOptions::default() };
        assert_eq!(delivery_credit(0, 0, &options), DELIVERY_CREDIT);
        assert_eq!(delivery_credit(50, 10, &options), DELIVERY_CREDIT / 2);
        assert_eq!(delivery_credit(10, 50, &options), DELIVERY_CREDIT / 2);
        assert_eq!(delivery_credit(100, 0, &options), 1);
    }
}
