//! Saves the cluster's facts on a thread of its own, so that the driver never waits for a disk.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use crate::runtime::directory;

/// The thread that writes the facts file.
pub(crate) struct Saver {
    files: SyncSender<Vec<u8>>,
    thread: JoinHandle<()>,
}

impl Saver {
    /// Starts the thread. Each file handed to [`Saver::save`] is answered on `saved`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(path: PathBuf, saved: mpsc::Sender<io::Result<()>>) -> io::Result<Saver> {
        // One file at a time is what the cluster asks for.
        let (files, queue) = sync_channel::<Vec<u8>>(1);
        let write = move || {
            while let Ok(content) = queue.recv() {
                if saved.blocking_send(directory::replace(&path, &content)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("kv-facts".to_owned()).spawn(write)?;
        Ok(Saver { files, thread })
    }

    /// Replaces the file, durably. Called again only after the answer.
    pub(crate) fn save(&self, content: Vec<u8>) {
        // The thread lives as long as this does, and its queue is empty between an answer and the next file.
        let _ = self.files.try_send(content);
    }

    /// Ends the thread after what it is writing.
    pub(crate) fn stop(self) {
        drop(self.files);
        let _ = self.thread.join();
    }
}
