//! The last warnings and errors that this process logged, for `kv diag`.
//!
//! A log is the whole process's, like `tracing`'s subscriber, so this memory of it is too: whoever installs the
//! subscriber feeds it with [`note`], and a diagnosis quotes it. It is written at warnings and errors only, which are
//! rare, and it forgets the oldest.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::runtime::limits::{RECENT_EVENT_BYTES, RECENT_EVENTS};

static RECENT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

fn recent() -> MutexGuard<'static, VecDeque<String>> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers one line; a long one is cut.
pub fn note(line: &str) {
    let cut =
        (0..=RECENT_EVENT_BYTES.min(line.len())).rev().find(|end| line.is_char_boundary(*end));
    let mut recent = recent();
    if recent.len() >= RECENT_EVENTS {
        recent.pop_front();
    }
    recent.push_back(line[..cut.unwrap_or(0)].to_owned());
}

/// What is remembered, the oldest first, a line each.
pub(crate) fn lines() -> String {
    recent().iter().fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::{lines, note};
    use crate::runtime::limits::{RECENT_EVENT_BYTES, RECENT_EVENTS};

    /// One test, because the memory is the process's.
    #[test]
    fn only_the_last_lines_are_kept_and_long_ones_are_cut() {
        for number in 0..=RECENT_EVENTS {
            note(&format!("line {number}"));
        }
        note(&"ä".repeat(RECENT_EVENT_BYTES));
        let text = lines();
        let kept: Vec<&str> = text.lines().collect();
        assert_eq!(kept.len(), RECENT_EVENTS);
        assert!(kept[0] == "line 2" && kept[RECENT_EVENTS - 1].len() <= RECENT_EVENT_BYTES);
    }
}
