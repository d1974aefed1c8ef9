//! Names are valid or refused, and the order of index bytes is the order of record keys.

mod samples;

use bytes::Bytes;
use kvorum_protocol::codec::{Invalid, decode, encode};
use kvorum_protocol::limits::{BUCKET_NAME_BYTES, KEY_BYTES};
use kvorum_protocol::{BucketName, Key, RecordKey, Space};
use kvorum_ring::{ClassId, KeyHash, PartitionCount, PartitionId};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

#[test]
fn bucket_names_that_would_need_quoting_are_refused() {
    for name in ["a", "0", "users.v2", "a-b_c", &"x".repeat(BUCKET_NAME_BYTES)] {
        assert_eq!(name.parse::<BucketName>().map(|name| name.to_string()), Ok(name.to_owned()));
    }
    for name in ["", ".a", "-a", "_a", "A", "a b", "a/b", "ä", &"x".repeat(BUCKET_NAME_BYTES + 1)]
    {
        assert_eq!(name.parse::<BucketName>(), Err(Invalid::BucketName), "{name:?}");
    }
}

#[test]
fn keys_are_one_byte_to_four_kibibytes_of_anything() {
    assert_eq!(Key::new(Vec::new()), Err(Invalid::Key));
    assert_eq!(Key::new(vec![0; KEY_BYTES + 1]), Err(Invalid::Key));
    assert!(Key::new(vec![0xff; KEY_BYTES]).is_ok() && Key::new(vec![0]).is_ok());
    assert_eq!(samples::key("a\n\"").to_string(), r#"a\n\""#);
}

#[test]
fn a_record_key_stands_in_the_partition_of_its_hash() {
    let partitions = PartitionCount::default();
    let key = samples::record_key();
    assert_eq!(key.key_hash(), KeyHash::of(b"default", b"greeting"));
    assert_eq!(key.partition, partitions.partition_of(key.key_hash()));
    assert_eq!(key.clone().in_space(Space::Hinted).key_hash(), key.key_hash());
}

#[test]
fn bytes_that_are_no_record_key_are_refused() {
    let valid = samples::record_key().to_index_bytes();
    assert!(RecordKey::from_index_bytes(&valid.clone().into()).is_ok());
    for end in 0..7 + "default".len() + 1 {
        assert!(
            RecordKey::from_index_bytes(&Bytes::copy_from_slice(&valid[..end])).is_err(),
            "{end} bytes"
        );
    }
    let mut unknown_space = valid.clone();
    unknown_space[0] = 2;
    assert_eq!(RecordKey::from_index_bytes(&unknown_space.into()), Err(Invalid::RecordKey));
    let mut bad_name = valid;
    bad_name[7] = b'D';
    assert_eq!(RecordKey::from_index_bytes(&bad_name.into()), Err(Invalid::BucketName));
}

/// Few different parts, so that keys often agree in front.
fn record_key() -> impl Strategy<Value = RecordKey> {
    let key = vec(0u8..3, 1..4);
    (any::<bool>(), 0u8..2, 0u32..3, "[ab]{1,3}", key).prop_map(
        |(hinted, class, partition, bucket, key)| RecordKey {
            space: if hinted { Space::Hinted } else { Space::Owned },
            class: ClassId(class),
            partition: PartitionId(partition << 8),
            bucket: bucket.parse().expect("a name"),
            key: Key::new(key).expect("a key"),
        },
    )
}

proptest! {
    #[test]
    fn index_bytes_are_ordered_as_their_keys_and_read_back(left in record_key(), right in record_key()) {
        let (left_bytes, right_bytes) = (left.to_index_bytes(), right.to_index_bytes());
        prop_assert_eq!(left.cmp(&right), left_bytes.cmp(&right_bytes));
        prop_assert_eq!(RecordKey::from_index_bytes(&left_bytes.into()), Ok(left.clone()));
        prop_assert_eq!(decode::<RecordKey>(encode(&left)), Ok(left.clone()));
        prop_assert_eq!(left.detached(), left);
    }
}
