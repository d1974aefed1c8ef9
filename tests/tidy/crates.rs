//! The rules about crates: who may depend on whom, what stays out of pure crates, and where planted bugs may be armed.
//!
//! Cargo refuses circular crates by itself; what it cannot know is which edges the design allows. The table here
//! is the design's, so a new edge is a decision that somebody writes down.

use toml::{Table, Value};

/// What may depend on what, among the workspace's own crates.
struct Allowed {
    /// Folder of the crate.
    folder: &'static str,
    /// Short names of the crates it may name.
    crates: &'static [&'static str],
    /// Pure: computes, and touches nothing outside.
    pure: bool,
}

const EVERYTHING: &[&str] =
    &["ring", "protocol", "gossip", "antientropy", "store", "client", "node", "simulations"];

/// The crate graph, leaves first.
const GRAPH: &[Allowed] = &[
    Allowed { folder: "ring", crates: &[], pure: true },
    Allowed { folder: "protocol", crates: &["ring"], pure: true },
    Allowed { folder: "gossip", crates: &["ring"], pure: true },
    Allowed { folder: "antientropy", crates: &["ring", "protocol"], pure: true },
    Allowed { folder: "store", crates: &["ring", "protocol", "antientropy"], pure: false },
    Allowed { folder: "client/rust", crates: &["ring", "protocol"], pure: false },
    Allowed {
        folder: "node",
        crates: &["ring", "protocol", "gossip", "antientropy", "store"],
        pure: false,
    },
    Allowed {
        folder: "simulations",
        crates: &["ring", "protocol", "gossip", "antientropy", "store", "node"],
        pure: false,
    },
    Allowed { folder: "cli", crates: EVERYTHING, pure: false },
];

/// What a pure crate may not even depend on.
const IMPURE: &[&str] =
    &["tokio", "quinn", "sled", "socket2", "rustls", "tokio-rustls", "tempfile", "clap"];

/// The one crate that may arm planted bugs, through the feature of the same name.
const ARMS_PLANTED: &str = "cli";

/// Breaches of the crate graph in the manifest of the crate in `folder`.
pub(crate) fn breaches(folder: &str, manifest: &str) -> Vec<String> {
    let Some(allowed) = GRAPH.iter().find(|allowed| allowed.folder == folder) else {
        return vec![format!("{folder}: a crate that the graph does not know")];
    };
    let manifest: Table = manifest.parse().expect("a manifest is TOML");
    let mut found = Vec::new();
    for (table, name, dependency) in dependencies(&manifest) {
        if let Some(short) = name.strip_prefix("kvorum-") {
            if !allowed.crates.contains(&short) {
                found.push(format!("{folder}: [{table}] may not name `{name}`"));
            }
            if arms_planted(dependency) {
                found.push(format!("{folder}: [{table}] arms planted bugs through `{name}`"));
            }
        } else if allowed.pure && table == "dependencies" && IMPURE.contains(&name) {
            found.push(format!("{folder}: pure, but depends on `{name}`"));
        }
    }
    if default_features(&manifest).any(|feature| feature.contains("planted")) {
        found.push(format!("{folder}: planted bugs are on by default"));
    }
    found
}

/// Every dependency as (table, name, value), those of single platforms included.
fn dependencies(manifest: &Table) -> Vec<(&'static str, &str, &Value)> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let platforms = platforms.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let mut found = Vec::new();
    for part in std::iter::once(manifest).chain(platforms) {
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let entries = part.get(table).and_then(Value::as_table);
            let entries = entries.into_iter().flatten();
            found.extend(entries.map(|(name, value)| (table, name.as_str(), value)));
        }
    }
    found
}

/// A dependency that switches `planted` on would switch it on for the whole workspace: features unify.
fn arms_planted(dependency: &Value) -> bool {
    let features = dependency.get("features").and_then(Value::as_array);
    features.into_iter().flatten().any(|feature| feature.as_str() == Some("planted"))
}

fn default_features(manifest: &Table) -> impl Iterator<Item = &str> {
    let features = manifest.get("features").and_then(|features| features.get("default"));
    features.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The folders of the workspace's crates, from the root manifest.
pub(crate) fn members(root_manifest: &str) -> Vec<String> {
    let manifest: Table = root_manifest.parse().expect("a manifest is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("a list of members");
    members.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Folders that the graph names and the workspace does not have.
pub(crate) fn missing(members: &[String]) -> Vec<&'static str> {
    let folders = GRAPH.iter().map(|allowed| allowed.folder);
    folders.filter(|folder| !members.iter().any(|member| member == folder)).collect()
}

/// The crate whose feature arms planted bugs.
pub(crate) fn arms_planted_bugs(manifest: &str) -> bool {
    let manifest: Table = manifest.parse().expect("a manifest is TOML");
    let feature = manifest.get("features").and_then(|features| features.get("planted"));
    let package = manifest["package"]["name"].as_str();
    feature.is_some() && package == Some(&format!("kvorum-{ARMS_PLANTED}"))
}

#[cfg(test)]
mod tests {
    use super::{breaches, missing};

    #[test]
    fn an_edge_against_the_graph_is_found() {
        let upward = "[dependencies]\nkvorum-node.workspace = true\n";
        assert_eq!(breaches("store", upward).len(), 1);
        assert_eq!(
            breaches("client/rust", "[dev-dependencies]\nkvorum-store.workspace = true\n").len(),
            1
        );
        assert_eq!(breaches("cli", upward).len(), 0);
        let platform = "[target.'cfg(unix)'.dependencies]\nkvorum-cli.workspace = true\n";
        assert_eq!(breaches("node", platform).len(), 1);
        assert_eq!(breaches("extra", "").len(), 1);
    }

    #[test]
    fn a_pure_crate_with_a_socket_is_found() {
        assert_eq!(breaches("gossip", "[dependencies]\ntokio.workspace = true\n").len(), 1);
        assert_eq!(breaches("gossip", "[dev-dependencies]\ntempfile = \"3\"\n").len(), 0);
    }

    #[test]
    fn planted_bugs_that_are_on_are_found() {
        assert_eq!(
            breaches("node", "[features]\ndefault = [\"planted\"]\nplanted = []\n").len(),
            1
        );
        let armed =
            "[dev-dependencies]\nkvorum-store = { workspace = true, features = [\"planted\"] }\n";
        assert_eq!(breaches("simulations", armed).len(), 1);
        assert_eq!(breaches("cli", "[features]\nplanted = [\"kvorum-node/planted\"]\n").len(), 0);
    }

    #[test]
    fn a_crate_that_left_the_workspace_is_found() {
        assert!(missing(&["ring".to_owned()]).contains(&"store"));
    }
}
