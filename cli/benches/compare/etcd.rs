//! etcd: three members, loaded at the leader.

use std::io;

use crate::Row;
use crate::grpc::{Channel, field, fields};
use crate::load::{self, Connection};
use crate::processes::{Processes, eventually, free_ports};

/// Workers that share a connection: some, as etcd's own benchmark does it, so that requests share packets.
const WORKERS_PER_CONNECTION: u32 = 8;

/// Starts the three, and loads them.
pub(crate) async fn measure(
    works: &[&'static str],
    in_flight: u32,
    seconds: u64,
) -> io::Result<Vec<Row>> {
    let mut nodes = Processes::new()?;
    let ports: [u16; 6] = free_ports()?;
    let (clients, peers) = ports.split_at(3);
    let cluster: Vec<String> = peers
        .iter()
        .enumerate()
        .map(|(node, port)| format!("e{node}=http://127.0.0.1:{port}"))
        .collect();
    for (node, (client, peer)) in clients.iter().zip(peers).enumerate() {
        let place = nodes.place(&format!("e{node}"))?.display().to_string();
        let (client, peer) =
            (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let arguments = [
            ("--name", format!("e{node}")),
            ("--data-dir", place),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", cluster.join(",")),
            // Room for every version of every key of a long run: etcd keeps history.
            ("--quota-backend-bytes", (8_u64 << 30).to_string()),
            ("--log-level", "error".to_owned()),
        ];
        let arguments: Vec<String> =
            arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        nodes.start("etcd", &arguments)?;
    }
    let leader = eventually("etcd has no leader", async || leader(clients).await).await?;
    let mut connections = Vec::new();
    let mut channel = Channel::connect(leader).await?;
    for worker in 0..in_flight {
        if worker % WORKERS_PER_CONNECTION == 0 {
            channel = Channel::connect(leader).await?;
        }
        connections.push(Etcd { channel: channel.clone() });
    }
    load::measure("etcd", works, connections, seconds, &nodes).await
}

/// The client port of the member that leads.
async fn leader(ports: &[u16]) -> io::Result<u16> {
    for port in ports {
        let mut channel = Channel::connect(*port).await?;
        let status = channel.call("/etcdserverpb.Maintenance/Status", Vec::new()).await?;
        let header = fields(&status).find(|(number, _)| *number == 1).map(|(_, value)| value.bytes);
        let member = fields(header.unwrap_or_default()).find(|(number, _)| *number == 2);
        let leading = fields(&status).find(|(number, _)| *number == 4);
        match (member, leading) {
            (Some((_, member)), Some((_, leading))) if member.number == leading.number => {
                return Ok(*port);
            }
            _ => {}
        }
    }
    Err(io::Error::other("no member leads"))
}

struct Etcd {
    channel: Channel,
}

impl Connection for Etcd {
    async fn put(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        let mut request = Vec::with_capacity(key.len() + value.len() + 8);
        field(&mut request, 1, key.as_bytes());
        field(&mut request, 2, value);
        self.channel.call("/etcdserverpb.KV/Put", request).await.map(drop)
    }

    async fn get(&mut self, key: &str, bytes: usize) -> io::Result<()> {
        let mut request = Vec::with_capacity(key.len() + 4);
        field(&mut request, 1, key.as_bytes());
        let answer = self.channel.call("/etcdserverpb.KV/Range", request).await?;
        if answer.len() >= bytes {
            return Ok(());
        }
        Err(io::Error::other("etcd has no value for a key that was written"))
    }
}
