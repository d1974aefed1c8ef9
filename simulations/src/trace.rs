//! The trace of a run: a hash over everything that went into the nodes and came out, and, on demand, its text.
//!
//! The hash is fed with time, node, input bytes and effect bytes of every step. It only has to notice any difference
//! between two runs of one plan, at a cost that does not show: one multiplication and one rotation for each word.
//! The text is written only when a failed run is repeated for its report, because formatting costs far more than running.

use std::collections::VecDeque;

use crate::limits;

/// An incremental hash over words and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHash(u64);

impl Default for TraceHash {
    fn default() -> Self {
        Self(0x6b76_6f72_756d_7472)
    }
}

impl TraceHash {
    /// Adds a word.
    pub const fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(29);
    }

    /// Adds bytes and their number.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            self.word(u64::from_le_bytes(*chunk));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(last));
        }
    }

    /// The hash of what was added so far.
    pub const fn value(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }
}

/// One line of a trace's text.
#[derive(Clone, Debug)]
pub struct TraceLine {
    /// The number of the event that it belongs to.
    pub event: u64,
    /// The event that caused that one; 0 for the plan.
    pub cause: u64,
    /// Virtual nanoseconds.
    pub at_ns: u64,
    /// The node, if one is concerned.
    pub node: Option<u16>,
    /// The key, if one is concerned.
    pub key: Option<u16>,
    /// What happened.
    pub text: String,
}

impl std::fmt::Display for TraceLine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (ms, us) = (self.at_ns / 1_000_000, self.at_ns / 1_000 % 1_000);
        write!(formatter, "{ms:>6}.{us:03} ms  #{} from #{}", self.event, self.cause)?;
        match self.node {
            Some(node) => write!(formatter, "  node {node}: {}", self.text),
            None => write!(formatter, "  {}", self.text),
        }
    }
}

/// Hash and, if wanted, text of a run.
#[derive(Debug, Default)]
pub struct Trace {
    /// The hash so far.
    pub hash: TraceHash,
    lines: Option<VecDeque<TraceLine>>,
}

impl Trace {
    /// A trace; with its text if `text` says so.
    pub fn new(text: bool) -> Self {
        Self { hash: TraceHash::default(), lines: text.then(VecDeque::new) }
    }

    /// Whether text is wanted; callers do not format otherwise.
    pub const fn wants_text(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line of text if text is wanted.
    pub fn line(&mut self, line: TraceLine) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == limits::TRACE_LINES_KEPT {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    /// The text, the oldest line first; empty if none was wanted.
    pub fn into_lines(self) -> Vec<TraceLine> {
        self.lines.map_or_else(Vec::new, Vec::from)
    }
}

/// The last of `lines` that concern `key`, or all keys where it is `None`, with what concerns no key in particular (crashes,
/// cuts), the oldest first.
pub fn last_lines(lines: &[TraceLine], key: Option<u16>) -> Vec<String> {
    let concerns = |line: &&TraceLine| key.is_none() || line.key.is_none() || line.key == key;
    let last = lines.iter().rev().filter(concerns).take(limits::TRACE_LINES);
    let mut text: Vec<String> = last.map(ToString::to_string).collect();
    text.reverse();
    text
}

#[cfg(test)]
mod tests {
    use super::{Trace, TraceHash, TraceLine, last_lines};

    fn hash_of(parts: &[&[u8]]) -> u64 {
        let mut hash = TraceHash::default();
        for part in parts {
            hash.bytes(part);
        }
        hash.value()
    }

    #[test]
    fn the_hash_sees_order_content_and_boundaries() {
        assert_eq!(hash_of(&[b"one", b"two"]), hash_of(&[b"one", b"two"]));
        assert_ne!(hash_of(&[b"one", b"two"]), hash_of(&[b"two", b"one"]));
        assert_ne!(hash_of(&[b"onet", b"wo"]), hash_of(&[b"one", b"two"]));
        assert_ne!(hash_of(&[b"12345678"]), hash_of(&[b"12345679"]));
    }

    #[test]
    fn lines_of_other_keys_are_left_out() {
        let mut trace = Trace::new(true);
        for (event, key) in [(1, Some(1)), (2, Some(2)), (3, None)] {
            trace.line(TraceLine {
                event,
                cause: 0,
                at_ns: 5_000,
                node: Some(0),
                key,
                text: "happened".to_owned(),
            });
        }
        assert_eq!(last_lines(&trace.into_lines(), Some(2)).len(), 2);
        assert!(Trace::new(false).into_lines().is_empty());
    }
}
