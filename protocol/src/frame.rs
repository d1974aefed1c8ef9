//! How messages stand in a stream: a big-endian `u32` length, then that many bytes.
//!
//! A client's frame is one array `[tag, request id, field, ...]`. The request id is the client's; the answer repeats it, and
//! answers come in any order.

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::{DecodeError, Fields, Reader, Tagged, Writer};

/// Bytes of the length in front of a frame.
const LENGTH_BYTES: usize = 4;

/// A frame that must not be sent, or a stream that can no longer be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than the limit. When writing: nothing was appended. When reading: close the connection, since no later frame
    /// can be found without taking this one in.
    #[error("a frame of {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// Bytes of the frame.
        length: usize,
        /// The most that are allowed.
        limit: usize,
    },
}

/// Appends a frame to `out`; `body` writes its content.
///
/// # Errors
/// [`FrameError::TooLong`] above `limit` bytes; `out` is as it was.
pub fn write_frame(
    out: &mut Vec<u8>,
    limit: usize,
    body: impl FnOnce(&mut Writer<'_>),
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    body(&mut Writer::new(out));
    let length = out.len() - start - LENGTH_BYTES;
    if length > limit {
        out.truncate(start);
        return Err(FrameError::TooLong { length, limit });
    }
    out[start..start + LENGTH_BYTES].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(())
}

/// Cuts frames out of a stream of bytes.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    limit: usize,
}

impl FrameDecoder {
    /// A decoder that refuses frames above `limit` bytes.
    pub fn new(limit: usize) -> FrameDecoder {
        FrameDecoder { buffer: BytesMut::new(), limit }
    }

    /// From now on frames up to another limit are taken: the first frame of a connection is kept short, because it is
    /// read before it is known who sends it.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Where received bytes are appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole frame without its length, or `None` when more bytes are needed. Never reserves memory for more than
    /// the frame that has begun to arrive.
    ///
    /// # Errors
    /// [`FrameError::TooLong`], again at every further call.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > self.limit {
            return Err(FrameError::TooLong { length, limit: self.limit });
        }
        if self.buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Whether the stream stands between two frames; one that ends elsewhere was cut off.
    pub fn is_between_frames(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// A client frame that could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct BadMessage {
    /// The request id, when the frame got that far: the answer can then say what was wrong.
    pub request_id: Option<u64>,
    /// What was wrong.
    pub error: DecodeError,
}

/// Appends a client message as a frame: `[tag, request id, field, ...]`.
///
/// # Errors
/// [`FrameError::TooLong`] above `limit` bytes; `out` is as it was.
pub fn write_message<M: Tagged>(
    out: &mut Vec<u8>,
    limit: usize,
    request_id: u64,
    message: &M,
) -> Result<(), FrameError> {
    write_frame(out, limit, |writer| message.write_tagged(Some(request_id), writer))
}

/// Decodes the content of a client frame.
///
/// # Errors
/// [`BadMessage`]: the frame itself was whole, so the connection can go on.
pub fn read_message<M: Tagged>(body: Bytes) -> Result<(u64, M), BadMessage> {
    let mut reader = Reader::new(body);
    let (tag, request_id, fields) =
        read_head(&mut reader).map_err(|error| BadMessage { request_id: None, error })?;
    let message = read_rest(tag, reader, fields);
    message
        .map(|message| (request_id, message))
        .map_err(|error| BadMessage { request_id: Some(request_id), error })
}

/// The request id of a client frame of which only the beginning has come; `None` when there is none to be found. The longest
/// way to it is 24 bytes.
pub fn read_request_id(beginning: Bytes) -> Option<u64> {
    read_head(&mut Reader::new(beginning)).ok().map(|(_, request_id, _)| request_id)
}

fn read_head(reader: &mut Reader) -> Result<(u32, u64, Fields), DecodeError> {
    let mut fields = reader.open()?;
    let tag = reader.field(&mut fields)?;
    let request_id = reader.field(&mut fields)?;
    Ok((tag, request_id, fields))
}

fn read_rest<M: Tagged>(
    tag: u32,
    mut reader: Reader,
    mut fields: Fields,
) -> Result<M, DecodeError> {
    let message = M::read_tagged(tag, &mut reader, &mut fields)?;
    reader.close(fields)?;
    reader.finish()?;
    Ok(message)
}
