//! Values go in through one process and come out of another, byte for byte.

use crate::dev::{Dev, directory};

/// Bytes that no compression or text handling leaves alone, the same for the same seed (SplitMix64).
pub(crate) fn random_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

#[test]
fn values_come_back_byte_for_byte() {
    let home = directory();
    let dev = Dev::start(home.path(), 5);

    let large = random_bytes(1, 200_000);
    dev.kv_with_input(&["put", "large", "-"], &large).expect(0);
    let read = dev.kv(&["get", "large"]).expect(0);
    assert!(read.stdout == large, "200,000 bytes differ after {} came back", read.stdout.len());

    for (key, value) in [("empty", ""), ("line", "one\n"), ("umlaut", "ü"), ("-dash", "--json")] {
        dev.kv(&["put", "--", key, value]).expect(0);
        assert_eq!(dev.kv(&["get", "--", key]).expect(0).stdout, value.as_bytes(), "{key}");
    }

    let file = home.path().join("value.bin");
    std::fs::write(&file, &large[..1000]).expect("written");
    let file = file.to_str().expect("UTF-8");
    dev.kv(&["put", "file", "--file", file]).expect(0);
    assert_eq!(dev.kv(&["get", "file"]).expect(0).stdout, &large[..1000]);
    dev.stop();
}

#[test]
fn a_put_replaces_a_delete_removes_and_a_listing_is_in_order() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);

    dev.kv(&["put", "fruit/pear", "1"]).expect(0);
    dev.kv(&["put", "fruit/pear", "2"]).expect(0);
    assert_eq!(dev.kv(&["get", "fruit/pear"]).expect(0).text(), "2");

    for key in ["fruit/apple", "fruit/zucchini", "stone/basalt"] {
        dev.kv(&["put", key, "x"]).expect(0);
    }
    let listed = dev.kv(&["ls", "fruit/"]).expect(0).text();
    let keys: Vec<&str> =
        listed.lines().map(|line| line.split_whitespace().next().unwrap_or("")).collect();
    assert_eq!(keys, ["fruit/apple", "fruit/pear", "fruit/zucchini"], "{listed}");

    dev.kv(&["delete", "fruit/pear"]).expect(0);
    let absent = dev.kv(&["get", "fruit/pear"]).expect(1);
    assert!(absent.stdout.is_empty());
    dev.kv(&["delete", "fruit/never"]).expect(1);
    assert_eq!(dev.kv(&["ls", "fruit/"]).expect(0).text().lines().count(), 2);
    dev.stop();
}

#[test]
fn buckets_are_apart_and_must_exist() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    dev.kv(&["bucket", "create", "shop"]).expect(0);
    dev.kv(&["put", "a", "in shop", "--bucket", "shop"]).expect(0);
    dev.kv(&["put", "a", "in default"]).expect(0);
    assert_eq!(dev.kv(&["get", "a", "--bucket", "shop"]).expect(0).text(), "in shop");
    assert_eq!(dev.kv(&["get", "a"]).expect(0).text(), "in default");
    let missing = dev.kv(&["get", "a", "--bucket", "nowhere"]).expect(1);
    assert!(missing.stderr.contains("no such bucket"), "{}", missing.stderr);
    let buckets = dev.kv(&["bucket", "ls"]).expect(0).text();
    assert!(buckets.contains("shop") && buckets.contains("default"), "{buckets}");
    dev.stop();
}
