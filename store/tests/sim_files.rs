//! The simulated disk is as weak as the contract allows: what is not synced can be lost, torn or kept.

use std::collections::BTreeSet;

use kvorum_store::sim_files::{Fault, SECTOR_BYTES, SimFiles};
use kvorum_store::{File, FileErrorKind, Files};

fn content(files: &SimFiles, name: &str) -> Option<Vec<u8>> {
    let file = files.open(name).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    Some(bytes)
}

/// A disk with one synced file `a` that holds `old`.
fn disk() -> SimFiles {
    let files = SimFiles::new();
    let file = files.create("a").unwrap();
    file.write_at(0, b"old").unwrap();
    file.sync_data().unwrap();
    files.sync_dir().unwrap();
    files
}

#[test]
fn an_unsynced_write_may_be_kept_or_lost_and_a_synced_one_is_kept() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let files = disk();
        files.open("a").unwrap().write_at(0, b"new").unwrap();
        seen.insert(content(&files.crash(seed), "a").unwrap());
    }
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
    for seed in 0..50 {
        let files = disk();
        let file = files.open("a").unwrap();
        file.write_at(0, b"new").unwrap();
        file.sync_data().unwrap();
        assert_eq!(content(&files.crash(seed), "a").unwrap(), b"new");
    }
}

#[test]
fn a_new_name_needs_the_directory_synced_whatever_was_synced_in_the_file() {
    let mut lost = 0;
    for seed in 0..50 {
        let files = disk();
        let file = files.create("b").unwrap();
        file.write_at(0, b"b").unwrap();
        file.sync_data().unwrap();
        lost += u32::from(content(&files.crash(seed), "b").is_none());
    }
    assert!((1..50).contains(&lost), "{lost} of 50");
}

#[test]
fn a_rename_leaves_the_old_or_the_new_never_neither() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let files = disk();
        files.rename("a", "b").unwrap();
        let files = files.crash(seed);
        let names = files.list().unwrap();
        assert_eq!(names.len(), 1);
        seen.extend(names);
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_write_is_torn_at_sectors_only() {
    let mut torn = 0;
    for seed in 0..100 {
        let files = disk();
        files.open("a").unwrap().write_at(0, &[7; 4 * SECTOR_BYTES as usize]).unwrap();
        let bytes = content(&files.crash(seed), "a").unwrap();
        let whole: Vec<bool> = bytes
            .chunks(SECTOR_BYTES as usize)
            .map(|sector| sector.iter().all(|byte| *byte == 7))
            .collect();
        for (sector, bytes) in bytes.chunks(SECTOR_BYTES as usize).enumerate() {
            let untouched = bytes.iter().all(|byte| *byte == 0) || bytes.starts_with(b"old");
            assert!(whole[sector] || untouched, "seed {seed}, sector {sector}");
        }
        torn += u32::from(whole.contains(&true) && whole.contains(&false));
    }
    assert!(torn > 0);
}

#[test]
fn a_failed_sync_saves_nothing_and_the_next_one_lies() {
    let files = disk();
    let file = files.open("a").unwrap();
    file.write_at(0, b"new").unwrap();
    files.fail_nth(0, Fault::Eio);
    assert!(file.sync_data().is_err());
    assert!(file.sync_data().is_ok(), "as on Linux");
    assert_eq!(content(&files, "a").unwrap(), b"new", "reads still show it");
    assert_eq!(content(&files.crash(1), "a").unwrap(), b"old");
}

#[test]
fn a_fault_meets_the_chosen_operation_once() {
    let files = disk();
    let file = files.open("a").unwrap();
    files.fail_nth(1, Fault::ShortWrite);
    file.write_at(0, b"1").unwrap();
    assert_eq!(file.write_at(0, b"2345").unwrap_err().kind, FileErrorKind::NoSpace);
    assert!(!files.fault_is_pending());
    assert_eq!(content(&files, "a").unwrap(), b"23d", "half of it was written");
    files.fail_nth(0, Fault::FlipRead);
    let mut bytes = [0; 3];
    file.read_at(0, &mut bytes).unwrap();
    assert_ne!(&bytes, b"23d");
    file.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"23d");
}

#[test]
fn a_full_disk_takes_overwriting_and_nothing_more() {
    let files = disk();
    files.set_capacity(Some(3));
    let file = files.open("a").unwrap();
    file.write_at(0, b"new").unwrap();
    assert_eq!(file.write_at(2, b"ww").unwrap_err().kind, FileErrorKind::NoSpace);
    files.set_capacity(None);
    file.write_at(2, b"ww").unwrap();
}

#[test]
fn handles_of_an_earlier_life_only_fail() {
    let files = disk();
    let file = files.open("a").unwrap();
    let next = files.crash(1);
    assert!(file.write_at(0, b"x").is_err() && file.sync_data().is_err() && files.list().is_err());
    assert_eq!(content(&next, "a").unwrap(), b"old");
}

#[test]
fn a_recording_gives_back_every_moment() {
    let files = disk();
    let recording = files.start_recording();
    let file = files.open("a").unwrap();
    file.write_at(0, b"1").unwrap();
    file.write_at(1, b"2").unwrap();
    file.sync_data().unwrap();
    assert_eq!(recording.len(), 3);
    let kept = |n: usize, kept: u64| content(&recording.prefix(n).cut(kept), "a").unwrap();
    assert_eq!(kept(2, 0b00), b"old");
    assert_eq!(kept(2, 0b01), b"1ld");
    assert_eq!(kept(2, 0b10), b"o2d");
    assert_eq!(kept(3, 0b00), b"12d");
    assert_eq!(content(&recording.prefix(1).killed(), "a").unwrap(), b"1ld");
}

#[test]
fn a_write_in_which_the_process_dies_may_be_kept_lost_or_torn_and_nothing_follows_it() {
    let [old, new] = [[b'o'; 2 * SECTOR_BYTES as usize], [b'n'; 2 * SECTOR_BYTES as usize]];
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let files = disk();
        let file = files.open("a").unwrap();
        file.write_at(0, &old).unwrap();
        file.sync_data().unwrap();
        files.fail_nth(0, Fault::Death);
        assert!(file.write_at(0, &new).is_err());
        assert!(file.sync_data().is_err(), "its life is over");
        let left = content(&files.crash(seed), "a").unwrap();
        seen.insert((left[0], left[SECTOR_BYTES as usize]));
    }
    assert_eq!(seen.len(), 4, "both sectors, either one, none: {seen:?}");
}
