//! The store's workers, each on a thread of its own.
//!
//! Jobs go out through bounded queues that never make the driver wait; finished jobs come back through one bounded
//! channel that makes the threads wait when the driver is behind. A thread that panics says so before it is gone, because
//! a store without one of its workers must not look merely slow.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use kvorum_store::{
    CommitJob, Committer, CompactJob, Compactor, Done, Files, Index, IndexJob, Indexer, Job,
    ReadJob, Reader,
};
use tokio::sync::mpsc;

use crate::runtime::limits;

/// What a worker's thread reports.
pub(crate) enum WorkerReport {
    /// A job is finished.
    Done(Done),
    /// The thread panicked and is gone.
    Died(&'static str),
}

/// Queues to the threads.
pub(crate) struct Workers {
    commit: Lane<CommitJob>,
    index: Lane<IndexJob>,
    compact: Lane<CompactJob>,
    readers: Vec<Lane<ReadJob>>,
    next_reader: usize,
    threads: Vec<JoinHandle<()>>,
}

/// The workers of an opened store.
pub(crate) struct StoreWorkers<F: Files, I: Index> {
    pub(crate) committer: Committer<F>,
    pub(crate) reader: Reader<F, I>,
    pub(crate) indexer: Indexer<F, I>,
    pub(crate) compactor: Compactor<F, I>,
}

impl Workers {
    /// Starts the threads. They end when this is dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start<F, I>(
        workers: StoreWorkers<F, I>,
        reports: &mpsc::Sender<WorkerReport>,
    ) -> io::Result<Workers>
    where
        F: Files + Send + Sync + 'static,
        I: Index + Send + Sync + 'static,
    {
        let StoreWorkers { mut committer, reader, mut indexer, mut compactor } = workers;
        let mut threads = Vec::new();
        let commit =
            Lane::start("committer", move |job| committer.run(job), reports, &mut threads)?;
        let index = Lane::start("indexer", move |job| indexer.run(job), reports, &mut threads)?;
        let compact =
            Lane::start("compactor", move |job| compactor.run(job), reports, &mut threads)?;
        let mut readers = Vec::new();
        for _ in 0..limits::READERS {
            let reader = reader.clone();
            readers.push(Lane::start("reader", move |job| reader.run(job), reports, &mut threads)?);
        }
        Ok(Workers { commit, index, compact, readers, next_reader: 0, threads })
    }

    /// Hands a job to its worker.
    pub(crate) fn hand_out(&mut self, job: Job) {
        match job {
            Job::Commit(job) => self.commit.push(job),
            Job::Index(job) => self.index.push(job),
            Job::Compact(job) => self.compact.push(job),
            Job::Read(job) => {
                let reader = self.next_reader % self.readers.len();
                self.next_reader = reader + 1;
                self.readers[reader].push(job);
            }
        }
    }

    /// A job was finished: a queue that was full may have room.
    pub(crate) fn retry(&mut self) {
        self.commit.flush();
        self.index.flush();
        self.compact.flush();
        self.readers.iter_mut().for_each(Lane::flush);
    }

    /// Ends the threads after their current jobs, and waits for that. Files are closed then.
    pub(crate) fn stop(self) {
        let Workers { commit, index, compact, readers, threads, .. } = self;
        drop((commit, index, compact, readers));
        for thread in threads {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// The queue of one thread. The shard bounds what it has under way, so little ever waits here.
struct Lane<J> {
    sender: SyncSender<J>,
    waiting: VecDeque<J>,
}

impl<J: Send + 'static> Lane<J> {
    fn start(
        name: &'static str,
        run: impl FnMut(J) -> Done + Send + 'static,
        reports: &mpsc::Sender<WorkerReport>,
        threads: &mut Vec<JoinHandle<()>>,
    ) -> io::Result<Lane<J>> {
        let (sender, jobs) = sync_channel(limits::WORKER_JOBS);
        let obituary = Obituary { name, reports: reports.clone() };
        let thread = thread::Builder::new()
            .name(format!("kv-{name}"))
            .spawn(move || work(&jobs, run, &obituary))?;
        threads.push(thread);
        Ok(Lane { sender, waiting: VecDeque::new() })
    }

    fn push(&mut self, job: J) {
        self.waiting.push_back(job);
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(job) = self.waiting.pop_front() {
            match self.sender.try_send(job) {
                Ok(()) => {}
                // A thread that is gone has reported its death: the driver is about to stop.
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                    self.waiting.push_front(job);
                    return;
                }
            }
        }
    }
}

fn work<J>(jobs: &Receiver<J>, mut run: impl FnMut(J) -> Done, obituary: &Obituary) {
    while let Ok(job) = jobs.recv() {
        let done = run(job);
        if obituary.reports.blocking_send(WorkerReport::Done(done)).is_err() {
            return;
        }
    }
}

/// Reports the end of its thread when that was a panic.
struct Obituary {
    name: &'static str,
    reports: mpsc::Sender<WorkerReport>,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        if thread::panicking() {
            // Without a driver nobody needs to know.
            let _ = self.reports.blocking_send(WorkerReport::Died(self.name));
        }
    }
}
