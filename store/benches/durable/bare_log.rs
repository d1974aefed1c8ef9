//! The floor: as many bytes, appended in batches of as many records as there are writers, one fdatasync each, and nothing
//! else. No shard can be faster on this disk.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const SEGMENT_BYTES: usize = 64 << 20;
/// A record of 256 bytes with its key, version and frame.
const RECORD_BYTES: usize = 360;

/// Measures for three seconds and prints a line.
pub(crate) fn measure(root: &Path, writers: usize) {
    let path = root.join("bare.log");
    let file =
        OpenOptions::new().write(true).create_new(true).open(path).expect("a file can be made");
    file.write_all_at(&vec![0; SEGMENT_BYTES], 0).expect("the disk has room");
    file.sync_data().expect("the disk syncs");
    let batch = vec![7; RECORD_BYTES * writers];
    let (begin, mut syncs, mut offset) = (Instant::now(), 0u64, 0usize);
    while begin.elapsed() < Duration::from_secs(3) {
        if offset + batch.len() > SEGMENT_BYTES {
            offset = 0;
        }
        file.write_all_at(&batch, offset as u64).expect("the disk has room");
        file.sync_data().expect("the disk syncs");
        offset += batch.len();
        syncs += 1;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let name = format!("bare log, {writers} records a sync");
    println!(
        "{name:<41} {:>9.0} {:>7} {:>7} {:>7.0}",
        syncs as f64 * writers as f64 / seconds,
        "",
        "",
        syncs as f64 / seconds
    );
}
