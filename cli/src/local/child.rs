//! One node as a child process that cannot outlive its parent.
//!
//! The child's standard input is a pipe whose other end only we hold. We never write into it. When we end, in whatever
//! way (SIGKILL included), the kernel closes the pipe, the child reads the end of its input and stops. Closing the pipe
//! on purpose is therefore also how a node is stopped cleanly; nobody has to send a signal.
//!
//! Each child has a process group of its own, so that a Ctrl-C at the terminal reaches us alone and we decide the order.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, ChildStdin, Command};

use crate::failure::{Failure, Outcome};
use crate::local::Access;

/// A running node.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    child: Child,
    lifeline: Option<ChildStdin>,
}

impl NodeProcess {
    /// Starts the node of `directory`; what it logs is appended to `log`. It may have to remove the directory `occupies`.
    ///
    /// # Errors
    /// A failure that names the log or our own binary.
    pub(crate) fn start(
        directory: &Path,
        log: &Path,
        level: &str,
        occupies: Option<&Path>,
        access: Access,
    ) -> Outcome<NodeProcess> {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.map_err(|error| Failure::file("open", log, &error))?;
        let errors = file.try_clone().map_err(|error| Failure::file("open", log, &error))?;
        let program = own_binary()?;
        let mut child = Command::new(&program)
            .args(["node", "start"])
            .arg(directory)
            .args(occupies.iter().flat_map(|home| [OsStr::new("--occupies"), home.as_os_str()]))
            .args(["--until-stdin-closes", "--log-level", level])
            .args(access.node_option())
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::file("start", &program, &error))?;
        let lifeline = child.stdin.take();
        Ok(NodeProcess { child, lifeline })
    }

    /// The process id, for as long as it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the process to end by itself. Dropping the future changes nothing.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// How it ended, if it has.
    pub(crate) fn try_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL: no chance to flush or to say goodbye.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks the node to stop, without waiting for it.
    pub(crate) fn ask_to_stop(&mut self) {
        self.lifeline = None;
    }

    /// SIGKILL, without waiting for the end.
    pub(crate) fn ask_to_die(&mut self) {
        // One that has ended already needs none.
        let _ = self.child.start_kill();
    }
}

/// Our own binary, which is also the node's.
pub(crate) fn own_binary() -> Outcome<PathBuf> {
    std::env::current_exe()
        .map_err(|error| Failure::unavailable(format!("cannot find the running binary: {error}")))
}

/// How a process ended, in words.
pub(crate) fn how_it_ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(9)) => "killed by SIGKILL".to_owned(),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended for no known reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::how_it_ended;

    #[test]
    fn the_end_of_a_process_is_said_in_words() {
        assert_eq!(how_it_ended(ExitStatus::from_raw(9)), "killed by SIGKILL");
        assert_eq!(how_it_ended(ExitStatus::from_raw(3 << 8)), "exit code 3");
    }
}
