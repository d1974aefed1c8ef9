//! `kv stats` and `kv top` on a real cluster: what a script reads, what a person sees, and a terminal left as it was.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::dev::{Dev, directory};
use crate::kv;

#[test]
fn stats_count_what_was_asked_of_every_node_and_in_sum() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    for key in ["a", "b", "c", "d"] {
        dev.kv(&["put", key, "1"]).expect(0);
    }
    dev.kv(&["get", "a"]).expect(0);
    let document = dev.kv(&["stats", "--json"]).expect(0).json();
    let all = &document["all"];
    assert_eq!(all["operations"]["put"]["total"], 4, "{document}");
    assert_eq!(all["operations"]["get"]["results"]["ok"]["total"], 1, "{document}");
    assert_eq!(all["quorums"]["write"]["outcomes"]["met"]["total"], 4, "{document}");
    assert_eq!((&all["network"]["peers"], &all["network"]["peers_up"]), (&6.into(), &6.into()));
    assert!(all["interval_seconds"].as_f64().is_some_and(|seconds| seconds > 0.5), "{document}");
    let names: Vec<&str> = nodes(&document).filter_map(|node| node["name"].as_str()).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    let puts =
        nodes(&document).filter_map(|node| node["figures"]["operations"]["put"]["total"].as_u64());
    assert_eq!(puts.sum::<u64>(), 4);

    let series = dev.kv(&["stats", "--match", "kvorum_starts", "--json"]).expect(0).json();
    assert_eq!(series["series"]["kvorum_starts_total"]["sum"], 3.0, "{series}");
    let one = dev.kv(&["stats", "--node", "n2", "--json"]).expect(0).json();
    assert_eq!(nodes(&one).count(), 1);
    assert!(dev.kv(&["stats", "--node", "n9"]).expect(2).stderr.contains("n1, n2, n3"));
    dev.stop();
}

fn nodes(document: &Value) -> impl Iterator<Item = &Value> {
    document["nodes"].as_array().into_iter().flatten()
}

#[test]
fn a_node_that_is_down_is_a_row_that_says_so_and_an_exit_code() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    dev.kill_node(1);
    let document = dev.kv(&["stats", "--json"]).expect(12).json();
    let answers: Vec<&Value> = nodes(&document).map(|node| &node["answers"]).collect();
    assert_eq!(answers, [&Value::Bool(true), &Value::Bool(false), &Value::Bool(true)]);
    let text = dev.kv(&["stats"]).expect(12).text();
    assert!(text.contains("2 of 3 nodes answer") && text.contains("does not answer: "), "{text}");
    let frame = dev.kv(&["top", "--once", "--interval", "200ms"]).expect(12).text();
    assert!(frame.starts_with("kv top  cluster dev  2 of 3 nodes answer"), "{frame}");
    assert!(!frame.contains('\x1b'), "plain text where there is no terminal: {frame}");
    let row = frame.lines().find(|line| line.starts_with("n2")).expect("a row");
    assert!(row.contains("does not answer: "), "{row}");
    dev.stop();
}

#[test]
fn watching_goes_on_until_it_is_interrupted() {
    let home = directory();
    let dev = Dev::start(home.path(), 1);
    let mut child =
        dev.command(&["stats", "--watch", "100ms", "--json"]).spawn().expect("kv starts");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = stdout.lines();
    for _ in 0..3 {
        let line = lines.next().expect("another line").expect("text");
        let document: Value = serde_json::from_str(&line).expect("a document on each line");
        assert_eq!(document["format"], 1);
    }
    kv::signal(child.id(), "INT");
    assert!(lines.all(|line| line.is_ok()));
    assert_eq!(child.wait().expect("a child").code(), Some(0));
    dev.stop();
}

/// Linux has `script`, which runs a command on a terminal of its own, everywhere.
#[cfg(target_os = "linux")]
mod on_a_terminal {
    use std::io::{Read, Write};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use crate::dev::{Dev, directory};
    use crate::kv;
    use crate::until::until;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// `kv top` on a terminal between two looks at the terminal's settings.
    fn start(dev: &Dev) -> Child {
        let top = format!("exec {} top --interval 200ms", kv::binary().display());
        let shell = format!(
            "stty -g; (echo pid=$(exec sh -c 'echo $PPID') end; {top}); echo code=$?; stty -g"
        );
        let mut script = Command::new("script");
        script.args(["-qec", &shell, "/dev/null"]).env("SHELL", "/bin/sh");
        for (name, value) in dev.command(&[]).get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        script.spawn().expect("script starts")
    }

    /// What has been written so far, read until it holds `wanted`.
    fn read_until(child: &mut Child, said: &mut String, wanted: &str) {
        let stdout = child.stdout.as_mut().expect("a pipe");
        until(wanted, PATIENCE, || {
            let mut bytes = [0; 4_096];
            let count = stdout.read(&mut bytes).expect("read");
            said.push_str(&String::from_utf8_lossy(&bytes[..count]));
            assert!(count > 0 || said.contains(wanted), "ended without {wanted}: {said:?}");
            said.contains(wanted).then_some(())
        });
    }

    /// All that was said by an end that came about so; the terminal must be as it was.
    fn ended(end: impl FnOnce(&mut Child, &str)) {
        let home = directory();
        let dev = Dev::start(home.path(), 1);
        let mut child = start(&dev);
        let mut said = String::new();
        read_until(&mut child, &mut said, "requests/s");
        end(&mut child, &said);
        read_until(&mut child, &mut said, "code=0");
        let mut rest = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut rest).expect("text");
        said.push_str(&rest);
        assert!(child.wait().expect("a child").success());
        let modes = said.trim().lines();
        assert_eq!(modes.clone().next().map(str::trim), modes.last().map(str::trim), "{said:?}");
        let (enter, leave) = (said.find("\x1b[?1049h"), said.rfind("\x1b[?1049l"));
        assert!(enter.is_some() && enter < leave, "{said:?}");
        assert!(said.rfind("\x1b[?25l") < said.rfind("\x1b[?25h"), "the cursor is back: {said:?}");
        dev.stop();
    }

    fn press(child: &mut Child, key: &[u8]) {
        child.stdin.as_mut().expect("a pipe").write_all(key).expect("typed");
    }

    #[test]
    fn a_key_ends_the_live_view_and_the_terminal_is_as_it_was() {
        ended(|child, _| press(child, b"spq"));
    }

    #[test]
    fn control_c_ends_it_too() {
        ended(|child, _| press(child, b"\x03"));
    }

    #[test]
    fn and_so_does_a_signal() {
        ended(|_, said| {
            let (_, after) = said.split_once("pid=").expect("told");
            let pid = after.split_once(" end").expect("told").0.parse().expect("a number");
            kv::signal(pid, "TERM");
        });
    }
}
