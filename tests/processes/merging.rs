//! Buckets that merge by themselves, as a user meets them.

use std::time::Duration;

use serde_json::json;

use crate::dev::{Dev, directory};
use crate::until::until;

/// How long nodes may take to hear of a bucket, or of each other's return.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a bucket and waits until every node knows of it.
fn bucket(dev: &Dev, name: &str, rule: &str) {
    let made = dev.kv(&["bucket", "create", name, "--rule", rule, "--json"]).expect(0).json();
    assert_eq!(made["rule"], rule);
    for endpoint in dev.endpoints() {
        until("every node knows of the bucket", PATIENCE, || {
            let shown = dev.kv(&["bucket", "show", name, "--endpoint", &endpoint]);
            (shown.code == Some(0)).then_some(())
        });
    }
}

#[test]
fn a_counter_keeps_every_increment_while_one_owner_after_the_other_is_away() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    bucket(&dev, "visits", "counter");
    dev.kv(&["counter", "get", "page", "--bucket", "visits"]).expect(1);
    let (mut sum, mut restarted) = (0, Vec::new());
    for (away, name) in dev.node_names().iter().enumerate() {
        dev.kill_node(away);
        for by in ["1", "10", "-3"] {
            sum += by.parse::<i64>().expect("a number");
            dev.kv(&["counter", "add", "page", by, "--bucket", "visits"]).expect(0);
        }
        restarted.push(Dev::reopen(home.path(), Some(name)));
        let read = ["counter", "get", "page", "--bucket", "visits", "-r", "3", "--json"];
        let shown = until("all three owners answer", PATIENCE, || {
            let read = dev.kv(&read);
            (read.code == Some(0)).then(|| read.json())
        });
        assert_eq!(shown["value"], json!(sum), "after {name} was away: {shown}");
    }
}

#[test]
fn an_operation_repeated_by_hand_under_its_id_counts_once() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    bucket(&dev, "visits", "counter");
    let id = "000102030405060708090a0b0c0d0e0f";
    let first = ["counter", "add", "page", "5", "--bucket", "visits", "--operation", id];
    assert_eq!(dev.kv(&first).expect(0).text(), "5");
    assert_eq!(dev.kv(&["counter", "add", "page", "--bucket", "visits"]).expect(0).text(), "6");
    let again = [&first[..], &["--retry"]].concat();
    assert_eq!(dev.kv(&again).expect(0).text(), "6");
    dev.stop();
}

#[test]
fn sets_maps_and_registers_are_changed_and_shown() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    bucket(&dev, "tags", "set");
    dev.kv(&["set", "add", "photo", "sea", "sunset", "dog", "--bucket", "tags"]).expect(0);
    dev.kv(&["set", "remove", "photo", "sunset", "--bucket", "tags"]).expect(0);
    assert_eq!(dev.kv(&["set", "get", "photo", "--bucket", "tags"]).expect(0).text(), "dog\nsea");

    bucket(&dev, "users", "map");
    dev.kv(&["map", "set", "ada", "name", "Ada", "--bucket", "users"]).expect(0);
    dev.kv(&["map", "count", "ada", "logins", "2", "--bucket", "users"]).expect(0);
    dev.kv(&["map", "add", "ada", "roles", "admin", "--bucket", "users"]).expect(0);
    dev.kv(&["map", "clear", "ada", "roles", "--bucket", "users"]).expect(0);
    let wrong = dev.kv(&["map", "count", "ada", "name", "--bucket", "users"]).expect(2);
    assert!(wrong.stderr.contains("another kind"), "{}", wrong.stderr);
    let shown = dev.kv(&["map", "get", "ada", "--bucket", "users", "--json"]).expect(0).json();
    assert_eq!(shown["fields"].as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(shown["fields"][0]["value"], json!(2), "{shown}");
    assert_eq!(shown["fields"][1]["values"][0]["text"], json!("Ada"), "{shown}");

    bucket(&dev, "mottos", "register");
    dev.kv(&["register", "set", "m", "first", "--bucket", "mottos"]).expect(0);
    dev.kv(&["register", "set", "m", "second", "--bucket", "mottos"]).expect(0);
    assert_eq!(dev.kv(&["register", "get", "m", "--bucket", "mottos"]).expect(0).text(), "second");
    dev.stop();
}

#[test]
fn what_does_not_fit_a_buckets_rule_says_so_and_changes_nothing() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    bucket(&dev, "visits", "counter");
    let put = dev.kv(&["put", "page", "7", "--bucket", "visits"]).expect(2);
    assert!(put.stderr.contains("merge rule"), "{}", put.stderr);
    dev.kv(&["counter", "add", "page"]).expect(2);
    dev.kv(&["counter", "get", "page", "--bucket", "visits"]).expect(1);
    dev.kv(&["get", "page"]).expect(1);
    dev.kv(&["bucket", "create", "other", "--rule", "vector"]).expect(2);
    dev.stop();
}

#[test]
fn where_the_last_write_wins_a_key_has_one_value() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    bucket(&dev, "seen", "lossy-lww");
    dev.kv(&["put", "k", "first", "--bucket", "seen"]).expect(0);
    dev.kv(&["put", "k", "second", "--sibling", "--bucket", "seen"]).expect(0);
    assert_eq!(dev.kv(&["get", "k", "--bucket", "seen"]).expect(0).text(), "second");
    dev.kv(&["delete", "k", "--bucket", "seen"]).expect(0);
    dev.kv(&["get", "k", "--bucket", "seen"]).expect(1);
    dev.stop();
}
