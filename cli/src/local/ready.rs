//! Waiting until a cluster on this machine is ready: every node answers and sees every other one up.
//!
//! Nothing less is called ready. A node that answers but has not found its peers would refuse the first write.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kvorum_client::Client;
use tokio::time::{Instant, sleep};

use crate::cluster::health::{Health, NodeHealth};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::local::LocalCluster;
use crate::local::child::how_it_ended;

/// How long a cluster may take to get ready. It takes a second or two on a quiet machine, and much longer on one that
/// compiles at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(2);

/// Lines of a dead node's log that are shown.
const LOG_LINES: usize = 8;

/// Waits until these nodes are ready. When they are all nodes of the cluster, each must see every other one.
///
/// # Errors
/// A failure with the end of the log when a node dies meanwhile, or with what is missing when it takes too long.
pub(crate) async fn wait(cluster: &mut LocalCluster, nodes: &[usize]) -> Outcome<()> {
    let begun = Instant::now();
    loop {
        if let Some((node, status)) = cluster.dead().first() {
            let name = &cluster.nodes()[*node].name;
            let message = format!("node {name} did not start: {}", how_it_ended(*status));
            return Err(with_log(
                Failure::new(ExitCode::Unavailable, message),
                &cluster.log(*node),
            ));
        }
        let missing = match look(cluster, nodes).await {
            Ok(()) => return Ok(()),
            Err(missing) => missing,
        };
        if begun.elapsed() > PATIENCE {
            let seconds = PATIENCE.as_secs();
            return Err(Failure::unavailable(format!(
                "the cluster is not ready after {seconds} s: {missing}"
            )));
        }
        sleep(INTERVAL).await;
    }
}

/// Says what is still missing.
async fn look(cluster: &LocalCluster, nodes: &[usize]) -> Result<(), String> {
    let config =
        cluster.client_config(nodes, None).map_err(|failure| failure.message().to_owned())?;
    let client = Client::connect(config.deadline(LOOK)).await;
    let client = client.map_err(|error| error.to_string())?;
    let health = Health::ask(&client).await;
    let wanted: Vec<&str> = nodes.iter().map(|node| cluster.nodes()[*node].name.as_str()).collect();
    let whole = wanted.len() == cluster.nodes().len();
    for name in wanted {
        let Some(node) = health.nodes.iter().find(|node| node.name == name) else {
            return Err(format!("{name} is not a member yet"));
        };
        check(node, if whole { cluster.nodes().len() } else { 1 })?;
    }
    Ok(())
}

/// A node answers and sees `members` nodes, itself included.
fn check(node: &NodeHealth, members: usize) -> Result<(), String> {
    let name = &node.name;
    match &node.status {
        Err(error) => Err(format!("{name} does not answer: {error}")),
        Ok(status) => {
            let seen =
                status.peers.iter().filter(|peer| peer.up && peer.node != node.id).count() + 1;
            if seen >= members {
                Ok(())
            } else {
                Err(format!("{name} sees {seen} of {members} nodes"))
            }
        }
    }
}

/// The same failure with the end of a node's log.
fn with_log(failure: Failure, log: &Path) -> Failure {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LOG_LINES)..].iter();
    let failure = last.fold(failure, |failure, line| failure.advise(*line));
    failure.advise(format!("The whole log: {}", log.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::with_log;
    use crate::failure::Failure;

    #[test]
    fn a_node_that_died_shows_the_end_of_its_log() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("n1.log");
        let lines: Vec<String> = (0..20).map(|number| format!("line {number}")).collect();
        fs::write(&log, lines.join("\n")).expect("written");
        let failure = with_log(Failure::unavailable("dead"), &log);
        assert_eq!(failure.advice()[0], "line 12");
        assert_eq!(failure.advice().len(), 9);
    }
}
