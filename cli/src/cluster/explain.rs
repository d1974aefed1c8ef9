//! From a client's typed error to an exit code, a sentence, and what to do.

use std::ffi::OsString;

use kvorum_client::{ErrorKind, OperationError, Topology};
use kvorum_protocol::message::{ArgumentKind, ErrorClass, OwnerFailure, RequestError};
use kvorum_protocol::{Key, OperationId};

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// What to do when a node does not know who asks.
pub(crate) const HOW_TO_BE_LET_IN: &str = "Show a valid access token (--token-file, KVORUM_TOKEN) or the operator's certificate (--config).";

/// The exit code of a class of errors.
pub(crate) fn code_of(class: ErrorClass) -> ExitCode {
    match class {
        ErrorClass::NotFound => ExitCode::NotFound,
        ErrorClass::Usage => ExitCode::Usage,
        ErrorClass::Unavailable => ExitCode::Unavailable,
        ErrorClass::Conflict => ExitCode::Conflict,
        ErrorClass::Refused => ExitCode::Refused,
        ErrorClass::Unknown => ExitCode::Unknown,
        ErrorClass::Damaged => ExitCode::Damaged,
    }
}

/// What a failed operation means to the user. `doing` completes "cannot ..".
pub(crate) fn operation(doing: &str, error: &OperationError, topology: &Topology) -> Failure {
    let code = code_of(error.class());
    let message = match code {
        ExitCode::Unknown if error.retried => {
            format!("{doing}: {error}; what an earlier attempt did is not known")
        }
        ExitCode::Unknown => format!("{doing}: {error}"),
        ExitCode::Unavailable => format!("cannot {doing}: {error}; nothing was applied"),
        _ => format!("cannot {doing}: {error}"),
    };
    let mut failure = Failure::new(code, message)
        .detail("operation", error.operation.to_string())
        .detail("attempts", error.attempts);
    for cause in owner_failures(error) {
        failure = failure.advise(format!("{}: {}", topology.name_of(cause.node), cause.cause));
    }
    if let ErrorKind::NoNode(causes) = &error.kind {
        for (endpoint, cause) in causes.iter().take(5) {
            failure = failure.advise(format!("{endpoint}: {cause}"));
        }
    }
    match advice(error) {
        Some(advice) => failure.advise(advice),
        None => failure,
    }
}

/// The failure of a write, with the command that repeats it under the same operation id when its outcome is in doubt.
pub(crate) fn write(doing: &str, error: &OperationError, topology: &Topology) -> Failure {
    let failure = operation(doing, error, topology);
    if failure.code() != ExitCode::Unknown {
        return failure;
    }
    let command = retry_command(std::env::args_os().skip(1), error.operation);
    let operation = error.operation;
    failure
        .detail("retry", command.as_str())
        .advise(format!("operation {operation}: repeated under this id, it takes effect once:"))
        .advise(format!("  {command}"))
}

fn owner_failures(error: &OperationError) -> &[OwnerFailure] {
    match &error.kind {
        ErrorKind::Answered {
            error:
                RequestError::Unavailable { causes, .. } | RequestError::AppliedBelowW { causes, .. },
            ..
        } => causes,
        _ => &[],
    }
}

fn advice(error: &OperationError) -> Option<&'static str> {
    let error = match &error.kind {
        ErrorKind::Answered { error, .. } => error,
        ErrorKind::UnexpectedAnswer { .. } => {
            return Some(
                "Is this a bucket of another merge rule? kv bucket show BUCKET tells its rule.",
            );
        }
        _ => return None,
    };
    match error {
        RequestError::InvalidArgument { argument: ArgumentKind::Rule } => Some(
            "kv bucket show BUCKET tells its rule: kv put is for siblings and lossy-lww, and there is kv counter, set, register, map.",
        ),
        RequestError::ClockSkew { .. } => {
            Some("Set that node's clock right, or ask another owner.")
        }
        RequestError::BadContext { .. } | RequestError::TooManySiblings => {
            Some("Read the key again (kv get KEY --all --json) and put with that context.")
        }
        RequestError::NoSuchBucket => {
            Some("kv bucket ls shows the buckets; kv bucket create NAME makes one.")
        }
        RequestError::BucketExists => Some("kv bucket set changes its settings."),
        RequestError::Uncovered { .. } => Some("--partial lists what can be reached."),
        RequestError::Unavailable { .. } => Some("kv status shows what is up."),
        RequestError::Unauthenticated { .. } => Some(HOW_TO_BE_LET_IN),
        RequestError::Forbidden { .. } => Some(
            "kv auth ls shows the operator what each token may do; rights are fixed when it is made.",
        ),
        RequestError::NoSuchToken => Some("kv auth ls shows the tokens."),
        RequestError::DiskFull => Some("Delete something, or give the nodes more room."),
        _ => None,
    }
}

/// The command line that was run, with the operation's id. Quoted for a shell where needed.
fn retry_command(arguments: impl Iterator<Item = OsString>, operation: OperationId) -> String {
    let mut words = vec!["kv".to_owned()];
    let mut skip = false;
    for argument in arguments {
        let argument = argument.to_string_lossy();
        let is_id = argument == "--operation";
        let is_ours = is_id || argument == "--retry" || argument.starts_with("--operation=");
        if !skip && !is_ours {
            words.push(quoted(&argument));
        }
        skip = is_id && !skip;
    }
    words.extend(["--operation".to_owned(), operation.to_string(), "--retry".to_owned()]);
    words.join(" ")
}

/// A word as a POSIX shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A key as text for a table: as it is when it is printable, escaped otherwise.
pub(crate) fn key_text(key: &Key) -> String {
    match std::str::from_utf8(key.as_bytes()) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => key.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use kvorum_protocol::message::ErrorClass;
    use kvorum_protocol::{Key, OperationId};

    use super::{code_of, key_text, quoted, retry_command};

    #[test]
    fn every_class_of_errors_has_its_exit_code() {
        let classes = [
            ErrorClass::NotFound,
            ErrorClass::Usage,
            ErrorClass::Unavailable,
            ErrorClass::Conflict,
            ErrorClass::Refused,
            ErrorClass::Unknown,
            ErrorClass::Damaged,
        ];
        assert_eq!(classes.map(|class| code_of(class).number()), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn the_retry_is_the_same_command_with_the_same_operation() {
        let id = OperationId(0xab);
        let line = |words: &[&str]| retry_command(words.iter().map(OsString::from), id);
        let ending = "--operation 000000000000000000000000000000ab --retry";
        assert_eq!(line(&["put", "a key", "it's"]), format!(r"kv put 'a key' 'it'\''s' {ending}"));
        assert_eq!(
            line(&["put", "k", "v", "--retry", "--operation", "cd"]),
            format!("kv put k v {ending}")
        );
        assert_eq!(line(&["put", "k", "--operation=cd", "v"]), format!("kv put k v {ending}"));
    }

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(
            [quoted("a/b.c"), quoted(""), quoted("a b"), quoted("$x")],
            ["a/b.c", "''", "'a b'", "'$x'"]
        );
    }

    #[test]
    fn keys_that_are_not_text_are_escaped() {
        let text = |bytes: &'static [u8]| key_text(&Key::new(bytes).expect("a key"));
        assert_eq!(
            [text("käse".as_bytes()), text(b"a\nb"), text(b"\xff")],
            ["käse", r"a\nb", r"\xff"]
        );
    }
}
