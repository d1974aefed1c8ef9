//! Appends batches and syncs them.

use crate::files::{FileError, FileErrorKind, FileOperation, Files};
use crate::job::{CommitJob, Committed, Done, Finished};
use crate::log::writer::LogWriter;

/// The one writer of the log.
#[derive(Clone)]
pub struct Committer<F: Files> {
    writer: LogWriter<F>,
    failed: bool,
}

impl<F: Files> Committer<F> {
    pub(crate) fn new(writer: LogWriter<F>) -> Committer<F> {
        Committer { writer, failed: false }
    }

    /// Appends and syncs one batch. After a failure every further batch fails, too: what a failed write or sync left on the
    /// disk is unknown, and trying again would only hide it.
    pub fn run(&mut self, job: CommitJob) -> Done {
        if self.failed {
            let refused = FileErrorKind::Io(std::io::ErrorKind::BrokenPipe);
            return Done(Finished::Committed(Err(FileError::new(FileOperation::Write, refused))));
        }
        let CommitJob { entries, spares, locations, .. } = job;
        let result = self.writer.commit(&entries, spares, locations);
        self.failed = result.is_err();
        Done(Finished::Committed(result.map(|written| Committed { written, entries })))
    }
}
