//! The cases as they stand in their file, and the line that says where the cluster is.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

/// The file.
#[derive(serde::Deserialize)]
pub(crate) struct Cases {
    pub(crate) cases: Vec<Case>,
}

/// One guarantee, and the steps that show it.
#[derive(serde::Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// One request, or one thing that happens to nodes.
#[derive(serde::Deserialize)]
pub(crate) struct Step {
    pub(crate) op: String,
    pub(crate) bucket: Option<String>,
    #[serde(flatten)]
    pub(crate) write: Item,
    pub(crate) prefix: Option<String>,
    pub(crate) limit: Option<u32>,
    pub(crate) keys: Option<Vec<String>>,
    pub(crate) items: Option<Vec<Item>>,
    pub(crate) frame: Option<Value>,
    /// An operation on a mergeable value, as it stands on the wire.
    pub(crate) change: Option<Value>,
    /// Of a bucket that is made.
    pub(crate) rule: Option<u64>,
    pub(crate) r: Option<u8>,
    pub(crate) w: Option<u8>,
    #[serde(default)]
    pub(crate) strict: bool,
    #[serde(default)]
    pub(crate) retry: bool,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) operation: Option<String>,
    pub(crate) times: Option<usize>,
    pub(crate) save: Option<String>,
    /// An access token to show, over a connection of the step's own.
    pub(crate) token: Option<String>,
    /// What is expected may take a moment: nodes tell each other of it.
    #[serde(default)]
    pub(crate) eventually: bool,
    pub(crate) expect: Option<Expected>,
}

/// What is written where, and in place of what.
#[derive(serde::Deserialize)]
pub(crate) struct Item {
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
    pub(crate) replaces: Option<String>,
    #[serde(default)]
    pub(crate) alter: bool,
}

/// What is to come of a step.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) error: Option<Vec<u32>>,
    pub(crate) detail: Option<u32>,
    pub(crate) within_ms: Option<u64>,
    pub(crate) values: Option<Vec<String>>,
    pub(crate) count: Option<usize>,
    pub(crate) context: Option<bool>,
    pub(crate) complete: Option<bool>,
    pub(crate) replaced: Option<usize>,
    pub(crate) acked_owners: Option<u8>,
    pub(crate) retry_checked: Option<bool>,
    pub(crate) outcomes: Option<Vec<Expected>>,
    pub(crate) keys: Option<Vec<String>>,
    pub(crate) siblings: Option<Vec<u32>>,
    /// A mergeable value as it stands on the wire; null is none.
    #[serde(default, deserialize_with = "even_null")]
    pub(crate) merged: Option<Value>,
}

/// A field that is there, whatever it is.
fn even_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

/// What `kv dev --json` says when its cluster is ready.
#[derive(serde::Deserialize)]
pub(crate) struct Ready {
    pub(crate) endpoints: Vec<String>,
    pub(crate) nodes: Vec<ReadyNode>,
}

/// One of its nodes.
#[derive(serde::Deserialize)]
pub(crate) struct ReadyNode {
    pub(crate) id: String,
    pub(crate) pid: u32,
    #[serde(flatten)]
    _rest: BTreeMap<String, Value>,
}

/// The bytes that a case's string stands for: `bytes:TEXT`, `hex:DIGITS`, `repeat:COUNT:DIGITS`.
pub(crate) fn value_of(text: &str) -> Bytes {
    let (kind, rest) = text.split_once(':').expect("a kind of value");
    match kind {
        "bytes" => Bytes::copy_from_slice(rest.as_bytes()),
        "hex" => unhex(rest).into(),
        "repeat" => {
            let (count, digits) = rest.split_once(':').expect("a count");
            unhex(digits).repeat(count.parse().expect("a number")).into()
        }
        _ => panic!("an unknown kind of value: {text}"),
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hex digit") as u8;
    digits.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
