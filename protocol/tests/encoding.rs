//! What is written reads back, old bytes read with defaults, and newer bytes lose nothing that is stored.

mod samples;

use bytes::Bytes;
use kvorum_protocol::codec::{DecodeError, Reader, Tagged, WireFields, Writer, decode, encode};
use kvorum_protocol::frame::{read_message, write_message};
use kvorum_protocol::limits::{CLIENT_FRAME_BYTES, COPIED_SET_BYTES};
use kvorum_protocol::message::{
    ArgumentKind, BucketSettings, Greeting, Hello, OwnerCause, PutDone, Request, RequestError,
    RequestOptions, Response,
};
use kvorum_protocol::{
    Actor, Change, ContextError, EncodedSet, MergeRule, OperationId, Record, Replaces, VersionSet,
};
use proptest::prelude::{Strategy, any, prop, proptest};
use proptest::{prop_assert_eq, prop_oneof};

/// A message through a frame and back.
fn round_trip<M: Tagged + PartialEq + std::fmt::Debug>(message: &M) {
    let mut out = Vec::new();
    write_message(&mut out, CLIENT_FRAME_BYTES, 1 << 40, message).expect("fits a frame");
    let body = Bytes::from(out).slice(4..);
    let (request_id, read) =
        read_message::<M>(body).unwrap_or_else(|bad| panic!("{bad:?} of {message:?}"));
    assert_eq!((request_id, &read), (1 << 40, message));
}

#[test]
fn every_message_reads_back_as_it_was_written() {
    samples::requests().iter().for_each(round_trip::<Request>);
    samples::responses().iter().for_each(round_trip::<Response>);
    samples::greetings().iter().for_each(round_trip::<Greeting>);
}

#[test]
fn every_kind_of_message_has_a_sample_and_a_tag_of_its_own() {
    // What the samples do not contain, no test of the encoding sees.
    let tags = |tags: Vec<u32>| tags.into_iter().collect::<std::collections::BTreeSet<u32>>();
    let requests = tags(samples::requests().iter().map(Tagged::tag).collect());
    assert_eq!(requests, tags(known::<Request>()));
    let responses = tags(samples::responses().iter().map(Tagged::tag).collect());
    assert_eq!(responses, tags(known::<Response>()));
    let errors =
        tags(samples::errors().iter().map(Tagged::tag).filter(|tag| *tag != 200).collect());
    assert_eq!(errors, (1..=24).collect());
}

/// The tags below 256 that a type knows, found by asking it.
fn known<M: Tagged>() -> Vec<u32> {
    let is_known = |tag: &u32| {
        let mut reader = Reader::new(Bytes::from_static(&[0x90]));
        let mut fields = reader.open().expect("an empty array");
        !matches!(M::read_tagged(*tag, &mut reader, &mut fields), Err(DecodeError::UnknownTag(_)))
    };
    (0..256).filter(is_known).collect()
}

#[test]
fn stored_things_read_back_as_they_were_written() {
    let set = samples::version_set();
    assert_eq!(decode::<VersionSet>(encode(&set)), Ok(set.clone()));
    let record = samples::record();
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    assert_eq!(Record::decode(bytes.into()), Ok(record));
    let bucket = samples::bucket_settings();
    assert_eq!(BucketSettings::from_bytes(bucket.settings.to_bytes()), Ok(bucket.settings));
}

#[test]
fn an_encoded_set_is_written_as_it_arrived_and_holds_its_values_once() {
    let small = samples::version_set();
    let large = set_of(COPIED_SET_BYTES);
    for set in [small, large] {
        let encoded = EncodedSet::new(&set);
        assert_eq!(encoded.set(), &set);
        let frame = encoded.encoded().clone();
        let arrived = decode::<EncodedSet>(frame.clone()).expect("decodes");
        assert_eq!(arrived.encoded(), encoded.encoded());
        let range = arrived.encoded().as_ptr_range();
        for (_, version) in arrived.versions() {
            assert!(range.contains(&version.value.as_ptr()), "a value was copied");
        }
        let is_in_frame = range.contains(&frame.as_ptr());
        assert_eq!(is_in_frame, frame.len() > COPIED_SET_BYTES, "only a small set is copied");
        let detached = arrived.detached();
        assert_eq!(detached, arrived);
        assert!(!frame.as_ptr_range().contains(&detached.encoded().as_ptr()));
    }
}

fn set_of(value_bytes: usize) -> VersionSet {
    let change = Change::Value { bytes: vec![7; value_bytes].into(), expires_at_ms: None };
    let minted = VersionSet::empty().mint(Actor(1), Replaces::Nothing, change, OperationId(1));
    minted.expect("nothing is crowded").set
}

