//! Running `kv` as a user's shell would: one process, an exit code, two streams, and a limit on how long it may take.
//!
//! Every run has an environment of its own, so that no config file or variable of the machine it runs on has a say.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

/// How long any single verb may take before the test fails: far above what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_kv"))
}

/// A `kv` command in a clean environment. `home` stands for the user's home directory.
pub(crate) fn command(home: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .env_remove("KVORUM_ENDPOINTS")
        .env_remove("KVORUM_TOKEN")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("RUST_LOG");
    command.env("HOME", home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a run of `kv` left behind.
#[derive(Debug)]
pub(crate) struct Run {
    /// What was run, for messages.
    pub(crate) arguments: Vec<String>,
    /// The exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output, byte for byte.
    pub(crate) stdout: Vec<u8>,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs `command` with `input` as its standard input.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Run {
    run_within(&mut command, input, PATIENCE)
}

/// As [`run`], with another limit.
pub(crate) fn run_within(command: &mut Command, input: &[u8], patience: Duration) -> Run {
    let arguments: Vec<String> =
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("kv starts");
    let pid = child.id();
    let (done, finished) = mpsc::sync_channel(1);
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        scope.spawn(move || done.send(child.wait_with_output()));
        scope.spawn(move || {
            // A child that refuses before it reads closes the pipe; its exit code says so better than we can.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let output: Output = match finished.recv_timeout(patience) {
            Ok(output) => output.expect("the streams of kv can be read"),
            Err(_) => {
                kill(pid);
                panic!("kv {} did not end within {patience:?}", arguments.join(" "));
            }
        };
        Run {
            arguments,
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    })
}

impl Run {
    /// The run itself if it ended with `code`; otherwise all that it said.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Run {
        assert!(
            self.code == Some(code),
            "kv {} ended with {:?}, expected {code}\n{}{}",
            self.arguments.join(" "),
            self.code,
            String::from_utf8_lossy(&self.stdout),
            self.stderr,
        );
        self
    }

    /// Standard output as text without its last line end.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            panic!("kv {}: {error}: {}", self.arguments.join(" "), self.text())
        })
    }
}

/// SIGKILL, to any process of ours.
pub(crate) fn kill(pid: u32) {
    signal(pid, "KILL");
}

/// Sends a signal by name. The shell's own `kill` needs no package and no unsafe code.
pub(crate) fn signal(pid: u32, name: &str) {
    let script = format!("kill -{name} {pid}");
    let sent = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
    sent.expect("sh runs");
}

/// Does a process with this id run? A zombie that its parent has not yet buried does not.
pub(crate) fn is_running(pid: u32) -> bool {
    let state = if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name, which stands in parentheses and may hold anything.
        stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().to_owned()).unwrap_or_default()
    } else {
        let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
        String::from_utf8_lossy(&output.expect("ps runs").stdout).trim().to_owned()
    };
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}
