//! Repair by order, with real nodes: one loses its disk, one is down, and the command says what is true.

use std::time::Duration;

use serde_json::Value;

use crate::dev::{Dev, directory};
use crate::until::until;

const KEYS: usize = 24;

fn key(number: usize) -> String {
    format!("key-{number}")
}

/// What a repair says of one owner.
fn owner<'a>(told: &'a Value, name: &str) -> &'a Value {
    let owners = told["owners"].as_array().expect("owners");
    owners.iter().find(|owner| owner["name"] == name).expect("this owner")
}

/// Waits until so many nodes are up, and everybody who is knows who is and who is not.
fn await_up(dev: &Dev, up: usize) {
    until("all that are up agree about who is", Duration::from_secs(30), || {
        let status = dev.kv(&["status", "--json"]).json();
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let doubts = |node: &Value| node["believed_down_by"].as_array().map_or(0, Vec::len);
        let is_known = |node: &Value| match node["up"] == true {
            true => doubts(node) == 0,
            false => doubts(node) == up,
        };
        let are_up = nodes.iter().filter(|node| node["up"] == true).count();
        (are_up == up && nodes.iter().all(is_known)).then_some(())
    });
}

#[test]
fn a_node_that_lost_its_disk_holds_everything_after_a_repair_and_a_dead_one_is_named() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    let names = dev.node_names();
    for number in 0..KEYS {
        dev.kv(&["put", &key(number), &format!("value {number}"), "-w", "3"]).expect(0);
    }
    dev.kill_node(0);
    for data in ["log", "index"] {
        std::fs::remove_dir_all(home.path().join("cluster/n1").join(data)).expect("removed");
    }
    await_up(&dev, 2);
    // Nobody can vouch for who is down.
    let told = dev.kv(&["repair", "key", &key(1), "--json"]).expect(14).json();
    assert_eq!(told["agreed"], false);
    assert_eq!(owner(&told, &names[0])["cause"], "unreachable");
    assert_eq!(owner(&told, &names[1])["agrees"], true);
    let told = dev.kv(&["repair", "key", &key(1)]).expect(14);
    assert!(told.text().contains("is down: not repaired there"), "{told:?}");

    let again = Dev::reopen(home.path(), Some(&names[0]));
    await_up(&again, 3);
    let told = again.kv(&["repair", "node", &names[0], "--json"]).expect(0).json();
    assert_eq!(told["agreed"], true);
    assert!(told["go_on"].is_null() && told["failures"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(told["compared"].as_u64(), Some(KEYS as u64), "every key, at all of its owners");
    let told = again.kv(&["repair", "key", &key(1), "--json"]).expect(0).json();
    assert_eq!((&told["agreed"], &told["after"]["values"]), (&Value::Bool(true), &1.into()));
    // Nobody is left whom it could ask.
    dev.kill_node(1);
    dev.kill_node(2);
    for number in 0..KEYS {
        let read = again.kv(&["get", &key(number), "-r", "1"]).expect(0);
        assert_eq!(read.text(), format!("value {number}"));
    }
}

#[test]
fn a_partition_is_repaired_by_its_number_and_nonsense_is_refused() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    dev.kv(&["put", "k", "v", "-w", "3"]).expect(0);
    let place = dev.kv(&["ring", "where", "k", "--json"]).expect(0).json();
    let partition = place["partition"].as_u64().expect("a number").to_string();
    let told = dev.kv(&["repair", "partition", &partition, "--json"]).expect(0).json();
    assert_eq!((&told["agreed"], &told["compared"]), (&Value::Bool(true), &1.into()));
    let last = "f".repeat(32);
    let told = dev.kv(&["repair", "partition", &partition, "--from", &last, "--json"]).expect(0);
    assert_eq!(told.json()["compared"], 0, "it begins behind the key");
    dev.kv(&["repair", "partition", "4000000"]).expect(2);
    dev.kv(&["repair", "node", "nobody"]).expect(2);
    dev.kv(&["repair", "key", "k", "--bucket", "none"]).expect(1);
    // A key that was never written is the same everywhere.
    let told = dev.kv(&["repair", "key", "never", "--json"]).expect(0).json();
    assert_eq!(told["after"]["kind"], "nothing");
}
