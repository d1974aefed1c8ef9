//! Gathering a node's figures for an answer.

use std::rc::Rc;

use kvorum_protocol::message::NodeStatus;
use kvorum_store::clock::NS_PER_MS;

use crate::engine::Now;
use crate::runtime::cluster::{Detection, Figures};
use crate::runtime::driver::{Driver, Parts};
use crate::runtime::metrics::ProcessUse;

impl Driver {
    pub(super) fn figures(&self, now: Now) -> Figures {
        let Parts { me, engine, shard, membership, cluster, starts, .. } = &self.parts;
        let store = shard.stats();
        let node = NodeStatus {
            node: *me,
            name: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run: *starts,
            uptime_ms: now.mono_ns / NS_PER_MS,
            keys: store.keys.saturating_sub(store.hints.keys as u64),
            log_bytes: store.log_bytes,
            live_bytes: store.live_bytes,
            index_backlog: store.index_backlog as u64,
            refilling: shard.is_refilling(),
            requests: self.clients.answered(),
            hinted_keys: store.hints.keys as u64,
            certificate_expires_at_ms: self.parts.security.borrow().expires_at_ms,
        };
        let others = cluster.view().members.iter().map(|member| member.id).filter(|id| id != me);
        Figures {
            node,
            peers: others.map(|peer| self.peers.figures(peer, engine.peer_stats(peer))).collect(),
            engine: engine.stats(),
            store,
            hinted: shard.hint_targets(),
            process: ProcessUse::now(),
            meters: Rc::clone(&self.parts.meters),
            gate: self.parts.gate.stats(),
            clients: self.clients.count(),
            detection: Detection {
                irregularities: membership.irregularities(),
                lateness: membership.lateness(),
                suspects: membership.suspects(),
            },
        }
    }
}
