//! Where a node's log goes: standard error, as text for people or JSON for machines, at the level that was asked for.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::SystemTime;

use kvorum_node::config::{LogConfig, LogFormat};
use kvorum_node::runtime::recent;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::failure::{Failure, Outcome};

/// Begins to log. Once in a process.
///
/// # Errors
/// Usage when the level is neither a level nor a filter.
pub(crate) fn begin(config: &LogConfig) -> Outcome<()> {
    let filter = filter(&config.level)?;
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_ansi(has_colour()).boxed(),
    };
    // What goes wrong is remembered also where the level keeps it out of the log.
    let begun = registry()
        .with(lines.with_filter(filter))
        .with(RemembersTrouble.with_filter(LevelFilter::WARN))
        .try_init();
    begun.map_err(|error| Failure::usage(format!("cannot begin to log: {error}")))
}

/// Remembers warnings and errors for `kv diag`.
struct RemembersTrouble;

impl<S: Subscriber> Layer<S> for RemembersTrouble {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let since_1970 =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut line =
            Line(format!("{} {level} {}:", since_1970.as_secs(), event.metadata().target()));
        event.record(&mut line);
        recent::note(&line.0);
    }
}

/// An event as one line: the message, then its fields.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to memory does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
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
