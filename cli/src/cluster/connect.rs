//! Connecting to whatever cluster was found.

use kvorum_client::{Client, Config, ConnectError, Endpoint, OpenError};
use kvorum_protocol::RequestError;
use tokio::time::timeout;

use crate::args::connection::ConnectionArguments;
use crate::cluster::explain;
use crate::cluster::find::{Environment, Found, find, nobody_answers};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Finds the cluster and connects to it.
///
/// # Errors
/// Unavailable, with every endpoint's reason and with what to do.
pub(crate) async fn connect(options: &ConnectionArguments, output: Output) -> Outcome<Client> {
    connect_with(options, output, |config| config).await
}

/// The same with another config than the options alone make.
///
/// # Errors
/// As of [`connect`].
pub(crate) async fn connect_with(
    options: &ConnectionArguments,
    output: Output,
    adjust: impl Fn(Config) -> Config,
) -> Outcome<Client> {
    let found = find(options, &Environment::read())?;
    let config = adjust(config(&found, options));
    let client = match timeout(options.timeout, Client::connect(config)).await {
        Ok(Ok(client)) => client,
        Ok(Err(OpenError::NoNode(causes))) => {
            if let Some(refused) = not_let_in(&causes) {
                return Err(refused);
            }
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

/// A node answered and does not let us in, or every one that answered shows a certificate that we do not accept: that is no
/// outage, and waiting does not help.
fn not_let_in(causes: &[(Endpoint, ConnectError)]) -> Option<Failure> {
    let refused = |endpoint: &Endpoint, what: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Refused, format!("{endpoint}: {what}"))
    };
    let is_nodes = |cause: &ConnectError| matches!(cause, ConnectError::NodeCertificate { .. });
    let all_nodes = causes.iter().all(|(_, cause)| is_nodes(cause));
    causes.iter().find_map(|(endpoint, cause)| match cause {
        ConnectError::Refused(error @ RequestError::Unauthenticated { .. }) => {
            Some(refused(endpoint, error).advise(explain::HOW_TO_BE_LET_IN))
        }
        ConnectError::OwnCertificate { .. } => Some(refused(endpoint, cause)),
        ConnectError::NodeCertificate { .. } if all_nodes => Some(refused(endpoint, cause)),
        _ => None,
    })
}

fn config(found: &Found, options: &ConnectionArguments) -> Config {
    let mut config = Config::new(found.endpoints.clone()).deadline(options.timeout);
    if let Some(identity) = &found.identity {
        config = config.identity(identity.clone());
    }
    if let Some(token) = &found.token {
        config = config.token(token.clone());
    }
    if let Some(cluster) = &found.cluster {
        config = config.cluster(cluster.as_str());
    }
    config
}

#[cfg(test)]
mod tests {
    use kvorum_client::{ConnectError, Endpoint};
    use kvorum_protocol::CertificateFault;

    use super::not_let_in;
    use crate::exit_code::ExitCode;

    #[test]
    fn a_certificate_that_is_not_accepted_is_no_outage_unless_other_nodes_may_come_back() {
        let causes = |causes: Vec<ConnectError>| -> Vec<(Endpoint, ConnectError)> {
            causes.into_iter().map(|cause| (Endpoint::loopback(1), cause)).collect()
        };
        let fault = CertificateFault::Expired;
        let own = ConnectError::OwnCertificate { fault };
        let nodes = ConnectError::NodeCertificate { fault, detail: "".into() };
        let down = ConnectError::TimedOut;
        for refused in [vec![down.clone(), own], vec![nodes.clone(), nodes.clone()]] {
            let failure = not_let_in(&causes(refused)).expect("refused");
            assert_eq!(failure.code(), ExitCode::Refused);
            assert!(failure.message().contains("kv cert renew"), "{failure}");
        }
        assert_eq!(not_let_in(&causes(vec![nodes, down])), None);
    }
}
