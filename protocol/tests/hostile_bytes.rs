//! Cut, altered and oversized bytes are refused: no panic, and no memory for lengths that the frame cannot hold.

mod samples;

use bytes::Bytes;
use kvorum_protocol::codec::{DecodeError, Invalid, Tagged, Wire, Writer, decode, encode};
use kvorum_protocol::frame::{FrameDecoder, FrameError, read_message, write_frame, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{Greeting, Request, Response};
use kvorum_protocol::{Actor, Clock, EncodedSet, Record, VersionSet};

/// Whether the bytes can be read.
type Reads = fn(Bytes) -> bool;

/// Everything that is decoded from outside, as a reader of bytes and a valid input.
fn readers() -> Vec<(Reads, Bytes)> {
    let mut readers: Vec<(Reads, Bytes)> = Vec::new();
    readers.extend(samples::requests().iter().map(|one| (reads::<Request> as Reads, body(one))));
    readers.extend(samples::responses().iter().map(|one| (reads::<Response> as Reads, body(one))));
    readers.extend(samples::greetings().iter().map(|one| (reads::<Greeting> as Reads, body(one))));
    let mut record = Vec::new();
    samples::record().encode(&mut record);
    readers.push((|bytes| Record::decode(bytes).is_ok(), record.into()));
    readers.push((|bytes| EncodedSet::decode(bytes).is_ok(), encode(&samples::version_set())));
    readers.push((|bytes| decode::<Clock>(bytes).is_ok(), encode(&samples::clock())));
    readers
}

fn reads<M: Tagged>(body: Bytes) -> bool {
    read_message::<M>(body).is_ok()
}

fn body<M: Tagged>(message: &M) -> Bytes {
    let mut out = Vec::new();
    write_message(&mut out, CLIENT_FRAME_BYTES, 7, message).expect("fits a frame");
    Bytes::from(out).slice(4..)
}

#[test]
fn every_prefix_and_every_longer_input_is_refused() {
    for (reads, valid) in readers() {
        assert!(reads(valid.clone()));
        for end in 0..valid.len() {
            assert!(
                !reads(valid.slice(..end)),
                "{end} of {} bytes were taken for whole",
                valid.len()
            );
        }
        let mut longer = valid.to_vec();
        longer.push(0xc0);
        assert!(!reads(longer.into()), "trailing bytes were not noticed");
    }
}

#[test]
fn any_altered_byte_is_read_without_a_panic() {
    for (reads, valid) in readers() {
        for at in 0..valid.len() {
            // Every msgpack marker once, which covers all lengths and types in that place.
            for byte in 0..=255u8 {
                let mut altered = valid.to_vec();
                altered[at] = byte;
                reads(altered.into());
            }
        }
    }
}

/// Heads of values that claim 2^32 - 1 of something.
const HUGE: [&[u8]; 4] = [
    &[0xdd, 0xff, 0xff, 0xff, 0xff], // array
    &[0xc6, 0xff, 0xff, 0xff, 0xff], // bytes
    &[0xdb, 0xff, 0xff, 0xff, 0xff], // text
    &[0xdf, 0xff, 0xff, 0xff, 0xff], // map
];

#[test]
fn a_length_beyond_the_frame_is_refused_wherever_it_stands() {
    for (reads, valid) in readers() {
        for at in 0..valid.len() {
            for huge in HUGE {
                let mut altered = valid[..at].to_vec();
                altered.extend_from_slice(huge);
                altered.extend_from_slice(&valid[at..]);
                reads(altered.into());
            }
        }
    }
    let beyond =
        |head: &'static [u8]| decode::<Vec<u64>>(Bytes::from_static(head)).expect_err("too long");
    assert_eq!(beyond(HUGE[0]), DecodeError::BeyondFrame);
    assert_eq!(decode::<Bytes>(Bytes::from_static(HUGE[1])), Err(DecodeError::BeyondFrame));
    assert_eq!(decode::<String>(Bytes::from_static(HUGE[2])), Err(DecodeError::BeyondFrame));
}

#[test]
fn deep_nesting_is_refused_in_known_and_in_unknown_fields() {
    // A thousand arrays in each other, as a value and as a field that no version knows.
    let deep = [vec![0x91; 1_000], vec![0xc0]].concat();
    let mut surplus = encode(&samples::version_set()).to_vec();
    surplus[0] += 1;
    surplus.extend_from_slice(&deep);
    assert_eq!(decode::<VersionSet>(surplus.into()), Err(DecodeError::TooDeep));
    let mut surplus = vec![0x92, 7];
    surplus.extend_from_slice(&deep);
    assert_eq!(
        decode::<kvorum_protocol::message::BucketSettings>(deep.into()),
        Err(DecodeError::WrongType)
    );
    assert!(decode::<kvorum_protocol::message::RequestError>(surplus.into()).is_err());
}

#[test]
fn a_set_that_breaks_its_invariants_is_refused() {
    let set = |clock: &[u64], dots: &[(u64, u64)]| {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.array(3);
        writer.array(clock.len() as u32);
        clock.iter().for_each(|number| writer.uint(*number));
        writer.array(dots.len() as u32);
        for (actor, counter) in dots {
            writer.array(6);
            writer.uint(*actor);
            writer.uint(*counter);
            samples::OPERATION.write(&mut writer);
            writer.bytes(&[]);
            writer.bytes(b"value");
            writer.nil();
        }
        writer.array(0);
        decode::<VersionSet>(out.into())
    };
    assert!(set(&[1, 2, 5, 1], &[(1, 2), (5, 1)]).is_ok());
    let refused = |result: Result<VersionSet, DecodeError>| match result {
        Err(DecodeError::Invalid(invalid)) => invalid,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(set(&[5, 1, 1, 2], &[])), Invalid::ClockOrder);
    assert_eq!(refused(set(&[1, 2, 1, 3], &[])), Invalid::ClockOrder);
    assert_eq!(refused(set(&[1, 0], &[])), Invalid::Counter);
    assert_eq!(refused(set(&[1, u64::MAX], &[])), Invalid::Counter);
    assert_eq!(refused(set(&[1, 2, 5, 1], &[(5, 1), (1, 2)])), Invalid::DotOrder);
    assert_eq!(refused(set(&[1, 2], &[(1, 2), (1, 2)])), Invalid::DotOrder);
    assert_eq!(refused(set(&[1, 2], &[(1, 3)])), Invalid::UncoveredDot);
    assert_eq!(set(&[1, 2, 5], &[]), Err(DecodeError::MissingField));
    assert_eq!(Clock::of([(Actor(1), 0)]), Clock::EMPTY);
}

#[test]
fn frames_come_out_whole_however_the_stream_is_cut() {
    let mut stream = Vec::new();
    let bodies: [&[u8]; 3] = [b"one", b"", b"three and more"];
    for body in bodies {
        write_frame(&mut stream, 100, |writer| writer.encoded(body)).expect("fits");
    }
    for step in 1..stream.len() {
        let mut decoder = FrameDecoder::new(100);
        let mut frames = Vec::new();
        for piece in stream.chunks(step) {
            decoder.buffer().extend_from_slice(piece);
            while let Some(frame) = decoder.next_frame().expect("within the limit") {
                frames.push(frame);
            }
        }
        assert_eq!(frames, bodies);
        assert!(decoder.is_between_frames());
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
    let mut decoder = FrameDecoder::new(100);
    decoder.buffer().extend_from_slice(&u32::MAX.to_be_bytes());
    let refused = Err(FrameError::TooLong { length: u32::MAX as usize, limit: 100 });
    assert_eq!(decoder.next_frame(), refused);
    assert_eq!(decoder.next_frame(), refused);
    assert!(decoder.buffer().capacity() < 1_000, "memory was taken for a frame that is refused");

    let mut out = b"before".to_vec();
    let refused = write_frame(&mut out, 4, |writer| writer.encoded(b"12345"));
    assert_eq!(refused, Err(FrameError::TooLong { length: 5, limit: 4 }));
    assert_eq!(out, b"before");
}
