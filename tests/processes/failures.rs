//! Nodes die by SIGKILL: the cluster goes on, and who returns has all that it acknowledged.

use std::time::Duration;

use crate::dev::{Dev, directory};
use crate::kv::Run;
use crate::until::until;

/// How many keys are written before, while and after a node is down: enough that every node owns some.
const KEYS: usize = 12;

fn key(number: usize) -> String {
    format!("key-{number}")
}

#[test]
fn any_one_node_may_be_killed_and_puts_and_gets_go_on() {
    let home = directory();
    let dev = Dev::start(home.path(), 5);
    let names = dev.node_names();
    let mut restarted = Vec::new();
    let mut last = "first".to_owned();
    for number in 0..KEYS {
        dev.kv(&["put", &key(number), &last]).expect(0);
    }
    for (position, name) in names.iter().enumerate() {
        dev.kill_node(position);
        for number in 0..KEYS {
            let read = dev.kv(&["get", &key(number)]).expect(0);
            assert_eq!(read.text(), last, "{name} is down, key {number}");
        }
        last = format!("while {name} was down");
        for number in 0..KEYS {
            dev.kv(&["put", &key(number), &last]).expect(0);
        }
        restarted.push(Dev::reopen(home.path(), Some(name)));
        await_status(&dev, 0);
    }
    for number in 0..KEYS {
        assert_eq!(dev.kv(&["get", &key(number)]).expect(0).text(), last);
    }
}

#[test]
fn a_restarted_node_has_everything_it_acknowledged() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    for number in 0..40 {
        // All three owners acknowledge: the one that is killed next holds every key.
        dev.kv(&["put", &key(number), &format!("value {number}"), "-w", "3"]).expect(0);
    }
    dev.kill_node(0);
    let again = Dev::reopen(home.path(), Some(&dev.node_names()[0]));
    dev.kill_node(1);
    dev.kill_node(2);
    // Nobody is left whom it could ask.
    for number in 0..40 {
        let read = again.kv(&["get", &key(number), "-r", "1"]).expect(0);
        assert_eq!(read.text(), format!("value {number}"));
    }
}

#[test]
fn an_index_that_is_deleted_is_rebuilt_from_the_log() {
    let home = directory();
    let dev = Dev::start(home.path(), 1);
    for number in 0..KEYS {
        dev.kv(&["put", &key(number), &format!("value {number}")]).expect(0);
    }
    dev.kv(&["delete", &key(0)]).expect(0);
    dev.stop();
    let index = home.path().join("cluster/n1/index");
    assert!(index.exists(), "the index lies where README says");
    std::fs::remove_dir_all(&index).expect("removed");

    let dev = Dev::reopen(home.path(), None);
    dev.kv(&["get", &key(0)]).expect(1);
    for number in 1..KEYS {
        assert_eq!(dev.kv(&["get", &key(number)]).expect(0).text(), format!("value {number}"));
    }
    assert_eq!(dev.kv(&["ls"]).expect(0).text().lines().count(), KEYS - 1);
    dev.stop();
}

#[test]
fn a_node_whose_data_are_gone_comes_back_and_hides_nothing() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    for number in 0..KEYS {
        dev.kv(&["put", &key(number), &format!("value {number}"), "-w", "3"]).expect(0);
    }
    dev.kill_node(0);
    for data in ["log", "index"] {
        std::fs::remove_dir_all(home.path().join("cluster/n1").join(data)).expect("removed");
    }
    let again = Dev::reopen(home.path(), Some(&dev.node_names()[0]));
    await_status(&dev, 0);
    for number in 0..KEYS {
        let read = again.kv(&["get", &key(number)]).expect(0);
        assert_eq!(read.text(), format!("value {number}"), "asked at the node that lost its copy");
    }
    // What it does not hold is no knowledge: with one more owner away it does not say "not found".
    dev.kill_node(1);
    let unsure = again.kv(&["get", "never written", "--timeout", "2s"]);
    assert!(unsure.code == Some(3) || unsure.stderr.contains("not every node"), "{unsure:?}");
}

#[test]
fn a_node_whose_data_are_gone_gets_them_back_without_a_read() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    for number in 0..KEYS {
        dev.kv(&["put", &key(number), &format!("value {number}"), "-w", "3"]).expect(0);
    }
    dev.kill_node(0);
    for data in ["log", "index"] {
        std::fs::remove_dir_all(home.path().join("cluster/n1").join(data)).expect("removed");
    }
    // What it misses while it is away counts as much.
    dev.kv(&["put", &key(0), "written meanwhile"]).expect(0);
    let again = Dev::reopen(home.path(), Some(&dev.node_names()[0]));
    until("the node holds all that it lost", Duration::from_secs(60), || {
        let status = dev.kv(&["status", "--json"]).json();
        let nodes = status["nodes"].as_array()?;
        let node = nodes.iter().find(|node| node["name"] == dev.node_names()[0].as_str())?;
        (node["figures"]["keys"].as_u64()? == KEYS as u64).then_some(())
    });
    dev.kill_node(1);
    dev.kill_node(2);
    // Nobody is left whom it could ask.
    for number in 0..KEYS {
        let expected = match number {
            0 => "written meanwhile".to_owned(),
            _ => format!("value {number}"),
        };
        assert_eq!(again.kv(&["get", &key(number), "-r", "1"]).expect(0).text(), expected);
    }
}

#[test]
fn below_quorum_a_write_says_so_and_a_read_does_not_guess() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    dev.kv(&["put", "a", "1"]).expect(0);
    dev.kill_node(0);
    dev.kill_node(1);
    let refused = dev.kv(&["put", "a", "2", "--timeout", "2s"]);
    assert!([Some(3), Some(6)].contains(&refused.code), "{refused:?}");
    dev.kv(&["get", "a", "--timeout", "2s"]).expect(3);
    await_status(&dev, 11);
}

#[test]
fn one_node_down_is_degraded_and_is_named() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    await_status(&dev, 0);
    dev.kill_node(2);
    let degraded = await_status(&dev, 10);
    assert!(degraded.text().contains(&dev.node_names()[2]), "{}", degraded.text());
}

/// Waits until `kv status` ends with `code`.
fn await_status(dev: &Dev, code: i32) -> Run {
    until(&format!("kv status ends with {code}"), Duration::from_secs(20), || {
        let status = dev.kv(&["status"]);
        (status.code == Some(code)).then_some(status)
    })
}
