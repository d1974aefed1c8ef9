//! As much gRPC as etcd needs: one request, one answer, and the two kinds of protobuf fields that occur.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;

/// An HTTP/2 connection. Clones share it.
#[derive(Clone)]
pub(crate) struct Channel {
    sender: SendRequest<Bytes>,
    port: u16,
}

impl Channel {
    /// Connects to a port of this machine.
    pub(crate) async fn connect(port: u16) -> io::Result<Channel> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        tokio::task::spawn_local(async move {
            // Its end shows at every request.
            let _ = connection.await;
        });
        Ok(Channel { sender, port })
    }

    /// Asks, and gives the answer's message.
    pub(crate) async fn call(&mut self, method: &str, message: Vec<u8>) -> io::Result<Bytes> {
        let request = Request::post(format!("http://127.0.0.1:{}{method}", self.port))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(io::Error::other)?;
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(0);
        frame.put_u32(message.len() as u32);
        frame.extend_from_slice(&message);
        let mut sender = self.sender.clone().ready().await.map_err(io::Error::other)?;
        let (response, mut body) = sender.send_request(request, false).map_err(io::Error::other)?;
        body.send_data(frame.freeze(), true).map_err(io::Error::other)?;
        let mut response = response.await.map_err(io::Error::other)?;
        let mut answer = BytesMut::new();
        while let Some(part) = response.body_mut().data().await {
            let part = part.map_err(io::Error::other)?;
            answer.extend_from_slice(&part);
            let room = response.body_mut().flow_control();
            room.release_capacity(part.len()).map_err(io::Error::other)?;
        }
        let trailers = response.body_mut().trailers().await.map_err(io::Error::other)?;
        let headers = trailers.as_ref().unwrap_or(response.headers());
        match headers.get("grpc-status").map(|status| status.as_bytes()) {
            Some(b"0") if answer.len() >= 5 => Ok(answer.freeze().slice(5..)),
            status => {
                let why = headers.get("grpc-message");
                Err(io::Error::other(format!("etcd answered {status:?}: {why:?}")))
            }
        }
    }
}

/// Appends a field of bytes.
pub(crate) fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut left = bytes.len();
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    out.extend_from_slice(bytes);
}

/// A field's value: bytes, or a number.
pub(crate) struct FieldValue<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) number: u64,
}

/// The fields of a message up to the first one of another kind.
pub(crate) fn fields(message: &[u8]) -> impl Iterator<Item = (u64, FieldValue<'_>)> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let tag = varint(&mut rest)?;
        let number = varint(&mut rest)?;
        let value = match tag & 7 {
            0 => FieldValue { bytes: &[], number },
            2 => {
                let (bytes, after) = rest.split_at_checked(number as usize)?;
                rest = after;
                FieldValue { bytes, number: 0 }
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
