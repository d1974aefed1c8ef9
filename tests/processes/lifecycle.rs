//! Clusters begin, end and begin again without leaving anything behind.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use crate::dev::{Dev, directory, gone};
use crate::kv;

#[test]
fn the_nodes_end_when_their_parent_is_killed() {
    let home = directory();
    let dev = Dev::start(home.path(), 5);
    let nodes = dev.node_pids();
    assert!(nodes.iter().all(|pid| kv::is_running(*pid)));
    kv::kill(dev.pid());
    gone(&nodes);
}

#[test]
fn a_kept_directory_is_opened_again_with_everything_in_it() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    let endpoints = dev.endpoints();
    dev.kv(&["put", "before", "a clean stop"]).expect(0);
    dev.stop();

    let dev = Dev::reopen(home.path(), None);
    assert_eq!(dev.endpoints(), endpoints, "the ports are the cluster's own");
    assert_eq!(dev.kv(&["get", "before"]).expect(0).text(), "a clean stop");
    dev.kv(&["put", "before", "everything was killed"]).expect(0);
    dev.kill();

    let dev = Dev::reopen(home.path(), None);
    assert_eq!(dev.kv(&["get", "before"]).expect(0).text(), "everything was killed");
    dev.stop();
}

#[test]
fn a_temporary_cluster_leaves_nothing_behind() {
    let home = directory();
    let temporary = home.path().join("tmp");
    std::fs::create_dir(&temporary).expect("created");
    let mut command = kv::command(home.path());
    command.env("TMPDIR", &temporary).args(["dev", "--json", "--nodes", "3", "--port-base", "0"]);
    let mut child = command.stderr(Stdio::inherit()).spawn().expect("kv dev starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    assert_eq!(std::fs::read_dir(&temporary).expect("readable").count(), 1, "{line}");
    kv::signal(child.id(), "TERM");
    let status = crate::until::until("kv dev ends", Duration::from_secs(30), || {
        child.try_wait().expect("a child")
    });
    assert!(status.success(), "{status}");
    assert_eq!(std::fs::read_dir(&temporary).expect("readable").count(), 0);
}

/// A cluster in a temporary directory below `home`, and that directory.
fn temporary_cluster(home: &std::path::Path, nodes: &str) -> (Dev, std::path::PathBuf) {
    let temporary = home.join("tmp");
    std::fs::create_dir(&temporary).expect("created");
    let mut command = kv::command(home);
    command.env("TMPDIR", &temporary).args(["dev", "--json", "--port-base", "0", "--nodes", nodes]);
    (Dev::adopt(home, command), temporary)
}

#[test]
fn a_temporary_cluster_whose_parent_was_killed_leaves_nothing_behind() {
    let home = directory();
    let (dev, temporary) = temporary_cluster(home.path(), "3");
    let entries = || std::fs::read_dir(&temporary).expect("readable").count();
    // A node that was killed before does not keep the others from it.
    dev.kill_node(1);
    assert_eq!(entries(), 1);
    dev.kill();
    crate::until::until("its directory is removed", Duration::from_secs(10), || {
        (entries() == 0).then_some(())
    });
}

#[test]
fn nodes_that_hang_hold_up_a_stop_together_and_a_second_signal_ends_them_at_once() {
    let home = directory();
    let (dev, temporary) = temporary_cluster(home.path(), "3");
    let nodes = dev.node_pids();
    nodes.iter().for_each(|pid| kv::signal(*pid, "STOP"));
    let begun = std::time::Instant::now();
    kv::signal(dev.pid(), "INT");
    // It says that it is waiting before it takes the second signal.
    assert_eq!(dev.next_remark()["event"], "stopping");
    kv::signal(dev.pid(), "INT");
    gone(&nodes);
    // Far below the time that it gives nodes which do not stop.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    dev.ended();
    assert_eq!(std::fs::read_dir(&temporary).expect("readable").count(), 0);
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let home = directory();
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("its address").port();
    let base = (taken - 1).to_string();
    let mut command = kv::command(home.path());
    command.args(["dev", "--nodes", "1", "--port-base", &base]);
    let run = kv::run(command, b"").expect(3);
    assert!(run.stderr.contains(&taken.to_string()), "{}", run.stderr);
}

#[test]
fn a_dead_node_is_reported_with_the_command_that_restarts_it() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    let (name, pid) = (dev.node_names()[1].clone(), dev.node_pids()[1]);
    dev.kill_node(1);
    let report = dev.next_remark();
    assert_eq!(
        (&report["event"], &report["node"]),
        (&"node_died".into(), &name.into()),
        "{report}"
    );

    // The command as it is printed, in a shell whose `kv` is the one under test.
    let restart = report["restart"].as_str().expect("a command").replacen("kv", "exec \"$KV\"", 1);
    let mut shell = std::process::Command::new("sh");
    shell.env("KV", kv::binary()).args(["-c", &format!("{restart} --json")]);
    let again = Dev::adopt(home.path(), shell);
    assert_ne!(again.node_pids(), [pid]);
    crate::until::until("all three are back", Duration::from_secs(20), || {
        (dev.kv(&["status"]).code == Some(0)).then_some(())
    });
}

#[test]
fn one_directory_serves_one_process() {
    let home = directory();
    let dev = Dev::start(home.path(), 1);
    let mut second = kv::command(home.path());
    second.args(["node", "start"]).arg(home.path().join("cluster/n1"));
    let refused = kv::run(second, b"");
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    assert!(refused.stderr.contains("n1"), "it names the directory: {}", refused.stderr);
    dev.kv(&["put", "a", "still served"]).expect(0);
    dev.stop();
}
