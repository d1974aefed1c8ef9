//! From a directory and settings to a running node.

use std::cell::RefCell;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kvorum_antientropy::LeafKey;
use kvorum_gossip::{Membership, MembershipOptions, Seed};
use kvorum_protocol::ContextKeys;
use kvorum_ring::NodeId;
use kvorum_store::{DiskFiles, Opened, Shard, ShardOptions, SledOpener};
use quinn::{Endpoint, VarInt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::config::Config;
use crate::engine::{Engine, EngineOptions};
use crate::identity::parse_context_keys;
use crate::limits::EXCHANGE_EVERY_MS;
use crate::runtime::admin::{AdminSecurity, Question, accept_admin, bind_admin};
use crate::runtime::clock::Clock;
use crate::runtime::cluster::Cluster;
use crate::runtime::directory::Directory;
use crate::runtime::driver::{Driver, Inbox, Parts};
use crate::runtime::error::{Listener, RunError};
use crate::runtime::faults::Faults;
use crate::runtime::limits;
use crate::runtime::listener::{Door, Guard, TcpSecurity, accept_quic, accept_tcp, bind_tcp};
use crate::runtime::metrics::{Meters, SyncTimes, TimedFiles};
use crate::runtime::open_files::OpenFiles;
use crate::runtime::peers::{
    Acceptor, CloseCode, Dialler, LinkNumbers, Members, PeerEvent, accept,
};
use crate::runtime::renewal::{Endpoints, Home, Renewal};
use crate::runtime::saver::Saver;
use crate::runtime::security::Current;
use crate::runtime::strangers::Strangers;
use crate::runtime::transport;
use crate::runtime::workers::{StoreWorkers, Workers};

/// What closed connections may take to tell the other side.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

const MIB: u64 = 1 << 20;

/// A node's open ports. Nobody is accepted before everything else is ready.
struct Ports {
    peers: Endpoint,
    clients_tcp: TcpListener,
    clients_quic: Endpoint,
    tcp_security: TcpSecurity,
    admin: TcpListener,
    admin_security: AdminSecurity,
}

impl Ports {
    /// What is told of renewed credentials.
    fn endpoints(&self) -> Endpoints {
        Endpoints { peers: self.peers.clone(), clients: self.clients_quic.clone() }
    }
}

/// Runs a node until `stop` completes or it must end.
pub(crate) async fn serve(
    root: &Path,
    config: Config,
    stop: impl Future<Output = ()> + 'static,
) -> Result<(), RunError> {
    let clock = Clock::start();
    let mut directory = Directory::open(root)?;
    let (renewal, security) = Renewal::begin(home(&directory, &config), SystemTime::now())?;
    let context_keys = load_context_keys(&directory, &config)?;
    let ports = open_ports(&config, &security).await?;

    let syncs = Arc::new(SyncTimes::default());
    let leaf_key = LeafKey::derived_from(&context_keys.current);
    let (shard, store_workers) = open_store(&directory, &config, leaf_key, &syncs)?;
    let starts = directory.note_start()?;
    let cluster =
        Cluster::new(&config, directory.load_facts()?, context_keys).map_err(RunError::derive)?;

    let (peer_events, peers) = mpsc::channel(limits::PEER_EVENTS);
    let (client_events, clients) = mpsc::channel(limits::CLIENT_EVENTS);
    let (driver_questions, questions) = mpsc::channel(limits::ADMIN_QUESTIONS);
    let (reports, workers) = mpsc::channel(limits::DONE_JOBS);
    let (saved_sender, saved) = mpsc::channel(1);
    let (stop_sender, stop_receiver) = watch::channel(false);
    let (members, known_members) = watch::channel(Members::new());

    let meters = Rc::new(Meters::new(syncs));
    let process = Process::new(clock, known_members, peer_events, meters.faults.clone());
    let (access, known_access) = watch::channel(cluster.access().clone());
    let dialler = dialler(&config, &security, &ports.peers, &process);
    let guard = Guard::new(known_access, clock, client_events, &meters);
    let gate = guard.gate.clone();
    let doors = doors(&config, process, guard);
    let driver = Driver::new(Parts {
        me: config.node.id,
        clock,
        engine: engine(&config, &cluster),
        shard,
        workers: Workers::start(store_workers, &reports).map_err(RunError::Runtime)?,
        membership: membership(&config, starts).await,
        cluster,
        saver: Saver::start(directory.facts_path(), saved_sender).map_err(RunError::Runtime)?,
        dialler,
        members,
        access,
        security,
        meters: Rc::clone(&meters),
        gate,
        starts,
        seed: rand::random(),
    });

    spawn_local(async move {
        stop.await;
        // The driver may have ended by itself.
        let _ = stop_sender.send(true);
    });
    let endpoints = [ports.peers.clone(), ports.clients_quic.clone()];
    let renewing = spawn_local(renewal.keep(clock, ports.endpoints(), meters));
    let accepting = open_doors(ports, doors, driver_questions);
    tracing::info!(
        node = %config.node.id, name = config.node.name, peers = %config.listen.peers, clients = %config.listen.clients,
        starts, "ready"
    );
    let ended =
        driver.run(Inbox { peers, clients, workers, questions, saved, stop: stop_receiver }).await;
    accepting.iter().chain([&renewing]).for_each(JoinHandle::abort);
    say_goodbye(&endpoints).await;
    ended
}

fn engine(config: &Config, cluster: &Cluster) -> Engine {
    let view = cluster.view().clone();
    let options =
        EngineOptions { exchange_every_ms: EXCHANGE_EVERY_MS, ..EngineOptions::default() };
    Engine::new(config.node.id, options, rand::random(), view)
}

fn home(directory: &Directory, config: &Config) -> Home {
    Home { node: config.node.id, directory: directory.path(&config.paths.certificates) }
}

fn load_context_keys(directory: &Directory, config: &Config) -> Result<ContextKeys, RunError> {
    let path = directory.path(&config.paths.context_keys);
    let text = std::fs::read_to_string(&path).map_err(RunError::file(&path))?;
    parse_context_keys(&text).map_err(|error| RunError::ContextKeys { path, error })
}

async fn open_ports(config: &Config, current: &Current) -> Result<Ports, RunError> {
    let listen = &config.listen;
    let security = current.borrow().clone();
    Ok(Ports {
        peers: transport::endpoint(Listener::Peers, listen.peers, Some(security.peers.clone()))?,
        admin: bind_admin(listen.admin).await?,
        admin_security: AdminSecurity::of(listen.admin, current),
        clients_tcp: bind_tcp(listen.clients).await?,
        clients_quic: transport::endpoint(
            Listener::ClientsQuic,
            listen.clients,
            Some(security.clients_quic.clone()),
        )?,
        tcp_security: match listen.dev_plaintext {
            true => TcpSecurity::Plaintext,
            false => TcpSecurity::Tls(current.clone()),
        },
    })
}

type DiskShard = (Shard, StoreWorkers<TimedFiles<DiskFiles>, kvorum_store::SledIndex>);

/// Opens the store, which replays its log: seconds at most, and nothing else has begun yet.
fn open_store(
    directory: &Directory,
    config: &Config,
    leaf_key: LeafKey,
    syncs: &Arc<SyncTimes>,
) -> Result<DiskShard, RunError> {
    let files = DiskFiles::new(&directory.path(&config.paths.log))
        .map_err(kvorum_store::OpenError::from)?;
    let files = TimedFiles::new(files, Arc::clone(syncs));
    let index = directory.path(&config.paths.index);
    let opener = SledOpener::new(&index, config.store.index_cache_mib * MIB);
    let options = ShardOptions {
        expects_existing: directory.has_started_before(),
        leaf_key,
        segment_bytes: u32::try_from(config.store.segment_mib * MIB).unwrap_or(u32::MAX),
        table_bytes: bytes_of(config.store.table_mib),
        bearing_bytes: bytes_of(config.store.bearing_hints_mib),
        spare_bytes: bytes_of(config.store.spare_hints_mib),
        spare_ms: config.store.spare_hints_minutes * 60_000,
        ..ShardOptions::default()
    };
    let opened = kvorum_store::open(Arc::new(files), opener, options, rand::random())?;
    let Opened { shard, committer, reader, indexer, compactor, report } = opened;
    tracing::info!(?report, "store open");
    Ok((shard, StoreWorkers { committer, reader, indexer, compactor }))
}

/// Mebibytes as bytes.
fn bytes_of(mib: u64) -> usize {
    usize::try_from(mib.saturating_mul(MIB)).unwrap_or(usize::MAX)
}

fn dialler(
    config: &Config,
    security: &Current,
    endpoint: &Endpoint,
    process: &Process,
) -> Rc<Dialler> {
    Rc::new(Dialler {
        endpoint: endpoint.clone(),
        security: security.clone(),
        cluster: config.cluster.name.clone(),
        process: process.number,
        clock: process.clock,
        members: process.members.clone(),
        numbers: process.links.clone(),
        events: process.events.clone(),
        faults: process.faults.clone(),
    })
}

async fn membership(config: &Config, starts: u64) -> Membership {
    let mut seeds = Vec::new();
    for member in &config.cluster.members {
        seeds.push(seed(member.id, &member.addresses.peers).await);
    }
    let me = seeds.iter().find(|seed| seed.node == config.node.id);
    let address = me.map_or(config.listen.peers, |me| me.address);
    Membership::new(
        MembershipOptions { me: config.node.id, address, renewal: starts, seeds },
        rand::random(),
    )
}

/// Membership only passes addresses on; connections are dialled by name each time. So a name that does not resolve yet
/// does not matter here.
async fn seed(node: NodeId, address: &str) -> Seed {
    let found = tokio::net::lookup_host(address).await.ok().and_then(|mut found| found.next());
    let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    Seed { node, address: found.unwrap_or(unknown) }
}

/// What this process's connections to peers share.
struct Process {
    /// Drawn anew by each process.
    number: u64,
    clock: Clock,
    links: Rc<LinkNumbers>,
    members: watch::Receiver<Members>,
    events: mpsc::Sender<PeerEvent>,
    faults: Rc<Faults>,
}

impl Process {
    fn new(
        clock: Clock,
        members: watch::Receiver<Members>,
        events: mpsc::Sender<PeerEvent>,
        faults: Rc<Faults>,
    ) -> Process {
        Process { number: rand::random(), clock, links: Rc::default(), members, events, faults }
    }
}

/// Who lets nodes in, and who clients.
fn doors(config: &Config, process: Process, guard: Guard) -> (Acceptor, Door) {
    let (me, cluster) = (config.node.id, config.cluster.name.clone());
    let acceptor = Acceptor {
        me,
        cluster: cluster.clone(),
        process: process.number,
        clock: process.clock,
        members: process.members.clone(),
        numbers: process.links,
        events: process.events,
        strangers: Strangers::new(),
        faults: process.faults,
        accepted: RefCell::default(),
    };
    let places = OpenFiles::raise().places();
    (acceptor, Door::new(places, me, cluster, process.members, guard))
}

/// Begins to accept nodes and clients.
fn open_doors(
    ports: Ports,
    (acceptor, door): (Acceptor, Door),
    driver: mpsc::Sender<Question>,
) -> [JoinHandle<()>; 4] {
    let Ports { peers, clients_tcp, clients_quic, tcp_security, admin, admin_security } = ports;
    let (faults, door) = (door.faults.clone(), Rc::new(door));
    [
        spawn_local(accept(peers, Rc::new(acceptor))),
        spawn_local(accept_quic(clients_quic, door.clone())),
        spawn_local(accept_tcp(clients_tcp, tcp_security, door)),
        spawn_local(accept_admin(admin, admin_security, driver, faults)),
    ]
}

/// Closes all connections and waits a moment for the other sides to hear of it.
async fn say_goodbye(endpoints: &[Endpoint]) {
    for endpoint in endpoints {
        endpoint.close(VarInt::from_u32(CloseCode::Stopping as u32), b"stopping");
        // Whoever does not answer finds out by its idle timeout.
        let _ = timeout(GOODBYE_WITHIN, endpoint.wait_idle()).await;
    }
}
