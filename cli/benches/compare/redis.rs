//! Redis: a master with an append-only file that is synced for every write, and two replicas.
//!
//! The load speaks RESP by itself: two commands and three kinds of answers, which costs the generator less than any library.

use std::io::{self, Write};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Row;
use crate::load::{self, Connection};
use crate::processes::{Processes, eventually, free_ports};

/// Starts the three, and loads them.
pub(crate) async fn measure(
    works: &[&'static str],
    in_flight: u32,
    seconds: u64,
) -> io::Result<Vec<Row>> {
    let mut nodes = Processes::new()?;
    let ports: [u16; 3] = free_ports()?;
    for port in ports {
        let place = nodes.place(&port.to_string())?;
        let place = place.display().to_string();
        let port_text = port.to_string();
        let mut words = vec!["--port", &port_text, "--bind", "127.0.0.1", "--dir", &place];
        words.extend(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        let mut arguments: Vec<String> = words.into_iter().map(str::to_owned).collect();
        if port != ports[0] {
            arguments.extend(["--replicaof".to_owned(), format!("127.0.0.1 {}", ports[0])]);
        }
        nodes.start("redis-server", &arguments)?;
    }
    eventually("redis has not got its replicas", async || replicated(ports[0]).await).await?;
    let mut connections = Vec::new();
    for _ in 0..in_flight {
        connections.push(Resp::connect(ports[0]).await?);
    }
    load::measure("redis", works, connections, seconds, &nodes).await
}

/// Both replicas have a write.
async fn replicated(port: u16) -> io::Result<()> {
    let mut connection = Resp::connect(port).await?;
    connection.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n2\r\n$3\r\n100\r\n").await?;
    connection.expect("+OK").await?;
    connection.expect(":2").await
}

struct Resp {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    line: String,
}

impl Resp {
    async fn connect(port: u16) -> io::Result<Resp> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Resp { stream: BufReader::new(stream), request: Vec::new(), line: String::new() })
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    async fn line(&mut self) -> io::Result<&str> {
        self.line.clear();
        self.stream.read_line(&mut self.line).await?;
        Ok(self.line.trim_end())
    }

    async fn expect(&mut self, wanted: &str) -> io::Result<()> {
        let line = self.line().await?;
        if line == wanted {
            return Ok(());
        }
        Err(io::Error::other(format!("redis said {line:?}, not {wanted:?}")))
    }
}

impl Connection for Resp {
    async fn put(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        let mut request = std::mem::take(&mut self.request);
        request.clear();
        write!(request, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len())?;
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n");
        self.send(&request).await?;
        self.request = request;
        self.expect("+OK").await?;
        match self.line().await? {
            ":1" | ":2" => Ok(()),
            other => Err(io::Error::other(format!("redis waited and said {other:?}"))),
        }
    }

    async fn get(&mut self, key: &str, bytes: usize) -> io::Result<()> {
        let mut request = std::mem::take(&mut self.request);
        request.clear();
        write!(request, "*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len())?;
        self.send(&request).await?;
        self.expect(&format!("${bytes}")).await?;
        request.resize(bytes + 2, 0);
        self.stream.read_exact(&mut request).await?;
        self.request = request;
        Ok(())
    }
}
