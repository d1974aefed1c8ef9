//! The driver: the loop that owns the engine, the store's core, membership and the cluster's facts.
//!
//! Everything that happens arrives in one of a few bounded queues. The driver wakes, takes a batch, gives each event to the
//! machine that it is for, and then carries out what the machines want until none wants anything more: answers and
//! messages are encoded straight into their connections' buffers, jobs go to the store's threads. Then it waits again. One
//! timer stands for the earliest deadline of all machines. There is no lock, and nothing here waits for a disk or a peer.
//! While more waits than one batch, the connections get their turn after each.
//!
//! **Order.** Effects are carried out in the order in which they come. That nothing is said before it is durable is the
//! engine's business; that a poisoned store ends the process is decided here.

mod clients;
mod figures;
mod inbox;
mod late;
mod peers;
mod route;
mod stop;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use kvorum_gossip::{FactsMessage, Membership};
use kvorum_protocol::codec;
use kvorum_protocol::message::HintsAsk;
use kvorum_protocol::{Request, RequestError, Response};
use kvorum_ring::NodeId;
use kvorum_store::Shard;
use tokio::sync::watch;
use tokio::task::yield_now;

use crate::engine::{ClientId, Engine, Input, Now};
use crate::peer_message::PeerMessage;
use crate::runtime::access::AccessTokens;
use crate::runtime::clock::Clock;
use crate::runtime::cluster::Cluster;
use crate::runtime::driver::clients::{Arrival, Clients};
use crate::runtime::driver::peers::{Change, Peers};
use crate::runtime::driver::stop::Stopping;
use crate::runtime::error::RunError;
use crate::runtime::gate::Gate;
use crate::runtime::limits;
use crate::runtime::listener::{ClientEvent, ClientNumber};
use crate::runtime::metrics::Meters;
use crate::runtime::peers::{Channel, Dialler, LinkId, Members, PeerEvent, Purpose};
use crate::runtime::saver::Saver;
use crate::runtime::security::Current;
use crate::runtime::telemetry;
use crate::runtime::workers::{WorkerReport, Workers};

pub(crate) use inbox::Inbox;

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) me: NodeId,
    pub(crate) clock: Clock,
    pub(crate) engine: Engine,
    pub(crate) shard: Shard,
    pub(crate) workers: Workers,
    pub(crate) membership: Membership,
    pub(crate) cluster: Cluster,
    pub(crate) saver: Saver,
    pub(crate) dialler: Rc<Dialler>,
    pub(crate) members: watch::Sender<Members>,
    pub(crate) access: watch::Sender<Arc<AccessTokens>>,
    pub(crate) security: Current,
    pub(crate) meters: Rc<Meters>,
    pub(crate) gate: Rc<Gate>,
    /// How often this node has been started.
    pub(crate) starts: u64,
    /// Begins the jitter of reconnections.
    pub(crate) seed: u64,
}

/// See the module's page.
pub(crate) struct Driver {
    parts: Parts,
    peers: Peers,
    clients: Clients,
    /// Peers that a dialling task has been started for.
    dialled: BTreeSet<NodeId>,
    stopping: Option<Stopping>,
    /// Set when the process must end: after a poisoned store, a dead worker, a second process with this id.
    failed: Option<RunError>,
}

impl Driver {
    /// Begins with everything opened and nobody connected.
    pub(crate) fn new(parts: Parts) -> Driver {
        let clients = Clients::new(Rc::clone(&parts.meters));
        let mut driver = Driver {
            parts,
            peers: Peers::default(),
            clients,
            dialled: BTreeSet::new(),
            stopping: None,
            failed: None,
        };
        driver.follow_members();
        driver
    }

    /// Runs until told to stop, or until it must. Everything acknowledged is on disk either way.
    ///
    /// # Errors
    /// Why the process must end.
    pub(crate) async fn run(mut self, mut inbox: Inbox) -> Result<(), RunError> {
        self.turn(|driver, now| driver.parts.membership.tick(now.mono_ns));
        loop {
            if let Some(error) = self.failed.take() {
                self.end().await;
                return Err(error);
            }
            if self.stopping.as_ref().is_some_and(Stopping::is_done) {
                self.end().await;
                return Ok(());
            }
            let deadline = self.next_deadline().map(|deadline| self.parts.clock.instant(deadline));
            let first = inbox.next(deadline).await;
            self.let_read().await;
            self.parts.gate.turn_begins();
            let mut more = false;
            self.turn(|driver, now| {
                driver.take(now, first);
                more = inbox.drain(|event| driver.take(now, event));
                driver.tick(now);
            });
            if more {
                // A long queue does not keep the connections from writing what is answered and refusing what is too much.
                yield_now().await;
            }
        }
    }

