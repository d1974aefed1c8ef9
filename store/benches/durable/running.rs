//! A shard with its workers on threads.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kvorum_store::{
    CommitJob, CompactJob, DiskFiles, Done, IndexJob, Job, Now, ReadJob, RecoveryReport, Shard,
    ShardOptions, SledOpener, StoreEvent, StoreRequest, open,
};

const CACHE_BYTES: u64 = 64 << 20;

/// An open shard.
pub(crate) struct Running {
    pub(crate) shard: Shard,
    pub(crate) report: RecoveryReport,
    started: Instant,
    done: Receiver<Done>,
    commit: SyncSender<CommitJob>,
    read: SyncSender<ReadJob>,
    index: SyncSender<IndexJob>,
    compact: SyncSender<CompactJob>,
    threads: Vec<JoinHandle<()>>,
}

fn lane<J: Send + 'static>(
    name: &str,
    mut run: impl FnMut(J) -> Done + Send + 'static,
    done: &SyncSender<Done>,
    threads: &mut Vec<JoinHandle<()>>,
) -> SyncSender<J> {
    let (jobs, queue) = sync_channel::<J>(1_024);
    let done = done.clone();
    let work = move || {
        while let Ok(job) = queue.recv() {
            if done.send(run(job)).is_err() {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name(name.to_string()).spawn(work);
    threads.push(thread.expect("the system gives a thread"));
    jobs
}

impl Running {
    pub(crate) fn open(directory: &Path) -> Running {
        let files =
            Arc::new(DiskFiles::new(&directory.join("log")).expect("the directory can be made"));
        let index = SledOpener::new(&directory.join("index"), CACHE_BYTES);
        let opened = open(files, index, ShardOptions::default(), 1).expect("the shard opens");
        let (mut committer, reader) = (opened.committer, opened.reader);
        let (mut indexer, mut compactor) = (opened.indexer, opened.compactor);
        let (sender, done) = sync_channel(1_024);
        let mut threads = Vec::new();
        Running {
            shard: opened.shard,
            report: opened.report,
            started: Instant::now(),
            done,
            commit: lane("committer", move |job| committer.run(job), &sender, &mut threads),
            read: lane("reader", move |job| reader.run(job), &sender, &mut threads),
            index: lane("indexer", move |job| indexer.run(job), &sender, &mut threads),
            compact: lane("compactor", move |job| compactor.run(job), &sender, &mut threads),
            threads,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono_ns: self.started.elapsed().as_nanos() as u64, wall_ms: 0 }
    }

    pub(crate) fn submit(&mut self, request: StoreRequest) {
        self.shard.submit(self.now(), request);
    }

    /// Hands out jobs, then waits for the next finished one, or for the shard's own alarm, and takes all there are.
    pub(crate) fn step(&mut self) {
        self.hand_out();
        let now = self.now();
        let wait =
            self.shard.next_deadline().map_or(1_000_000_000, |at| at.saturating_sub(now.mono_ns));
        match self.done.recv_timeout(Duration::from_nanos(wait)) {
            Ok(done) => {
                self.shard.complete(self.now(), done);
                while let Ok(done) = self.done.try_recv() {
                    self.shard.complete(self.now(), done);
                }
            }
            Err(_) => self.shard.tick(self.now()),
        }
    }

    fn hand_out(&mut self) {
        while let Some(job) = self.shard.poll_job() {
            let sent = match job {
                Job::Commit(job) => self.commit.send(job).is_ok(),
                Job::Read(job) => self.read.send(job).is_ok(),
                Job::Index(job) => self.index.send(job).is_ok(),
                Job::Compact(job) => self.compact.send(job).is_ok(),
            };
            assert!(sent, "the worker lives");
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<StoreEvent> {
        let event = self.shard.poll_event();
        if let Some(StoreEvent::Poisoned { reason }) = &event {
            panic!("the store stopped: {reason}");
        }
        event
    }

    /// Stops as a node that is asked to.
    pub(crate) fn close(mut self) {
        self.shard.begin_close(self.now());
        loop {
            while let Some(event) = self.poll_event() {
                if matches!(event, StoreEvent::Closed) {
                    return self.abandon();
                }
            }
            self.step();
        }
    }

    /// Stops as a node that was killed, as far as the files go.
    pub(crate) fn abandon(self) {
        let Running { commit, read, index, compact, threads, done, .. } = self;
        drop((commit, read, index, compact, done));
        threads.into_iter().for_each(|thread| thread.join().expect("the worker ends well"));
    }
}
