//! The contract of [`Files`].

use crate::files::{File, FileErrorKind, Files, preallocate};

/// Runs all checks on an empty directory.
pub(crate) fn check_all<F: Files>(files: &F) {
    names_come_and_go(files);
    bytes_stand_where_they_were_written(files);
    open_files_outlive_their_names(files);
    preallocated_files_read_as_zeros(files);
}

fn kind<T>(result: Result<T, crate::FileError>) -> Option<FileErrorKind> {
    result.err().map(|error| error.kind)
}

fn names_come_and_go<F: Files>(files: &F) {
    assert_eq!(files.list().unwrap(), Vec::<String>::new(), "the directory is empty at first");
    assert_eq!(kind(files.open("a")), Some(FileErrorKind::NotFound));
    assert_eq!(kind(files.remove("a")), Some(FileErrorKind::NotFound));
    files.create("b").unwrap();
    files.create("a").unwrap();
    assert_eq!(kind(files.create("a")), Some(FileErrorKind::AlreadyExists));
    assert_eq!(files.list().unwrap(), ["a", "b"], "names are in order");
    files.rename("a", "c").unwrap();
    files.open("b").unwrap().write_at(0, b"old").unwrap();
    files.open("c").unwrap().write_at(0, b"new").unwrap();
    files.rename("c", "b").unwrap();
    files.sync_dir().unwrap();
    assert_eq!(files.list().unwrap(), ["b"], "a rename replaces");
    let mut bytes = [0; 3];
    files.open("b").unwrap().read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"new");
    files.remove("b").unwrap();
    files.sync_dir().unwrap();
    assert_eq!(files.list().unwrap(), Vec::<String>::new());
}

fn bytes_stand_where_they_were_written<F: Files>(files: &F) {
    let file = files.create("bytes").unwrap();
    assert!(file.is_empty().unwrap());
    file.write_at(4, b"later").unwrap();
    file.write_at(0, b"front").unwrap();
    assert_eq!(file.len().unwrap(), 9);
    let mut buffer = [0xee; 16];
    assert_eq!(file.read_at(0, &mut buffer).unwrap(), 9, "a read ends at the file's end");
    assert_eq!(&buffer[..9], b"frontater");
    assert_eq!(file.read_at(8, &mut buffer).unwrap(), 1);
    assert_eq!(file.read_at(9, &mut buffer).unwrap(), 0);
    assert_eq!(file.read_at(1 << 40, &mut buffer).unwrap(), 0);
    file.truncate(5).unwrap();
    file.sync_data().unwrap();
    file.write_at(8, b"!").unwrap();
    assert_eq!(file.read_at(0, &mut buffer).unwrap(), 9);
    assert_eq!(&buffer[..9], b"front\0\0\0!", "a gap reads as zeros");
    files.remove("bytes").unwrap();
}

fn open_files_outlive_their_names<F: Files>(files: &F) {
    let file = files.create("gone").unwrap();
    file.write_at(0, b"here").unwrap();
    files.remove("gone").unwrap();
    let mut bytes = [0; 4];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 4);
    assert_eq!(&bytes, b"here");
}

fn preallocated_files_read_as_zeros<F: Files>(files: &F) {
    let file = files.create("zeros").unwrap();
    preallocate(&file, 300_000).unwrap();
    assert_eq!(file.len().unwrap(), 300_000);
    let mut bytes = vec![1; 300_000];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 300_000);
    assert!(bytes.iter().all(|byte| *byte == 0));
    files.remove("zeros").unwrap();
}

#[test]
fn simulated_files_keep_the_contract() {
    check_all(&crate::sim_files::SimFiles::new());
}

#[test]
fn real_files_keep_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    check_all(&crate::disk_files::DiskFiles::new(&directory.path().join("log")).unwrap());
}
