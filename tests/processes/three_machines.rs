//! The README's walk over three machines, on one: certificates, directories, TLS, no plaintext port.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::dev::directory;
use crate::kv::{self, Run};
use crate::until::until;
use crate::values::random_bytes;

/// A node started by hand; it ends with the test.
pub(crate) struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A base with three free ports, below those that the system lends to outgoing connections.
pub(crate) fn free_base(draws: &mut impl Iterator<Item = u8>) -> u16 {
    until("three free ports in a row", Duration::from_secs(10), || {
        let draw = u16::from_le_bytes([draws.next()?, draws.next()?]);
        let base = 10_000 + draw % 22_000;
        let peers = UdpSocket::bind(("127.0.0.1", base)).ok()?;
        let clients = TcpListener::bind(("127.0.0.1", base + 1)).ok()?;
        let admin = TcpListener::bind(("127.0.0.1", base + 2)).ok()?;
        drop((peers, clients, admin));
        Some(base)
    })
}

pub(crate) fn start(home: &Path, directory: &Path) -> Node {
    let mut command = kv::command(home);
    command.args(["node", "start"]).arg(directory).stdout(Stdio::null()).stderr(Stdio::null());
    Node(command.spawn().expect("kv node start starts"))
}

/// A cluster of one node, made by `cluster init`: its clients come over TLS alone.
#[cfg(target_os = "linux")]
pub(crate) struct Alone {
    node: Node,
    base: u16,
    id: String,
    home: PathBuf,
    out: PathBuf,
}

#[cfg(target_os = "linux")]
impl Alone {
    pub(crate) fn start(home: &Path) -> Alone {
        let out = home.join("alone");
        let mut draws = random_bytes(u64::from(std::process::id()) + 1, 4096).into_iter();
        let base = free_base(&mut draws);
        let mut init = kv::command(home);
        init.args(["cluster", "init", "--out"]).arg(&out);
        init.arg("--node").arg(format!("n1=127.0.0.1:{base}"));
        kv::run(init, b"").expect(0);
        let config = std::fs::read_to_string(out.join("client/config.toml")).expect("readable");
        let (before, _) =
            config.split_once(&format!("@127.0.0.1:{}", base + 1)).expect("its place");
        let id = before[before.len() - 32..].to_owned();
        let node = start(home, &out.join("n1"));
        let alone = Alone { node, base, id, home: home.to_owned(), out };
        until("the node answers", Duration::from_secs(30), || {
            (alone.operator(&["status"]).code == Some(0)).then_some(())
        });
        alone
    }

    /// Runs `kv` with the operator's certificate.
    pub(crate) fn operator(&self, arguments: &[&str]) -> Run {
        let mut command = kv::command(&self.home);
        command.args(arguments).arg("--config").arg(self.out.join("client/config.toml"));
        kv::run(command, b"")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.node.0.id()
    }

    /// The node's id and its first port.
    pub(crate) fn place(&self) -> (String, u16) {
        (self.id.clone(), self.base)
    }

    pub(crate) fn client_directory(&self) -> PathBuf {
        self.out.join("client")
    }
}

/// Three nodes made by `cluster init`, their client directory where `kv` looks for it.
pub(crate) struct ThreeMachines {
    home: PathBuf,
    out: PathBuf,
    bases: Vec<u16>,
    nodes: Vec<Node>,
}

impl ThreeMachines {
    /// Runs once all see each other. Tests beside each other take different seeds for their ports.
    pub(crate) fn start(home: &Path, seed: u64) -> ThreeMachines {
        let out = home.join("cluster");
        let mut init = kv::command(home);
        init.args(["cluster", "init", "--out"]).arg(&out);
        let seed = u64::from(std::process::id()) << 8 | seed;
        let mut draws = random_bytes(seed, 4096).into_iter();
        let mut bases = Vec::new();
        while bases.len() < 3 {
            let base = free_base(&mut draws);
            if !bases.iter().any(|other: &u16| base.abs_diff(*other) < 3) {
                bases.push(base);
            }
        }
        for (number, base) in bases.iter().enumerate() {
            init.arg("--node").arg(format!("n{}=127.0.0.1:{base},zone=z{number}", number + 1));
        }
        kv::run(init, b"").expect(0);
        let nodes = ["n1", "n2", "n3"].map(|name| start(home, &out.join(name)));
        let config = home.join(".config/kvorum");
        std::fs::create_dir_all(config.parent().expect("a parent")).expect("created");
        std::fs::rename(out.join("client"), &config).expect("copied");
        let machines = ThreeMachines { home: home.to_owned(), out, bases, nodes: nodes.into() };
        machines.are_complete();
        machines
    }

    /// Waits until every node is up and sees the others.
    pub(crate) fn are_complete(&self) {
        until("the cluster is complete", Duration::from_secs(30), || {
            (self.kv(&["status"]).code == Some(0)).then_some(())
        });
    }

    /// Runs `kv` as the operator.
    pub(crate) fn kv(&self, arguments: &[&str]) -> Run {
        let mut command = kv::command(&self.home);
        command.args(arguments);
        kv::run(command, b"")
    }

    /// Stops a node in good order and starts it again.
    pub(crate) fn restart(&mut self, node: usize) {
        let name = format!("n{}", node + 1);
        kv::signal(self.nodes[node].0.id(), "TERM");
        self.nodes[node].0.wait().expect("it ends");
        self.nodes[node] = start(&self.home, &self.out.join(name));
    }

    /// The directory that `cluster init` made.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// The first port of each node.
    pub(crate) fn bases(&self) -> &[u16] {
        &self.bases
    }
}

#[test]
fn three_nodes_made_by_cluster_init_serve_clients_with_certificates_alone() {
    let home = directory();
    let machines = ThreeMachines::start(home.path(), 0);
    let kv = |arguments: &[&str]| machines.kv(arguments);
    kv(&["put", "greeting", "hello"]).expect(0);
    assert_eq!(kv(&["get", "greeting"]).expect(0).text(), "hello");

    // Without a certificate nobody gets in: not in the clear, and not over TLS.
    let stranger = directory();
    for scheme in ["plain://", ""] {
        let mut command = kv::command(stranger.path());
        let endpoint = format!("{scheme}127.0.0.1:{}", machines.bases()[0] + 1);
        command.args(["get", "greeting", "--timeout", "2s", "--endpoint", &endpoint]);
        let run = kv::run(command, b"");
        assert!(run.code != Some(0) && run.stdout.is_empty(), "{run:?}");
    }
}

#[test]
#[cfg(unix)]
fn private_keys_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = directory();
    let out = home.path().join("cluster");
    let mut init = kv::command(home.path());
    init.args(["cluster", "init", "--node", "n1=127.0.0.1:7400", "--out"]).arg(&out);
    kv::run(init, b"").expect(0);
    let mut keys = 0;
    let mut folders = vec![out];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            if text.contains("PRIVATE KEY") {
                keys += 1;
                let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", entry.path().display());
            }
        }
    }
    assert!(keys >= 3, "a key for the authority, the node and the client, found {keys}");
}
