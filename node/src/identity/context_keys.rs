//! The file with the cluster's context keys: the current one and, for a while after a change, the one before it.
//!
//! One key a line, 64 hex digits each, the current one first; lines that begin with `#` are comments. The same file on
//! every node: a context sealed by one node is opened by all.

use std::fmt::Write;

use kvorum_protocol::ContextKeys;

/// A file of context keys that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContextKeysError {
    /// A line is neither a comment nor a key.
    #[error("line {line} is not 64 lowercase hex digits")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// A file has one key or two.
    #[error("{0} keys: a file has one or two")]
    Count(usize),
}

/// The file with these keys. Secret.
pub fn render_context_keys(keys: &ContextKeys) -> String {
    let mut out = String::from(
        "# The keys that authenticate contexts: the same on every node, secret. The current one first, then,\n\
         # while contexts sealed with it may still come back, the one before it.\n",
    );
    for key in [Some(&keys.current), keys.previous.as_ref()].into_iter().flatten() {
        for byte in key {
            write!(out, "{byte:02x}").expect("writing to memory does not fail");
        }
        out.push('\n');
    }
    out
}

/// Reads what [`render_context_keys`] wrote.
///
/// # Errors
/// [`ContextKeysError`] says which line is wrong.
pub fn parse_context_keys(text: &str) -> Result<ContextKeys, ContextKeysError> {
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if !line.is_empty() && !line.starts_with('#') {
            keys.push(parse_key(line).ok_or(ContextKeysError::Line { line: number })?);
        }
    }
    match keys[..] {
        [current] => Ok(ContextKeys { current, previous: None }),
        [current, previous] => Ok(ContextKeys { current, previous: Some(previous) }),
        _ => Err(ContextKeysError::Count(keys.len())),
    }
}

fn parse_key(line: &str) -> Option<[u8; 32]> {
    let digits = line.as_bytes();
    let lowercase_hex = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != 64 || !lowercase_hex {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(line.as_bytes().chunks(2)) {
        let value = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
        *byte = value(pair[0]) << 4 | value(pair[1]);
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::{ContextKeysError, parse_context_keys, render_context_keys};
    use kvorum_protocol::ContextKeys;

    #[test]
    fn one_or_two_keys_read_back() {
        for previous in [None, Some([0xf0; 32])] {
            let keys = ContextKeys { current: std::array::from_fn(|index| index as u8), previous };
            assert!(parse_context_keys(&render_context_keys(&keys)) == Ok(keys));
        }
    }

    #[test]
    fn a_wrong_line_or_number_of_keys_is_named() {
        let key = "ab".repeat(32);
        let error = |text: &str| parse_context_keys(text).err();
        assert_eq!(
            error(&format!("{key}\nAB{}", &key[2..])),
            Some(ContextKeysError::Line { line: 2 })
        );
        assert_eq!(error("# nothing\n"), Some(ContextKeysError::Count(0)));
        assert_eq!(error(&format!("{key}\n{key}\n{key}\n")), Some(ContextKeysError::Count(3)));
    }
}
