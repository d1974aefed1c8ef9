//! From text to checked settings: first serde for shape and types, then what serde cannot see.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use kvorum_gossip::facts::NodeAddresses;
use kvorum_ring::{NodeId, PartitionCount, Weight, Zone};
use serde::{Deserialize, Deserializer, de::Error};

use crate::config::error::{AddressKey, Invalid};
use crate::config::{
    ClusterConfig, Config, ListenConfig, LogConfig, LogFormat, MemberConfig, NodeConfig,
    PathsConfig, StoreConfig,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    node: Node,
    cluster: Cluster,
    listen: Listen,
    #[serde(default)]
    paths: Paths,
    #[serde(default)]
    store: Store,
    #[serde(default)]
    log: Log,
    members: Vec<Member>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    #[serde(deserialize_with = "from_text")]
    id: NodeId,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cluster {
    name: String,
    #[serde(default)]
    partitions: PartitionCount,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listen {
    #[serde(deserialize_with = "from_text")]
    peers: SocketAddr,
    #[serde(deserialize_with = "from_text")]
    clients: SocketAddr,
    #[serde(deserialize_with = "from_text")]
    admin: SocketAddr,
    #[serde(default)]
    dev_plaintext: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Paths {
    certificates: Option<PathBuf>,
    context_keys: Option<PathBuf>,
    log: Option<PathBuf>,
    index: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Store {
    segment_mib: Option<u64>,
    table_mib: Option<u64>,
    index_cache_mib: Option<u64>,
    bearing_hints_mib: Option<u64>,
    spare_hints_mib: Option<u64>,
    spare_hints_minutes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Log {
    level: Option<String>,
    format: Option<LogFormat>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    #[serde(deserialize_with = "from_text")]
    id: NodeId,
    name: String,
    peers: String,
    clients: String,
    admin: String,
    #[serde(default)]
    zone: Zone,
    #[serde(default)]
    weight: Weight,
}

fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

pub(crate) fn parse(text: &str) -> Result<Config, Invalid> {
    let File { node, cluster, listen, paths, store, log, members } = toml::from_str(text)?;
    let config = Config {
        node: NodeConfig { id: node.id, name: checked_name("node.name", node.name)? },
        cluster: ClusterConfig {
            name: checked_name("cluster.name", cluster.name)?,
            partitions: cluster.partitions,
            members: checked_members(members)?,
        },
        listen: checked_listen(listen)?,
        paths: with_defaults(paths),
        store: checked_store(store)?,
        log: LogConfig {
            level: log.level.unwrap_or(LogConfig::default().level),
            format: log.format.unwrap_or(LogConfig::default().format),
        },
    };
    let me = config.cluster.members.iter().find(|member| member.id == config.node.id);
    match me {
        None => Err(Invalid::NotAMember(config.node.id)),
        Some(me) if me.name != config.node.name => {
            Err(Invalid::OtherName { name: config.node.name, listed: me.name.clone() })
        }
        Some(_) => Ok(config),
    }
}

fn checked_name(key: &'static str, name: String) -> Result<String, Invalid> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=63).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(name)
    } else {
        Err(Invalid::Name { key, name })
    }
}

fn checked_members(members: Vec<Member>) -> Result<Vec<MemberConfig>, Invalid> {
    let mut names = BTreeSet::new();
    let mut checked = Vec::with_capacity(members.len());
    for Member { id, name, peers, clients, admin, zone, weight } in members {
        let name = checked_name("members: name", name)?;
        let address = |key, address: String| match is_host_and_port(&address) {
            true => Ok(address),
            false => Err(Invalid::Address { member: name.clone(), key, address }),
        };
        let addresses = NodeAddresses {
            peers: address(AddressKey::Peers, peers)?,
            clients: address(AddressKey::Clients, clients)?,
            admin: address(AddressKey::Admin, admin)?,
        };
        if !names.insert(name.clone()) {
            return Err(Invalid::NameTwice(name));
        }
        checked.push(MemberConfig { id, name, addresses, zone, weight });
    }
    checked.sort_by_key(|member: &MemberConfig| member.id);
    match checked.windows(2).find(|pair| pair[0].id == pair[1].id) {
        Some(pair) => Err(Invalid::MemberTwice(pair[0].id)),
        None => Ok(checked),
    }
}

/// Whether a text has the shape `host:port` with a port that can be dialled. Whether the host exists shows when dialling.
fn is_host_and_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let host_is_right =
        if bracketed { address.parse::<SocketAddr>().is_ok() } else { host.bytes().all(plain) };
    !host.is_empty() && host_is_right && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn checked_listen(listen: Listen) -> Result<ListenConfig, Invalid> {
    let Listen { peers, clients, admin, dev_plaintext } = listen;
    if dev_plaintext && clients.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
        return Err(Invalid::PlaintextBeyondLoopback(clients));
    }
    for (one, other) in [(peers, clients), (clients, admin), (admin, peers)] {
        if one.port() == other.port() {
            return Err(Invalid::PortTwice(one));
        }
    }
    Ok(ListenConfig { peers, clients, admin, dev_plaintext })
}

fn with_defaults(paths: Paths) -> PathsConfig {
    let default = PathsConfig::default();
    PathsConfig {
        certificates: paths.certificates.unwrap_or(default.certificates),
        context_keys: paths.context_keys.unwrap_or(default.context_keys),
        log: paths.log.unwrap_or(default.log),
        index: paths.index.unwrap_or(default.index),
    }
}

fn checked_store(store: Store) -> Result<StoreConfig, Invalid> {
    let default = StoreConfig::default();
    let within = |key, value, min, max| match (min..=max).contains(&value) {
        true => Ok(value),
        false => Err(Invalid::Range { key, value, min, max }),
    };
    Ok(StoreConfig {
        segment_mib: within(
            "store.segment_mib",
            store.segment_mib.unwrap_or(default.segment_mib),
            1,
            1_024,
        )?,
        table_mib: within(
            "store.table_mib",
            store.table_mib.unwrap_or(default.table_mib),
            1,
            1 << 20,
        )?,
        index_cache_mib: within(
            "store.index_cache_mib",
            store.index_cache_mib.unwrap_or(default.index_cache_mib),
            1,
            1 << 20,
        )?,
        bearing_hints_mib: within(
            "store.bearing_hints_mib",
            store.bearing_hints_mib.unwrap_or(default.bearing_hints_mib),
            1,
            1 << 20,
        )?,
        spare_hints_mib: within(
            "store.spare_hints_mib",
            store.spare_hints_mib.unwrap_or(default.spare_hints_mib),
            0,
            1 << 20,
        )?,
        spare_hints_minutes: within(
            "store.spare_hints_minutes",
            store.spare_hints_minutes.unwrap_or(default.spare_hints_minutes),
            1,
            60 * 24 * 365,
        )?,
    })
}
