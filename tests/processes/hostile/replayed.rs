//! A client's connection as somebody on the way has seen it, said again byte by byte.
//!
//! What was put over the connection has been replaced since. If the node took the bytes for a client's, the old value would
//! be back.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use crate::hostile::attacks::until_the_end;
use crate::hostile::doors::{Doors, PATIENCE, Port, Shown};
use crate::hostile::frames;
use crate::hostile::workload::{BUCKET, bucket, config};

/// What is put over the connection, and then again.
pub(super) const KEY: &[u8] = b"replayed";

/// What it holds in the end.
pub(super) const VALUE: &[u8] = b"what was put later";

/// All that a client sent over TLS.
pub(super) struct Recording(Vec<u8>);

impl Recording {
    /// A client's connection with a put, which then is replaced over another one.
    pub(super) async fn make(doors: &Arc<Doors>) -> Recording {
        let stream = doors.tcp(Port::Tls, 0).await.expect("a connection");
        let stream = stream.into_std().expect("a socket");
        let doors_of_client = doors.clone();
        let said = spawn_blocking(move || put_once(&doors_of_client, stream));
        let said = said.await.expect("no panic").expect("a put");
        let bucket = bucket(config(doors, 1)).await;
        let held = bucket.get(KEY).send().await.expect("a get").answer;
        assert_eq!(held.values.len(), 1, "what is replayed was put");
        bucket.put(KEY, VALUE).send().await.expect("a put");
        Recording(said)
    }

    /// Says it all again on a new connection.
    pub(super) async fn replay(&self, doors: &Doors) -> io::Result<()> {
        let mut stream = doors.tcp(Port::Tls, 0).await?;
        stream.write_all(&self.0).await?;
        until_the_end(&mut stream, PATIENCE).await
    }
}

/// A socket that remembers what was written to it.
struct Listening {
    stream: TcpStream,
    said: Vec<u8>,
}

impl Read for Listening {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Listening {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        self.said.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Greets, puts, and returns what was sent.
fn put_once(doors: &Doors, stream: TcpStream) -> io::Result<Vec<u8>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(doors.node(Port::Tls, 0).dns_name()).expect("a DNS name");
    let tls = doors.tls(Port::Tls, 0, Shown::Certificate).clone();
    let client = rustls::ClientConnection::new(tls, name).map_err(io::Error::other)?;
    let mut tls = rustls::StreamOwned::new(client, Listening { stream, said: Vec::new() });
    for said in [frames::hello(), frames::latest(1, BUCKET, KEY)] {
        tls.write_all(&said)?;
        let mut length = [0; 4];
        tls.read_exact(&mut length)?;
        tls.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize])?;
    }
    Ok(tls.sock.said)
}
