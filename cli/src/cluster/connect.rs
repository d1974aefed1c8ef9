//! Connecting to whatever cluster was found.

use kvorum_client::{Client, Config, OpenError};
use tokio::time::timeout;

use crate::args::connection::ConnectionArguments;
use crate::cluster::find::{Environment, Found, find, nobody_answers};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Finds the cluster and connects to it.
///
/// # Errors
/// Unavailable, with every endpoint's reason and with what to do.
pub(crate) async fn connect(options: &ConnectionArguments, output: Output) -> Outcome<Client> {
    let found = find(options, &Environment::read())?;
    let client = match timeout(options.timeout, Client::connect(config(&found, options))).await {
        Ok(Ok(client)) => client,
        Ok(Err(OpenError::NoNode(causes))) => {
            let causes: Vec<_> =
                causes.into_iter().map(|(endpoint, cause)| (endpoint, cause.to_string())).collect();
            return Err(nobody_answers(&found, &causes));
        }
        Ok(Err(error)) => return Err(Failure::unavailable(error.to_string())),
        Err(_) => return Err(nobody_answers(&found, &[])),
    };
    let topology = client.topology();
    output.detail(&format!(
        "cluster {} (from {}), told by {}",
        topology.cluster,
        found.origin,
        topology.name_of(topology.told_by),
    ));
    Ok(client)
}

fn config(found: &Found, options: &ConnectionArguments) -> Config {
    let mut config = Config::new(found.endpoints.clone()).deadline(options.timeout);
    if let Some(identity) = &found.identity {
        config = config.identity(identity.clone());
    }
    if let Some(cluster) = &found.cluster {
        config = config.cluster(cluster.as_str());
    }
    config
}
