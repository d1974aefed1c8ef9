//! Whole nodes in this process: three of them on loopback, each on a thread of its own, with real disks, real QUIC between
//! them and a plain client.

// Whole nodes need real threads, real time and real certificates.
#![allow(clippy::disallowed_methods)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use kvorum_gossip::facts::NodeAddresses;
use kvorum_node::config::{
    ClusterConfig, Config, ListenConfig, LogConfig, MemberConfig, NodeConfig, PathsConfig,
    StoreConfig,
};
use kvorum_node::identity::ClusterAuthority;
use kvorum_node::provision::write_node;
use kvorum_node::runtime::{RunError, run_until};
use kvorum_protocol::frame::{FrameDecoder, read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{
    Bucket, BucketSet, Get, GetDone, Greeting, Hello, Nothing, Put, Replacing, RequestOptions,
    StatusDone,
};
use kvorum_protocol::{
    BucketName, BucketSettings, ContextKeys, Key, OperationId, Request, Response,
};
use kvorum_ring::{NodeId, PartitionCount, Weight, Zone};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that is free for TCP and UDP just now.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

struct TestNode {
    directory: PathBuf,
    config: Config,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), RunError>>,
}

impl TestNode {
    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (directory, config) = (self.directory.clone(), self.config.clone());
        let wait = async {
            // A dropped sender means that the test is over.
            let _ = stopped.await;
        };
        let thread = thread::spawn(move || run_until(&directory, config, wait));
        self.running = Some(Running { stop, thread });
    }

    fn stop(&mut self) -> Result<(), RunError> {
        let Running { stop, thread } = self.running.take().expect("it runs");
        // A node that has ended by itself does not listen any more.
        let _ = stop.send(());
        thread.join().expect("a node does not panic")
    }

    fn client(&self) -> Client {
        eventually("a connection", || Client::connect(self.config.listen.clients).ok())
    }
}

struct TestCluster {
    nodes: Vec<TestNode>,
    _root: TempDir,
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.running.is_some()) {
            let ended = node.stop();
            if !thread::panicking() {
                ended.expect("a node stops in good order");
            }
        }
    }
}

/// Directories for a cluster whose nodes have not been started.
fn provisioned(count: u128) -> TestCluster {
    let root = tempfile::tempdir().unwrap();
    let authority = ClusterAuthority::create("test", SystemTime::now()).unwrap();
    let keys = ContextKeys { current: [9; 32], previous: None };
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let ports: Vec<[u16; 3]> =
        (0..count).map(|_| [free_port(), free_port(), free_port()]).collect();
    let member = |(number, ports): (u128, &[u16; 3])| MemberConfig {
        id: NodeId(number << 64 | 77),
        name: format!("n{number}"),
        addresses: NodeAddresses {
            peers: at(ports[0]).to_string(),
            clients: at(ports[1]).to_string(),
            admin: at(ports[2]).to_string(),
        },
        zone: Zone::default(),
        weight: Weight::default(),
    };
    let members: Vec<MemberConfig> = (1..).zip(&ports).map(member).collect();
    let node = |(member, ports): (&MemberConfig, &[u16; 3])| {
        let config = Config {
            node: NodeConfig { id: member.id, name: member.name.clone() },
            cluster: ClusterConfig {
                name: "test".to_owned(),
                partitions: PartitionCount::new(64).unwrap(),
                members: members.clone(),
            },
            listen: ListenConfig {
                peers: at(ports[0]),
                clients: at(ports[1]),
                admin: at(ports[2]),
                dev_plaintext: true,
            },
            paths: PathsConfig::default(),
            store: StoreConfig { segment_mib: 1, index_cache_mib: 8 },
            log: LogConfig::default(),
        };
        let directory = root.path().join(&member.name);
        write_node(&directory, &config, &authority, &keys, SystemTime::now()).unwrap();
        TestNode { config: Config::load(&directory).unwrap(), directory, running: None }
    };
    let nodes = members.iter().zip(&ports).map(node).collect();
    TestCluster { nodes, _root: root }
}

fn started(count: u128) -> TestCluster {
    let mut cluster = provisioned(count);
    cluster.nodes.iter_mut().for_each(TestNode::start);
    for node in &cluster.nodes {
        eventually("all peers up", || {
            let status = node.client().status();
            status.peers.iter().all(|peer| peer.up).then_some(())
        });
    }
    cluster
}

/// Tries until there is an answer. Every try asks the system for something, so this is no sleep.
#[track_caller]
fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::yield_now();
    }
}

/// A client as small as can be.
struct Client {
    stream: TcpStream,
    decoder: FrameDecoder,
    asked: u64,
}

