//! How a verb ends when it does not succeed: an exit code, what happened, and what to do about it.
//!
//! This is presentation, made once at the edge: inside the crates errors stay typed. Every failure says what the state
//! of the cluster is now (through its code) and, where something can be done, the command that does it.

use std::fmt;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::exit_code::ExitCode;

/// The end of a verb that did not do what was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    code: ExitCode,
    message: String,
    advice: Vec<String>,
    details: Map<String, Value>,
    quiet: bool,
}

/// What most of the crate returns.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure with its code and one sentence that says what happened.
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Failure {
        Failure {
            code,
            message: message.into(),
            advice: Vec::new(),
            details: Map::new(),
            quiet: false,
        }
    }

    /// The arguments, or a file that they name, make no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(ExitCode::Usage, message)
    }

    /// Something needed is not there; nothing was applied.
    pub(crate) fn unavailable(message: impl Into<String>) -> Failure {
        Failure::new(ExitCode::Unavailable, message)
    }

    /// An I/O error on a file of this machine.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Failure {
        Failure::usage(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// Nobody reads what we write: end at once and say nothing, as every well-behaved filter does.
    pub(crate) fn closed_pipe() -> Failure {
        Failure {
            quiet: true,
            ..Failure::new(ExitCode::Success, "the reader of standard output has gone")
        }
    }

    /// The verb has said everything itself already; only the code is left.
    pub(crate) fn silent(code: ExitCode) -> Failure {
        Failure { quiet: true, ..Failure::new(code, code.meaning()) }
    }

    /// The same failure, with one more line of what to do.
    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Failure {
        self.advice.push(advice.into());
        self
    }

    /// The same failure, with one more field for `--json`.
    #[must_use]
    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Failure {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The code that the shell will see.
    pub(crate) fn code(&self) -> ExitCode {
        self.code
    }

    /// What happened.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What can be done about it, a line each.
    pub(crate) fn advice(&self) -> &[String] {
        &self.advice
    }

    /// Whether nothing is to be printed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The failure as `--json` prints it on standard error.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = self.details.clone();
        error.insert("code".to_owned(), json!(self.code.number()));
        error.insert("kind".to_owned(), json!(self.code.name()));
        error.insert("message".to_owned(), json!(self.message));
        error.insert("advice".to_owned(), json!(self.advice));
        json!({ "error": error })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// Only standard output and standard error reach this: files say their name through [`Failure::file`].
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::closed_pipe()
        } else {
            Failure::usage(format!("cannot write the output: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Failure;
    use crate::exit_code::ExitCode;

    #[test]
    fn a_closed_pipe_ends_quietly_and_any_other_write_error_is_said() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(closed.is_quiet());
        assert_eq!(closed.code(), ExitCode::Success);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(!full.is_quiet());
        assert_eq!(full.code(), ExitCode::Usage);
    }

    #[test]
    fn json_carries_code_kind_advice_and_details() {
        let failure = Failure::new(ExitCode::Unknown, "no answer")
            .advise("try again")
            .detail("operation", "ab");
        let error = &failure.to_json()["error"];
        assert_eq!(error["code"], 6);
        assert_eq!(error["kind"], "unknown");
        assert_eq!(error["operation"], "ab");
        assert_eq!(error["advice"][0], "try again");
    }
}
