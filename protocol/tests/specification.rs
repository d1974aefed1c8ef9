//! The specification says what the code does, where a machine can tell: its codes, its limits, its worked example.

use std::fs;
use std::path::PathBuf;

use kvorum_protocol::codec::{Reader, Tagged};
use kvorum_protocol::limits;
use kvorum_protocol::message::RequestError;

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The codes that this version knows: of any other, decoding makes `Other`.
fn codes() -> Vec<u32> {
    let is_known = |code: &u32| {
        let mut reader = Reader::new(bytes::Bytes::from_static(&[0x90]));
        let mut fields = reader.open().expect("an empty array");
        !matches!(
            RequestError::read_tagged(*code, &mut reader, &mut fields),
            Ok(RequestError::Other(_))
        )
    };
    (0..256).filter(is_known).collect()
}

#[test]
fn every_error_code_has_a_row_of_its_own() {
    let text = read("README.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("| code | error |"));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let told: Vec<u32> = rows
        .map(|row| row.split('|').nth(1).expect("a cell").trim().parse().expect("a code"))
        .collect();
    assert_eq!(told, codes());
}

#[test]
fn limits_are_told_as_they_are() {
    let text = read("README.md");
    let with_commas = |number: usize| {
        let digits = number.to_string();
        let groups: Vec<&str> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(|group| std::str::from_utf8(group).unwrap())
            .collect();
        groups.join(",")
    };
    for row in [
        format!("at most {} (16 MiB)", with_commas(limits::CLIENT_FRAME_BYTES)),
        format!("| nesting of arrays | {} |", limits::DEPTH),
        format!("| bucket name | 1 to {} bytes |", limits::BUCKET_NAME_BYTES),
        format!("| key | 1 to {} bytes |", with_commas(limits::KEY_BYTES)),
        format!("| value | {} MiB |", limits::INLINE_VALUE_BYTES >> 20),
        format!(
            "| siblings of a key | {}, or {} MiB |",
            limits::SIBLINGS,
            limits::SIBLING_BYTES >> 20
        ),
        format!("| context | {} MiB |", limits::CONTEXT_BYTES >> 20),
        format!("| batch | 1 to {} items |", with_commas(limits::BATCH_ITEMS)),
        format!(
            "1 to {} keys, and {} MiB of keys",
            with_commas(limits::LIST_PAGE_ITEMS),
            limits::LIST_PAGE_BYTES >> 20
        ),
        format!("| deadline | 1 to {} ms |", with_commas(limits::DEADLINE_MAX_MS as usize)),
        format!(
            "{} s, and {} later writes",
            limits::RETRY_WINDOW_MS / 1_000,
            limits::SUPERSEDED_IDS
        ),
        format!("| buckets | {} |", with_commas(limits::BUCKETS)),
    ] {
        assert!(text.contains(&row), "the specification lacks: {row}");
    }
}

#[test]
fn the_worked_example_is_the_file_and_is_short() {
    let example = read("examples/minimal.py");
    assert!(example.lines().count() <= 60, "a client of sixty lines");
    assert!(read("README.md").contains(&example), "README.md holds another version of the example");
}