impl Client {
    fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut client =
            Client { stream, decoder: FrameDecoder::new(CLIENT_FRAME_BYTES), asked: 0 };
        client.send(0, &Greeting::Hello(Hello::current()))?;
        match read_message::<Greeting>(client.frame()?) {
            Ok((_, Greeting::Welcome(_))) => Ok(client),
            other => panic!("a welcome, not {other:?}"),
        }
    }

    fn send<M: kvorum_protocol::codec::Tagged>(
        &mut self,
        request_id: u64,
        message: &M,
    ) -> io::Result<()> {
        let mut out = Vec::new();
        write_message(&mut out, CLIENT_FRAME_BYTES, request_id, message).unwrap();
        self.stream.write_all(&out)
    }

    fn frame(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Ok(frame);
            }
            let mut some = [0; 4_096];
            let count = self.stream.read(&mut some)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.decoder.buffer().extend_from_slice(&some[..count]);
        }
    }

    fn ask(&mut self, request: &Request) -> Response {
        self.asked += 1;
        self.send(self.asked, request).unwrap();
        let (request_id, response) = read_message::<Response>(self.frame().unwrap()).unwrap();
        assert_eq!(request_id, self.asked);
        response
    }

    fn put(&mut self, bucket: &str, name: &str, value: &'static [u8], operation: u128) -> Response {
        self.ask(&Request::Put(Put {
            bucket: bucket.parse().unwrap(),
            key: key(name),
            value: Bytes::from_static(value),
            replaces: Replacing::Latest,
            options: RequestOptions::new(OperationId(operation)),
            expires_at_ms: None,
        }))
    }

    fn get(&mut self, name: &str) -> GetDone {
        let options = RequestOptions::new(OperationId(1 << 100));
        let get = Get { bucket: "default".parse().unwrap(), key: key(name), options };
        match self.ask(&Request::Get(get)) {
            Response::Get(done) => done,
            other => panic!("a get, not {other:?}"),
        }
    }

    fn status(&mut self) -> StatusDone {
        match self.ask(&Request::Status(Nothing {})) {
            Response::Status(done) => done,
            other => panic!("a status, not {other:?}"),
        }
    }
}

fn key(name: &str) -> Key {
    Key::new(name.as_bytes().to_vec()).unwrap()
}

fn values(done: &GetDone) -> Vec<&[u8]> {
    done.values.iter().map(|value| &value.value[..]).collect()
}

#[test]
fn what_one_node_stores_every_node_reads_also_after_a_restart() {
    let mut cluster = started(3);
    let put = cluster.nodes[0].client().put("default", "greeting", b"hello", 1);
    assert!(matches!(put, Response::Put(_)), "{put:?}");
    for node in &cluster.nodes {
        assert_eq!(values(&node.client().get("greeting")), [b"hello"]);
    }

    // Its own disk has it: the node that was away is stopped in good order and reads what it held.
    cluster.nodes[2].stop().unwrap();
    let away =
        cluster.nodes[0].client().put("default", "meanwhile", b"written with two of three", 2);
    assert!(matches!(away, Response::Put(_)), "{away:?}");
    cluster.nodes[2].start();
    let mut client = cluster.nodes[2].client();
    assert_eq!(client.status().node.run, 2);
    eventually("its peers", || client.status().peers.iter().all(|peer| peer.up).then_some(()));
    assert_eq!(values(&client.get("greeting")), [b"hello"]);
    assert_eq!(values(&client.get("meanwhile")), [b"written with two of three"]);
    // It holds the first record itself, whether or not the repair of the second has arrived.
    assert!(client.status().node.keys >= 1);
}

#[test]
fn a_bucket_made_on_one_node_serves_on_all_and_survives_a_restart_of_all() {
    let mut cluster = started(3);
    let name: BucketName = "photos".parse().unwrap();
    let bucket = Bucket {
        name: name.clone(),
        settings: BucketSettings { w: Some(3), ..BucketSettings::default() },
    };
    let made = cluster.nodes[1].client().ask(&Request::BucketCreate(BucketSet { bucket }));
    assert!(matches!(made, Response::Buckets(_)), "{made:?}");
    for (number, node) in (1..).zip(&cluster.nodes) {
        let mut client = node.client();
        let needed =
            eventually("the bucket", || match client.put("photos", "cat", b"meow", number) {
                Response::Put(done) => Some(done.needed),
                _ => None,
            });
        assert_eq!(needed, 3, "the bucket's own setting");
    }
    for node in &mut cluster.nodes {
        node.stop().unwrap();
    }
    cluster.nodes.iter_mut().for_each(TestNode::start);
    for node in &cluster.nodes {
        let Response::Buckets(listed) = node.client().ask(&Request::BucketList(Nothing {})) else {
            panic!("buckets")
        };
        assert!(listed.buckets.iter().any(|bucket| bucket.name == name));
    }
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let mut cluster = provisioned(1);
    let node = &mut cluster.nodes[0];
    node.start();
    node.client();
    let again = run_until(&node.directory, node.config.clone(), std::future::pending());
    assert!(matches!(again, Err(RunError::Locked { .. })), "{again:?}");
}

#[test]
fn a_taken_port_stops_a_start_before_anything_is_touched() {
    let cluster = provisioned(1);
    let node = &cluster.nodes[0];
    let taken = TcpListener::bind(node.config.listen.clients).unwrap();
    let ended = run_until(&node.directory, node.config.clone(), std::future::pending());
    let Err(error @ RunError::PortTaken { .. }) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
    assert!(!node.directory.join("log").exists(), "the store was not opened");
}

#[test]
fn another_nodes_certificate_is_refused_at_the_start() {
    let mut cluster = provisioned(2);
    let certificates = cluster.nodes[0].directory.join("certificates");
    let node = &mut cluster.nodes[1];
    node.config.paths.certificates = certificates;
    let ended = run_until(&node.directory, node.config.clone(), std::future::pending());
    assert!(matches!(ended, Err(RunError::OtherNode { .. })), "{ended:?}");
}