    /// While requests come in crowds, lets the sessions read what waits in the sockets, where nothing counts it.
    async fn let_read(&self) {
        for _ in 0..limits::READS_PER_TURN {
            if !self.parts.gate.is_crowded() {
                return;
            }
            yield_now().await;
        }
    }

    /// One batch of work and all that follows from it, at one moment.
    fn turn(&mut self, work: impl FnOnce(&mut Driver, Now)) {
        let now = self.parts.clock.now();
        work(self, now);
        self.settle(now);
    }

    fn take(&mut self, now: Now, event: inbox::Event) {
        match event {
            inbox::Event::Peer(event) => self.take_peer(now, event),
            inbox::Event::Client(event) => self.take_client(now, event),
            inbox::Event::Worker(WorkerReport::Done(done)) => {
                self.parts.workers.retry();
                self.parts.shard.complete(now, done);
            }
            inbox::Event::Worker(WorkerReport::Died(worker)) => {
                self.fail(RunError::WorkerDied(worker))
            }
            inbox::Event::Question(question) => {
                // Whoever asked may have gone.
                let _ = question.send(self.figures(now));
            }
            inbox::Event::Saved(Ok(())) => self.parts.cluster.saved(),
            inbox::Event::Saved(Err(error)) => self.fail(RunError::Facts(error)),
            inbox::Event::Stop => self.begin_stop(now),
            inbox::Event::Deadline => {}
        }
    }

    fn take_client(&mut self, now: Now, event: ClientEvent) {
        match event {
            ClientEvent::Opened { client, caller, outgoing, account } => {
                self.clients.opened(client, caller, outgoing, account)
            }
            ClientEvent::Gone { client } => {
                self.clients.gone(client);
                self.parts.engine.handle(now, Input::ClientGone { client: ClientId(client.0) });
            }
            ClientEvent::Request { client, request_id, request, arrived_ns, ticket } => {
                let arrival = Arrival { at_ns: arrived_ns, ticket };
                self.ask(now, client, request_id, request, arrival)
            }
        }
    }

    fn ask(
        &mut self,
        now: Now,
        client: ClientNumber,
        request_id: u64,
        mut request: Request,
        arrival: Arrival,
    ) {
        if self.stopping.is_some() {
            return self.refuse(now, (client, request_id), &request, RequestError::Stopping);
        }
        // Nobody waits for the answer to one that is gone.
        let Some(caller) = self.clients.caller(client) else { return };
        let partitions = self.parts.cluster.view().layout.partitions();
        let arrived_ns = arrival.at_ns;
        self.clients.began(client, request_id, &request, arrival, partitions);
        if !late::age_request(now, arrived_ns, &mut request) {
            self.parts.gate.expired();
            let error = RequestError::DeadlineExceeded;
            return self.refuse(now, (client, request_id), &request, error);
        }
        if let Err(error) = self.parts.cluster.access().check(caller, &request, now.wall_ms) {
            return self.refuse(now, (client, request_id), &request, error);
        }
        if request.options().is_some() {
            self.parts
                .engine
                .handle(now, Input::Client { client: ClientId(client.0), request_id, request });
        } else {
            if let Request::Hints(HintsAsk { paused: Some(paused) }) = request {
                tracing::info!(paused, "hints");
                self.parts.engine.handle(now, Input::HintsPaused(paused));
            }
            let figures = self.figures(now);
            self.parts.cluster.request((client, caller), request_id, request, &figures);
        }
    }

    /// Answers a request about which nothing was done.
    fn refuse(
        &mut self,
        now: Now,
        (client, request_id): (ClientNumber, u64),
        request: &Request,
        error: RequestError,
    ) {
        let error = request.refused(error);
        self.clients.answer(now, client, request_id, &Response::Error { error });
    }

