//! `kv version`: what this binary is.

use serde::Serialize;

use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::Output;

/// What this binary is; `kv diag` says it too.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Version {
    version: &'static str,
    protocol: u16,
    profile: &'static str,
    target: String,
    planted_bugs: bool,
}

impl Version {
    /// This binary.
    pub(crate) fn of_this_binary() -> Version {
        Version {
            version: env!("CARGO_PKG_VERSION"),
            protocol: kvorum_protocol::PROTOCOL_VERSION,
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            planted_bugs: cfg!(feature = "planted"),
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Version { version, protocol, profile, target, planted_bugs } = self;
        write!(formatter, "kv {version} (protocol {protocol}, {target}, {profile} build)")?;
        if *planted_bugs {
            formatter.write_str(", WITH PLANTED BUGS: for the simulator only")?;
        }
        Ok(())
    }
}

/// Prints the version.
pub(super) fn run(output: Output) -> Outcome<ExitCode> {
    let version = Version::of_this_binary();
    if output.is_json() {
        output.json(&version)?;
    } else {
        output.line(&version.to_string())?;
    }
    Ok(ExitCode::Success)
}
