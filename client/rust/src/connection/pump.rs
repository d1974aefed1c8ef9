//! The two tasks of a connection: one writes frames, one reads them.

use std::sync::Arc;

use kvorum_protocol::frame::{FrameDecoder, read_message};
use kvorum_protocol::message::{RequestError, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::pending::Pending;
use crate::limits;

/// Closes the table when its task ends, in whatever way.
struct ClosesOnDrop(Arc<Pending>);

impl Drop for ClosesOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Writes frames until nobody hands over any more, or the stream breaks. What is waiting is gathered and leaves at once.
pub(super) async fn write(
    mut writer: Box<dyn AsyncWrite + Send + Unpin>,
    mut queue: mpsc::Receiver<Vec<u8>>,
    pending: Arc<Pending>,
) {
    let _closes = ClosesOnDrop(pending);
    while let Some(mut batch) = queue.recv().await {
        while batch.len() < limits::WRITE_BATCH_BYTES {
            let Ok(frame) = queue.try_recv() else { break };
            batch.extend_from_slice(&frame);
        }
        if writer.write_all(&batch).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    // The last owner of the connection has gone; a failed goodbye changes nothing.
    let _ = writer.shutdown().await;
}

/// Reads frames until the stream ends or cannot be understood.
pub(super) async fn read(
    mut reader: Box<dyn AsyncRead + Send + Unpin>,
    mut decoder: FrameDecoder,
    pending: Arc<Pending>,
) {
    let _closes = ClosesOnDrop(Arc::clone(&pending));
    loop {
        loop {
            match decoder.next_frame() {
                Ok(Some(body)) => deliver(&pending, body),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "a node sent an impossible frame; closing the connection");
                    return;
                }
            }
        }
        // Room for many answers at once. Frames are slices of it, so it is left to them and made anew when it is used up.
        let buffer = decoder.buffer();
        if buffer.capacity() - buffer.len() < limits::READ_BYTES / 8 {
            buffer.reserve(limits::READ_BYTES);
        }
        match reader.read_buf(buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => pending.hear(),
        }
    }
}

/// A single answer that cannot be decoded fails its own request only: the frame itself was whole. Its request learns
/// that something was answered, so a write counts as perhaps applied.
fn deliver(pending: &Pending, body: bytes::Bytes) {
    match read_message::<Response>(body) {
        Ok((id, response)) => pending.fill(id, response),
        Err(bad) => {
            tracing::warn!(error = %bad.error, "a node sent an answer that does not decode");
            if let Some(id) = bad.request_id {
                pending.fill(id, Response::Error { error: RequestError::Other(0) });
            }
        }
    }
}
