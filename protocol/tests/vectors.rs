//! The bytes of the stored and the spoken formats never change: what an older version wrote is read by every later one.
//!
//! `vectors/` holds messages as JSON, readable and as bytes, and stored things as bytes alone; `vectors/README.md` says how
//! they are made and when they may change. The values are those of `samples`. Write the bytes of new files with
//! `KVORUM_WRITE_VECTORS=1 cargo test -p kvorum-protocol --test vectors`, which never changes a byte that is there.

mod readable;
mod samples;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use kvorum_protocol::Record;
use kvorum_protocol::codec::{Surplus, Tagged, decode, encode};
use kvorum_protocol::frame::{read_message, write_frame, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::mergeable::{Stamped, State};
use kvorum_protocol::message::{Greeting, Request, Response, TokenTerms};
use kvorum_ring::{ClassId, KeyHash, Layout};
use serde::Deserialize;

use crate::readable::{Readable, unhex};

/// The files of `samples::requests`, in order.
const REQUESTS: &[&str] = &[
    "put-request",
    "get-request",
    "delete-request",
    "list-request",
    "batch-put-request",
    "batch-get-request",
    "topology-request",
    "status-request",
    "diag-request",
    "repair-request",
    "repair-key-request",
    "hints-request",
    "why-request",
    "conflicts-request",
    "bucket-create-request",
    "bucket-set-request",
    "bucket-show-request",
    "bucket-list-request",
    "token-create-request",
    "token-list-request",
    "token-revoke-request",
    "update-request",
    "update-map-request",
];

/// The files of `samples::responses`, in order: an error of each code first.
const RESPONSES: &[&str] = &[
    "error-unavailable",
    "error-applied-below-w",
    "error-outcome-unknown",
    "error-overloaded",
    "error-bad-context",
    "error-no-such-bucket",
    "error-bucket-exists",
    "error-invalid-argument",
    "error-too-large",
    "error-too-many-siblings",
    "error-deadline-exceeded",
    "error-wrong-layout",
    "error-moved",
    "error-damaged",
    "error-not-allowed",
    "error-unsupported-version",
    "error-uncovered",
    "error-disk-full",
    "error-stopping",
    "error-unauthenticated",
    "error-forbidden",
    "error-no-such-token",
    "error-earlier-attempt-unknown",
    "error-clock-skew",
    "error-of-a-later-version",
    "done-response",
    "put-response",
    "get-response",
    "list-response",
    "batch-put-response",
    "batch-get-response",
    "topology-response",
    "status-response",
    "diag-response",
    "repair-response",
    "hints-response",
    "why-response",
    "conflicts-response",
    "buckets-response",
    "tokens-response",
    "update-response",
    "merged-response",
    "batch-merged-response",
];

/// The files of `samples::greetings`, in order.
const GREETINGS: &[&str] = &["hello", "welcome", "refused", "hello-with-token"];

/// The request id of every vector that is no greeting.
const REQUEST_ID: u64 = 258;

/// A message's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageVector {
    /// `greeting`, `request` or `response`: what the tag is looked up in.
    message: String,
    frame: Readable,
    hex: Vec<String>,
    surplus_hex: Vec<String>,
}

/// A layout and where some keys live in it.
#[derive(Deserialize)]
struct RoutingVector {
    layout_hex: Vec<String>,
    keys: Vec<RoutedKey>,
}

#[derive(Deserialize)]
struct RoutedKey {
    bucket: String,
    key_hex: String,
    hash: String,
    class: u8,
    partition: u32,
    owners: Vec<String>,
    fallbacks: Vec<String>,
}

