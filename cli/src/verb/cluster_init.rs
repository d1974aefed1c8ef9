//! `kv cluster init`: the directories of a new cluster, and what to do with them.

use kvorum_node::config::StoreConfig;
use serde_json::{Value, json};

use crate::args::cluster::InitArguments;
use crate::cluster::create::{
    AUTHORITY_DIRECTORY, CLIENT_DIRECTORY, CreatedNode, Creation, create,
};
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::Output;

/// Makes the directories and prints the way to a running cluster.
pub(super) fn run(options: &InitArguments, output: Output) -> Outcome<ExitCode> {
    let creation = Creation {
        name: options.name.clone(),
        partitions: options.partitions,
        nodes: options.nodes.clone(),
        is_local: false,
        store: StoreConfig::default(),
    };
    let created = create(&creation, &options.out)?;
    if output.is_json() {
        let nodes: Vec<Value> = created
            .iter()
            .map(|node| {
                let directory = options.out.join(&node.name).display().to_string();
                json!({ "name": node.name, "id": node.id.to_string(), "directory": directory })
            })
            .collect();
        output.json(&json!({
            "cluster": options.name, "partitions": options.partitions, "nodes": nodes,
            "client": options.out.join(CLIENT_DIRECTORY).display().to_string(),
            "authority": options.out.join(AUTHORITY_DIRECTORY).display().to_string(),
        }))?;
    } else {
        output.line(&walk(options, &created))?;
    }
    Ok(ExitCode::Success)
}

/// The way from the directories to the first value.
fn walk(options: &InitArguments, created: &[CreatedNode]) -> String {
    let out = options.out.display();
    let mut text = format!("cluster {} of {} nodes, in {out}\n", options.name, created.len());
    text.push_str("\n1. Copy each node's directory to its machine:\n");
    for (node, spec) in created.iter().zip(&options.nodes) {
        text.push_str(&format!("     scp -rp {out}/{} {}:/var/lib/kvorum\n", node.name, spec.host));
    }
    text.push_str("\n2. Start each node there, by hand or as a service:\n     kv node start /var/lib/kvorum\n");
    text.push_str("   Ports: UDP base for the other nodes, TCP and UDP base+1 for clients.\n");
    text.push_str(&format!("\n3. Give clients their certificate and the addresses:\n     cp -rp {out}/client ~/.config/kvorum\n"));
    text.push_str("     kv status\n     kv put greeting hello\n     kv get greeting\n");
    text.push_str(&format!(
        "\nKeep {out}/{AUTHORITY_DIRECTORY} safe and off the nodes: whoever has it can join the cluster.\n\
         It is needed again to add nodes and clients.",
    ));
    text
}

#[cfg(test)]
mod tests {
    use kvorum_ring::NodeId;

    use super::walk;
    use crate::args::cluster::InitArguments;
    use crate::cluster::create::CreatedNode;

    #[test]
    fn the_walk_names_every_machine() {
        let nodes = ["n1=host-a:7400", "n2=host-b:7400"].map(|text| text.parse().expect("a node"));
        let options = InitArguments {
            nodes: nodes.to_vec(),
            out: "out".into(),
            name: "prod".to_owned(),
            partitions: 64,
        };
        let created = ["n1", "n2"].map(|name| CreatedNode { name: name.to_owned(), id: NodeId(1) });
        let text = walk(&options, &created);
        for line in [
            "scp -rp out/n1 host-a:/var/lib/kvorum",
            "scp -rp out/n2 host-b:/var/lib/kvorum",
            "out/authority",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
