//! A cluster of real processes on this machine, as `kv dev` and `kv demo` run it.
//!
//! Every node is `kv node start` on a directory of its own, exactly as on a machine of its own; only the plaintext
//! client port on loopback is extra. The cluster's directory holds `cluster.toml`, one directory and one log for each
//! node, the CA, and a client directory.

pub(crate) mod child;
pub(crate) mod cluster_file;
pub(crate) mod ports;
pub(crate) mod ready;
pub(crate) mod signals;
pub(crate) mod temporary;

use std::fs;
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitStatus;
use std::task::Poll;
use std::time::Duration;

use kvorum_client::{Config, Endpoint, Transport};
use kvorum_node::config::StoreConfig;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::args::cluster::NodeSpec;
use crate::cluster::config_file::ClientConfig;
use crate::cluster::create::{CLIENT_DIRECTORY, Creation, create};
use crate::failure::{Failure, Outcome};
use crate::local::child::NodeProcess;
use crate::local::cluster_file::{ClusterFile, LocalNode};

/// How clients get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// With the certificate in the client directory over QUIC, or with nothing at all over TCP on loopback.
    Plaintext,
    /// Only with the certificate, over QUIC and TLS: as on machines of their own.
    Certificates,
}

impl Access {
    /// What a node is told about it.
    fn node_option(self) -> Option<&'static str> {
        (self == Access::Plaintext).then_some("--plaintext-loopback")
    }
}

/// How much is set aside for each node.
#[derive(Debug, Clone)]
pub(crate) struct Sizing {
    /// Partitions of the cluster.
    pub(crate) partitions: u32,
    /// The store of each node.
    pub(crate) store: StoreConfig,
}

impl Sizing {
    /// Small, because many nodes share the machine and its disk with other work: few partitions to list, small segments, a
    /// small cache.
    pub(crate) fn shared_machine() -> Sizing {
        let store = StoreConfig { segment_mib: 4, index_cache_mib: 16, ..StoreConfig::default() };
        Sizing { partitions: 256, store }
    }

    /// What `kv cluster init` gives to nodes on machines of their own.
    pub(crate) fn own_machines() -> Sizing {
        let partitions = kvorum_ring::limits::DEFAULT_PARTITIONS;
        Sizing { partitions, store: StoreConfig::default() }
    }
}

/// How long the nodes may take to stop by themselves before they are killed: a little longer than each of them gives itself.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// How many nodes when nobody says.
pub(crate) const DEFAULT_NODES: u16 = 5;

/// The first port when nobody says.
pub(crate) const DEFAULT_PORT_BASE: u16 = 7400;

/// What cluster is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How many nodes; `None` takes what the directory holds, or the default.
    pub(crate) nodes: Option<u16>,
    /// Where; `None` is a temporary directory that goes with the cluster.
    pub(crate) directory: Option<PathBuf>,
    /// The first port, 0 for free ones; `None` takes what the directory holds, or the default.
    pub(crate) port_base: Option<u16>,
    /// What the nodes log.
    pub(crate) log_level: String,
    /// How clients get in.
    pub(crate) access: Access,
    /// How large a new cluster is laid out.
    pub(crate) sizing: Sizing,
}

/// A cluster on this machine, its processes running or not.
#[derive(Debug)]
pub(crate) struct LocalCluster {
    directory: PathBuf,
    file: ClusterFile,
    processes: Vec<Option<NodeProcess>>,
    log_level: String,
    access: Access,
    temporary: Option<TempDir>,
}

