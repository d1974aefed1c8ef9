//! Real directories with damage in them: what a node does about it at its start, and what it gets back from the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::dev::{Dev, directory};
use crate::kv;
use crate::until::until;

const KEYS: usize = 30;

/// How long a node may take to have again what it lost: some exchanges on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn key(number: usize) -> String {
    format!("key-{number}")
}

/// A cluster that holds some keys, durably on all owners, and was stopped.
fn stopped(home: &Path, nodes: u16) -> Vec<String> {
    let dev = Dev::start(home, nodes);
    for number in 0..KEYS {
        dev.kv(&["put", &key(number), &format!("value {number}"), "-w", &nodes.to_string()])
            .expect(0);
    }
    let names = dev.node_names();
    dev.stop();
    names
}

fn place(home: &Path, name: &str, part: &str) -> PathBuf {
    home.join("cluster").join(name).join(part)
}

fn all_are_read(dev: &Dev, what: &str) {
    for number in 0..KEYS {
        let read = dev.kv(&["get", &key(number)]);
        assert_eq!((read.code, read.text()), (Some(0), format!("value {number}")), "{what}");
    }
}

/// The files of a log's segments.
fn segments(log: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(log).expect("a log").map(|entry| entry.expect("an entry").path());
    let is_segment = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "main" || ending == "bulk")
    };
    files.filter(is_segment).collect()
}

/// Changes the bytes of a file.
fn spoil(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

/// The sum of a figure over all nodes.
fn figure(dev: &Dev, name: &str) -> f64 {
    let stats = dev.kv(&["stats", "--match", name, "--json"]).expect(0).json();
    find(&stats, name).and_then(|series| series["sum"].as_f64()).expect("the figure is told")
}

/// The member of this name, however deep it stands.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => {
            members.get(name).or_else(|| members.values().find_map(|member| find(member, name)))
        }
        Value::Array(elements) => elements.iter().find_map(|element| find(element, name)),
        _ => None,
    }
}

#[test]
fn bug_41_a_store_opens_whatever_happened_to_its_index() {
    let home = directory();
    let names = stopped(home.path(), 1);
    let index = place(home.path(), &names[0], "index");
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("emptied", Vec::clear),
        ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("zeroed", |bytes| bytes.fill(0)),
        ("zeroed behind its head", |bytes| bytes.iter_mut().skip(600).for_each(|byte| *byte = 0)),
    ];
    for (what, damage) in damages {
        for which in ["db", "snap", "conf"] {
            let files = fs::read_dir(&index).expect("an index").map(|entry| entry.unwrap().path());
            let is_meant = |path: &PathBuf| {
                path.is_file() && path.file_name().unwrap().to_str().unwrap().starts_with(which)
            };
            files.filter(is_meant).for_each(|path| spoil(&path, damage));
            let dev = Dev::reopen(home.path(), None);
            all_are_read(&dev, &format!("{which} was {what}"));
            // The next start meets what a killed process left.
            dev.kill();
            let dev = Dev::reopen(home.path(), None);
            all_are_read(&dev, &format!("killed after {which} was {what}"));
            dev.stop();
        }
    }
    fs::remove_dir_all(&index).expect("removed");
    let dev = Dev::reopen(home.path(), None);
    all_are_read(&dev, "the index is gone");
    dev.stop();
}

#[test]
fn a_log_that_cannot_be_read_is_set_aside_and_its_node_gets_everything_again() {
    let home = directory();
    let names = stopped(home.path(), 3);
    let log = place(home.path(), &names[0], "log");
    for slot in ["manifest-a", "manifest-b"] {
        let slot = log.join(slot);
        if slot.exists() {
            spoil(&slot, |bytes| bytes.fill(0));
        }
    }
    let spoiled = segments(&log);
    assert!(!spoiled.is_empty());
    spoiled.iter().for_each(|path| spoil(path, |bytes| bytes[..512].fill(0)));

    let dev = Dev::reopen(home.path(), None);
    all_are_read(&dev, "one of three has nothing");
    let aside = log.with_file_name("log.set-aside-1-unreadable");
    for path in &spoiled {
        let kept = aside.join(path.file_name().expect("a name"));
        assert!(kept.exists(), "{} is kept", kept.display());
    }
    let said = fs::read_to_string(home.path().join("cluster").join(format!("{}.log", names[0])));
    let said = said.expect("the node's log");
    assert!(said.contains("CANNOT BE READ") && said.contains("log.set-aside-1"), "{said}");
    let report = dev.kv(&["diag"]).expect(0).text();
    assert!(report.contains("log.set-aside-1-unreadable"), "{report}");
    let status = dev.kv(&["status", "--json"]).json();
    assert!(status.to_string().contains("\"refilling\":true"), "{status}");
    until("it has all keys again", PATIENCE, || {
        let status = dev.kv(&["status", "--json"]).json();
        let nodes = status["nodes"].as_array().expect("nodes");
        let has_all =
            |node: &Value| find(node, "keys").and_then(Value::as_u64) >= Some(KEYS as u64);
        nodes.iter().all(has_all).then_some(())
    });
    dev.stop();
}

#[test]
fn a_node_does_not_open_the_log_of_another_one() {
    let home = directory();
    let names = stopped(home.path(), 3);
    let [one, other] = [&names[0], &names[1]].map(|name| place(home.path(), name, "log"));
    let between = one.with_file_name("between");
    fs::rename(&one, &between).expect("moved");
    fs::rename(&other, &one).expect("moved");
    fs::rename(&between, &other).expect("moved");
    let before: Vec<PathBuf> = segments(&one);
    let directory = one.parent().expect("the node's directory").to_string_lossy().into_owned();
    let mut start = kv::command(home.path());
    start.args(["node", "start", &directory]);
    let run = kv::run(start, b"").expect(5);
    assert!(run.stderr.contains("is the log of node"), "{}", run.stderr);
    assert_eq!(segments(&one), before, "nothing was touched");
    assert!(!one.with_file_name("log.set-aside-1-unreadable").exists());
    fs::rename(&one, &between).expect("moved");
    fs::rename(&other, &one).expect("moved");
    fs::rename(&between, &other).expect("moved");
    let dev = Dev::reopen(home.path(), None);
    all_are_read(&dev, "the disks are where they belong");
    dev.stop();
}

#[test]
fn bug_38_a_byte_that_flips_on_one_of_three_disks_costs_nothing() {
    let home = directory();
    let names = stopped(home.path(), 3);
    let log = place(home.path(), &names[0], "log");
    // Of each segment a byte within the first record, if there is one.
    for path in segments(&log).iter().filter(|path| path.extension().is_some_and(|it| it == "main"))
    {
        spoil(path, |bytes| bytes[512 + 60 + 60] ^= 4);
    }
    let dev = Dev::reopen(home.path(), None);
    for number in 0..KEYS {
        let read = dev.kv(&["get", &key(number), "-r", "3"]);
        assert!([Some(0), Some(3)].contains(&read.code), "{read:?}");
    }
    until("the damaged record is healed", PATIENCE, || {
        let [damaged, healed, doubted] = [
            "kvorum_records_damaged_total",
            "kvorum_records_healed_total",
            "kvorum_records_in_doubt",
        ]
        .map(|name| figure(&dev, name));
        (damaged >= 1.0 && healed >= damaged && doubted == 0.0).then_some(())
    });
    all_are_read(&dev, "healed");
    dev.stop();
}