    fn take_peer(&mut self, now: Now, event: PeerEvent) {
        match event {
            PeerEvent::Up { peer, purpose, link } => {
                // A connection that replaces another one: what was outstanding on the other is lost.
                if let Some(earlier) = self.peers.link(peer, purpose).map(|link| link.id) {
                    self.lost(now, peer, purpose, earlier);
                }
                self.peers.connected(peer, purpose, link);
                match purpose {
                    Purpose::Membership => self.parts.membership.reachable(now.mono_ns, peer),
                    Purpose::Requests => {
                        self.parts.cluster.peer_up(peer);
                        self.tell_engine(now, peer);
                    }
                    Purpose::Bulk => {}
                }
            }
            PeerEvent::Down { peer, purpose, id } => self.lost(now, peer, purpose, id),
            PeerEvent::Frame { peer, channel: Channel::Requests, frame, arrived_ns } => {
                self.hear(now, peer, frame, arrived_ns)
            }
            PeerEvent::Frame { peer, channel: Channel::Facts, frame, .. } => {
                match FactsMessage::decode(&frame) {
                    Ok(message) => self.parts.cluster.message(peer, message),
                    Err(error) => tracing::warn!(%peer, %error, "facts that cannot be read"),
                }
            }
            PeerEvent::Frame { channel: Channel::Silent, .. } => {}
            PeerEvent::Datagram { peer, datagram } => {
                if let Err(error) = self.parts.membership.datagram(now.mono_ns, peer, &datagram) {
                    tracing::debug!(%peer, %error, "a membership datagram was refused");
                }
            }
            PeerEvent::Duplicate => self.fail(RunError::DuplicateNode(self.parts.me)),
        }
    }

    fn hear(&mut self, now: Now, peer: NodeId, frame: Bytes, arrived_ns: u64) {
        match codec::decode::<PeerMessage>(frame) {
            Ok(mut message) => {
                if !late::age_message(now, arrived_ns, &mut message) {
                    self.parts.gate.expired();
                }
                let partitions = self.parts.cluster.view().layout.partitions();
                let _span = telemetry::peer_span(peer, &message, partitions).entered();
                tracing::trace!("heard");
                self.parts.engine.handle(now, Input::Peer { from: peer, message });
            }
            // Of a later version, or damaged: whoever waits for an answer has a deadline.
            Err(error) => tracing::warn!(%peer, %error, "a message that cannot be read"),
        }
    }

    fn lost(&mut self, now: Now, peer: NodeId, purpose: Purpose, id: LinkId) {
        if self.peers.disconnected(peer, purpose, id) && purpose == Purpose::Requests {
            self.parts.cluster.peer_down(peer);
            self.tell_engine(now, peer);
        }
    }

    /// Tells the engine when a peer has come up or gone down by what is known now.
    fn tell_engine(&mut self, now: Now, node: NodeId) {
        let Some(change) = self.peers.change(node) else { return };
        tracing::info!(peer = %node, ?change, "peer");
        let input = match change {
            Change::Up => Input::PeerUp { node },
            Change::Down => Input::PeerDown { node },
        };
        self.parts.engine.handle(now, input);
    }

    fn tick(&mut self, now: Now) {
        if self.parts.engine.next_deadline().is_some_and(|due| due <= now.mono_ns) {
            self.parts.engine.handle(now, Input::Tick);
        }
        if self.parts.shard.next_deadline().is_some_and(|due| due <= now.mono_ns) {
            self.parts.shard.tick(now);
        }
        if self.parts.membership.next_deadline().is_some_and(|due| due <= now.mono_ns) {
            self.parts.membership.tick(now.mono_ns);
        }
        if self.parts.cluster.next_deadline() <= now.mono_ns {
            self.parts.cluster.tick(now.mono_ns);
        }
        self.go_on_stopping(now);
    }

    fn next_deadline(&self) -> Option<u64> {
        let Parts { engine, shard, membership, cluster, .. } = &self.parts;
        let stop = self.stopping.as_ref().map(Stopping::deadline_ns);
        let cluster = Some(cluster.next_deadline());
        [engine.next_deadline(), shard.next_deadline(), membership.next_deadline(), cluster, stop]
            .into_iter()
            .flatten()
            .min()
    }

    /// The first failure is the one to report.
    fn fail(&mut self, error: RunError) {
        tracing::error!(%error, "the node must stop");
        self.failed.get_or_insert(error);
    }
}
