//! A cluster of real processes, as `kv dev` runs it, at ports that were free a moment ago.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::kv::{self, Run};
use crate::until::until;

/// How long a cluster may take to be ready, or to end: seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `kv dev` and where its cluster lives.
pub(crate) struct Dev {
    child: Child,
    ready: Value,
    /// Shared between the threads of a test; only one reads.
    remarks: Mutex<Receiver<String>>,
    home: PathBuf,
}

/// The directory that a test's cluster lives in; it goes when the test ends.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().prefix("kvorum-test-").tempdir().expect("a temporary directory")
}

impl Dev {
    /// A cluster of `nodes` nodes whose data is kept below `home`.
    pub(crate) fn start(home: &Path, nodes: u16) -> Dev {
        let nodes = nodes.to_string();
        Dev::launch(home, &["--port-base", "0", "--nodes", &nodes])
    }

    /// The cluster that `home` holds, once more: all of it, or one node.
    pub(crate) fn reopen(home: &Path, only: Option<&str>) -> Dev {
        let only: Vec<&str> = only.into_iter().flat_map(|name| ["--only", name]).collect();
        Dev::launch(home, &only)
    }

    fn launch(home: &Path, options: &[&str]) -> Dev {
        let mut command = kv::command(home);
        command.args(["dev", "--json", "--dir"]).arg(home.join("cluster")).args(options);
        Dev::adopt(home, command)
    }

    /// The cluster that this command, a `kv dev --json`, runs below `home`.
    pub(crate) fn adopt(home: &Path, mut command: Command) -> Dev {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kv dev starts");
        let stdout = lines(child.stdout.take().expect("a pipe"));
        let remarks = lines(child.stderr.take().expect("a pipe"));
        let line = stdout.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let _ = child.kill();
            let said: Vec<String> = remarks.iter().collect();
            panic!("kv dev was not ready: {error}\n{}{}", said.join("\n"), logs(home));
        });
        let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
        assert_eq!(ready["ready"], true, "{line}");
        Dev { child, ready, remarks: Mutex::new(remarks), home: home.to_owned() }
    }

    /// The next thing that `kv dev` says on standard error.
    pub(crate) fn next_remark(&self) -> Value {
        let remarks = self.remarks.lock().expect("no reader panicked");
        let line = remarks.recv_timeout(PATIENCE).expect("a line on standard error");
        serde_json::from_str(&line).expect("JSON, as asked for")
    }

    /// The process id of `kv dev` itself.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process ids of its nodes, in order.
    pub(crate) fn node_pids(&self) -> Vec<u32> {
        let nodes = self.ready["nodes"].as_array().expect("a list of nodes");
        let pids = nodes.iter().map(|node| node["pid"].as_u64().expect("a process id"));
        pids.map(|pid| u32::try_from(pid).expect("a process id")).collect()
    }

    /// The names of its nodes, in order.
    pub(crate) fn node_names(&self) -> Vec<String> {
        let nodes = self.ready["nodes"].as_array().expect("a list of nodes");
        nodes.iter().map(|node| node["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// The id and the first port of each node, in order.
    #[cfg(target_os = "linux")]
    pub(crate) fn places(&self) -> Vec<(String, u16)> {
        let nodes = self.ready["nodes"].as_array().expect("a list of nodes");
        let place = |node: &Value| {
            let port = node["peer_port"].as_u64().and_then(|port| u16::try_from(port).ok());
            (node["id"].as_str().expect("an id").to_owned(), port.expect("a port"))
        };
        nodes.iter().map(place).collect()
    }

    /// The admin port of each node, in order.
    pub(crate) fn admin_ports(&self) -> Vec<u16> {
        let nodes = self.ready["nodes"].as_array().expect("a list of nodes");
        let port = |node: &Value| node["admin_port"].as_u64().expect("a port");
        nodes.iter().map(|node| u16::try_from(port(node)).expect("a port")).collect()
    }

    /// Where clients reach its nodes, in order.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        let endpoints = self.ready["endpoints"].as_array().expect("a list of endpoints");
        endpoints.iter().map(|text| text.as_str().expect("an endpoint").to_owned()).collect()
    }

    /// A `kv` command that finds this cluster through the environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = kv::command(&self.home);
        command.env("KVORUM_ENDPOINTS", self.endpoints().join(",")).args(arguments);
        command
    }

    /// Runs `kv` against this cluster.
    pub(crate) fn kv(&self, arguments: &[&str]) -> Run {
        kv::run(self.command(arguments), b"")
    }

    /// Runs `kv` against this cluster with `input` as standard input.
    pub(crate) fn kv_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        kv::run(self.command(arguments), input)
    }

    /// SIGKILLs the node at `position` and waits until it is gone.
    pub(crate) fn kill_node(&self, position: usize) {
        let pid = self.node_pids()[position];
        kv::kill(pid);
        until("a killed node is gone", PATIENCE, || (!kv::is_running(pid)).then_some(()));
    }

    /// Ends the cluster as Ctrl-C does, and waits for it.
    pub(crate) fn stop(self) {
        kv::signal(self.pid(), "INT");
        self.ended();
    }

    /// Waits for a cluster that was told to stop.
    pub(crate) fn ended(mut self) {
        let status = until("kv dev ends", PATIENCE, || self.child.try_wait().expect("a child"));
        assert!(status.success(), "kv dev ended with {status}");
    }

    /// Ends the cluster as a power cut does, and waits until every node is gone.
    pub(crate) fn kill(mut self) {
        let nodes = self.node_pids();
        self.child.kill().expect("a running child");
        self.child.wait().expect("a child");
        gone(&nodes);
    }
}

/// A test that failed leaves no process behind: the nodes end when their parent does.
impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A node that still writes would keep its directory from being removed. Time is short and a panic may be under
        // way, so this gives up in silence.
        let deadline = Instant::now() + Duration::from_secs(5);
        let nodes = self.node_pids();
        while nodes.iter().any(|pid| kv::is_running(*pid)) && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

/// Waits until none of these processes runs.
pub(crate) fn gone(pids: &[u32]) {
    until("the nodes end with their parent", PATIENCE, || {
        (!pids.iter().any(|pid| kv::is_running(*pid))).then_some(())
    });
}

/// The lines of a stream, read by a thread of their own so that nobody waits for us to read them.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1024);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The end of each node's log, for the message of a test that fails.
fn logs(home: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(home.join("cluster")).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "log") {
            let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            text += &format!("\n== {}\n{}", entry.path().display(), tail.join("\n"));
        }
    }
    text
}