impl LocalCluster {
    /// Opens the cluster that the plan's directory holds, or makes one there. Nothing is started yet.
    ///
    /// # Errors
    /// A failure that names the port that is taken, or says how the plan and the directory disagree.
    pub(crate) fn open(plan: &Plan) -> Outcome<LocalCluster> {
        let (directory, temporary) = match &plan.directory {
            Some(directory) => {
                fs::create_dir_all(directory)
                    .map_err(|error| Failure::file("create", directory, &error))?;
                let absolute = fs::canonicalize(directory);
                (absolute.map_err(|error| Failure::file("open", directory, &error))?, None)
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("kvorum-").tempdir();
                let temporary = temporary
                    .map_err(|error| Failure::file("create", &std::env::temp_dir(), &error))?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let file = match ClusterFile::read(&directory)? {
            Some(file) => reopened(file, plan, &directory)?,
            None => made(plan, &directory)?,
        };
        if temporary.is_some() {
            temporary::mark(&directory)?;
        }
        let processes = file.nodes.iter().map(|_| None).collect();
        Ok(LocalCluster {
            directory,
            file,
            processes,
            log_level: plan.log_level.clone(),
            access: plan.access,
            temporary,
        })
    }

    /// Where everything is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the directory goes when the cluster ends.
    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Its nodes, in order.
    pub(crate) fn nodes(&self) -> &[LocalNode] {
        &self.file.nodes
    }

    /// The position of the node called `name`.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.file.nodes.iter().position(|node| node.name == name)
    }

    /// The plaintext client ports.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.file.nodes.iter().map(LocalNode::endpoint).collect()
    }

    /// How a client reaches these nodes: in plaintext where that is let in, else with the cluster's client certificate, over
    /// QUIC unless told otherwise.
    pub(crate) fn client_config(
        &self,
        nodes: &[usize],
        transport: Option<Transport>,
    ) -> Outcome<Config> {
        match self.access {
            Access::Plaintext => {
                let endpoints = nodes.iter().map(|node| self.file.nodes[*node].endpoint());
                Ok(Config::new(endpoints))
            }
            Access::Certificates => {
                let file = self.directory.join(CLIENT_DIRECTORY).join("config.toml");
                let found = ClientConfig::read(&file)?;
                let endpoint =
                    |node: &usize| Endpoint { transport, ..found.endpoints[*node].clone() };
                let config = Config::new(nodes.iter().map(endpoint));
                Ok(match found.identity {
                    Some(identity) => config.identity(identity),
                    None => config,
                })
            }
        }
    }

    /// The process id of a node that runs.
    pub(crate) fn pid(&self, node: usize) -> Option<u32> {
        self.processes[node].as_ref().and_then(NodeProcess::pid)
    }

    /// Where a node's log is.
    pub(crate) fn log(&self, node: usize) -> PathBuf {
        self.directory.join(format!("{}.log", self.file.nodes[node].name))
    }

    /// The command that runs one node of this cluster again.
    pub(crate) fn restart_command(&self, node: usize) -> String {
        format!("kv dev --dir {} --only {}", self.directory.display(), self.file.nodes[node].name)
    }

    /// Starts one node.
    pub(crate) fn start(&mut self, node: usize) -> Outcome<()> {
        let directory = self.directory.join(&self.file.nodes[node].name);
        let occupies = self.temporary.as_ref().map(TempDir::path);
        let (log, level) = (self.log(node), &self.log_level);
        let process = NodeProcess::start(&directory, &log, level, occupies, self.access)?;
        self.processes[node] = Some(process);
        Ok(())
    }

    /// SIGKILLs one node and waits until it is gone.
    pub(crate) async fn kill(&mut self, node: usize) -> Outcome<()> {
        let Some(mut process) = self.processes[node].take() else { return Ok(()) };
        let killed = process.kill().await;
        killed.map_err(|error| Failure::unavailable(format!("cannot kill a node: {error}")))
    }

    /// Waits until a node ends that nobody stopped; never returns when none runs.
    pub(crate) async fn next_death(&mut self) -> (usize, Option<ExitStatus>) {
        let (node, status) = {
            let running = self.processes.iter_mut().enumerate();
            let mut waits: Vec<_> = running
                .filter_map(|(node, process)| process.as_mut().map(|process| (node, process)))
                .map(|(node, process)| Box::pin(async move { (node, process.ended().await.ok()) }))
                .collect();
            poll_fn(|context| {
                let first = waits.iter_mut().find_map(|wait| match Pin::new(wait).poll(context) {
                    Poll::Ready(death) => Some(death),
                    Poll::Pending => None,
                });
                first.map_or(Poll::Pending, Poll::Ready)
            })
            .await
        };
        self.processes[node] = None;
        (node, status)
    }

