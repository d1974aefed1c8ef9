//! Nodes that follow a script: real sockets and real frames, answers as the test wants them.
//!
//! A scripted node tells a true topology of its little cluster. Every other request takes the next reaction from the
//! node's script, or the usual answer when the script has ended, and is written down for the test to look at.

#![allow(dead_code)] // Each test program uses a part of it.
#![allow(clippy::disallowed_methods)] // Scripted nodes are tasks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kvorum_client::{Client, Config, Endpoint};
use kvorum_protocol::frame::{FrameDecoder, read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::topology::LayoutHash;
use kvorum_protocol::message::{
    Bucket, BucketSettings, Buckets, Features, GetDone, GetValue, Greeting, LayoutLabel, PutDone,
    Request, RequestError, Response, TopologyDone, TopologyNode, Welcome,
};
use kvorum_protocol::{Actor, Dot};
use kvorum_ring::{ClassId, Layout, LayoutInput, Member, NodeId, PartitionCount, ReplicationClass};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a scripted node does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    /// The answer of a healthy node.
    Usual,
    /// This error.
    Fail(RequestError),
    /// No answer, ever.
    Hang,
    /// The connection ends without an answer.
    Hangup,
    /// The answer waits until this many more requests have come, then all go out, newest first.
    Gather(usize),
}

/// One node: its script, and what it was asked.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    script: Mutex<VecDeque<Reaction>>,
    asked: Mutex<Vec<Request>>,
    /// Connections so far.
    connections: AtomicUsize,
    /// Which of them, from 1 on, brought the last request that was written down.
    last_on: AtomicUsize,
    /// So many questions about the cluster get no answer.
    mute: AtomicUsize,
    serving: Mutex<Option<JoinHandle<()>>>,
}

/// What all nodes know.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) cluster: String,
    pub(crate) layout: Layout,
    pub(crate) addresses: Vec<(NodeId, SocketAddr)>,
}

/// A cluster of scripted nodes on loopback.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) shape: Arc<Shape>,
}

impl Cluster {
    /// Nodes 1 to `count`, three copies of everything, one bucket called `default`.
    pub(crate) async fn start(count: u128) -> Cluster {
        let mut listeners = Vec::new();
        for id in 1..=count {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("its address");
            listeners.push((NodeId(id), address, listener));
        }
        let addresses = listeners.iter().map(|(id, address, _)| (*id, *address)).collect();
        let shape = Arc::new(Shape::new("test", addresses));
        let nodes = listeners.into_iter().map(|(id, address, listener)| {
            let node = Arc::new(Node::new(id, address));
            node.serve(listener, Arc::clone(&shape));
            node
        });
        Cluster { nodes: nodes.collect(), shape }
    }

    /// A client that was told of the first node only.
    pub(crate) async fn client(&self) -> Client {
        let seed = Endpoint::loopback(self.nodes[0].address.port());
        Client::connect(Config::new([seed])).await.expect("the first node answers")
    }

    pub(crate) fn node(&self, id: NodeId) -> &Arc<Node> {
        self.nodes.iter().find(|node| node.id == id).expect("a node of this cluster")
    }

    /// The nodes in the order in which a key's requests should go to them.
    pub(crate) fn preference(&self, client: &Client, key: &str) -> Vec<Arc<Node>> {
        let key = kvorum_protocol::Key::new(Bytes::copy_from_slice(key.as_bytes())).expect("a key");
        let bucket = "default".parse().expect("a name");
        let place = client.topology().place_of(&bucket, &key).expect("a known bucket");
        let order = place.owners.into_iter().chain(place.fallbacks);
        order.map(|id| Arc::clone(self.node(id))).collect()
    }
}

impl Shape {
    pub(crate) fn new(cluster: &str, addresses: Vec<(NodeId, SocketAddr)>) -> Shape {
        let input = LayoutInput {
            lineage: 1,
            version: 1,
            partitions: PartitionCount::new(16).expect("a power of two"),
            classes: vec![ReplicationClass::new(ClassId(0), 3).expect("three copies")],
            members: addresses.iter().map(|(id, _)| Member::new(*id)).collect(),
        };
        let layout = Layout::plan(input, None).expect("a layout");
        Shape { cluster: cluster.to_owned(), layout, addresses }
    }

    fn topology(&self, node: NodeId) -> TopologyDone {
        let member = |(id, address): &(NodeId, SocketAddr)| TopologyNode {
            id: *id,
            name: format!("n{}", id.0),
            zone: "default".to_owned(),
            weight: 100,
            peer_address: address.to_string(),
            client_address: address.to_string(),
            admin_address: address.to_string(),
            up: true,
        };
        let name = self.layout.name();
        TopologyDone {
            cluster_name: self.cluster.clone(),
            node,
            nodes: self.addresses.iter().map(member).collect(),
            layout_name: LayoutLabel {
                lineage: name.lineage,
                version: name.version,
                hash: LayoutHash(name.hash),
            },
            layout: rmp_serde::to_vec(&self.layout).expect("encodes").into(),
            partitions: self.layout.partitions().get(),
        }
    }
}

impl Node {
    pub(crate) fn new(id: NodeId, address: SocketAddr) -> Node {
        let (script, asked, serving) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (connections, last_on, mute) = Default::default();
        Node { id, address, script, asked, connections, last_on, mute, serving }
    }

