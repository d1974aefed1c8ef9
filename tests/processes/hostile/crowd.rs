//! Thousands of connections that want nothing: half of them have said hello, half say nothing at all.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::hostile::doors::{Doors, Port};
use crate::hostile::frames;

/// The connections.
pub(super) struct Crowd(Vec<TcpStream>);

impl Crowd {
    /// Opens so many, or as many as the system gives us.
    pub(super) async fn gather(doors: &Arc<Doors>, size: usize) -> Crowd {
        let mut crowd = Vec::new();
        for number in 0..size {
            let Ok(mut stream) = doors.tcp(Port::Plain, number % doors.count(Port::Plain)).await
            else {
                break;
            };
            let greeted = number % 2 == 0;
            if !greeted || stream.write_all(&frames::hello()).await.is_ok() {
                crowd.push(stream);
            }
        }
        Crowd(crowd)
    }

    /// Ends them all, and says how many there were.
    pub(super) fn disperse(self) -> usize {
        self.0.len()
    }
}