/// An encoded array with one more field, `[1, "?"]`, at its end.
fn with_surplus(encoded: &[u8]) -> Bytes {
    let (fields, head) = match encoded[0] {
        short @ 0x90..=0x9f => (u16::from(short & 0x0f), 1),
        0xdc => (u16::from_be_bytes([encoded[1], encoded[2]]), 3),
        other => panic!("{other:#x} begins no array"),
    };
    let mut longer = match fields + 1 {
        few @ 0..=15 => vec![0x90 | few as u8],
        many => [&[0xdc][..], &many.to_be_bytes()].concat(),
    };
    longer.extend_from_slice(&encoded[head..]);
    longer.extend_from_slice(&[0x92, 1, 0xa1, b'?']);
    longer.into()
}

#[test]
fn a_newer_writers_field_is_skipped_in_a_message() {
    for request in samples::requests() {
        assert_eq!(decode::<Request>(with_surplus(&encode(&request))), Ok(request));
    }
    for response in samples::responses() {
        assert_eq!(decode::<Response>(with_surplus(&encode(&response))), Ok(response));
    }
}

#[test]
fn a_newer_writers_field_is_kept_in_what_is_stored() {
    let set = with_surplus(&encode(&samples::version_set()));
    let read = decode::<VersionSet>(set.clone()).expect("decodes");
    assert_eq!(read.surplus().count(), 1);
    assert_eq!(encode(&read), set);

    let mut record = Vec::new();
    samples::record().encode(&mut record);
    let mut newer = vec![record[0]];
    newer.extend_from_slice(&with_surplus(&record[1..]));
    let read = Record::decode(newer.clone().into()).expect("decodes");
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(again, newer);

    let settings = with_surplus(&samples::bucket_settings().settings.to_bytes());
    assert_eq!(BucketSettings::from_bytes(settings.clone()).expect("decodes").to_bytes(), settings);
}

#[test]
fn a_newer_writers_field_of_a_version_survives_mint_and_merge() {
    let (dot, version) = samples::version_set().versions()[0].clone();
    let pair = with_surplus(&encode(&(dot, version)));
    let (dot, version) =
        decode::<(kvorum_protocol::Dot, kvorum_protocol::Version)>(pair).expect("decodes");
    let old = samples::version_set();
    let mut versions = old.versions().to_vec();
    versions[0] = (dot, version);
    let newer = VersionSet::from_parts(
        old.clock().clone(),
        versions,
        old.deletions().to_vec(),
        old.surplus().clone(),
    )
    .expect("valid");
    // A copy that went through an older writer, which it should not, loses against the one that kept the field.
    for merged in [newer.merge(&old), old.merge(&newer), newer.merge(&newer)] {
        assert_eq!(merged, newer);
    }
}

