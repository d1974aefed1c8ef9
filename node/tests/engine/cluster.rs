//! Engines wired by hand: the test decides which message arrives, which disk syncs, who dies.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kvorum_node::engine::{
    ClientId, ClusterView, Effect, Engine, EngineOptions, Input, MemberView, Now,
};
use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::message::{
    BucketSettings, Delete, Get, GetDone, MergeRule, Put, PutDone, Replacing, Request,
    RequestError, RequestOptions, Response,
};
use kvorum_protocol::{BucketName, Context, ContextKeys, Key, OperationId, RecordKey, VersionSet};
use kvorum_ring::{
    ClassId, Layout, LayoutInput, Member, NodeId, PartitionCount, ReplicationClass, Weight, Zone,
};

use kvorum_store::ShardOptions;

use crate::disk::Disk;

/// What every node of a cluster is made with.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) engine: EngineOptions,
    pub(crate) store: ShardOptions,
    /// The merge rule of the one bucket.
    pub(crate) rule: MergeRule,
}

impl Default for Settings {
    fn default() -> Settings {
        let (engine, store) = (EngineOptions::default(), ShardOptions::small());
        Settings { engine, store, rule: MergeRule::Siblings }
    }
}

/// A message between two nodes that has not arrived.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) message: PeerMessage,
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) engine: Engine,
    pub(crate) disk: Disk,
    pub(crate) up: bool,
    /// Syncs only when the test says so.
    pub(crate) holds_syncs: bool,
    /// How far its wall clock is ahead.
    pub(crate) ahead_ms: u64,
    run: u64,
}

#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) now: Now,
    pub(crate) nodes: Vec<Node>,
    pub(crate) in_flight: Vec<Flight>,
    /// Pairs of nodes (from, to) whose messages are lost.
    pub(crate) cuts: Vec<(usize, usize)>,
    view: Arc<ClusterView>,
    settings: Settings,
    replies: BTreeMap<u64, Response>,
    next_request: u64,
    next_operation: u128,
}

pub(crate) const BUCKET: &str = "default";

pub(crate) fn bucket() -> BucketName {
    BUCKET.parse().unwrap()
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name.as_bytes().to_vec()).unwrap()
}

pub(crate) fn node_id(index: usize) -> NodeId {
    NodeId((index as u128 + 1) << 96)
}

pub(crate) fn view_of(nodes: usize, partitions: u32) -> ClusterView {
    let ids: Vec<NodeId> = (0..nodes).map(node_id).collect();
    let input = LayoutInput {
        lineage: 1,
        version: 1,
        partitions: PartitionCount::new(partitions).unwrap(),
        classes: vec![ReplicationClass::default()],
        members: ids.iter().map(|id| Member::new(*id)).collect(),
    };
    let member = |id: &NodeId| MemberView {
        id: *id,
        name: format!("{id:?}"),
        zone: Zone::default(),
        weight: Weight::default(),
        peer_addr: String::new(),
        client_addr: String::new(),
        admin_addr: String::new(),
    };
    ClusterView {
        cluster_name: "test".into(),
        members: ids.iter().map(member).collect(),
        layout: Arc::new(Layout::plan(input, None).unwrap()),
        buckets: [(bucket(), BucketSettings::default())].into(),
        context_keys: ContextKeys { current: [7; 32], previous: None },
    }
}

impl Cluster {
    /// `nodes` nodes, all up and connected, with eight partitions of three owners each.
    pub(crate) fn new(nodes: usize) -> Cluster {
        Cluster::with(nodes, Settings::default())
    }

    pub(crate) fn with(nodes: usize, settings: Settings) -> Cluster {
        let mut view = view_of(nodes, 8);
        view.buckets.insert(bucket(), BucketSettings { rule: settings.rule, ..Default::default() });
        let view = Arc::new(view);
        let mut cluster = Cluster {
            now: Now { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 },
            nodes: Vec::new(),
            in_flight: Vec::new(),
            cuts: Vec::new(),
            view: Arc::clone(&view),
            settings: settings.clone(),
            replies: BTreeMap::new(),
            next_request: 0,
            next_operation: 0,
        };
        for index in 0..nodes {
            let id = node_id(index);
            let engine = Engine::new(id, settings.engine, seed(index, 1), Arc::clone(&view));
            let disk = Disk::new(index, settings.store.clone());
            cluster.nodes.push(Node {
                id,
                engine,
                disk,
                up: true,
                holds_syncs: false,
                ahead_ms: 0,
                run: 1,
            });
        }
        for index in 0..nodes {
            for other in (0..nodes).filter(|other| *other != index) {
                cluster.tell(index, Input::PeerUp { node: node_id(other) });
            }
        }
        cluster
    }

