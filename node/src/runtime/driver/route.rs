//! Carrying out what the machines want.

use kvorum_gossip::{MembershipOutput, Seed};
use kvorum_protocol::codec::Wire;
use kvorum_protocol::frame::write_frame;
use kvorum_protocol::limits::PEER_FRAME_BYTES;
use kvorum_ring::NodeId;
use kvorum_store::StoreEvent;

use crate::engine::{Effect, Input, MemberView, Now};
use crate::peer_message::PeerMessage;
use crate::runtime::cluster::ClusterOutput;
use crate::runtime::driver::{Driver, Parts};
use crate::runtime::error::RunError;
use crate::runtime::listener::ClientNumber;
use crate::runtime::peers::{Link, Members, Purpose};

impl Driver {
    /// Carries out everything, until no machine wants anything more.
    pub(super) fn settle(&mut self, now: Now) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.parts.membership.poll_output() {
                quiet = false;
                self.carry_membership(now, output);
            }
            while let Some(output) = self.parts.cluster.poll_output() {
                quiet = false;
                self.carry_cluster(now, output);
            }
            while let Some(effect) = self.parts.engine.poll_effect() {
                quiet = false;
                self.carry_engine(now, effect);
            }
            while let Some(event) = self.parts.shard.poll_event() {
                quiet = false;
                self.carry_store(now, event);
            }
            if quiet {
                break;
            }
        }
        while let Some(job) = self.parts.shard.poll_job() {
            self.parts.workers.hand_out(job);
        }
    }

    fn carry_engine(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Reply { client, request_id, response } => {
                self.clients.answer(now, ClientNumber(client.0), request_id, &response);
            }
            Effect::Send { to, message } => self.send(to, &message),
            Effect::Store(request) => self.parts.shard.submit(now, request),
        }
    }

    /// Encodes a message straight into the peer's buffer. Lost when there is no connection or the buffer is full: then
    /// the engine has heard, or will hear from its deadline.
    fn send(&self, to: NodeId, message: &PeerMessage) {
        if let Some(link) = self.peers.link(to, Purpose::Requests) {
            let write = |out: &mut Vec<u8>| {
                write_frame(out, PEER_FRAME_BYTES, |writer| message.write(writer)).is_ok()
            };
            if !link.main.push(write) {
                tracing::debug!(peer = %to, "a message was dropped");
            }
        }
    }

    fn carry_store(&mut self, now: Now, event: StoreEvent) {
        match &event {
            StoreEvent::Poisoned { reason } => self.fail(RunError::Poisoned(*reason)),
            StoreEvent::Damage(notice) => tracing::warn!(?notice, "damage in the store"),
            StoreEvent::Closed => self.store_closed(),
            _ => {}
        }
        self.parts.engine.handle(now, Input::Store(event));
    }

    fn carry_membership(&mut self, now: Now, output: MembershipOutput) {
        match output {
            MembershipOutput::Send { to, datagram } => {
                if let Some(Link { connection, .. }) = self.peers.link(to, Purpose::Membership)
                    && let Err(error) = connection.send_datagram(datagram)
                {
                    // Too large for the path, or lost with the connection. Membership repeats what matters.
                    tracing::debug!(peer = %to, %error, "a membership datagram was not sent");
                }
            }
            MembershipOutput::Up(Seed { node, .. }) => {
                self.peers.set_alive(node, true);
                self.tell_engine(now, node);
            }
            MembershipOutput::Down(node) => {
                self.peers.set_alive(node, false);
                self.tell_engine(now, node);
            }
            MembershipOutput::News { from, summary } => self.parts.cluster.heard(from, &summary),
            MembershipOutput::Renewed(renewal) => {
                tracing::warn!(
                    renewal,
                    "the cluster had declared this node down; it goes on under a new renewal"
                );
            }
        }
    }

    fn carry_cluster(&mut self, now: Now, output: ClusterOutput) {
        match output {
            ClusterOutput::Send { to, message } => {
                if let Some(facts) =
                    self.peers.link(to, Purpose::Requests).and_then(|link| link.facts.as_ref())
                {
                    let mut body = Vec::new();
                    message.encode(&mut body);
                    facts.push(|out| {
                        write_frame(out, PEER_FRAME_BYTES, |writer| writer.encoded(&body)).is_ok()
                    });
                }
            }
            ClusterOutput::Announce(summary) => self.parts.membership.announce_fact(&summary),
            ClusterOutput::View(view) => {
                self.parts.engine.handle(now, Input::View(view));
                self.follow_members();
                // Greetings ask the same tokens that every request is checked against.
                self.parts.access.send_replace(self.parts.cluster.access().clone());
            }
            ClusterOutput::Save(content) => self.parts.saver.save(content),
            ClusterOutput::Reply { client, request_id, response } => {
                self.clients.answer(now, client, request_id, &response);
            }
        }
    }

    /// Tells the doors and the dialling tasks who is a member and where, and begins to dial those that this node has to
    /// dial.
    pub(super) fn follow_members(&mut self) {
        let Parts { me, cluster, members, dialler, seed, .. } = &self.parts;
        let listed = &cluster.view().members;
        members.send_if_modified(|known| {
            let address = |member: &MemberView| (member.id, member.peer_addr.clone());
            let listed: Members = listed.iter().map(address).collect();
            let changed = *known != listed;
            *known = listed;
            changed
        });
        for member in listed.iter().filter(|member| member.id > *me) {
            if self.dialled.insert(member.id) {
                dialler.keep_connected(member.id, seed.wrapping_add(member.id.0 as u64));
            }
        }
    }
}
