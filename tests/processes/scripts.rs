//! What a script relies on: exit codes, one JSON document, quiet streams.

use crate::dev::{Dev, directory};
use crate::kv;

#[test]
fn without_a_cluster_the_exit_code_is_3_and_it_says_what_to_do() {
    let home = directory();
    for verb in [&["get", "a"][..], &["put", "a", "1"], &["status"], &["ls"]] {
        let mut command = kv::command(home.path());
        command.args(verb).args(["--endpoint", "127.0.0.1:9", "--timeout", "1s"]);
        let run = kv::run(command, b"").expect(3);
        assert!(run.stdout.is_empty());
        assert!(run.stderr.contains("127.0.0.1:9"), "{}", run.stderr);
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_sends_nothing() {
    let home = directory();
    for verb in
        [&["frobnicate"][..], &["get"], &["put", "a", "1", "-w", "0"], &["get", "a", "--all"]]
    {
        let mut command = kv::command(home.path());
        command.args(verb);
        let run = kv::run(command, b"").expect(2);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{run:?}");
    }
}

#[test]
fn with_json_every_verb_prints_one_document() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    for verb in [
        &["put", "a", "1"][..],
        &["get", "a"],
        &["ls"],
        &["status"],
        &["ring", "show"],
        &["ring", "where", "a"],
        &["bucket", "create", "b"],
        &["bucket", "set", "b", "-r", "1"],
        &["bucket", "show", "b"],
        &["bucket", "ls"],
        &["diag"],
        &["stats"],
        &["top"],
        &["version"],
        &["delete", "a"],
    ] {
        let arguments: Vec<&str> = verb.iter().chain(&["--json"]).copied().collect();
        let document = dev.kv(&arguments).expect(0).json();
        assert!(document.is_object() || document.is_array(), "{arguments:?}: {document}");
    }
    let absent = dev.kv(&["get", "a", "--json"]).expect(1);
    assert!(absent.stderr.contains("not_found"), "{}", absent.stderr);
    dev.stop();
}

#[test]
fn the_operation_id_of_a_put_makes_its_retry_harmless() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    let id = "000102030405060708090a0b0c0d0e0f";
    dev.kv(&["put", "a", "1", "--operation", id]).expect(0);
    dev.kv(&["put", "a", "1", "--operation", id, "--retry"]).expect(0);
    let read = dev.kv(&["get", "a", "--all", "--json"]).expect(0).json();
    assert_eq!(read["siblings"].as_array().map(Vec::len), Some(1), "{read}");
    dev.stop();
}

#[test]
fn completions_and_help_need_no_cluster() {
    let home = directory();
    for shell in ["bash", "zsh", "fish"] {
        let mut command = kv::command(home.path());
        command.args(["completions", shell]);
        assert!(kv::run(command, b"").expect(0).text().contains("put"));
    }
    let mut command = kv::command(home.path());
    command.arg("--help");
    assert!(kv::run(command, b"").expect(0).text().contains("Exit codes"));
}