/// Things that are stored, each in an encoding of its own.
fn stored_things() -> Vec<(&'static str, Vec<u8>)> {
    let mut record = Vec::new();
    samples::record().encode(&mut record);
    let states = samples::states();
    let mut things: Vec<(&str, Vec<u8>)> =
        states.iter().map(|(name, state)| (*name, state.encode().to_vec())).collect();
    things.extend([
        ("record-2", record),
        ("record-key-1", samples::record_key().to_index_bytes()),
        ("version-set-1", encode(&samples::version_set()).to_vec()),
        ("live-digest-1", samples::version_set().live_digest().0.to_be_bytes().to_vec()),
        ("context-1", samples::context().to_vec()),
        ("bucket-settings-1", samples::bucket_settings().settings.to_bytes().to_vec()),
        ("token-terms-2", encode(&samples::token_terms()).to_vec()),
        ("stamped-value-1", samples::stamped().encode().to_vec()),
    ]);
    things
}

fn path(name: &str, ending: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name).with_extension(ending)
}

fn text(name: &str, ending: &str) -> String {
    fs::read_to_string(path(name, ending)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn is_writing() -> bool {
    option_env!("KVORUM_WRITE_VECTORS").is_some()
}

/// Lines of 32 bytes.
fn hex_lines(bytes: &[u8]) -> Vec<String> {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(32).map(line).collect()
}

fn hex(bytes: &[u8]) -> String {
    hex_lines(bytes).iter().map(|line| format!("{line}\n")).collect()
}

fn stored(name: &str) -> Bytes {
    unhex(&text(name, "hex")).into()
}

fn message_vector(name: &str) -> MessageVector {
    serde_json::from_str(&text(name, "json")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Fills in the bytes of a file that was written by hand without them.
fn complete(name: &str) {
    let vector = message_vector(name);
    let mut text = text(name, "json");
    for (field, surplus, given) in
        [("hex", false, &vector.hex), ("surplus_hex", true, &vector.surplus_hex)]
    {
        if given.is_empty() {
            let lines = hex_lines(&framed(&vector.frame, surplus)).join("\",\n    \"");
            text = text.replacen(
                &format!("\"{field}\": []"),
                &format!("\"{field}\": [\n    \"{lines}\"\n  ]"),
                1,
            );
        }
    }
    fs::write(path(name, "json"), text).expect("written");
}

fn framed(frame: &Readable, surplus: bool) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, CLIENT_FRAME_BYTES, |writer| frame.write(surplus, writer)).expect("fits");
    out
}

/// A vector says the same in words, in bytes, and in the type that Rust has for it; with surplus fields, too.
fn check<M: Tagged + PartialEq + Debug>(
    kind: &str,
    name: &str,
    request_id: u64,
    sample: &M,
    plain: impl Fn(M) -> M,
) {
    let name = &format!("{name}-1");
    if is_writing() {
        complete(name);
    }
    let vector = message_vector(name);
    assert_eq!(vector.message, kind, "{name}");
    let mut written = Vec::new();
    write_message(&mut written, CLIENT_FRAME_BYTES, request_id, sample).expect("fits");
    assert_eq!(vector.hex, hex_lines(&written), "{name}: what is written has changed");
    assert_eq!(vector.hex, hex_lines(&framed(&vector.frame, false)), "{name}: words and bytes");
    let surplus = framed(&vector.frame, true);
    assert_eq!(vector.surplus_hex, hex_lines(&surplus), "{name}: words and bytes with a surplus");
    for bytes in [written, surplus] {
        let (id, read) = read_message::<M>(Bytes::from(bytes).slice(4..))
            .unwrap_or_else(|bad| panic!("{name}: {bad:?}"));
        assert_eq!((id, &plain(read)), (request_id, sample), "{name}");
    }
}

/// Settings of a later version are kept, because buckets are stored: they are taken off to compare.
fn plain_request(mut request: Request) -> Request {
    if let Request::BucketCreate(set) | Request::BucketSet(set) = &mut request {
        set.bucket.settings.surplus = Surplus::NONE;
    }
    request
}

fn plain_response(mut response: Response) -> Response {
    if let Response::Buckets(done) = &mut response {
        done.buckets.iter_mut().for_each(|bucket| bucket.settings.surplus = Surplus::NONE);
    }
    response
}

#[test]
fn every_message_is_written_and_read_as_its_vector_says() {
    let (requests, responses) = (samples::requests(), samples::responses());
    let greetings = samples::greetings();
    assert_eq!(REQUESTS.len(), requests.len(), "a file for each request");
    assert_eq!(RESPONSES.len(), responses.len(), "a file for each response");
    assert_eq!(GREETINGS.len(), greetings.len(), "a file for each greeting");
    for (name, sample) in REQUESTS.iter().zip(&requests) {
        check::<Request>("request", name, REQUEST_ID, sample, plain_request);
    }
    for (name, sample) in RESPONSES.iter().zip(&responses) {
        check::<Response>("response", name, REQUEST_ID, sample, plain_response);
    }
    for (name, sample) in GREETINGS.iter().zip(&greetings) {
        check::<Greeting>("greeting", name, 0, sample, |greeting| greeting);
    }
}

#[test]
fn a_key_is_found_in_a_layout_as_the_vector_says() {
    let vector: RoutingVector = serde_json::from_str(&text("routing-1", "json")).expect("a vector");
    let layout: Layout =
        rmp_serde::from_slice(&unhex(&vector.layout_hex.concat())).expect("a layout");
    assert!(vector.keys.len() >= 8);
    for key in vector.keys {
        let hash = KeyHash::of(key.bucket.as_bytes(), &unhex(&key.key_hex));
        assert_eq!(hex(&hash.to_bytes()).trim(), key.hash);
        assert_eq!(layout.partitions().partition_of(hash).0, key.partition);
        let preference = layout.preference_of(ClassId(key.class), hash).expect("a class");
        let owners: Vec<String> = preference.owners().map(|node| node.to_string()).collect();
        let fallbacks: Vec<String> = preference.fallbacks().map(|node| node.to_string()).collect();
        assert_eq!((owners, fallbacks), (key.owners, key.fallbacks));
    }
}

#[test]
fn what_is_stored_today_is_what_was_stored_when_the_format_was_new() {
    for (name, bytes) in stored_things() {
        if is_writing() && !path(name, "hex").exists() {
            fs::write(path(name, "hex"), hex(&bytes)).expect("written");
        }
        assert_eq!(hex(&stored(name)), hex(&bytes), "{name} has changed");
    }
}

#[test]
fn what_was_stored_when_the_format_was_new_is_read_today() {
    let bearing = Record { spare: false, ..samples::record() };
    assert_eq!(Record::decode(stored("record-1")), Ok(bearing));
    let opened =
        samples::KEYS.open(&samples::bucket(), &samples::key("greeting"), &stored("context-1"));
    assert_eq!(opened, Ok(samples::clock()));
    for (name, state) in samples::states() {
        assert_eq!(State::decode(stored(name)), Ok(state), "{name}");
    }
    assert_eq!(Stamped::decode(stored("stamped-value-1")), Ok(samples::stamped()));
    let without_limits = TokenTerms { in_flight: None, rate: None, ..samples::token_terms() };
    assert_eq!(decode(stored("token-terms-1")), Ok(without_limits));
}

#[test]
fn no_vector_is_forgotten() {
    let messages = REQUESTS.iter().chain(RESPONSES).chain(GREETINGS);
    let mut names: BTreeSet<String> = messages.map(|name| format!("{name}-1.json")).collect();
    names.extend(stored_things().iter().map(|(name, _)| format!("{name}.hex")));
    // What was stored before it was appended to.
    let others = ["README.md", "record-1.hex", "routing-1.json", "token-terms-1.hex"];
    names.extend(others.map(|name| name.to_owned()));
    let directory = fs::read_dir(path("x", "").with_file_name("")).expect("the directory");
    let found: BTreeSet<String> = directory
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, names);
}
