//! Making a cluster: an authority, an identity for each node, and one directory for each node to copy.
//!
//! Everything is made in a directory of its own beside the target and renamed at the end, so that a cluster is there
//! whole or not at all. Nothing is ever overwritten: a second authority for the same directories would lock every node out.
//!
//! ```text
//! OUT/n1/kvorum.toml           every setting of the node, commented
//! OUT/n1/context.keys          the keys that seal contexts, the same for all nodes (0600)
//! OUT/n1/certificates/         authority.pem, node.pem, node.key (0600)
//! OUT/client/config.toml       for ~/.config/kvorum/, with authority.pem, client.pem, client.key (0600)
//! OUT/authority/               the CA's key (0600): keep it off the nodes
//! ```

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::SystemTime;

use kvorum_gossip::facts::NodeAddresses;
use kvorum_node::config::{
    ClusterConfig, Config, ListenConfig, LogConfig, MemberConfig, NodeConfig, PathsConfig,
    StoreConfig,
};
use kvorum_node::identity::{AUTHORITY_FILE, ClusterAuthority, IssueError, write_private};
use kvorum_node::provision::{
    CLIENT_CERTIFICATE_FILE, CLIENT_KEY_FILE, ProvisionError, write_authority, write_client,
    write_node,
};
use kvorum_protocol::ContextKeys;
use kvorum_ring::{NodeId, PartitionCount};
use tempfile::TempDir;

use crate::args::cluster::NodeSpec;
use crate::cluster::config_file::ConfigText;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};

/// The directory of the client's files.
pub(crate) const CLIENT_DIRECTORY: &str = "client";
/// The directory of the authority's key.
pub(crate) const AUTHORITY_DIRECTORY: &str = "authority";

/// What cluster is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Creation {
    /// Its name.
    pub(crate) name: String,
    /// How many partitions.
    pub(crate) partitions: u32,
    /// Its nodes.
    pub(crate) nodes: Vec<NodeSpec>,
    /// All nodes on this machine: they listen on loopback only, and clients may use plaintext there.
    pub(crate) is_local: bool,
    /// The store of each node.
    pub(crate) store: StoreConfig,
}

/// A node that was made.
#[derive(Debug, Clone)]
pub(crate) struct CreatedNode {
    /// What people call it; also its directory.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: NodeId,
}

/// Makes the cluster's directories in `out`, which must be empty or not exist. The nodes come back in the order in which
/// they were named.
///
/// # Errors
/// Usage when the specification makes no sense, refused when something is there already, and whatever the file system
/// says, with the path.
pub(crate) fn create(creation: &Creation, out: &Path) -> Outcome<Vec<CreatedNode>> {
    let members = members(creation)?;
    let now = SystemTime::now();
    let authority = ClusterAuthority::create(&creation.name, now).map_err(not_issued)?;
    let context_keys = ContextKeys { current: rand::random(), previous: None };
    let temporary = empty_place(out)?;
    let place = temporary.path();
    let mut sorted = members.clone();
    sorted.sort_by_key(|member| member.id);
    for (member, spec) in members.iter().zip(&creation.nodes) {
        let config = config(creation, member, spec, &sorted)?;
        let directory = place.join(&member.name);
        write_node(&directory, &config, &authority, &context_keys, now).map_err(not_written)?;
    }
    let client = place.join(CLIENT_DIRECTORY);
    write_client(&client, &authority, now).map_err(not_written)?;
    write_client_config(&client, creation, &members)?;
    write_authority(&place.join(AUTHORITY_DIRECTORY), &authority).map_err(not_written)?;
    put_in_place(temporary, out)?;
    Ok(members.into_iter().map(|member| CreatedNode { name: member.name, id: member.id }).collect())
}

