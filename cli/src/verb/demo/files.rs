//! First stage: a directory tree goes in, comes out again, and is compared byte for byte.

use std::fs;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;

use super::tree::{Skipped, Tree};
use super::{Session, broken, parallel, rate};
use crate::cluster::explain;
use crate::failure::{Failure, Outcome};
use crate::output::units;
use crate::progress::Step;

/// What the stage leaves behind.
#[derive(Debug)]
pub(super) struct Files {
    /// The keys that were stored.
    pub(super) keys: Vec<Bytes>,
    /// What is said about it.
    pub(super) report: FilesReport,
}

/// What was stored and what was not.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FilesReport {
    pub(super) path: String,
    pub(super) stored: u64,
    pub(super) bytes: u64,
    pub(super) identical: u64,
    pub(super) skipped: Skipped,
}

/// Stores the tree, reads it back, compares.
pub(super) async fn store_and_compare(
    session: &Session,
    root: &Path,
    tree: Tree,
) -> Outcome<Files> {
    let Tree { files: found, mut skipped, .. } = tree;
    let mut files: Vec<(Bytes, Bytes)> = Vec::with_capacity(found.len());
    for file in found {
        // A file may have gone or grown since the walk; then it is skipped like any other that does not fit.
        match fs::read(&file.path) {
            Ok(value) if value.len() <= kvorum_protocol::limits::INLINE_VALUE_BYTES => {
                files.push((Bytes::from(format!("files/{}", file.key)), value.into()));
            }
            Ok(_) => skipped.too_large += 1,
            Err(_) => skipped.unreadable += 1,
        }
    }
    let bytes = files.iter().map(|(_, value)| value.len() as u64).sum();
    store(session, &files, bytes).await?;
    session.say(&skipped.in_words());
    let identical = compare(session, &files, bytes).await?;
    let stored = files.len() as u64;
    let report =
        FilesReport { path: root.display().to_string(), stored, bytes, identical, skipped };
    Ok(Files { keys: files.into_iter().map(|(key, _)| key).collect(), report })
}

async fn store(session: &Session, files: &[(Bytes, Bytes)], bytes: u64) -> Outcome<()> {
    let step = Step::begin(session.output, "store the files", files.len() as u64);
    let begun = Instant::now();
    let put = |(key, value): (Bytes, Bytes)| {
        let session = session.clone();
        async move {
            let put = session.bucket.put(key, value).send().await;
            put.map_err(|error| {
                explain::operation("store a file", &error, &session.client.topology())
            })
        }
    };
    let stored = |_| {
        step.advance(1);
        Ok(())
    };
    parallel::each(files.to_vec(), put, stored).await?;
    let time = begun.elapsed();
    step.end(&format!("{} ({})", units::plural(files.len() as u64, "file"), rate(bytes, time)));
    Ok(())
}

async fn compare(session: &Session, files: &[(Bytes, Bytes)], bytes: u64) -> Outcome<u64> {
    let step = Step::begin(session.output, "read them back", files.len() as u64);
    let begun = Instant::now();
    let get = |(key, expected): (Bytes, Bytes)| {
        let session = session.clone();
        async move {
            let read = session.bucket.get(key.clone()).send().await;
            let read = read.map_err(|error| {
                explain::operation("read a file", &error, &session.client.topology())
            })?;
            let is_same = matches!(&read.values[..], [value] if value.value == expected);
            Ok((key, is_same))
        }
    };
    let mut identical = 0;
    let mut different: Option<Failure> = None;
    let read = |(key, is_same): (Bytes, bool)| {
        step.advance(1);
        if is_same {
            identical += 1;
        } else {
            let key = String::from_utf8_lossy(&key).into_owned();
            different.get_or_insert_with(|| broken(format!("{key} came back with other bytes")));
        }
        Ok(())
    };
    parallel::each(files.to_vec(), get, read).await?;
    if let Some(failure) = different {
        return Err(failure);
    }
    step.end(&format!("every byte identical ({})", rate(bytes, begun.elapsed())));
    Ok(identical)
}
