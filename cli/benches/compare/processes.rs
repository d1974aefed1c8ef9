//! Server processes of the peers: started in a directory of their own, gone when dropped.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Clock ticks a second in /proc, the same on every Linux that we know.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// Running servers of one system.
pub(crate) struct Processes {
    directory: TempDir,
    children: Vec<Child>,
}

impl Processes {
    /// None yet.
    pub(crate) fn new() -> io::Result<Processes> {
        let directory = tempfile::Builder::new().prefix("kvorum-compare-").tempdir()?;
        Ok(Processes { directory, children: Vec::new() })
    }

    /// A place for a server's data.
    pub(crate) fn place(&self, name: &str) -> io::Result<std::path::PathBuf> {
        let place = self.directory.path().join(name);
        fs::create_dir(&place)?;
        Ok(place)
    }

    /// Starts a server. What it prints goes to a file beside its data.
    pub(crate) fn start(&mut self, program: &str, arguments: &[String]) -> io::Result<()> {
        let log = self.directory.path().join(format!("{}.log", self.children.len()));
        let log = File::create(log)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.children.push(child);
        Ok(())
    }

    /// Processor seconds that all servers have used.
    pub(crate) fn cpu_seconds(&self) -> io::Result<f64> {
        let mut ticks = 0;
        for child in &self.children {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
            // Behind the name in parentheses; user and system time are the 12th and 13th fields from there.
            let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
            let times = fields.into_iter().flatten().skip(11).take(2);
            ticks += times.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        }
        Ok(ticks as f64 / TICKS_PER_SECOND)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that has ended by itself cannot be killed, and need not be.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Fails with what to do when a program is not there.
pub(crate) fn installed(program: &str) -> io::Result<()> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |directory: &Path| directory.join(program).is_file();
    if std::env::split_paths(&paths).any(|directory| is_there(&directory)) {
        return Ok(());
    }
    let advice = "install it: apt-get install -y etcd-server redis-server";
    Err(io::Error::new(io::ErrorKind::NotFound, format!("{program} is not installed; {advice}")))
}

/// Ports that are free now.
pub(crate) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::new();
    for _ in 0..N {
        held.push(TcpListener::bind(("127.0.0.1", 0))?);
    }
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Tries until it works or takes too long.
pub(crate) async fn eventually<T>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> io::Result<T>,
) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if begun.elapsed() > PATIENCE => {
                return Err(io::Error::other(format!("{what}: {error}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
