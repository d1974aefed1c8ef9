//! Concurrent writes are kept side by side until somebody who has seen them all writes again.

use crate::dev::{Dev, directory};

/// The context that a read of `key` hands out.
fn context(dev: &Dev, key: &str) -> String {
    let read = dev.kv(&["get", key, "--all", "--json"]).expect(0).json();
    read["context"].as_str().expect("a context").to_owned()
}

#[test]
fn two_puts_with_one_old_context_leave_two_siblings_and_one_with_both_leaves_one() {
    let home = directory();
    let dev = Dev::start(home.path(), 5);

    dev.kv(&["put", "cart", "empty"]).expect(0);
    let old = context(&dev, "cart");
    dev.kv(&["put", "cart", "milk", "--context", &old]).expect(0);
    dev.kv(&["put", "cart", "eggs", "--context", &old]).expect(0);

    let conflict = dev.kv(&["get", "cart"]).expect(4);
    assert!(conflict.stdout.is_empty(), "siblings do not mix with values");
    let both = dev.kv(&["get", "cart", "--all", "--json"]).expect(0).json();
    assert_eq!(both["siblings"].as_array().map(Vec::len), Some(2), "{both}");
    let mut values: Vec<String> =
        ["1", "2"].map(|i| dev.kv(&["get", "cart", "--sibling", i]).expect(0).text()).into();
    values.sort();
    assert_eq!(values, ["eggs", "milk"]);

    let new = context(&dev, "cart");
    dev.kv(&["put", "cart", "milk,eggs", "--context", &new]).expect(0);
    assert_eq!(dev.kv(&["get", "cart"]).expect(0).text(), "milk,eggs");
    dev.stop();
}

#[test]
fn a_sibling_is_made_on_purpose_and_resolved_by_one_verb() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    dev.kv(&["put", "list", "a"]).expect(0);
    dev.kv(&["put", "list", "b", "--sibling"]).expect(0);
    dev.kv(&["get", "list"]).expect(4);
    dev.kv(&["put", "list", "a,b", "--resolve"]).expect(0);
    assert_eq!(dev.kv(&["get", "list"]).expect(0).text(), "a,b");
    dev.stop();
}

#[test]
fn a_context_of_another_key_or_a_forged_one_applies_nothing() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    dev.kv(&["put", "a", "1"]).expect(0);
    dev.kv(&["put", "b", "1"]).expect(0);
    let of_a = context(&dev, "a");
    dev.kv(&["put", "b", "2", "--context", &of_a]).expect(4);

    // Another digit in the middle: the tag no longer fits.
    let middle = of_a.len() / 2;
    let other = if of_a.as_bytes()[middle] == b'0' { "1" } else { "0" };
    let forged = format!("{}{other}{}", &of_a[..middle], &of_a[middle + 1..]);
    dev.kv(&["put", "a", "2", "--context", &forged]).expect(4);
    for key in ["a", "b"] {
        assert_eq!(dev.kv(&["get", key]).expect(0).text(), "1", "nothing was applied to {key}");
    }
    dev.stop();
}
