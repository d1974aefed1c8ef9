//! Frames that lie, and frames that are right but must be refused.

use bytes::Bytes;
use kvorum_protocol::codec::Tagged;
use kvorum_protocol::frame::write_message;
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{Get, Greeting, Hello, Put, Replacing, RequestOptions};
use kvorum_protocol::{AccessToken, Context, Key, OperationId, Request, TokenId};
use rand::RngExt;
use rand::rngs::StdRng;

/// A bucket that does not exist, with a name from which a few flipped bits do not lead to one that does.
const NOWHERE: &str = "a-bucket-that-nobody-has-made";

/// A message as a frame.
pub(super) fn frame<M: Tagged>(request_id: u64, message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, CLIENT_FRAME_BYTES, request_id, message).expect("short enough");
    out
}

/// A greeting as it should be.
pub(super) fn hello() -> Vec<u8> {
    frame(0, &Greeting::Hello(Hello::current()))
}

/// A greeting in versions that nobody speaks.
pub(super) fn hello_of_another_version(draws: &mut StdRng) -> Vec<u8> {
    let protocol_min = draws.random_range(2..u16::MAX);
    frame(0, &Greeting::Hello(Hello { protocol_min, protocol_max: u16::MAX, ..Hello::current() }))
}

/// A token that nobody was given.
pub(super) fn guessed_token(draws: &mut StdRng) -> AccessToken {
    AccessToken::new(TokenId(draws.random()), draws.random())
}

/// A greeting with a token.
pub(super) fn hello_with(token: &AccessToken) -> Vec<u8> {
    frame(0, &Greeting::Hello(Hello::current().with_token(token)))
}

/// The beginning of a frame of the greatest length, with a part of it.
pub(super) fn heavy(draws: &mut StdRng) -> Vec<u8> {
    let part = vec![0xc0; draws.random_range(0..4 << 20)];
    with_length(CLIENT_FRAME_BYTES as u32, &part)
}

/// A put that is carried out for whoever may put.
pub(super) fn latest(request_id: u64, bucket: &str, key: &[u8]) -> Vec<u8> {
    frame(request_id, &Request::Put(put_request(bucket, key, 64, Replacing::Latest)))
}

/// A put that would be carried out if its context were right.
pub(super) fn put(request_id: u64, bucket: &str, key: &[u8], context: Bytes) -> Vec<u8> {
    let context = Context::from_bytes(context);
    frame(request_id, &Request::Put(put_request(bucket, key, 64, Replacing::Context { context })))
}

fn put_request(bucket: &str, key: &[u8], bytes: usize, replaces: Replacing) -> Put {
    Put {
        bucket: bucket.parse().expect("a name"),
        key: Key::new(key.to_vec()).expect("a key"),
        value: vec![b'!'; bytes].into(),
        replaces,
        options: RequestOptions::new(OperationId(u128::from_be_bytes(*b"hostile client's"))),
        expires_at_ms: None,
    }
}

/// A read.
pub(super) fn get(request_id: u64, bucket: &str, key: &[u8]) -> Vec<u8> {
    let (bucket, key) = (bucket.parse().expect("a name"), Key::new(key.to_vec()).expect("a key"));
    let options = RequestOptions::new(OperationId(1));
    frame(request_id, &Request::Get(Get { bucket, key, options }))
}

/// Bytes behind a greeting that no node should carry out.
pub(super) fn nonsense(draws: &mut StdRng) -> Vec<u8> {
    let size = 1 << draws.random_range(0..17);
    let nowhere = frame(9, &Request::Put(put_request(NOWHERE, b"key", size, Replacing::Latest)));
    match draws.random_range(0..8) {
        0 => random(draws, 4_096),
        1 => with_length(draws.random_range(CLIENT_FRAME_BYTES as u32 + 1..=u32::MAX), &[0x9a; 64]),
        2 => with_own_length(&vec![0x91; draws.random_range(17..200_000)]),
        3 => with_own_length(&[&[0x92, 10, 5][..], &lying_length(draws)].concat()),
        4 => flipped(nowhere, draws),
        5 => nowhere[..draws.random_range(1..nowhere.len())].to_vec(),
        6 => nowhere.repeat(draws.random_range(2..50).min(1 + (1 << 20) / nowhere.len())),
        _ => with_own_length(&random(draws, 1 << 16)),
    }
}

/// The beginning of something that says to be longer than memory.
fn lying_length(draws: &mut StdRng) -> Vec<u8> {
    let tag: u8 = [0xc6, 0xc9, 0xdb, 0xdd, 0xdf, 0xcf, 0xd3][draws.random_range(0..7)];
    [&[tag][..], &u64::MAX.to_be_bytes(), &random(draws, 32)].concat()
}

fn random(draws: &mut StdRng, longest: usize) -> Vec<u8> {
    let mut bytes = vec![0; draws.random_range(1..longest)];
    draws.fill(&mut bytes[..]);
    bytes
}

fn flipped(mut bytes: Vec<u8>, draws: &mut StdRng) -> Vec<u8> {
    for _ in 0..draws.random_range(1..5) {
        let position = draws.random_range(4..bytes.len());
        bytes[position] ^= 1 << draws.random_range(0..8);
    }
    bytes
}

fn with_own_length(body: &[u8]) -> Vec<u8> {
    with_length(body.len() as u32, body)
}

fn with_length(length: u32, body: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], body].concat()
}
