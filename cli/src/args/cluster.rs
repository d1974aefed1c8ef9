//! Arguments of `kv cluster` and `kv node`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use kvorum_ring::{Weight, Zone};

/// The verbs of `kv cluster`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ClusterVerb {
    /// Make certificates and one directory for each node, to be copied to its machine
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArguments),
}

const INIT_EXAMPLES: &str = "\
Examples:
  kv cluster init --node n1=10.0.0.1:7400 --node n2=10.0.0.2:7400 --node n3=10.0.0.3:7400 --out cluster
  kv cluster init --node a=host-a:7400,zone=rack1 --node b=host-b:7400,zone=rack2,weight=200 --out cluster
";

/// Arguments of `kv cluster init`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InitArguments {
    /// A node: NAME=HOST:PORT[,zone=ZONE][,weight=WEIGHT]; PORT is the peers' UDP port, the next two are taken too
    #[arg(long = "node", value_name = "NODE", required = true)]
    pub(crate) nodes: Vec<NodeSpec>,
    /// Where to make the directories; it must not exist yet, or be empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The cluster's name
    #[arg(long, default_value = "kvorum", value_name = "NAME")]
    pub(crate) name: String,
    /// How many partitions: a power of two, never changed afterwards
    #[arg(long, default_value_t = kvorum_ring::limits::DEFAULT_PARTITIONS, value_name = "COUNT")]
    pub(crate) partitions: u32,
}

/// One node of a new cluster, as `--node` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeSpec {
    /// What people call it, and the name of its directory.
    pub(crate) name: String,
    /// Where the others reach it: a DNS name or an address.
    pub(crate) host: String,
    /// The first of its three ports.
    pub(crate) port_base: u16,
    /// What it shares a fate with.
    pub(crate) zone: Zone,
    /// Its share, relative to the others.
    pub(crate) weight: Weight,
}

impl FromStr for NodeSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<NodeSpec, String> {
        let (name, rest) =
            text.split_once('=').ok_or("write NAME=HOST:PORT[,zone=ZONE][,weight=WEIGHT]")?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 63 || !name.bytes().all(is_allowed) {
            return Err(
                "a node's name is 1 to 63 letters, digits, '-' and '_': it names a directory"
                    .to_owned(),
            );
        }
        let mut fields = rest.split(',');
        let endpoint: kvorum_client::Endpoint =
            fields.next().unwrap_or_default().parse().map_err(|error| format!("{error}"))?;
        if endpoint.transport.is_some() || endpoint.node.is_some() {
            return Err("the address is HOST:PORT, without a scheme or an id".to_owned());
        }
        if endpoint.port > u16::MAX - 2 {
            return Err("the port and the two after it must exist: at most 65533".to_owned());
        }
        let mut spec = NodeSpec {
            name: name.to_owned(),
            host: endpoint.host,
            port_base: endpoint.port,
            zone: Zone::default(),
            weight: Weight::default(),
        };
        for field in fields {
            match field.split_once('=') {
                Some(("zone", zone)) => {
                    spec.zone = zone.parse().map_err(|error| format!("{error}"))?
                }
                Some(("weight", weight)) => {
                    let number = weight.parse().map_err(|_| "a weight is a number".to_owned())?;
                    spec.weight = Weight::new(number).map_err(|error| format!("{error}"))?;
                }
                _ => return Err(format!("'{field}' is neither zone=ZONE nor weight=WEIGHT")),
            }
        }
        Ok(spec)
    }
}

/// The verbs of `kv node`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum NodeVerb {
    /// Run the node of a directory until SIGTERM or Ctrl-C
    #[command(after_help = START_EXAMPLES)]
    Start(StartArguments),
}

const START_EXAMPLES: &str = "\
Examples:
  kv node start /var/lib/kvorum
  kv node start ./n1 --log-level kvorum_node=debug --log-format json
";

/// Arguments of `kv node start`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StartArguments {
    /// The node's directory, as kv cluster init made it
    pub(crate) dir: PathBuf,
    /// Listen at this port and the two after it, instead of where kvorum.toml says
    ///
    /// Other nodes and clients still dial what the list of members says: for a machine behind forwarded ports.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65533))]
    pub(crate) port_base: Option<u16>,
    /// What to log: error, warn, info, debug, trace, or a filter [default: from kvorum.toml]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// How to log [default: from kvorum.toml]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Stop when standard input ends; how a child of kv dev notices that its parent has died
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
    /// A temporary directory that the last process which uses it removes; only for children of kv dev and kv demo
    #[arg(long, value_name = "DIR", hide = true, requires = "until_stdin_closes")]
    pub(crate) occupies: Option<PathBuf>,
    /// Accept unauthenticated plaintext from clients on 127.0.0.1; only for children of kv dev and kv demo
    #[arg(long, hide = true, requires = "until_stdin_closes")]
    pub(crate) plaintext_loopback: bool,
}

/// How a node writes its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object on each line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::NodeSpec;

    #[test]
    fn a_node_has_a_name_an_address_and_perhaps_a_zone_and_a_weight() {
        let spec: NodeSpec =
            "n1=host.example:7400,zone=rack1,weight=200".parse().expect("complete");
        assert_eq!(
            (spec.name.as_str(), spec.host.as_str(), spec.port_base),
            ("n1", "host.example", 7400)
        );
        assert_eq!((spec.zone.as_str(), spec.weight.get()), ("rack1", 200));
        let plain: NodeSpec = "n2=[::1]:7400".parse().expect("an IPv6 address");
        assert_eq!((plain.host.as_str(), plain.zone.as_str()), ("::1", "default"));
    }

    #[test]
    fn a_node_that_makes_no_sense_is_refused() {
        for text in [
            "n1",
            "=h:1",
            "../n=h:1",
            "n1=h",
            "n1=h:65534",
            "n1=quic://h:1",
            "n1=h:1,zone=",
            "n1=h:1,weight=0",
        ] {
            assert!(text.parse::<NodeSpec>().is_err(), "{text:?}");
        }
        let error = "n1=h:1,colour=red".parse::<NodeSpec>().expect_err("an unknown field");
        assert!(error.contains("colour=red"), "{error}");
    }
}
