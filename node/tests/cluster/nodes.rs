//! Directories, nodes on threads, and waiting for what is sure to come.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use kvorum_gossip::facts::NodeAddresses;
use kvorum_node::config::{
    ClusterConfig, Config, ListenConfig, LogConfig, MemberConfig, NodeConfig, PathsConfig,
    StoreConfig,
};
use kvorum_node::identity::ClusterAuthority;
use kvorum_node::provision::write_node;
use kvorum_node::runtime::{RunError, run_until};
use kvorum_protocol::ContextKeys;
use kvorum_ring::{NodeId, PartitionCount, Weight, Zone};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::client::Client;

/// Far longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A port that is free for TCP and UDP just now. Below the range from which the system takes ports for outgoing
/// connections, so that none of those takes it before the node does; each process begins somewhere else in it.
fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    loop {
        let next = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = ("127.0.0.1", 12_000 + next as u16);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address.1;
        }
    }
}

pub(crate) struct TestNode {
    pub(crate) directory: PathBuf,
    pub(crate) config: Config,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), RunError>>,
}

impl TestNode {
    pub(crate) fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (directory, config) = (self.directory.clone(), self.config.clone());
        let wait = async {
            // A dropped sender means that the test is over.
            let _ = stopped.await;
        };
        let thread = thread::spawn(move || run_until(&directory, config, wait));
        self.running = Some(Running { stop, thread });
    }

    pub(crate) fn stop(&mut self) -> Result<(), RunError> {
        let Running { stop, thread } = self.running.take().expect("it runs");
        // A node that has ended by itself does not listen any more.
        let _ = stop.send(());
        thread.join().expect("a node does not panic")
    }

    /// Waits until the node ends by itself.
    pub(crate) fn wait(&mut self) -> Result<(), RunError> {
        // The sender lives until the node has ended: it is not told to stop.
        let Running { stop: _stop, thread } = self.running.take().expect("it runs");
        thread.join().expect("a node does not panic")
    }

    pub(crate) fn client(&self) -> Client {
        eventually("a connection", || Client::connect(self.config.listen.clients).ok())
    }
}

pub(crate) struct TestCluster {
    pub(crate) authority: ClusterAuthority,
    pub(crate) nodes: Vec<TestNode>,
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
pub(crate) fn provisioned(count: u128) -> TestCluster {
    provisioned_with(count, true)
}

/// The same; without `dev_plaintext` clients need certificates.
pub(crate) fn provisioned_with(count: u128, dev_plaintext: bool) -> TestCluster {
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
                dev_plaintext,
            },
            paths: PathsConfig::default(),
            store: StoreConfig {
                segment_mib: 1,
                table_mib: 8,
                index_cache_mib: 8,
                ..StoreConfig::default()
            },
            log: LogConfig::default(),
        };
        let directory = root.path().join(&member.name);
        write_node(&directory, &config, &authority, &keys, SystemTime::now()).unwrap();
        TestNode { config: Config::load(&directory).unwrap(), directory, running: None }
    };
    let nodes = members.iter().zip(&ports).map(node).collect();
    TestCluster { authority, nodes, _root: root }
}

pub(crate) fn started(count: u128) -> TestCluster {
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
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::yield_now();
    }
}