    /// The nodes that have ended by themselves, without waiting.
    pub(crate) fn dead(&mut self) -> Vec<(usize, ExitStatus)> {
        let processes = self.processes.iter_mut().enumerate();
        processes
            .filter_map(|(node, process)| Some((node, process.as_mut()?.try_ended()?)))
            .collect()
    }

    /// Keeps a temporary directory beyond the cluster's end, and says where it is.
    pub(crate) fn keep(&mut self) -> Option<PathBuf> {
        temporary::keep(&self.directory);
        self.temporary.take().map(TempDir::keep)
    }

    /// Stops all nodes at once, cleanly, and waits for them; kills those that have not ended when `hurry` completes or when
    /// it takes too long. A temporary directory goes with `self`.
    pub(crate) async fn stop(mut self, hurry: impl Future<Output = ()>) -> Outcome<()> {
        self.processes.iter_mut().flatten().for_each(NodeProcess::ask_to_stop);
        tokio::select! {
            all = self.all_ended() => all?,
            () = hurry => self.kill_all().await?,
            () = sleep(STOP_PATIENCE) => self.kill_all().await?,
        }
        match self.temporary.take() {
            // The last node may have been quicker.
            Some(temporary) if temporary.path().exists() => {
                let path = temporary.path().to_owned();
                temporary.close().map_err(|error| Failure::file("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    async fn kill_all(&mut self) -> Outcome<()> {
        self.processes.iter_mut().flatten().for_each(NodeProcess::ask_to_die);
        self.all_ended().await
    }

    async fn all_ended(&mut self) -> Outcome<()> {
        for process in self.processes.iter_mut().flatten() {
            let ended = process.ended().await;
            ended.map_err(|error| Failure::unavailable(format!("cannot stop a node: {error}")))?;
        }
        Ok(())
    }
}

/// Checks that a kept cluster is the one that was asked for.
fn reopened(file: ClusterFile, plan: &Plan, directory: &Path) -> Outcome<ClusterFile> {
    let held = file.nodes.len();
    let first = file.nodes[0].peer_port;
    let place = directory.display();
    if plan.nodes.is_some_and(|nodes| usize::from(nodes) != held) {
        let failure = Failure::usage(format!("{place} holds a cluster of {held} nodes"));
        return Err(failure.advise("Leave out --nodes, or choose another --dir."));
    }
    if plan.port_base.is_some_and(|base| base != 0 && base != first) {
        let failure =
            Failure::usage(format!("{place} holds a cluster whose ports begin at {first}"));
        return Err(failure.advise("Leave out --port-base, or choose another --dir."));
    }
    Ok(file)
}

/// Makes a new cluster in an empty directory.
fn made(plan: &Plan, directory: &Path) -> Outcome<ClusterFile> {
    let nodes = plan.nodes.unwrap_or(DEFAULT_NODES);
    let bases = match plan.port_base.unwrap_or(DEFAULT_PORT_BASE) {
        0 => ports::free(nodes)?,
        first => ports::fixed(first, nodes)?,
    };
    let specs = bases.iter().enumerate().map(|(position, base)| NodeSpec {
        name: format!("n{}", position + 1),
        host: "127.0.0.1".to_owned(),
        port_base: *base,
        zone: kvorum_ring::Zone::default(),
        weight: kvorum_ring::Weight::default(),
    });
    let creation = Creation {
        name: "dev".to_owned(),
        partitions: plan.sizing.partitions,
        nodes: specs.collect(),
        is_local: true,
        store: plan.sizing.store.clone(),
    };
    let created = create(&creation, directory)?;
    let nodes = created.iter().zip(&bases);
    let nodes =
        nodes.map(|(node, base)| LocalNode::at(node.name.clone(), node.id, *base)).collect();
    let file = ClusterFile::new("dev", nodes);
    file.write(directory)?;
    Ok(file)
}
