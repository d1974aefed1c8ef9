//! Nodes are killed by twos and threes: writes go on through those that stand in for them, and everything is handed over.

use std::time::Duration;

use serde_json::Value;

use crate::dev::{Dev, directory};
use crate::until::until;

/// How many keys are written while nodes are down: enough that every kind of place is among them.
const KEYS: usize = 24;

fn key(number: usize) -> String {
    format!("key-{number}")
}

/// What `kv hints ls` says of all nodes that answer.
fn held(dev: &Dev) -> u64 {
    let told = dev.kv(&["hints", "ls", "--json"]);
    assert!(matches!(told.code, Some(0 | 12)), "{told:?}");
    told.json()["keys"].as_u64().expect("a number")
}

/// Waits until the nodes that are left know who is gone, so that nothing waits for those.
fn await_down(dev: &Dev, down: usize) {
    until("all see who is gone", Duration::from_secs(30), || {
        let status = dev.kv(&["status", "--json"]);
        let nodes = status.json()["nodes"].as_array().cloned().unwrap_or_default();
        let is_gone = |node: &&Value| node["up"] == false;
        let doubts = |node: &&Value| node["believed_down_by"].as_array().map_or(0, Vec::len);
        let gone: Vec<&Value> = nodes.iter().filter(is_gone).collect();
        let seen = gone.iter().all(|node| doubts(node) == nodes.len() - down);
        (gone.len() == down && seen).then_some(())
    });
}

#[test]
fn with_two_of_five_nodes_down_every_key_is_written_and_read_and_handed_over() {
    let home = directory();
    let dev = Dev::start(home.path(), 5);
    let names = dev.node_names();
    for number in 0..KEYS {
        dev.kv(&["put", &key(number), "before"]).expect(0);
    }
    dev.kill_node(1);
    dev.kill_node(3);
    await_down(&dev, 2);
    for number in 0..KEYS {
        dev.kv(&["put", &key(number), "meanwhile", "--timeout", "20s"]).expect(0);
        assert_eq!(dev.kv(&["get", &key(number)]).expect(0).text(), "meanwhile", "{number}");
    }
    assert!(held(&dev) > 0, "somebody holds what the two have missed");
    dev.kv(&["hints", "drain", "--wait", "1s"]).expect(3);

    let again =
        [Dev::reopen(home.path(), Some(&names[1])), Dev::reopen(home.path(), Some(&names[3]))];
    until("nothing is held any more", Duration::from_secs(30), || (held(&dev) == 0).then_some(()));
    dev.kv(&["hints", "drain"]).expect(0);
    // The others go: what the two say is what they were handed.
    for position in [0, 2, 4] {
        dev.kill_node(position);
    }
    let mut owned = 0;
    for number in 0..KEYS {
        let read = again[0].kv(&["get", &key(number), "-r", "1", "--timeout", "2s"]);
        if read.code == Some(0) {
            assert_eq!(read.text(), "meanwhile", "{number}");
            owned += 1;
        }
    }
    assert!(owned > 0, "the two own most of the keys");
}

#[test]
fn hints_are_kept_back_while_they_are_paused() {
    let home = directory();
    let dev = Dev::start(home.path(), 5);
    let names = dev.node_names();
    dev.kv(&["hints", "pause"]).expect(0);
    dev.kill_node(2);
    await_down(&dev, 1);
    for number in 0..KEYS {
        dev.kv(&["put", &key(number), "v", "--timeout", "20s"]).expect(0);
    }
    let left = held(&dev);
    assert!(left > 0);
    let again = Dev::reopen(home.path(), Some(&names[2]));
    let seen = || {
        let status = again.kv(&["status", "--json"]).json();
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let is_well = |node: &Value| {
            node["up"] == true && node["believed_down_by"].as_array().is_some_and(Vec::is_empty)
        };
        (nodes.len() == 5 && nodes.iter().all(is_well)).then_some(())
    };
    until("all see the node that is back", Duration::from_secs(30), seen);
    assert_eq!(held(&dev), left, "it is paused");
    dev.kv(&["hints", "resume"]).expect(0);
    until("nothing is held any more", Duration::from_secs(30), || (held(&dev) == 0).then_some(()));
}
