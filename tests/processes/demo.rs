//! `kv demo` on a small tree of real files: it ends by itself, with 0, and leaves nothing.

use std::time::{Duration, Instant};

use crate::dev::directory;
use crate::kv;
use crate::values::random_bytes;

#[test]
fn the_demo_ends_by_itself_with_everything_accounted_for() {
    let home = directory();
    let (tree, temporary) = (home.path().join("tree"), home.path().join("tmp"));
    std::fs::create_dir_all(tree.join("sub/.git")).expect("created");
    std::fs::create_dir(&temporary).expect("created");
    for (number, name) in ["a.bin", "b.txt", "sub/c.bin", "sub/empty"].iter().enumerate() {
        let length = [70_000, 12, 4096, 0][number];
        std::fs::write(tree.join(name), random_bytes(number as u64, length)).expect("written");
    }
    std::fs::write(tree.join("sub/.git/skipped"), b"x").expect("written");

    let began = Instant::now();
    let mut command = kv::command(home.path());
    command.env("TMPDIR", &temporary).args(["demo", "--json"]).arg(&tree);
    let run = kv::run_within(&mut command, b"", Duration::from_secs(90)).expect(0);
    let summary = run.json();
    assert_eq!(summary["files"]["stored"], 4, "{summary}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(std::fs::read_dir(&temporary).expect("readable").count(), 0, "nothing is left");
}