    /// A put at the first owner of a key all of whose owners hold their syncs, and the owners: nothing has settled yet.
    pub(crate) fn put_unsynced(&mut self, key: &Key, value: &str) -> (Put, u64, Vec<usize>) {
        let owners = self.owners(key);
        for owner in &owners {
            self.nodes[*owner].holds_syncs = true;
        }
        let put = self.put_request(key, value, Replacing::Latest);
        let request = self.ask(owners[0], Request::Put(put.clone()));
        self.settle();
        (put, request, owners)
    }

    /// The record of a key.
    pub(crate) fn record(&self, key: &Key) -> RecordKey {
        RecordKey::new(ClassId::default(), self.view.layout.partitions(), bucket(), key.clone())
    }

    /// The owners of a key in preference order.
    pub(crate) fn owners(&self, key: &Key) -> Vec<usize> {
        let record = self.record(key);
        let preference = self.view.layout.preference(record.class, record.partition).unwrap();
        preference.owners().map(|id| self.index_of(id)).collect()
    }

    /// The fallbacks of a key in preference order.
    pub(crate) fn fallbacks(&self, key: &Key) -> Vec<usize> {
        let record = self.record(key);
        let preference = self.view.layout.preference(record.class, record.partition).unwrap();
        preference.fallbacks().map(|id| self.index_of(id)).collect()
    }

    /// Keys that each node holds for owners that were away, all together.
    pub(crate) fn hints(&self) -> usize {
        self.nodes.iter().map(|node| node.disk.hints()).sum()
    }

    /// A node that does not own the key.
    pub(crate) fn stranger(&self, key: &Key) -> usize {
        let owners = self.owners(key);
        (0..self.nodes.len()).find(|node| !owners.contains(node)).unwrap()
    }

    pub(crate) fn index_of(&self, id: NodeId) -> usize {
        self.nodes.iter().position(|node| node.id == id).unwrap()
    }

    pub(crate) fn new_operation(&mut self) -> OperationId {
        self.next_operation += 1;
        OperationId(self.next_operation << 64 | 1)
    }

    /// Gives one node one input, and carries out what it wants, except that messages wait in the air and syncs in the disk.
    pub(crate) fn tell(&mut self, node: usize, input: Input) {
        let now = self.now_at(node);
        self.nodes[node].engine.handle(now, input);
        self.carry_out(node);
    }

    /// The time at a node, by its own wall clock.
    fn now_at(&self, node: usize) -> Now {
        Now { wall_ms: self.now.wall_ms + self.nodes[node].ahead_ms, ..self.now }
    }

    fn carry_out(&mut self, index: usize) {
        let now = self.now_at(index);
        loop {
            let node = &mut self.nodes[index];
            if let Some(effect) = node.engine.poll_effect() {
                match effect {
                    Effect::Reply { request_id, response, .. } => {
                        let earlier = self.replies.insert(request_id, response);
                        assert!(earlier.is_none(), "a request is answered once");
                    }
                    Effect::Send { to, message } => {
                        let to = self.index_of(to);
                        self.in_flight.push(Flight { from: index, to, message });
                    }
                    Effect::Store(request) => node.disk.submit(now, request),
                }
                continue;
            }
            match node.disk.poll_event() {
                Some(event) => node.engine.handle(now, Input::Store(event)),
                None => return,
            }
        }
    }

    /// A client asks a node; nothing is delivered yet.
    pub(crate) fn ask(&mut self, node: usize, request: Request) -> u64 {
        self.next_request += 1;
        let request_id = self.next_request;
        self.tell(node, Input::Client { client: ClientId(1), request_id, request });
        request_id
    }

    /// What a request was answered, if it was.
    pub(crate) fn reply(&self, request_id: u64) -> Option<&Response> {
        self.replies.get(&request_id)
    }

    /// Delivers one message in flight, or loses it on a cut link or to a dead node.
    pub(crate) fn deliver(&mut self, index: usize) {
        let Flight { from, to, message } = self.in_flight.remove(index);
        if self.nodes[to].up && !self.cuts.contains(&(from, to)) {
            let from = self.nodes[from].id;
            self.tell(to, Input::Peer { from, message });
        }
    }

    pub(crate) fn sync(&mut self, node: usize) {
        self.nodes[node].disk.sync();
        self.carry_out(node);
    }

    /// Delivers and syncs until nothing moves. Time stands still.
    pub(crate) fn settle(&mut self) {
        loop {
            for node in 0..self.nodes.len() {
                if self.nodes[node].up && !self.nodes[node].holds_syncs {
                    self.sync(node);
                }
            }
            match self.in_flight.is_empty() {
                true => return,
                false => self.deliver(0),
            }
        }
    }

