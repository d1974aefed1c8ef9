//! Thousands of connections at once that have said hello and want nothing.
//!
//! They come from many addresses: one gets no more than half of a node's places.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::hostile::doors::{Doors, PATIENCE, Port, connect};
use crate::hostile::frames;

/// The first of the addresses that the crowd comes from, and how many there are.
const FIRST_SOURCE: u8 = 10;
const SOURCES: usize = 16;

/// The connections.
pub(super) struct Crowd(Vec<TcpStream>);

impl Crowd {
    /// Opens so many. The first that does not get in is the last one.
    pub(super) async fn gather(doors: &Arc<Doors>, size: usize) -> Crowd {
        let mut crowd = Vec::new();
        for number in 0..size {
            match greeted(doors, number).await {
                Ok(stream) => crowd.push(stream),
                Err(error) => {
                    eprintln!("the crowd ends at {number}: {error}");
                    break;
                }
            }
        }
        Crowd(crowd)
    }

    /// How many there were, and how many of them no node has closed until now.
    pub(super) fn disperse(self) -> (usize, usize) {
        let is_open = |stream: &&TcpStream| {
            let read = stream.try_read(&mut [0]);
            matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        };
        (self.0.len(), self.0.iter().filter(is_open).count())
    }
}

/// A connection that has been welcomed.
async fn greeted(doors: &Doors, number: usize) -> io::Result<TcpStream> {
    let source = Ipv4Addr::new(127, 0, 0, FIRST_SOURCE + (number % SOURCES) as u8);
    let node = number / SOURCES % doors.count(Port::Plain);
    let mut stream = connect(source, doors.address(Port::Plain, node)).await?;
    stream.write_all(&frames::hello()).await?;
    let length = timeout(PATIENCE, stream.read_u32()).await?? as usize;
    assert!(length <= CLIENT_FRAME_BYTES, "a greeting, and not {length} bytes");
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(stream)
}
