//! Where a node's log goes: standard error, as text for people or JSON for machines, at the level that was asked for.

use std::io::{self, IsTerminal};

use kvorum_node::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Outcome};

/// Begins to log. Once in a process.
///
/// # Errors
/// Usage when the level is neither a level nor a filter.
pub(crate) fn begin(config: &LogConfig) -> Outcome<()> {
    let filter = filter(&config.level)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let begun = match config.format {
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        LogFormat::Text => subscriber.with_ansi(has_colour()).try_init(),
    };
    begun.map_err(|error| Failure::usage(format!("cannot begin to log: {error}")))
}

fn filter(level: &str) -> Outcome<EnvFilter> {
    EnvFilter::try_new(level).map_err(|error| {
        Failure::usage(format!("log level {level:?} is neither a level nor a filter: {error}"))
    })
}

fn has_colour() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !forbidden
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_level_and_a_filter_are_taken_and_nonsense_is_not() {
        for level in ["info", "off", "warn,kvorum_node=debug"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        assert!(filter("kvorum_node=loud").is_err());
    }
}
