//! The specification says what the code does, where a machine can tell: its codes, its fields, its limits, its examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use kvorum_protocol::ContextError;
use kvorum_protocol::codec::{Reader, Tagged, Wire, decode, encode};
use kvorum_protocol::frame::write_message;
use kvorum_protocol::limits;
use kvorum_protocol::message::{
    AccessRefusal, ArgumentKind, Greeting, Hello, LimitKind, OwnerCause, RequestError,
};
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
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

/// The kinds of a choice that has no fields, as `1 Unreachable`: those that decoding does not make `Other`.
fn kinds<T: Tagged + Wire + std::fmt::Debug>() -> Vec<String> {
    let kind = |tag: u8| match decode::<T>(encode(&vec![u64::from(tag)])) {
        Ok(kind) => Some(format!("{tag} {kind:?}")).filter(|kind| !kind.contains("Other(")),
        Err(error) => panic!("{tag}: {error}"),
    };
    (0..=u8::MAX).filter_map(kind).collect()
}

#[test]
fn every_reason_of_an_error_is_told_with_its_tag() {
    let text = read("README.md");
    for (choice, kinds) in [
        ("OwnerCause", kinds::<OwnerCause>()),
        ("ContextReason", kinds::<ContextError>()),
        ("Argument", kinds::<ArgumentKind>()),
        ("Limit", kinds::<LimitKind>()),
        ("AccessRefusal", kinds::<AccessRefusal>()),
    ] {
        let (_, entry) = text.split_once(&format!("\n- **{choice}**: ")).expect("an entry");
        let entry = entry.split("\n- ").next().expect("its text").replace("\n  ", " ");
        assert!(kinds.len() >= 4, "{choice}: only {kinds:?}");
        for kind in kinds {
            assert!(entry.contains(&kind), "the specification lacks {kind} of {choice}");
        }
    }
}

/// The names of a message's fields, at every level.
fn add_names(frame: &Value, names: &mut BTreeSet<String>) {
    match frame {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            names.insert(name.clone());
            add_names(value, names);
        }),
        Value::Array(elements) => elements.iter().for_each(|element| add_names(element, names)),
        _ => {}
    }
}

#[test]
fn every_field_of_a_golden_message_is_told() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path("vectors")).expect("the vectors") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let vector = fs::read_to_string(&path).expect("a vector");
            let vector: Value = serde_json::from_str(&vector).expect("JSON");
            add_names(&vector["frame"], &mut names);
        }
    }
    let text = read("README.md");
    let is_told = |name: &String| {
        [format!("`{name}`"), format!("`{name}: "), format!("[{name}: "), format!(", {name}: ")]
            .iter()
            .any(|words| text.contains(words))
    };
    // Every message and choice begins with these; section 3 draws them.
    for head in ["tag", "request_id"] {
        assert!(names.remove(head), "{head}");
    }
    assert!(names.len() > 80, "only {} names: are these the vectors?", names.len());
    let missing: Vec<&String> = names.iter().filter(|name| !is_told(name)).collect();
    assert!(missing.is_empty(), "the specification lacks the fields {missing:?}");
}

#[test]
fn the_first_frame_is_told_byte_by_byte() {
    let mut frame = Vec::new();
    let hello = Greeting::Hello(Hello::current());
    write_message(&mut frame, limits::HELLO_BYTES, 0, &hello).expect("fits");
    let bytes: Vec<String> = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    let told = format!("{}  {}", bytes[..4].join(" "), bytes[4..].join(" "));
    assert!(read("README.md").contains(&told), "the specification lacks: {told}");
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
        format!("limit of its own below | {} elements |", with_commas(limits::LIST_ITEMS)),
        format!("| a text | {} MiB |", limits::TEXT_BYTES >> 20),
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
        format!("from one connection | {} |", with_commas(limits::REQUESTS_IN_FLIGHT)),
        format!("at most {} requests of one connection", with_commas(limits::REQUESTS_IN_FLIGHT)),
        format!("as it is stored | {} MiB |", limits::INLINE_VALUE_BYTES >> 20),
        format!("| element of a set | {} bytes |", with_commas(limits::ELEMENT_BYTES)),
        format!("| name of a field | 1 to {} bytes |", limits::FIELD_NAME_BYTES),
        format!("one operation names | 1 to {} |", with_commas(limits::OPERATION_ITEMS)),
        format!("fields of a map | {} |", with_commas(limits::SET_ELEMENTS)),
        format!("ids of the last {} operations", with_commas(limits::UNFOLDED_INCREMENTS)),
        format!("an equal share, and {} at least; a set", limits::REMEMBERED_EVENTS),
        format!("those of the last {} of each.", limits::REMEMBERED_EVENTS),
    ] {
        assert!(text.contains(&row), "the specification lacks: {row}");
    }
}

#[test]
fn the_worked_example_is_the_file_and_is_short() {
    let example = read("examples/minimal.py");
    for client in [&example, &read("examples/minimal.rb")] {
        assert!(client.lines().count() <= 60, "a client of sixty lines");
    }
    assert!(read("README.md").contains(&example), "README.md holds another version of the example");
}