    /// Lets time pass, ringing every alarm on the way.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.now = Now { mono_ns: self.now.after_ms(ms), wall_ms: self.now.wall_ms + ms };
        for node in 0..self.nodes.len() {
            if self.nodes[node].up {
                self.nodes[node].disk.tick(self.now);
                self.tell(node, Input::Tick);
            }
        }
        self.settle();
    }

    /// A node dies; the others notice, and what it had sent may still arrive.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].up = false;
        self.in_flight.retain(|flight| flight.to != node);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            if self.nodes[other].up {
                self.tell(other, Input::PeerDown { node: node_id(node) });
            }
        }
    }

    /// A dead node starts again with what was durable.
    pub(crate) fn restart(&mut self, node: usize) {
        let restarted = &mut self.nodes[node];
        restarted.run += 1;
        restarted.up = true;
        restarted.disk.crash();
        let seed = seed(node, restarted.run);
        restarted.engine =
            Engine::new(restarted.id, self.settings.engine, seed, Arc::clone(&self.view));
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            if self.nodes[other].up {
                self.tell(node, Input::PeerUp { node: node_id(other) });
                self.tell(other, Input::PeerUp { node: node_id(node) });
            }
        }
    }

    /// Keeps what all disks hold, so that a copy of this cluster can go on from here.
    pub(crate) fn freeze(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.disk.freeze());
    }

    /// Puts all disks back to what they held when this copy was frozen. Copies share them, so only one goes on at a time.
    pub(crate) fn thaw(&self) {
        self.nodes.iter().for_each(|node| node.disk.thaw());
    }

    /// What each owner holds of a key, in preference order.
    pub(crate) fn holdings(&mut self, key: &Key) -> Vec<Option<VersionSet>> {
        let (record, owners) = (self.record(key), self.owners(key));
        owners.iter().map(|owner| self.nodes[*owner].disk.peek(&record)).collect()
    }

    /// A hash of everything that is stored anywhere.
    pub(crate) fn state_hash(&mut self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for node in &mut self.nodes {
            hasher.update(node.disk.describe().as_bytes());
        }
        hasher.finalize()
    }

    /// Asks, settles, and returns the answer.
    pub(crate) fn call(&mut self, node: usize, request: Request) -> Response {
        let request_id = self.ask(node, request);
        self.settle();
        self.reply(request_id).cloned().expect("an answer without a deadline passing")
    }

    pub(crate) fn put_request(&mut self, key: &Key, value: &str, replaces: Replacing) -> Put {
        let options = RequestOptions::new(self.new_operation());
        let value = Bytes::copy_from_slice(value.as_bytes());
        Put { bucket: bucket(), key: key.clone(), value, replaces, options, expires_at_ms: None }
    }

    pub(crate) fn delete_request(&mut self, key: &Key, replaces: Replacing) -> Delete {
        let options = RequestOptions::new(self.new_operation());
        Delete { bucket: bucket(), key: key.clone(), replaces, options }
    }

    pub(crate) fn get_request(&mut self, key: &Key) -> Get {
        Get {
            bucket: bucket(),
            key: key.clone(),
            options: RequestOptions::new(self.new_operation()),
        }
    }

    pub(crate) fn put(
        &mut self,
        node: usize,
        key: &Key,
        value: &str,
        replaces: Replacing,
    ) -> PutDone {
        let put = self.put_request(key, value, replaces);
        put_done(self.call(node, Request::Put(put)))
    }

    pub(crate) fn delete(&mut self, node: usize, key: &Key, replaces: Replacing) -> PutDone {
        let delete = self.delete_request(key, replaces);
        put_done(self.call(node, Request::Delete(delete)))
    }

    pub(crate) fn get(&mut self, node: usize, key: &Key) -> GetDone {
        let get = self.get_request(key);
        get_done(self.call(node, Request::Get(get)))
    }

    pub(crate) fn strict_get(&mut self, node: usize, key: &Key) -> GetDone {
        let mut get = self.get_request(key);
        get.options.strict = true;
        get_done(self.call(node, Request::Get(get)))
    }
}

/// Tokens of one run of a node are not those of another.
fn seed(node: usize, run: u64) -> u64 {
    (node as u64) << 32 | run
}

pub(crate) fn context(context: &Option<Context>) -> Replacing {
    Replacing::Context { context: context.clone().expect("a context") }
}

pub(crate) fn put_done(response: Response) -> PutDone {
    match response {
        Response::Put(done) => done,
        other => panic!("not a put: {other:?}"),
    }
}

pub(crate) fn get_done(response: Response) -> GetDone {
    match response {
        Response::Get(done) => done,
        other => panic!("not a get: {other:?}"),
    }
}

pub(crate) fn error(response: Response) -> RequestError {
    match response {
        Response::Error { error } => error,
        other => panic!("not an error: {other:?}"),
    }
}

pub(crate) fn values(done: &GetDone) -> Vec<String> {
    let mut values: Vec<String> =
        done.values.iter().map(|value| String::from_utf8(value.value.to_vec()).unwrap()).collect();
    values.sort();
    values
}
