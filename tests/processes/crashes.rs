//! One node, killed again and again in the middle of writes: every write is accounted for.
//!
//! Killing a process does not lose what the page cache holds, so this proves the order of acknowledgements and the
//! recovery, not the fsyncs; those are shown on the simulated disk.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::dev::{Dev, directory};
use crate::kv;
use crate::values::random_bytes;

/// How often the node is killed.
const ROUNDS: usize = 5;
/// Writers that put at the same time.
const WRITERS: usize = 3;

/// What a writer was told about its write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    /// Exit code 0.
    Acknowledged,
    /// Exit codes that promise nothing was applied.
    NotApplied,
    /// Anything may have happened.
    Unknown,
}

/// Puts new keys until the node does not answer any more.
fn write_until_killed(dev: &Dev, prefix: &str, acknowledged: &AtomicUsize, account: &Account) {
    for number in 0_usize.. {
        let key = format!("{prefix}-{number}");
        let run = kv::run(dev.command(&["put", &key, &key, "--timeout", "2s"]), b"");
        let told = match run.code {
            Some(0) => Told::Acknowledged,
            Some(3) => Told::NotApplied,
            Some(6) => Told::Unknown,
            _ => panic!("an exit code that a put cannot end with: {run:?}"),
        };
        account.lock().expect("no writer panicked").insert(key, told);
        if told != Told::Acknowledged {
            return;
        }
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

type Account = Mutex<BTreeMap<String, Told>>;

#[test]
fn a_node_that_is_killed_again_and_again_loses_nothing_it_acknowledged() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}: it chooses after how many writes each kill comes");
    let home = directory();
    let account = Account::default();
    Dev::start(home.path(), 1).stop();
    for round in 0..ROUNDS {
        let dev = Dev::reopen(home.path(), None);
        let enough = 3 + usize::from(random_bytes(seed + round as u64, 1)[0] % 16);
        let acknowledged = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let prefix = format!("{round}-{writer}");
                let (dev, acknowledged, account) = (&dev, &acknowledged, &account);
                scope.spawn(move || write_until_killed(dev, &prefix, acknowledged, account));
            }
            while acknowledged.load(Ordering::SeqCst) < enough {
                std::thread::yield_now();
            }
            dev.kill_node(0);
        });
        dev.kill();
    }
    let dev = Dev::reopen(home.path(), None);
    let account = account.into_inner().expect("no writer panicked");
    for (key, told) in &account {
        let read = dev.kv(&["get", key]);
        match (told, read.code) {
            (Told::Acknowledged, code) => {
                assert_eq!(code, Some(0), "{key} was acknowledged: {read:?}")
            }
            (Told::NotApplied, code) => {
                assert_eq!(code, Some(1), "{key} was not applied: {read:?}")
            }
            (Told::Unknown, code) => assert!([Some(0), Some(1)].contains(&code), "{key}: {read:?}"),
        }
        if read.code == Some(0) {
            assert_eq!(read.text(), *key, "a value under another key");
        }
    }
    assert!(account.len() > ROUNDS * 3, "the writers wrote only {} keys", account.len());
    dev.stop();
}
