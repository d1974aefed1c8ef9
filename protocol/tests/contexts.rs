//! A context opens for the key it was made for, in the cluster that made it, unaltered; and for nothing else.

mod samples;

use kvorum_protocol::limits::CONTEXT_BYTES;
use kvorum_protocol::{Clock, Context, ContextError, ContextKeys};

#[test]
fn a_context_opens_to_the_clock_it_was_sealed_with() {
    let (bucket, key) = (samples::bucket(), samples::key("greeting"));
    for clock in [Clock::EMPTY, samples::clock()] {
        let context = samples::KEYS.seal(&bucket, &key, &clock);
        assert_eq!(samples::KEYS.open(&bucket, &key, &context), Ok(clock));
        assert_eq!(context.to_string().parse::<Context>(), Ok(context));
    }
}

#[test]
fn any_altered_bit_is_noticed() {
    let context = samples::context();
    for at in 0..context.len() {
        for bit in 0..8 {
            let mut altered = context.to_vec();
            altered[at] ^= 1 << bit;
            let expected = if at == 0 { ContextError::Version } else { ContextError::Tag };
            let opened =
                samples::KEYS.open(&samples::bucket(), &samples::key("greeting"), &altered);
            assert_eq!(opened, Err(expected), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn another_key_or_bucket_is_refused() {
    let context = samples::context();
    let open = |bucket: &str, key: &str| {
        samples::KEYS.open(&bucket.parse().expect("a name"), &samples::key(key), &context)
    };
    assert!(open("default", "greeting").is_ok());
    assert_eq!(open("default", "greetings"), Err(ContextError::Key));
    assert_eq!(open("other", "greeting"), Err(ContextError::Key));
    assert_eq!(open("defaultg", "reeting"), Err(ContextError::Key));
}

#[test]
fn the_previous_cluster_key_still_opens_and_an_older_one_does_not() {
    let open = |keys: ContextKeys| {
        keys.open(&samples::bucket(), &samples::key("greeting"), &samples::context())
    };
    let sealed_with = samples::KEYS.current;
    assert!(open(ContextKeys { current: [1; 32], previous: Some(sealed_with) }).is_ok());
    assert_eq!(
        open(ContextKeys { current: [2; 32], previous: Some([1; 32]) }),
        Err(ContextError::Tag)
    );
    assert_eq!(open(ContextKeys { current: [2; 32], previous: None }), Err(ContextError::Tag));
}

#[test]
fn what_is_no_context_is_refused_whatever_its_length() {
    let open =
        |bytes: &[u8]| samples::KEYS.open(&samples::bucket(), &samples::key("greeting"), bytes);
    let context = samples::context();
    for end in 0..33 {
        assert_eq!(open(&context[..end]), Err(ContextError::Malformed), "{end} bytes");
    }
    for end in 33..context.len() {
        assert_eq!(open(&context[..end]), Err(ContextError::Tag), "{end} bytes");
    }
    assert_eq!(open(&vec![1; CONTEXT_BYTES + 1]), Err(ContextError::Malformed));
    for text in ["0", "0g", "ä"] {
        assert_eq!(text.parse::<Context>(), Err(ContextError::Malformed), "{text}");
    }
}

#[test]
fn the_cluster_keys_are_never_printed() {
    assert_eq!(format!("{:?}", samples::KEYS), "ContextKeys { .. }");
}
