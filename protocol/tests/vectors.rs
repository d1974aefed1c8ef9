//! The bytes of the stored and the spoken formats never change: what an older version wrote is read by every later one.
//!
//! Each file in `vectors/` holds one encoding in hex. The values are those of `samples`. Write new files with
//! `KVORUM_WRITE_VECTORS=1 cargo test -p kvorum-protocol --test vectors`, which never overwrites one; see
//! `vectors/README.md` for when a file may change.

mod samples;

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use kvorum_protocol::Record;
use kvorum_protocol::codec::encode;
use kvorum_protocol::frame::{read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{Greeting, Request, Response};

fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let framed = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    let request = |message: Request| {
        framed(&|out| write_message(out, CLIENT_FRAME_BYTES, 258, &message).expect("fits"))
    };
    let response = |message: Response| {
        framed(&|out| write_message(out, CLIENT_FRAME_BYTES, 258, &message).expect("fits"))
    };
    let greeting = |message: &Greeting| {
        framed(&|out| write_message(out, CLIENT_FRAME_BYTES, 0, message).expect("fits"))
    };
    vec![
        ("record-1", framed(&|out| samples::record().encode(out))),
        ("record-key-1", samples::record_key().to_index_bytes()),
        ("version-set-1", encode(&samples::version_set()).to_vec()),
        ("live-digest-1", samples::version_set().live_digest().0.to_be_bytes().to_vec()),
        ("context-1", samples::context().to_vec()),
        ("bucket-settings-1", samples::bucket_settings().settings.to_bytes().to_vec()),
        ("hello-1", greeting(&samples::greetings()[0])),
        ("welcome-1", greeting(&samples::greetings()[1])),
        ("put-request-1", request(samples::put())),
        ("put-response-1", response(Response::Put(samples::put_done()))),
        ("get-request-1", request(samples::get())),
        ("get-response-1", response(Response::Get(samples::get_done()))),
        ("error-response-1", response(Response::Error { error: samples::errors()[0].clone() })),
    ]
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name).with_extension("hex")
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
    lines.collect()
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn stored(name: &str) -> Bytes {
    unhex(&fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
}

#[test]
fn what_is_written_today_is_what_was_written_when_the_format_was_new() {
    for (name, bytes) in vectors() {
        if option_env!("KVORUM_WRITE_VECTORS").is_some() && !path(name).exists() {
            fs::write(path(name), hex(&bytes)).expect("written");
        }
        assert_eq!(hex(&stored(name)), hex(&bytes), "{name} has changed");
    }
}

#[test]
fn what_was_written_when_the_format_was_new_is_read_today() {
    assert_eq!(Record::decode(stored("record-1")), Ok(samples::record()));
    let body = stored("put-request-1").slice(4..);
    assert_eq!(read_message::<Request>(body), Ok((258, samples::put())));
    let body = stored("get-response-1").slice(4..);
    assert_eq!(read_message::<Response>(body), Ok((258, Response::Get(samples::get_done()))));
    let opened =
        samples::KEYS.open(&samples::bucket(), &samples::key("greeting"), &stored("context-1"));
    assert_eq!(opened, Ok(samples::clock()));
}

#[test]
fn no_vector_is_forgotten() {
    let mut names: Vec<String> = vectors().iter().map(|(name, _)| format!("{name}.hex")).collect();
    names.push("README.md".to_owned());
    names.sort();
    let directory = fs::read_dir(path("x").with_file_name("")).expect("the directory");
    let mut found: Vec<String> = directory
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, names);
}
