//! `kvorum.toml` with every key and what it means.

use std::fmt::Write;
use std::path::Path;

use crate::config::{Config, LogFormat, MemberConfig};

pub(crate) fn render(config: &Config) -> String {
    let Config { node, cluster, listen, paths, store, log } = config;
    let format = match log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let mut out = format!(
        r#"# Settings of one Kvorum node. Read once, when the node starts. Unknown keys are errors.

[node]
# Who this node is: 32 hex digits, the same as in its certificate. Never changes, also when the disk is replaced.
id = "{id}"
# What people call it.
name = "{name}"

[cluster]
# What people call the cluster. The same in every node's file.
name = "{cluster_name}"
# Partitions of the first layout: a power of two. The same in every node's file, and fixed once there is data.
partitions = {partitions}

[listen]
# Where other nodes connect: QUIC with mutual TLS, over UDP.
peers = "{peers}"
# Where clients connect: TLS over TCP, and QUIC over UDP on the same port.
clients = "{clients}"
# Figures (/metrics) and health (/healthz) over HTTP: plain on a loopback address, under mutual TLS on any other.
admin = "{admin}"
# Speak to TCP clients without TLS and without asking who they are. Only with `clients` on 127.0.0.1.
dev_plaintext = {dev_plaintext}

# Relative paths start from the directory of this file.
[paths]
# The directory with authority.pem, node.pem and node.key.
certificates = {certificates}
# The keys that authenticate contexts: the same file on every node.
context_keys = {context_keys}
# The log: the data itself. Must not be lost.
log = {log_path}
# The index over the log: can be rebuilt from it.
index = {index}

[store]
# Size of one log segment in MiB, 1 to 1024.
segment_mib = {segment_mib}
# Memory for the newest and the hottest records in MiB.
table_mib = {table_mib}
# Memory for the index's page cache in MiB.
index_cache_mib = {index_cache_mib}
# Room for writes that this node takes for owners that are away while too few owners have them, in MiB. They are copies that
# were counted, so they are never dropped: when the room is used up, this node takes no more of them.
bearing_hints_mib = {bearing_hints_mib}
# Room for those that enough owners have, in MiB; 0 for none. When it is used up no more are taken, and comparing the owners
# has to find what is missing.
spare_hints_mib = {spare_hints_mib}
# How long those are kept, in minutes.
spare_hints_minutes = {spare_hints_minutes}

[log]
# What to report on standard error: error, warn, info, debug or trace, or a filter like "info,kvorum_node=debug".
level = {level}
# How a line looks: "text" or "json".
format = "{format}"

# The members that the cluster began with, this node among them. Every node derives the first layout from this list, so
# it is the same in every node's file; ids, zones and weights are fixed once there is data. Addresses are host:port as the
# other machines reach them.
"#,
        id = node.id,
        name = node.name,
        cluster_name = cluster.name,
        partitions = cluster.partitions.get(),
        peers = listen.peers,
        clients = listen.clients,
        admin = listen.admin,
        dev_plaintext = listen.dev_plaintext,
        certificates = quoted_path(&paths.certificates),
        context_keys = quoted_path(&paths.context_keys),
        log_path = quoted_path(&paths.log),
        index = quoted_path(&paths.index),
        segment_mib = store.segment_mib,
        table_mib = store.table_mib,
        index_cache_mib = store.index_cache_mib,
        bearing_hints_mib = store.bearing_hints_mib,
        spare_hints_mib = store.spare_hints_mib,
        spare_hints_minutes = store.spare_hints_minutes,
        level = quoted(&log.level),
    );
    for member in &cluster.members {
        render_member(member, &mut out);
    }
    out
}

fn render_member(member: &MemberConfig, out: &mut String) {
    let MemberConfig { id, name, addresses, zone, weight } = member;
    let text = format_args!(
        r#"[[members]]
id = "{id}"
name = "{name}"
peers = "{peers}"
clients = "{clients}"
admin = "{admin}"
# Nodes of one zone share a fate (a rack, a room); owners of one key stand in distinct zones as far as there are enough.
zone = "{zone}"
# How much it carries, relative to the others: 1 to 1000.
weight = {weight}

"#,
        peers = addresses.peers,
        clients = addresses.clients,
        admin = addresses.admin,
    );
    out.write_fmt(text).expect("writing to memory does not fail");
}

/// Names and addresses were checked to need no escaping; paths and filters were not.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