/// The members in the order of the specification, each with a fresh id.
fn members(creation: &Creation) -> Outcome<Vec<MemberConfig>> {
    let reserved = [CLIENT_DIRECTORY, AUTHORITY_DIRECTORY];
    let mut names = std::collections::BTreeSet::new();
    for spec in &creation.nodes {
        if reserved.contains(&spec.name.as_str()) {
            return Err(Failure::usage(format!(
                "no node can be called {}: its directory has that name",
                spec.name
            )));
        }
        if !names.insert(&spec.name) {
            return Err(Failure::usage(format!("two nodes are called {}", spec.name)));
        }
    }
    let member = |spec: &NodeSpec| {
        let address = |offset| format!("{}:{}", bracketed(&spec.host), spec.port_base + offset);
        MemberConfig {
            id: NodeId(rand::random()),
            name: spec.name.clone(),
            addresses: NodeAddresses { peers: address(0), clients: address(1), admin: address(2) },
            zone: spec.zone.clone(),
            weight: spec.weight,
        }
    };
    Ok(creation.nodes.iter().map(member).collect())
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The settings of one node.
fn config(
    creation: &Creation,
    member: &MemberConfig,
    spec: &NodeSpec,
    sorted: &[MemberConfig],
) -> Outcome<Config> {
    let partitions = PartitionCount::new(creation.partitions).map_err(|error| {
        Failure::usage(format!("--partitions {}: {error}", creation.partitions))
    })?;
    let interface = if creation.is_local { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    let listen = |offset| SocketAddr::new(IpAddr::V4(interface), spec.port_base + offset);
    Ok(Config {
        node: NodeConfig { id: member.id, name: member.name.clone() },
        cluster: ClusterConfig {
            name: creation.name.clone(),
            partitions,
            members: sorted.to_vec(),
        },
        listen: ListenConfig {
            peers: listen(0),
            clients: listen(1),
            admin: listen(2),
            dev_plaintext: creation.is_local,
        },
        paths: PathsConfig::default(),
        store: creation.store.clone(),
        log: LogConfig::default(),
    })
}

/// Tells the client where its cluster is, beside its certificate.
fn write_client_config(
    directory: &Path,
    creation: &Creation,
    members: &[MemberConfig],
) -> Outcome<()> {
    let endpoint = |member: &MemberConfig| format!("{}@{}", member.id, member.addresses.clients);
    let config = ConfigText {
        cluster: Some(creation.name.clone()),
        endpoints: members.iter().map(endpoint).collect(),
        ca: Some(AUTHORITY_FILE.into()),
        certificate: Some(CLIENT_CERTIFICATE_FILE.into()),
        key: Some(CLIENT_KEY_FILE.into()),
        token_file: None,
    };
    let path = directory.join("config.toml");
    write_private(&path, config.render()?.as_bytes())
        .map_err(|error| Failure::file("write", &path, &error))
}

/// A fresh directory beside `out`, after a check that `out` is not in use. It goes again unless it is put in place.
fn empty_place(out: &Path) -> Outcome<TempDir> {
    match fs::read_dir(out) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                let failure =
                    Failure::new(ExitCode::Refused, format!("{} is not empty", out.display()));
                return Err(failure.advise(
                    "Nothing is overwritten: choose another directory, or remove this one.",
                ));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::file("open", out, &error)),
    }
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|error| Failure::file("create", parent, &error))?;
    let place = tempfile::Builder::new().prefix(".kvorum-").tempdir_in(parent);
    place.map_err(|error| Failure::file("create a directory in", parent, &error))
}

/// Moves what was made to where it belongs. Renaming onto an empty directory replaces it.
fn put_in_place(place: TempDir, out: &Path) -> Outcome<()> {
    fs::rename(place.path(), out).map_err(|error| Failure::file("create", out, &error))?;
    // It is not there under its old name any more, so there is nothing to remove.
    let _ = place.keep();
    Ok(())
}

fn not_written(error: ProvisionError) -> Failure {
    match error {
        ProvisionError::Issue(error) => not_issued(error),
        ProvisionError::Write { path, error } => Failure::file("write", &path, &error),
    }
}

fn not_issued(error: IssueError) -> Failure {
    Failure::usage(format!("cannot make a certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use kvorum_node::config::{Config, StoreConfig};
    use kvorum_node::identity::Credentials;

    use super::{Creation, create};
    use crate::cluster::config_file::ClientConfig;
    use crate::exit_code::ExitCode;

    fn creation(nodes: &[&str], is_local: bool) -> Creation {
        let nodes = nodes.iter().map(|text| text.parse().expect("a node")).collect();
        let store = StoreConfig::default();
        Creation { name: "prod".to_owned(), partitions: 64, nodes, is_local, store }
    }

    #[test]
    fn every_node_gets_settings_and_certificates_that_load_and_that_nobody_else_can_read() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let out = directory.path().join("cluster");
        let specs = ["n1=10.0.0.1:7400,zone=a", "n2=host-b:7400,zone=b,weight=200"];
        let created = create(&creation(&specs, false), &out).expect("made");
        let mut lists = Vec::new();
        for node in &created {
            let config = Config::load(&out.join(&node.name)).expect("settings that load");
            assert_eq!((config.node.id, config.listen.dev_plaintext), (node.id, false));
            assert_eq!(config.listen.clients.to_string(), "0.0.0.0:7401");
            let certificates = out.join(&node.name).join("certificates");
            Credentials::load(&certificates).expect("credentials that load");
            let mode =
                fs::metadata(certificates.join("node.key")).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            lists.push(config.cluster);
        }
        assert_eq!(lists[0], lists[1]);
        let client =
            ClientConfig::read(&out.join("client/config.toml")).expect("a client's config");
        assert!(client.identity.is_some());
        assert_eq!(client.endpoints[1].to_string(), format!("{}@host-b:7401", created[1].id));
        assert!(out.join("authority/authority.key").is_file());
        assert_eq!(
            fs::read_dir(directory.path()).expect("listed").count(),
            1,
            "nothing half-made is left"
        );
    }

    #[test]
    fn nothing_is_overwritten_and_an_empty_directory_may_be_there() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        create(&creation(&["n1=h:1"], false), directory.path())
            .expect("an empty directory is fine");
        let failure =
            create(&creation(&["n1=h:1"], false), directory.path()).expect_err("not empty");
        assert_eq!(failure.code(), ExitCode::Refused);
    }

    #[test]
    fn names_that_collide_are_refused_before_anything_is_made() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for specs in
            [["n1=h:1", "n1=h:11"], ["client=h:1", "n2=h:11"], ["n1=h:1", "authority=h:11"]]
        {
            let failure =
                create(&creation(&specs, false), directory.path()).expect_err("a collision");
            assert_eq!(failure.code(), ExitCode::Usage);
        }
    }
}