    /// What the node will do with its next requests.
    pub(crate) fn script(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.script.lock().expect("not poisoned").extend(reactions);
    }

    /// What it was asked, topology and buckets left out.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// How many connections it has had.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Over which of them, from 1 on, the last request came that was written down.
    pub(crate) fn last_on(&self) -> usize {
        self.last_on.load(Ordering::Relaxed)
    }

    /// Leaves so many questions about the cluster without an answer.
    pub(crate) fn mute(&self, questions: usize) {
        self.mute.store(questions, Ordering::Relaxed);
    }

    fn is_mute(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.mute.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Accepts connections until [`Node::stop`].
    pub(crate) fn serve(self: &Arc<Node>, listener: TcpListener, shape: Arc<Shape>) {
        let node = Arc::clone(self);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                let (reader, writer) = stream.into_split();
                connections.spawn(speak(Arc::clone(&node), Arc::clone(&shape), reader, writer));
            }
        });
        *self.serving.lock().expect("not poisoned") = Some(task);
    }

    /// Ends all connections and frees the port, as a killed process does.
    pub(crate) async fn stop(&self) {
        let task = self.serving.lock().expect("not poisoned").take().expect("it was serving");
        task.abort();
        assert!(task.await.expect_err("it never ends by itself").is_cancelled());
    }

    fn next_reaction(&self) -> Reaction {
        self.script.lock().expect("not poisoned").pop_front().unwrap_or(Reaction::Usual)
    }
}

/// Speaks on one connection until it ends.
pub(crate) async fn speak(
    node: Arc<Node>,
    shape: Arc<Shape>,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
) {
    let number = node.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let mut decoder = FrameDecoder::new(CLIENT_FRAME_BYTES);
    let Some(hello) = next(&mut reader, &mut decoder).await else { return };
    let (id, greeting) = read_message::<Greeting>(hello).expect("a greeting");
    assert!(matches!(greeting, Greeting::Hello(_)));
    let welcome = Welcome {
        protocol: 1,
        features: Features::NONE,
        node: node.id,
        cluster_name: shape.cluster.clone(),
    };
    send(&mut writer, id, &Greeting::Welcome(welcome)).await;
    let mut gathered: Vec<(u64, Response)> = Vec::new();
    let mut missing = 0;
    while let Some(body) = next(&mut reader, &mut decoder).await {
        let (id, request) = read_message::<Request>(body).expect("a request");
        if let Some(answer) = about_the_cluster(&node, &shape, &request) {
            if !node.is_mute() {
                send(&mut writer, id, &answer).await;
            }
            continue;
        }
        node.last_on.store(number, Ordering::Relaxed);
        node.asked.lock().expect("not poisoned").push(request.clone());
        let answer = usual(&request);
        match node.next_reaction() {
            Reaction::Usual if missing == 0 => send(&mut writer, id, &answer).await,
            Reaction::Usual => {
                gathered.push((id, answer));
                missing -= 1;
            }
            Reaction::Fail(error) => send(&mut writer, id, &Response::Error { error }).await,
            Reaction::Hang => {}
            Reaction::Hangup => return,
            Reaction::Gather(more) => {
                gathered.push((id, answer));
                missing = more;
            }
        }
        if missing == 0 {
            for (id, answer) in gathered.drain(..).rev() {
                send(&mut writer, id, &answer).await;
            }
        }
    }
}

fn about_the_cluster(node: &Node, shape: &Shape, request: &Request) -> Option<Response> {
    match request {
        Request::Topology(_) => Some(Response::Topology(shape.topology(node.id))),
        Request::BucketList(_) => {
            let name = "default".parse().expect("a name");
            let buckets = vec![Bucket { name, settings: BucketSettings::default() }];
            Some(Response::Buckets(Buckets { buckets }))
        }
        _ => None,
    }
}

/// What a healthy node would say; a value is the key it was asked for.
fn usual(request: &Request) -> Response {
    let dot = Dot::new(Actor(1), 1);
    match request {
        Request::Get(get) => Response::Get(GetDone {
            values: vec![GetValue { dot, value: get.key.to_bytes(), expires_at_ms: None }],
            context: None,
            complete: true,
            owners: 2,
            fallbacks: 0,
            needed: 2,
        }),
        _ => Response::Put(PutDone {
            context: None,
            dot,
            replaced: Vec::new(),
            acked_owners: 2,
            acked_fallbacks: 0,
            needed: 2,
            retry_checked: true,
        }),
    }
}

async fn next(reader: &mut (impl AsyncRead + Unpin), decoder: &mut FrameDecoder) -> Option<Bytes> {
    loop {
        if let Some(body) = decoder.next_frame().expect("a possible frame") {
            return Some(body);
        }
        if reader.read_buf(decoder.buffer()).await.ok()? == 0 {
            return None;
        }
    }
}

async fn send<M: kvorum_protocol::codec::Tagged>(
    writer: &mut (impl AsyncWrite + Unpin),
    id: u64,
    message: &M,
) {
    let mut frame = Vec::new();
    write_message(&mut frame, CLIENT_FRAME_BYTES, id, message).expect("fits");
    // The client may have gone; the test will notice by other means.
    let _ = writer.write_all(&frame).await;
    let _ = writer.flush().await;
}
