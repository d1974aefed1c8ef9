//! `kv node start DIR`: run the node of a directory.

use std::future::Future;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kvorum_node::config::{Config, LogFormat};
use kvorum_node::runtime::{RunError, run, run_until};
use tokio::sync::oneshot;

use crate::args::cluster::{LogFormat as WantedFormat, StartArguments};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::local::temporary::Occupant;
use crate::logging;
use crate::output::Output;

/// How long a node may take to stop in good order once its parent has gone. What was acknowledged is on the disk already.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Runs the node until it is told to stop.
pub(super) fn run_node(options: &StartArguments, output: Output) -> Outcome<ExitCode> {
    let config = settings(options, output)?;
    logging::begin(&config.log)?;
    let ended = if options.until_stdin_closes {
        let home = Home::of(options.occupies.as_deref());
        let parent = parent_gone(home.clone())?;
        let ended = run_until(&options.dir, config, async move {
            tokio::select! {
                () = parent => {}
                () = terminated() => {}
            }
        });
        home.leave_if_orphaned();
        ended
    } else {
        run(&options.dir, config)
    };
    ended.map(|()| ExitCode::Success).map_err(|error| explain(&error))
}

/// The settings of the directory, with what the options say about them.
fn settings(options: &StartArguments, output: Output) -> Outcome<Config> {
    let config = Config::load(&options.dir);
    let mut config = config.map_err(|error| {
        Failure::usage(error.to_string())
            .advise("kv cluster init makes the directories of a cluster.")
    })?;
    if let Some(level) = &options.log_level {
        config.log.level.clone_from(level);
    }
    if let Some(base) = options.port_base {
        config.listen.peers.set_port(base);
        config.listen.clients.set_port(base + 1);
        config.listen.admin.set_port(base + 2);
    }
    match options.log_format {
        None => {}
        Some(WantedFormat::Text) => config.log.format = LogFormat::Text,
        Some(WantedFormat::Json) => config.log.format = LogFormat::Json,
    }
    if config.listen.dev_plaintext && !options.plaintext_loopback {
        config.listen.dev_plaintext = false;
        output.remark("kv: plaintext is only for children of kv dev and kv demo; clients need their certificate here");
    }
    Ok(config)
}

/// The temporary directory that a child of `kv dev` lives in, if it does.
#[derive(Clone)]
struct Home(Arc<Mutex<Lodging>>);

struct Lodging {
    occupant: Option<Occupant>,
    is_orphaned: bool,
}

impl Home {
    fn of(directory: Option<&Path>) -> Home {
        let occupant = directory.and_then(Occupant::enter);
        Home(Arc::new(Mutex::new(Lodging { occupant, is_orphaned: false })))
    }

    /// The parent, who would have removed the directory, is gone.
    fn orphan(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_orphaned = true;
    }

    fn leave_if_orphaned(&self) {
        let mut lodging = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lodging.is_orphaned
            && let Some(occupant) = lodging.occupant.take()
        {
            occupant.leave();
        }
    }
}

/// Completes when standard input ends. Reading blocks, so a thread of its own does it; it also sees to it that a node that
/// cannot stop in good order does not outlive its parent.
fn parent_gone(home: Home) -> Outcome<impl Future<Output = ()>> {
    let (gone, wait) = oneshot::channel::<()>();
    let watch = move || {
        let mut ignored = [0; 64];
        while io::stdin().lock().read(&mut ignored).is_ok_and(|count| count > 0) {}
        home.orphan();
        // A node that has ended already needs no telling.
        let _ = gone.send(());
        thread::sleep(STOP_PATIENCE);
        home.leave_if_orphaned();
        std::process::exit(i32::from(ExitCode::Unavailable.number()));
    };
    let started = thread::Builder::new().name("parent".to_owned()).spawn(watch);
    started
        .map_err(|error| Failure::unavailable(format!("cannot watch standard input: {error}")))?;
    Ok(async {
        // The sender is never dropped unused, and if it were, the parent could not be watched: stop as well.
        let _ = wait.await;
    })
}

/// Completes at SIGTERM or SIGINT.
async fn terminated() {
    match crate::local::signals::Signals::watch() {
        Ok(mut signals) => signals.first().await,
        Err(failure) => {
            tracing::error!(%failure, "signals cannot be handled");
            std::future::pending().await
        }
    }
}

/// Why a node did not start or had to stop.
fn explain(error: &RunError) -> Failure {
    let code = match error {
        RunError::Config(_)
        | RunError::Credentials(_)
        | RunError::Tls(_)
        | RunError::Certificate(_) => ExitCode::Usage,
        RunError::OtherNode { .. } | RunError::ContextKeys { .. } | RunError::Layout(_) => {
            ExitCode::Usage
        }
        RunError::Locked { .. } | RunError::DuplicateNode(_) => ExitCode::Refused,
        RunError::Poisoned(_) => ExitCode::Damaged,
        _ => ExitCode::Unavailable,
    };
    let failure = Failure::new(code, error.to_string());
    match error {
        RunError::PortTaken { address, .. } => failure.detail("port", address.port()),
        RunError::DuplicateNode(_) => {
            failure.advise("A copy of a node's directory must never run: make a new node instead.")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use kvorum_node::config::{LogFormat, StoreConfig};
    use kvorum_node::runtime::{Listener, RunError};

    use super::{explain, settings};
    use crate::args::cluster::{LogFormat as WantedFormat, StartArguments};
    use crate::cluster::create::{Creation, create};
    use crate::exit_code::ExitCode;
    use crate::output::style::ColorChoice;
    use crate::output::{Format, Output};

    fn options(dir: PathBuf) -> StartArguments {
        let (log_level, log_format) = (Some("debug".to_owned()), Some(WantedFormat::Json));
        StartArguments {
            dir,
            port_base: Some(9_400),
            log_level,
            log_format,
            until_stdin_closes: false,
            occupies: None,
            plaintext_loopback: false,
        }
    }

    #[test]
    fn plaintext_is_only_for_children_and_options_win_over_the_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let nodes = vec!["n1=127.0.0.1:7400".parse().expect("a node")];
        let creation = Creation {
            name: "dev".to_owned(),
            partitions: 16,
            nodes,
            is_local: true,
            store: StoreConfig::default(),
        };
        create(&creation, directory.path()).expect("made");
        let output = Output::new(Format::Text, ColorChoice::Never, false);
        let mut options = options(directory.path().join("n1"));
        let alone = settings(&options, output).expect("loads");
        assert_eq!((alone.listen.dev_plaintext, alone.log.level.as_str()), (false, "debug"));
        assert_eq!(alone.log.format, LogFormat::Json);
        assert_eq!((alone.listen.peers.port(), alone.listen.admin.port()), (9_400, 9_402));
        options.plaintext_loopback = true;
        assert!(settings(&options, output).expect("loads").listen.dev_plaintext);
    }

    #[test]
    fn a_taken_port_is_named() {
        let address = "127.0.0.1:7401".parse().expect("an address");
        let failure = explain(&RunError::PortTaken { listener: Listener::ClientsTcp, address });
        assert_eq!(failure.code(), ExitCode::Unavailable);
        assert!(failure.message().contains("7401"), "{failure}");
    }
}
