//! What a start after a kill relies on: as long as the machine has power, sled comes back from a SIGKILL as some whole batch
//! left it, and adds up to what that batch's sentinel says. A process of its own writes batches, flushes now and then, and
//! is killed in the middle; this one opens what it left, visits every entry, and goes on from there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use kvorum_store::index::{EntryState, verify, visit_all};
use kvorum_store::{
    Index, IndexBatch, IndexEntry, IndexKey, IndexOpener, Location, SegmentId, Sentinel, SledOpener,
};

const CACHE_BYTES: u64 = 8 << 20;
const KILLS: u64 = 12;
const KEYS: u64 = 40_000;
const CHANGES: u64 = 500;
const BATCHES_PER_FLUSH: u64 = 16;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, mode, directory] = &words[..]
        && mode == "--write"
    {
        write(Path::new(directory));
    }
    // A listing of tests has none: this is a program, not a harness.
    if words.iter().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    let root = tempfile::TempDir::new().expect("a temporary directory can be made");
    let mut batches = 0;
    for kill in 1..=KILLS {
        batches = survive(root.path(), kill, batches);
    }
    println!("{KILLS} kills, {batches} batches: every index was what its sentinel said");
    ExitCode::SUCCESS
}

/// Has a process write and kills it. What it left is whole, and holds at least the batches that it had said were flushed.
fn survive(directory: &Path, kill: u64, before: u64) -> u64 {
    let boot = SledOpener::new(directory, CACHE_BYTES).boot();
    let program = std::env::current_exe().expect("this program has a path");
    let mut writer = Command::new(program)
        .arg("--write")
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started again");
    let said = BufReader::new(writer.stdout.take().expect("its output is a pipe"));
    let mut flushed = 0;
    // Another moment each time, and once before anything was flushed.
    for line in said.lines().take((kill - 1) as usize * 7 % 40) {
        let line = line.expect("it writes lines");
        flushed = line.parse().expect("which are numbers");
    }
    writer.kill().expect("it runs until it is killed");
    writer.wait().expect("and then it ends");

    let mut opener = SledOpener::new(directory, CACHE_BYTES);
    let index = opener.open().expect("it opens");
    assert!(before == 0 || opener.boot() == boot, "kill {kill}: the same files, and no power cut");
    let Some(sentinel) = index.sentinel().expect("it has a sentinel") else {
        assert_eq!(flushed, 0, "kill {kill}: what was flushed is there");
        return before;
    };
    assert!(sentinel.batch >= flushed, "kill {kill}: {} of {flushed}", sentinel.batch);
    assert_eq!(verify(&index, |_, _| {}), Ok(true), "kill {kill}: it adds up");
    sentinel.batch
}

/// Writes batches of random changes for ever, and says which were flushed.
fn write(directory: &Path) -> ! {
    let index = SledOpener::new(directory, CACHE_BYTES).open().expect("it opens");
    let mut sentinel = index.sentinel().expect("it answers").unwrap_or_default();
    let mut known: BTreeMap<IndexKey, IndexEntry> = BTreeMap::new();
    visit_all(&index, |key, entry| {
        known.insert(key.into(), *entry);
    })
    .expect("it can be read");
    loop {
        let batch = next_batch(&sentinel, &mut known);
        index.apply(&batch).expect("it takes a batch");
        sentinel = batch.sentinel;
        if sentinel.batch.is_multiple_of(BATCHES_PER_FLUSH) {
            index.flush().expect("it flushes");
        }
        // A line for each batch, so that the kill comes at any moment between two flushes.
        let flushed = sentinel.batch - sentinel.batch % BATCHES_PER_FLUSH;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{flushed}").and_then(|()| out.flush()).expect("somebody reads it");
    }
}

fn next_batch(before: &Sentinel, known: &mut BTreeMap<IndexKey, IndexEntry>) -> IndexBatch {
    let mut sentinel = Sentinel { batch: before.batch + 1, ..before.clone() };
    sentinel.names_through = sentinel.batch;
    let mut changes = BTreeMap::new();
    for change in 0..CHANGES {
        let sequence = before.batch * CHANGES + change + 1;
        let random = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let key: IndexKey = Arc::from(format!("bucket/key-{:012}", random % KEYS).into_bytes());
        if let Some(old) = known.remove(&key) {
            sentinel.sum.subtract(&key, old.sequence, old.location);
        }
        let new = (!random.is_multiple_of(5)).then(|| entry(sequence, random));
        if let Some(new) = new {
            sentinel.sum.add(&key, new.sequence, new.location);
            known.insert(key.clone(), new);
        }
        changes.insert(key, new);
    }
    IndexBatch { changes: changes.into_iter().collect(), sentinel }
}

fn entry(sequence: u64, random: u64) -> IndexEntry {
    let segment = SegmentId((sequence >> 14) as u32);
    let location = Location { segment, offset: random as u32, length: 300 + random as u32 % 100 };
    let digest = u128::from(random) << 60;
    IndexEntry {
        sequence,
        location,
        state: EntryState::Record,
        values: 1,
        value_bytes: 256,
        digest,
    }
}