#[test]
fn a_field_of_any_msgpack_type_is_passed_over_whole() {
    let fields: [&[u8]; 24] = [
        &[0x05],
        &[0xe0],
        &[0xc0],
        &[0xc3],
        &[0xcc, 1],
        &[0xd1, 1, 2],
        &[0xce, 1, 2, 3, 4],
        &[0xd3, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xca, 1, 2, 3, 4],
        &[0xcb, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xa2, b'h', b'i'],
        &[0xd9, 1, b'x'],
        &[0xda, 0, 1, b'x'],
        &[0xdb, 0, 0, 0, 1, b'x'],
        &[0xc4, 2, 0, 0],
        &[0xc5, 0, 1, 0],
        &[0xc6, 0, 0, 0, 1, 0],
        &[0xdc, 0, 2, 0x91, 7, 0xc0],
        &[0xdd, 0, 0, 0, 1, 7],
        &[0x82, 1, 2, 3, 0x81, 4, 5],
        &[0xde, 0, 1, 1, 2],
        &[0xd4, 9, 0],
        &[0xd8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        &[0xc7, 2, 9, 0, 1],
    ];
    let set = encode(&samples::version_set());
    for field in fields {
        let mut newer = set.to_vec();
        newer[0] += 1;
        newer.extend_from_slice(field);
        let read = decode::<VersionSet>(newer.clone().into())
            .unwrap_or_else(|error| panic!("{error}: {field:x?}"));
        assert_eq!(read.surplus().encoded(), field);
        assert_eq!(encode(&read), newer);
        newer.pop();
        assert!(decode::<VersionSet>(newer.into()).is_err(), "cut short: {field:x?}");
    }
    // The one marker that msgpack never uses.
    let mut newer = set.to_vec();
    newer[0] += 1;
    newer.push(0xc1);
    assert_eq!(decode::<VersionSet>(newer.into()), Err(DecodeError::WrongType));
}

/// Writes only the first `count` fields.
fn cut_to<T: WireFields>(value: &T, count: u32) -> Bytes {
    let mut fields = Vec::new();
    value.write_fields(&mut Writer::new(&mut fields));
    let mut reader = Reader::new(fields.into());
    for _ in 0..count {
        reader.skip().expect("a field");
    }
    let mut out = Vec::new();
    Writer::new(&mut out).array(count);
    out.extend_from_slice(&reader.slice_from(0));
    out.into()
}

#[test]
fn an_older_writers_missing_fields_take_their_defaults() {
    let options = RequestOptions::new(samples::OPERATION);
    assert_eq!(decode(cut_to(&options, 1)), Ok(options.clone()));
    assert_eq!(decode::<RequestOptions>(cut_to(&options, 0)), Err(DecodeError::MissingField));

    let done = samples::put_done();
    assert_eq!(decode(cut_to(&done, 6)), Ok(PutDone { retry_checked: true, ..done.clone() }));
    assert_eq!(decode::<PutDone>(cut_to(&done, 5)), Err(DecodeError::MissingField));

    let hello = Hello::current();
    assert_eq!(decode(cut_to(&hello, 2)), Ok(hello));
}

#[test]
fn a_reason_of_a_later_version_is_still_an_error() {
    let later = Bytes::from_static(&[0x92, 0xcc, 250, 0xa1, b'?']);
    assert_eq!(decode(later.clone()), Ok(RequestError::Other(250)));
    assert_eq!(decode(later.clone()), Ok(ArgumentKind::Other(250)));
    assert_eq!(decode(later.clone()), Ok(OwnerCause::Other(250)));
    assert_eq!(decode(later.clone()), Ok(ContextError::Other(250)));
    // What must be understood to be acted on is refused instead.
    assert_eq!(decode::<Request>(later.clone()), Err(DecodeError::UnknownTag(250)));
    assert_eq!(decode::<MergeRule>(later), Err(DecodeError::UnknownTag(250)));
}

#[test]
fn an_unknown_request_can_be_answered_by_its_id() {
    let bad = read_message::<Request>(Bytes::from_static(&[0x92, 99, 42])).expect_err("unknown");
    assert_eq!((bad.request_id, bad.error), (Some(42), DecodeError::UnknownTag(99)));
    let bad = read_message::<Request>(Bytes::from_static(&[0x91, 10])).expect_err("no id");
    assert_eq!((bad.request_id, bad.error), (None, DecodeError::MissingField));
}

/// A request for one key with anything in it.
fn any_request() -> impl Strategy<Value = Request> {
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let key = prop::collection::vec(any::<u8>(), 1..40);
    let replaces = prop_oneof![
        prop::strategy::Just(kvorum_protocol::message::Replacing::Latest),
        prop::strategy::Just(kvorum_protocol::message::Replacing::Nothing),
        bytes.clone().prop_map(|bytes| kvorum_protocol::message::Replacing::Context {
            context: kvorum_protocol::Context::from_bytes(bytes)
        }),
    ];
    let numbers =
        (any::<u128>(), any::<Option<u8>>(), any::<bool>(), any::<u32>(), any::<Option<u64>>());
    (key, bytes, replaces, numbers).prop_map(
        |(key, value, replaces, (operation, r, strict, deadline_ms, expiry))| {
            let operation = kvorum_protocol::OperationId(operation);
            let options =
                RequestOptions { r, strict, deadline_ms, ..RequestOptions::new(operation) };
            Request::Put(kvorum_protocol::message::Put {
                bucket: samples::bucket(),
                key: kvorum_protocol::Key::new(key).expect("1 to 40 bytes"),
                value: value.into(),
                replaces,
                options,
                expires_at_ms: expiry,
            })
        },
    )
}

proptest! {
    #[test]
    fn any_put_reads_back_as_it_was_written(request in any_request()) {
        prop_assert_eq!(decode::<Request>(encode(&request)), Ok(request));
    }

    #[test]
    fn any_number_takes_its_shortest_form_and_reads_back(number in any::<u64>(), shift in 0u32..64) {
        let number = number >> shift;
        let encoded = encode(&number);
        let expected = match number {
            0..=0x7f => 1,
            0x80..=0xff => 2,
            0x100..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            _ => 9,
        };
        prop_assert_eq!(encoded.len(), expected);
        prop_assert_eq!(decode::<u64>(encoded), Ok(number));
    }

    #[test]
    fn any_number_is_read_in_every_form_that_holds_it(number in any::<i64>(), shift in 0u32..63) {
        let number = number >> shift;
        let mut forms = vec![[&[0xd3][..], &number.to_be_bytes()].concat()];
        if let Ok(small) = i32::try_from(number) {
            forms.push([&[0xd2][..], &small.to_be_bytes()].concat());
        }
        if let Ok(small) = i16::try_from(number) {
            forms.push([&[0xd1][..], &small.to_be_bytes()].concat());
        }
        if let Ok(small) = i8::try_from(number) {
            forms.push([&[0xd0][..], &small.to_be_bytes()].concat());
        }
        if number >= 0 {
            forms.push([&[0xcf][..], &number.to_be_bytes()].concat());
        }
        let expected = u64::try_from(number).map_err(|_| DecodeError::OutOfRange);
        for form in forms {
            prop_assert_eq!(decode::<u64>(form.into()), expected);
        }
    }
}
